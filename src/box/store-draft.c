/* SPDX-License-Identifier: MIT */
/*
 * store-draft - an upload on its way: written under a name of its own, then committed.
 *
 * Each step of a commit is one system call that succeeds for one process.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box/store-inside.h"

#define FLUSH_BYTES (1024 * 1024)

struct store_draft {
	struct store *store; /* borrowed */
	struct hash *hash;   /* owned */
	int fd;              /* owned, locked */
	bool sealed;
	uint8_t sha256[HASH_SHA256_LEN]; /* once it is sealed */
	uint8_t user[TOKEN_USER_LEN];
	uint64_t size;
	uint64_t written;
	uint64_t flushed;
	char name[STORE_NAME_LEN];
};

/* --- drafts ----------------------------------------------------------------------------- */

int store_create(struct store *s, char name[STORE_NAME_LEN])
{
	uint8_t random[16];
	int fd;

	/* Not by process ids: containers with one folder between them may have the same. */
	hash_random(random, sizeof(random));
	store_name(name, 't', random, sizeof(random));
	fd = openat(s->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd != -1)
		(void)flock(fd, LOCK_EX | LOCK_NB);
	return fd;
}

static void draft_free(struct store_draft **dp)
{
	struct store_draft *d = *dp;

	*dp = NULL;
	if (d->fd != -1) {
		(void)unlinkat(d->store->dir, d->name, 0);
		close(d->fd);
	}
	hash_free(&d->hash);
	free(d);
}

static bool has_room(const struct store *s, uint64_t blocks)
{
	return blocks <= s->quota && s->bytes <= s->quota - blocks;
}

static int begin(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		 struct store_draft **out)
{
	uint64_t blocks = store_blocks_of(size);
	struct store_draft *d;
	int rc = 0;

	if (!has_room(s, blocks) && blocks <= s->quota)
		store_evict(s, blocks);
	if (!has_room(s, blocks))
		return ERR_FULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return ERR_NOMEM;
	d->store = s;
	d->size = size;
	memcpy(d->user, user, TOKEN_USER_LEN);
	d->hash = hash_sha256_new();
	d->fd = store_create(s, d->name);
	if (d->fd == -1)
		rc = store_errno();
	else if (!d->hash || store_share_add(s, user, blocks))
		rc = ERR_NOMEM;
	if (rc) {
		draft_free(&d);
		return rc;
	}
	s->bytes += blocks;
	*out = d;
	return 0;
}

int store_begin(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		struct store_draft **out)
{
	uint64_t blocks = store_blocks_of(size), share = store_share_of(s, user);

	*out = NULL;
	if (blocks > s->quota_user || share > s->quota_user - blocks)
		return ERR_FULL;
	return begin(s, user, size, out);
}

int store_begin_copy(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		     struct store_draft **out)
{
	*out = NULL;
	return begin(s, user, size, out);
}

int store_write(struct store_draft *d, const void *p, size_t len)
{
	const uint8_t *at = p;

	if (len > d->size - d->written)
		return ERR_TOO_BIG;
	if (hash_update(d->hash, p, len))
		return ERR_IO;
	while (len) {
		ssize_t n = write(d->fd, at, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return store_errno();
		at += n;
		len -= (size_t)n;
		d->written += (uint64_t)n;
	}
	/* So that the fsync() at the end finds little to do. */
	if (d->written - d->flushed >= FLUSH_BYTES) {
		(void)sync_file_range(d->fd, (off_t)d->flushed, (off_t)(d->written - d->flushed),
				      SYNC_FILE_RANGE_WRITE);
		d->flushed = d->written;
	}
	return 0;
}

/* What was set aside for it is free again. */
void store_abort(struct store_draft **d)
{
	if (!*d)
		return;
	store_bytes_remove((*d)->store, (*d)->size);
	store_share_remove((*d)->store, (*d)->user, store_blocks_of((*d)->size));
	draft_free(d);
}

int store_seal(struct store_draft *d, struct store_file *f)
{
	if (d->written != d->size)
		return ERR_BAD_FORMAT;
	if (!d->sealed && hash_final(d->hash, d->sha256))
		return ERR_IO;
	d->sealed = true;
	f->size = d->size;
	memcpy(f->user, d->user, sizeof(f->user));
	memcpy(f->sha256, d->sha256, sizeof(f->sha256));
	return 0;
}

int store_draft_fd(const struct store_draft *d)
{
	return d->fd;
}

/* --- commit ----------------------------------------------------------------------------- */

/* The facts under their final name, unless they are there: 0, ERR_EXISTS or a failure. */
static int facts_link(struct store *s, const struct store_file *f, const char *name)
{
	char text[STORE_FACTS_MAX], draft[STORE_NAME_LEN];
	int len = store_print_facts(f, text), fd = store_create(s, draft), rc = 0;

	if (fd == -1)
		return store_errno();
	if (write(fd, text, (size_t)len) != len || fsync(fd) == -1)
		rc = store_errno();
	else if (linkat(s->dir, draft, s->dir, name, 0) == -1)
		rc = errno == EEXIST ? ERR_EXISTS : store_errno();
	(void)unlinkat(s->dir, draft, 0);
	close(fd);
	return rc;
}

/*
 * A content under the upload's name. One that is there without facts, other than ours, was left by
 * a crash between the two steps; with facts it is somebody's: ERR_EXISTS.
 */
static int content_link(struct store *s, const char *content, const char *upload, const char *facts)
{
	struct stat ours, theirs;
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (linkat(s->dir, content, s->dir, upload, 0) == 0)
			return 0;
		if (errno != EEXIST)
			return errno == ENOENT ? ERR_NOT_FOUND : store_errno();
		if (fstatat(s->dir, content, &ours, AT_SYMLINK_NOFOLLOW) == 0 &&
		    fstatat(s->dir, upload, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
		    ours.st_ino == theirs.st_ino)
			return 0;
		if (faccessat(s->dir, facts, F_OK, 0) == 0)
			return ERR_EXISTS;
		(void)unlinkat(s->dir, upload, 0);
	}
	return ERR_EXISTS;
}

/* The draft's bytes under the name of their hash. *fresh_out: they were not there before. */
static int content_keep(struct store_draft *d, const char *content, bool *fresh_out)
{
	*fresh_out = linkat(d->store->dir, d->name, d->store->dir, content, 0) == 0;
	return *fresh_out || errno == EEXIST ? 0 : store_errno();
}

/* What there is under this id is kept; is it the same? */
static int commit_again(struct store *s, const char *facts, struct store_file *f)
{
	struct store_file there = *f;

	if (store_read_facts(s, facts, &there))
		return ERR_IO;
	if (memcmp(there.sha256, f->sha256, sizeof(f->sha256)) != 0)
		return ERR_EXISTS;
	*f = there;
	return 0;
}

static bool has_other_facts(const struct store *s, const char *facts, const struct store_file *f)
{
	struct store_file there;

	return store_read_facts(s, facts, &there) == 0 &&
	       memcmp(there.sha256, f->sha256, sizeof(f->sha256)) != 0;
}

/*
 * *kept_out: it is a new upload, one whose content had made room is none. *fresh_out as above, and
 * they are there still: after a failure under a name without facts, for the sweep.
 */
static int commit(struct store_draft *d, struct store_file *f, bool *kept_out, bool *fresh_out)
{
	char content[STORE_NAME_LEN], upload[STORE_NAME_LEN], facts[STORE_NAME_LEN];
	struct store *s = d->store;
	int rc, tries = 0;

	store_name(content, 'b', f->sha256, sizeof(f->sha256));
	store_name(upload, 'u', f->id, sizeof(f->id));
	store_name(facts, 'm', f->id, sizeof(f->id));
	/* Where a content has made room, nothing but these facts keeps others from its name. */
	if (has_other_facts(s, facts, f))
		return ERR_EXISTS;
	if (fsync(d->fd) == -1)
		return store_errno();
	/* Another process may drop a content that nobody refers to between the two steps. */
	do {
		rc = content_keep(d, content, fresh_out);
		if (!rc)
			rc = content_link(s, content, upload, facts);
	} while (rc == ERR_NOT_FOUND && ++tries < 10);
	if (!rc)
		rc = facts_link(s, f, facts);
	if (!rc && fsync(s->dir) == -1) {
		rc = store_errno();
		(void)unlinkat(s->dir, facts, 0);
		(void)unlinkat(s->dir, upload, 0);
	}
	*kept_out = rc == 0;
	if (rc == ERR_EXISTS)
		rc = commit_again(s, facts, f);
	if (rc && *fresh_out && !*kept_out) {
		struct stat st;

		/* Its own name and the draft's: no upload refers to it. */
		if (fstatat(s->dir, content, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2)
			*fresh_out = unlinkat(s->dir, content, 0) == -1;
	}
	return rc;
}

int store_commit(struct store_draft **dp, struct store_file *f, uint64_t now UNUSED)
{
	struct store_draft *d = *dp;
	struct store *s = d->store;
	bool kept = false, fresh = false;
	int rc = store_seal(d, f);

	*dp = NULL;
	if (!rc)
		rc = commit(d, f, &kept, &fresh);
	if (!fresh)
		store_bytes_remove(s, d->size);
	if (!kept)
		store_share_remove(s, d->user, store_blocks_of(d->size));
	if (!rc)
		s->nothing_left = false;
	s->files += kept;
	draft_free(&d);
	store_count(s);
	return rc;
}
