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
#define ORPHAN_AGE    3600 /* seconds until a name without facts is nobody's any more */

/* --- sweeping --------------------------------------------------------------------------- */

static void remove_upload(struct store *s, const char *facts, const struct store_file *f)
{
	char content[STORE_NAME_LEN], upload[STORE_NAME_LEN];

	store_name(content, 'b', f->sha256, sizeof(f->sha256));
	snprintf(upload, sizeof(upload), "u%s", facts + 1);
	if (unlinkat(s->dir, facts, 0) == -1)
		return;
	(void)unlinkat(s->dir, upload, 0);
	s->files -= MIN_OF(s->files, 1);
	store_share_remove(s, f->user, store_blocks_of(f->size));
	store_drop_content(s, content, f->size);
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

static void sweep_content(struct store *s, const char *name, uint64_t now)
{
	struct stat st;

	if (is_old(s, name, now, &st))
		store_drop_content(s, name, (uint64_t)st.st_size);
}

static void sweep_thumbnail(struct store *s, const char *name, uint64_t now)
{
	struct stat st;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (uint64_t)st.st_mtime <= now &&
	    unlinkat(s->dir, name, 0) == 0)
		store_bytes_remove(s, (uint64_t)st.st_size);
}

static void sweep_entry(struct store *s, const char *name, uint64_t now)
{
	struct store_file f;

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
	else if (name[0] == 'm' && store_read_facts(s, name, &f) == 0 && f.expires <= now)
		remove_upload(s, name, &f);
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
