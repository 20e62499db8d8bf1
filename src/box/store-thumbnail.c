/* SPDX-License-Identifier: MIT */
/*
 * store-thumbnail - thumbnails under their hash, until their time of modification.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box/store-inside.h"

#define THUMBNAIL_MAX 65535
#define SLACK_MAX     (12 * 3600)

static int keep_new(struct store *s, const char *name, const void *p, size_t len, uint64_t expires)
{
	const struct timespec times[2] = { { .tv_sec = (time_t)expires },
					   { .tv_sec = (time_t)expires } };
	char draft[STORE_NAME_LEN];
	int fd = store_create(s, draft), rc = 0;

	if (fd == -1)
		return store_errno();
	/* Not synced: what a crash leaves of it does not have its hash, and is not served. */
	if (write(fd, p, len) != (ssize_t)len || futimens(fd, times) == -1 ||
	    linkat(s->dir, draft, s->dir, name, 0) == -1)
		rc = errno == EEXIST ? 0 : store_errno();
	else
		s->bytes += store_blocks_of(len);
	(void)unlinkat(s->dir, draft, 0);
	close(fd);
	return rc;
}

/* So much earlier than asked for it may end: a touch is a write, here and elsewhere. */
static uint64_t slack_of(uint64_t life)
{
	return MIN_OF(life / 32, (uint64_t)SLACK_MAX);
}

int store_keep(struct store *s, const void *p, size_t len, uint64_t expires, uint64_t now,
	       bool *fresh_out)
{
	const struct timespec times[2] = { { .tv_sec = (time_t)expires },
					   { .tv_sec = (time_t)expires } };
	uint8_t sum[HASH_SHA256_LEN];
	char name[STORE_NAME_LEN];
	struct stat st;
	int rc;

	*fresh_out = false;
	if (hash_sha256(p, len, sum))
		return ERR_NOMEM;
	store_name(name, 'p', sum, sizeof(sum));
	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if ((uint64_t)st.st_mtime + slack_of(expires - now) >= expires)
			return 0;
		*fresh_out = utimensat(s->dir, name, times, AT_SYMLINK_NOFOLLOW) == 0;
		return *fresh_out ? 0 : ERR_IO;
	}
	if (store_blocks_of(len) > s->quota || s->bytes > s->quota - store_blocks_of(len))
		return ERR_FULL;
	rc = keep_new(s, name, p, len, expires);
	*fresh_out = rc == 0;
	return rc;
}

/* Does the file hold what its name says? Thumbnails are small. */
static bool is_whole(int fd, size_t size, const uint8_t sha256[HASH_SHA256_LEN])
{
	uint8_t sum[HASH_SHA256_LEN], *p = malloc(size);
	bool whole = p && pread(fd, p, size, 0) == (ssize_t)size &&
		     hash_sha256(p, size, sum) == 0 && memcmp(sum, sha256, sizeof(sum)) == 0;

	free(p);
	return whole;
}

int store_thumbnail(struct store *s, const uint8_t sha256[HASH_SHA256_LEN], uint64_t now,
		    struct store_file *f)
{
	char name[STORE_NAME_LEN];
	struct stat st;
	int fd;

	store_name(name, 'p', sha256, HASH_SHA256_LEN);
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || st.st_size < 16 || st.st_size > THUMBNAIL_MAX ||
	    (uint64_t)st.st_mtime <= now || !is_whole(fd, (size_t)st.st_size, sha256)) {
		close(fd);
		return -1;
	}
	memset(f, 0, sizeof(*f));
	memcpy(f->sha256, sha256, HASH_SHA256_LEN);
	f->size = (uint64_t)st.st_size;
	f->expires = (uint64_t)st.st_mtime;
	return fd;
}
