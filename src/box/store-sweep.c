/* SPDX-License-Identifier: MIT */
/*
 * store-sweep - what leaves the store: what has expired, what a crash has left, and copies of
 * what is elsewhere when room is wanted.
 *
 * A few names at a time: folders may be large, and requests wait meanwhile.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counters.h"
#include "box/store-inside.h"

#define SWEEP_ENTRIES 256
#define ORPHAN_AGE    3600  /* seconds until a name without facts is nobody's any more */
#define GONE_AGE      86400 /* seconds from an end until it is deleted elsewhere */
#define EVICT_SAMPLE  256   /* candidates among which the least recently used are found */
#define EVICT_ENTRIES 8192  /* names looked at for one file's room */

/* --- sweeping --------------------------------------------------------------------------- */

/* Nobody to tell: nothing is to be deleted there any more. */
static void sweep_gone(struct store *s, const char *name, uint64_t now)
{
	struct store_file f = { 0 };
	struct stat st;
	bool good;

	if (name[0] == 'g') {
		good = store_read_facts(s, name, &f) == 0 &&
		       hash_parse_hex(name + 2, f.id, sizeof(f.id)) == 0;
	} else {
		good = fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		       hash_parse_hex(name + 2, f.sha256, sizeof(f.sha256)) == 0;
		f.expires = good ? (uint64_t)st.st_mtime : 0;
	}
	if (f.expires + GONE_AGE > now || !s->settled)
		return;
	if (good && s->gone)
		s->gone(s->gone_arg, name, &f);
	else
		store_forget(s, name);
}

static void remove_upload(struct store *s, const char *facts, const struct store_file *f,
			  uint64_t now)
{
	char content[STORE_NAME_LEN], upload[STORE_NAME_LEN], gone[STORE_NAME_LEN];

	store_name(content, 'b', f->sha256, sizeof(f->sha256));
	snprintf(upload, sizeof(upload), "u%s", facts + 1);
	snprintf(gone, sizeof(gone), "g%s", facts + 1);
	if ((f->elsewhere ? renameat(s->dir, facts, s->dir, gone) : unlinkat(s->dir, facts, 0)) ==
	    -1)
		return;
	(void)unlinkat(s->dir, upload, 0);
	s->files -= MIN_OF(s->files, 1);
	store_share_remove(s, f->user, store_blocks_of(f->size));
	store_drop_content(s, content, f->size);
	if (f->elsewhere)
		sweep_gone(s, gone, now);
}

/* A draft whose writer has died is not locked any more. */
static void sweep_draft(struct store *s, const char *name)
{
	int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(s->dir, name, 0);
	close(fd);
}

static bool is_old(const struct store *s, const char *name, uint64_t now, struct stat *st)
{
	return fstatat(s->dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (uint64_t)st->st_ctime + ORPHAN_AGE < now;
}

/* A name that a crash has left without facts. */
static void sweep_upload(struct store *s, const char *name, uint64_t now)
{
	char facts[STORE_NAME_LEN];
	struct stat st;

	snprintf(facts, sizeof(facts), "m%s", name + 1);
	if (is_old(s, name, now, &st) && faccessat(s->dir, facts, F_OK, 0) == -1)
		(void)unlinkat(s->dir, name, 0);
}

/* What is damaged is nobody's: without it what it was about is an orphan, or fetched anew. */
static void sweep_facts(struct store *s, const char *name, uint64_t now)
{
	struct store_file f;
	struct stat st;
	int rc = store_read_facts(s, name, &f);

	if (!rc && f.expires <= now)
		remove_upload(s, name, &f, now);
	else if (rc == ERR_BAD_FORMAT && is_old(s, name, now, &st))
		(void)unlinkat(s->dir, name, 0);
}

static void sweep_content(struct store *s, const char *name, uint64_t now)
{
	struct stat st;

	if (is_old(s, name, now, &st))
		store_drop_content(s, name, (uint64_t)st.st_size);
}

static void sweep_thumbnail(struct store *s, const char *name, uint64_t now)
{
	char gone[STORE_NAME_LEN];
	struct stat st;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1 || (uint64_t)st.st_mtime > now ||
	    !s->settled)
		return;
	snprintf(gone, sizeof(gone), "q%s", name + 1);
	if ((s->gone ? renameat(s->dir, name, s->dir, gone) : unlinkat(s->dir, name, 0)) == -1)
		return;
	store_bytes_remove(s, (uint64_t)st.st_size);
	if (s->gone)
		sweep_gone(s, gone, now);
}

static void sweep_entry(struct store *s, const char *name, uint64_t now)
{
	if (strlen(name) >= STORE_NAME_LEN || name[0] == '\0' || name[1] != '-')
		return;
	if (name[0] == 't')
		sweep_draft(s, name);
	else if (name[0] == 'u')
		sweep_upload(s, name, now);
	else if (name[0] == 'b')
		sweep_content(s, name, now);
	else if (name[0] == 'p')
		sweep_thumbnail(s, name, now);
	else if (name[0] == 'm')
		sweep_facts(s, name, now);
	else if (name[0] == 'g' || name[0] == 'q')
		sweep_gone(s, name, now);
}

bool store_sweep(struct store *s, uint64_t now)
{
	struct dirent *e;
	int i;

	if (!s->sweep) {
		int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		s->sweep = fd == -1 ? NULL : fdopendir(fd);
		if (!s->sweep) {
			if (fd != -1)
				close(fd);
			return true;
		}
	}
	for (i = 0; i < SWEEP_ENTRIES; i++) {
		e = readdir(s->sweep);
		if (!e) {
			closedir(s->sweep);
			s->sweep = NULL;
			break;
		}
		sweep_entry(s, e->d_name, now);
	}
	store_count(s);
	return !s->sweep;
}

/* --- making room ------------------------------------------------------------------------ */

struct candidate {
	struct timespec used;
	uint64_t size;
	uint8_t sha256[HASH_SHA256_LEN];
	char upload[STORE_NAME_LEN];
};

static int by_use(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	if (x->used.tv_nsec != y->used.tv_nsec)
		return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
	return memcmp(x->sha256, y->sha256, sizeof(x->sha256));
}

/* Is this the name of facts whose content is here and elsewhere? */
static bool candidate_read(const struct store *s, const char *name, struct candidate *out)
{
	struct store_file f;
	struct stat st;

	if (name[0] != 'm' || name[1] != '-' || strlen(name) >= STORE_NAME_LEN)
		return false;
	snprintf(out->upload, sizeof(out->upload), "u%s", name + 1);
	if (fstatat(s->dir, out->upload, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    store_read_facts(s, name, &f) || !f.elsewhere)
		return false;
	out->used = st.st_mtim;
	out->size = f.size;
	memcpy(out->sha256, f.sha256, sizeof(f.sha256));
	return true;
}

/* The next of them in the folder. *left: names that may still be looked at. */
static size_t candidates_read(struct store *s, struct candidate *v, int *left)
{
	struct dirent *e;
	size_t n = 0;
	int fd;

	if (!s->evict) {
		fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		s->evict = fd == -1 ? NULL : fdopendir(fd);
		if (!s->evict) {
			if (fd != -1)
				close(fd);
			*left = 0;
			return 0;
		}
	}
	while (n<EVICT_SAMPLE && * left> 0) {
		e = readdir(s->evict);
		if (!e) {
			closedir(s->evict);
			s->evict = NULL;
			break;
		}
		(*left)--;
		n += candidate_read(s, e->d_name, &v[n]);
	}
	return n;
}

static void evict(struct store *s, const struct candidate *c)
{
	char content[STORE_NAME_LEN];

	/* Who reads it has it open. */
	if (unlinkat(s->dir, c->upload, 0) == -1)
		return;
	store_name(content, 'b', c->sha256, sizeof(c->sha256));
	store_drop_content(s, content, c->size);
	counter_inc(METRIC_BOX_EVICTED);
}

static bool is_enough(const struct store *s, uint64_t blocks)
{
	return s->bytes <= s->quota - blocks;
}

void store_evict(struct store *s, uint64_t blocks)
{
	struct candidate *v;
	int left = EVICT_ENTRIES, rounds = 0;
	size_t i, n, all = 0;

	if (!s->gone || s->nothing_left)
		return;
	v = calloc(EVICT_SAMPLE, sizeof(*v));
	if (!v)
		return;
	/* Twice through a small folder: the first time may have begun in its middle. */
	while (!is_enough(s, blocks) && left > 0 && rounds < 2) {
		n = candidates_read(s, v, &left);
		rounds += !s->evict;
		all += n;
		if (n)
			qsort(v, n, sizeof(*v), by_use);
		for (i = 0; i < n && !is_enough(s, blocks); i++)
			evict(s, &v[i]);
	}
	s->nothing_left = !all && rounds == 2;
	free(v);
	store_count(s);
}
