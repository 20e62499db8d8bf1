/* SPDX-License-Identifier: MIT */
/*
 * store - see store.h.
 *
 * Everything lies in one folder because names can then be linked under landlock, which lets
 * no name cross folders. What a process counts is what it has seen and done itself; a second
 * one's doings are counted at the next start.
 */
#include "config.h"

#include "box/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counters.h"
#include "box/store-inside.h"

struct share {
	struct share *next;
	uint8_t user[TOKEN_USER_LEN];
	uint64_t bytes;
};

/* --- counting --------------------------------------------------------------------------- */

uint64_t store_blocks_of(uint64_t size)
{
	return (MAX_OF(size, 1) + STORE_BLOCK - 1) / STORE_BLOCK * STORE_BLOCK;
}

static struct share **share_place(struct store *s, const uint8_t user[TOKEN_USER_LEN])
{
	struct share **at = &s->shares[(user[0] | user[1] << 8) % STORE_SHARES];

	while (*at && memcmp((*at)->user, user, TOKEN_USER_LEN) != 0)
		at = &(*at)->next;
	return at;
}

uint64_t store_share_of(struct store *s, const uint8_t user[TOKEN_USER_LEN])
{
	struct share **at = share_place(s, user);

	return *at ? (*at)->bytes : 0;
}

int store_share_add(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes)
{
	struct share **at = share_place(s, user);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return ERR_NOMEM;
		memcpy((*at)->user, user, TOKEN_USER_LEN);
	}
	(*at)->bytes += bytes;
	return 0;
}

void store_share_remove(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes)
{
	struct share **at = share_place(s, user), *gone;

	if (!*at)
		return;
	(*at)->bytes -= MIN_OF(bytes, (*at)->bytes);
	if ((*at)->bytes)
		return;
	gone = *at;
	*at = gone->next;
	free(gone);
}

void store_count(const struct store *s)
{
	counter_set(METRIC_BOX_BYTES, s->bytes);
	counter_set(METRIC_BOX_FILES, s->files);
}

void store_bytes_remove(struct store *s, uint64_t size)
{
	s->bytes -= MIN_OF(store_blocks_of(size), s->bytes);
}

/* --- names ------------------------------------------------------------------------------ */

void store_name(char out[STORE_NAME_LEN], char kind, const uint8_t *p, size_t len)
{
	out[0] = kind;
	out[1] = '-';
	hash_print_hex(p, len, out + 2);
}

/* What the disk or its quota has no room for, and all else. */
int store_errno(void)
{
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

void store_drop_content(struct store *s, const char *content, uint64_t size)
{
	struct stat st;

	/* One name left: nobody's. A link that is made just now keeps the bytes under its own. */
	if (fstatat(s->dir, content, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1 &&
	    unlinkat(s->dir, content, 0) == 0)
		store_bytes_remove(s, size);
}

/* --- reading ---------------------------------------------------------------------------- */

int store_find(struct store *s, const uint8_t id[TOKEN_ID_LEN], uint64_t now, struct store_file *f)
{
	char facts[STORE_NAME_LEN];
	int rc;

	memset(f, 0, sizeof(*f));
	store_name(facts, 'm', id, TOKEN_ID_LEN);
	rc = store_read_facts(s, facts, f);
	memcpy(f->id, id, TOKEN_ID_LEN);
	return rc || f->expires <= now ? ERR_NOT_FOUND : 0;
}

int store_read(struct store *s, const struct store_file *f)
{
	char upload[STORE_NAME_LEN];
	struct stat st;
	int fd;

	store_name(upload, 'u', f->id, sizeof(f->id));
	fd = openat(s->dir, upload, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd != -1 && (fstat(fd, &st) == -1 || (uint64_t)st.st_size != f->size)) {
		close(fd);
		fd = -1;
	}
	/* Its time of modification is nothing else's: the time of its last use. */
	if (fd != -1 && s->gone)
		(void)futimens(fd, NULL);
	return fd;
}

/* --- opening ---------------------------------------------------------------------------- */

static int count_entry(struct store *s, const char *name)
{
	struct store_file f;
	struct stat st;

	if ((name[0] == 'b' || name[0] == 'p') && name[1] == '-' &&
	    fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->bytes += store_blocks_of((uint64_t)st.st_size);
	if (name[0] != 'm' || name[1] != '-' || store_read_facts(s, name, &f))
		return 0;
	s->files++;
	return store_share_add(s, f.user, store_blocks_of(f.size));
}

static int count_all(struct store *s)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		if (fd != -1)
			close(fd);
		return ERR_IO;
	}
	while (!rc && (e = readdir(dir)))
		rc = count_entry(s, e->d_name);
	closedir(dir);
	return rc;
}

struct store *store_open(const char *folder, uint64_t now, struct err_msg *msg)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		return NULL;
	}
	s->quota = s->quota_user = UINT64_MAX;
	s->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir == -1 || count_all(s)) {
		err_msg_set(msg, ERR_IO, "\"%.200s\": %s", folder, strerror(errno));
		store_close(&s);
		return NULL;
	}
	while (!store_sweep(s, now))
		;
	return s;
}

void store_close(struct store **sp)
{
	struct store *s = *sp;
	size_t i;

	*sp = NULL;
	if (!s)
		return;
	for (i = 0; i < STORE_SHARES; i++)
		while (s->shares[i]) {
			struct share *next = s->shares[i]->next;

			free(s->shares[i]);
			s->shares[i] = next;
		}
	if (s->sweep)
		closedir(s->sweep);
	if (s->evict)
		closedir(s->evict);
	if (s->dir != -1)
		close(s->dir);
	free(s);
}

void store_set_elsewhere(struct store *s, store_gone_fn gone, void *arg)
{
	s->settled = true;
	s->nothing_left = false;
	s->gone = gone;
	s->gone_arg = arg;
}

void store_forget(struct store *s, const char *name)
{
	if (name[0] == 'g' || name[0] == 'q')
		(void)unlinkat(s->dir, name, 0);
}

void store_set_limits(struct store *s, uint64_t quota, uint64_t quota_user)
{
	s->quota = quota;
	s->quota_user = quota_user;
}

uint64_t store_bytes(const struct store *s)
{
	return s->bytes;
}

uint64_t store_files(const struct store *s)
{
	return s->files;
}
