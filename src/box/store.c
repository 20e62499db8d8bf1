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

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/list.h"
#include "base/log.h"

#define BLOCK         4096u
#define NAME_LEN      96
#define SWEEP_ENTRIES 256
#define ORPHAN_AGE    3600 /* seconds until a name without facts is nobody's any more */
#define FLUSH_BYTES   (1024 * 1024)
#define BUCKETS       1024

struct share {
	struct share *next;
	uint8_t user[TOKEN_USER_LEN];
	uint64_t bytes;
};

struct store {
	int dir;    /* owned */
	DIR *sweep; /* owned; NULL between sweeps */
	uint64_t quota;
	uint64_t quota_user;
	uint64_t bytes; /* of contents and drafts, in whole blocks */
	uint64_t files;
	struct share *shares[BUCKETS];
};

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
	char name[NAME_LEN];
};

/* --- counting --------------------------------------------------------------------------- */

static uint64_t blocks_of(uint64_t size)
{
	return (MAX_OF(size, 1) + BLOCK - 1) / BLOCK * BLOCK;
}

static struct share **share_place(struct store *s, const uint8_t user[TOKEN_USER_LEN])
{
	struct share **at = &s->shares[(user[0] | user[1] << 8) % BUCKETS];

	while (*at && memcmp((*at)->user, user, TOKEN_USER_LEN) != 0)
		at = &(*at)->next;
	return at;
}

static uint64_t share_of(struct store *s, const uint8_t user[TOKEN_USER_LEN])
{
	struct share **at = share_place(s, user);

	return *at ? (*at)->bytes : 0;
}

static int share_add(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes)
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

static void share_remove(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes)
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

static void count(const struct store *s)
{
	counter_set(METRIC_BOX_BYTES, s->bytes);
	counter_set(METRIC_BOX_FILES, s->files);
}

static void bytes_remove(struct store *s, uint64_t size)
{
	s->bytes -= MIN_OF(blocks_of(size), s->bytes);
}

/* --- names ------------------------------------------------------------------------------ */

static void name_of(char out[NAME_LEN], char kind, const uint8_t *p, size_t len)
{
	out[0] = kind;
	out[1] = '-';
	hash_print_hex(p, len, out + 2);
}

/* What the disk or its quota has no room for, and all else. */
static int code_of_errno(void)
{
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

/* --- facts ------------------------------------------------------------------------------ */

int store_print_facts(const struct store_file *f, char out[STORE_FACTS_MAX])
{
	char sha[2 * HASH_SHA256_LEN + 1], user[2 * TOKEN_USER_LEN + 1];

	hash_print_hex(f->sha256, sizeof(f->sha256), sha);
	hash_print_hex(f->user, sizeof(f->user), user);
	return snprintf(out, STORE_FACTS_MAX,
			"inset-upload 1\n%s\n%s\n%" PRIu64 "\n%" PRIu64 "\n%s\n", sha, user,
			f->size, f->expires, f->type);
}

static bool number_parse(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && end != text && !*end && text[0] != '-';
}

bool store_parse_facts(char *text, struct store_file *f)
{
	char *line[6], *rest = text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(line); i++) {
		line[i] = strsep(&rest, "\n");
		if (!line[i] || !rest)
			return false;
	}
	if (*rest || strcmp(line[0], "inset-upload 1") != 0 || strlen(line[5]) > STORE_TYPE_MAX)
		return false;
	snprintf(f->type, sizeof(f->type), "%s", line[5]);
	return hash_parse_hex(line[1], f->sha256, sizeof(f->sha256)) == 0 &&
	       hash_parse_hex(line[2], f->user, sizeof(f->user)) == 0 &&
	       number_parse(line[3], &f->size) && number_parse(line[4], &f->expires);
}

/* 0 and f, or ERR_NOT_FOUND. */
static int facts_read(const struct store *s, const char *name, struct store_file *f)
{
	char text[STORE_FACTS_MAX];
	ssize_t n;
	int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return ERR_NOT_FOUND;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return ERR_NOT_FOUND;
	text[n] = '\0';
	return store_parse_facts(text, f) ? 0 : ERR_NOT_FOUND;
}

/* --- drafts ----------------------------------------------------------------------------- */

/* A new file under a name of its own, locked as long as it is open. -1 and errno. */
static int draft_create(struct store *s, char name[NAME_LEN])
{
	uint8_t random[16];
	int fd;

	/* Not by process ids: containers with one folder between them may have the same. */
	hash_random(random, sizeof(random));
	name_of(name, 't', random, sizeof(random));
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

int store_begin(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		struct store_draft **out)
{
	uint64_t blocks = blocks_of(size), share = share_of(s, user);
	struct store_draft *d;
	int rc = 0;

	*out = NULL;
	if (blocks > s->quota || s->bytes > s->quota - blocks || blocks > s->quota_user ||
	    share > s->quota_user - blocks)
		return ERR_FULL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return ERR_NOMEM;
	d->store = s;
	d->size = size;
	memcpy(d->user, user, TOKEN_USER_LEN);
	d->hash = hash_sha256_new();
	d->fd = draft_create(s, d->name);
	if (d->fd == -1)
		rc = code_of_errno();
	else if (!d->hash || share_add(s, user, blocks))
		rc = ERR_NOMEM;
	if (rc) {
		draft_free(&d);
		return rc;
	}
	s->bytes += blocks;
	*out = d;
	return 0;
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
			return code_of_errno();
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
static void draft_give_back(struct store_draft *d)
{
	bytes_remove(d->store, d->size);
	share_remove(d->store, d->user, blocks_of(d->size));
}

void store_abort(struct store_draft **d)
{
	if (!*d)
		return;
	draft_give_back(*d);
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
	char text[STORE_FACTS_MAX], draft[NAME_LEN];
	int len = store_print_facts(f, text), fd = draft_create(s, draft), rc = 0;

	if (fd == -1)
		return code_of_errno();
	if (write(fd, text, (size_t)len) != len || fsync(fd) == -1)
		rc = code_of_errno();
	else if (linkat(s->dir, draft, s->dir, name, 0) == -1)
		rc = errno == EEXIST ? ERR_EXISTS : code_of_errno();
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
			return errno == ENOENT ? ERR_NOT_FOUND : code_of_errno();
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
	return *fresh_out || errno == EEXIST ? 0 : code_of_errno();
}

static void content_drop(struct store *s, const char *content, uint64_t size)
{
	struct stat st;

	/* One name left: nobody's. A link that is made just now keeps the bytes under its own. */
	if (fstatat(s->dir, content, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1 &&
	    unlinkat(s->dir, content, 0) == 0)
		bytes_remove(s, size);
}

/* What there is under this id is kept; is it the same? */
static int commit_again(struct store *s, const char *facts, struct store_file *f)
{
	struct store_file there = *f;

	if (facts_read(s, facts, &there))
		return ERR_IO;
	if (memcmp(there.sha256, f->sha256, sizeof(f->sha256)) != 0)
		return ERR_EXISTS;
	*f = there;
	return 0;
}

/* *kept_out: what was set aside for the draft is in use now; *fresh_out as above. */
static int commit(struct store_draft *d, struct store_file *f, bool *kept_out, bool *fresh_out)
{
	char content[NAME_LEN], upload[NAME_LEN], facts[NAME_LEN];
	struct store *s = d->store;
	int rc, tries = 0;

	name_of(content, 'b', f->sha256, sizeof(f->sha256));
	name_of(upload, 'u', f->id, sizeof(f->id));
	name_of(facts, 'm', f->id, sizeof(f->id));
	if (fsync(d->fd) == -1)
		return code_of_errno();
	/* Another process may drop a content that nobody refers to between the two steps. */
	do {
		rc = content_keep(d, content, fresh_out);
		if (!rc)
			rc = content_link(s, content, upload, facts);
	} while (rc == ERR_NOT_FOUND && ++tries < 10);
	if (!rc)
		rc = facts_link(s, f, facts);
	if (!rc && fsync(s->dir) == -1) {
		rc = code_of_errno();
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
			(void)unlinkat(s->dir, content, 0);
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
	if (!kept)
		draft_give_back(d);
	else if (!fresh)
		bytes_remove(s, d->size);
	s->files += kept;
	draft_free(&d);
	count(s);
	return rc;
}

/* --- reading ---------------------------------------------------------------------------- */

int store_find(struct store *s, const uint8_t id[TOKEN_ID_LEN], uint64_t now, struct store_file *f)
{
	char facts[NAME_LEN];
	int rc;

	memset(f, 0, sizeof(*f));
	name_of(facts, 'm', id, TOKEN_ID_LEN);
	rc = facts_read(s, facts, f);
	memcpy(f->id, id, TOKEN_ID_LEN);
	return rc || f->expires <= now ? ERR_NOT_FOUND : 0;
}

int store_read(struct store *s, const struct store_file *f)
{
	char upload[NAME_LEN];
	struct stat st;
	int fd;

	name_of(upload, 'u', f->id, sizeof(f->id));
	fd = openat(s->dir, upload, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd != -1 && (fstat(fd, &st) == -1 || (uint64_t)st.st_size != f->size)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* --- thumbnails ------------------------------------------------------------------------- */

#define THUMBNAIL_MAX 65535

static int keep_new(struct store *s, const char *name, const void *p, size_t len, uint64_t expires)
{
	const struct timespec times[2] = { { .tv_sec = (time_t)expires },
					   { .tv_sec = (time_t)expires } };
	char draft[NAME_LEN];
	int fd = draft_create(s, draft), rc = 0;

	if (fd == -1)
		return code_of_errno();
	/* Not synced: what a crash leaves of it does not have its hash, and is not served. */
	if (write(fd, p, len) != (ssize_t)len || futimens(fd, times) == -1 ||
	    linkat(s->dir, draft, s->dir, name, 0) == -1)
		rc = errno == EEXIST ? 0 : code_of_errno();
	else
		s->bytes += blocks_of(len);
	(void)unlinkat(s->dir, draft, 0);
	close(fd);
	return rc;
}

int store_keep(struct store *s, const void *p, size_t len, uint64_t expires, uint64_t now UNUSED)
{
	const struct timespec times[2] = { { .tv_sec = (time_t)expires },
					   { .tv_sec = (time_t)expires } };
	uint8_t sum[HASH_SHA256_LEN];
	char name[NAME_LEN];

	if (hash_sha256(p, len, sum))
		return ERR_NOMEM;
	name_of(name, 'p', sum, sizeof(sum));
	if (utimensat(s->dir, name, times, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (blocks_of(len) > s->quota || s->bytes > s->quota - blocks_of(len))
		return ERR_FULL;
	return keep_new(s, name, p, len, expires);
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
	char name[NAME_LEN];
	struct stat st;
	int fd;

	name_of(name, 'p', sha256, HASH_SHA256_LEN);
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

/* --- sweeping --------------------------------------------------------------------------- */

static void remove_upload(struct store *s, const char *facts, const struct store_file *f)
{
	char content[NAME_LEN], upload[NAME_LEN];

	name_of(content, 'b', f->sha256, sizeof(f->sha256));
	snprintf(upload, sizeof(upload), "u%s", facts + 1);
	if (unlinkat(s->dir, facts, 0) == -1)
		return;
	(void)unlinkat(s->dir, upload, 0);
	s->files -= MIN_OF(s->files, 1);
	share_remove(s, f->user, blocks_of(f->size));
	content_drop(s, content, f->size);
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
	char facts[NAME_LEN];
	struct stat st;

	snprintf(facts, sizeof(facts), "m%s", name + 1);
	if (is_old(s, name, now, &st) && faccessat(s->dir, facts, F_OK, 0) == -1)
		(void)unlinkat(s->dir, name, 0);
}

static void sweep_content(struct store *s, const char *name, uint64_t now)
{
	struct stat st;

	if (is_old(s, name, now, &st))
		content_drop(s, name, (uint64_t)st.st_size);
}

static void sweep_thumbnail(struct store *s, const char *name, uint64_t now)
{
	struct stat st;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (uint64_t)st.st_mtime <= now &&
	    unlinkat(s->dir, name, 0) == 0)
		bytes_remove(s, (uint64_t)st.st_size);
}

static void sweep_entry(struct store *s, const char *name, uint64_t now)
{
	struct store_file f;

	if (strlen(name) >= NAME_LEN || name[0] == '\0' || name[1] != '-')
		return;
	if (name[0] == 't')
		sweep_draft(s, name);
	else if (name[0] == 'u')
		sweep_upload(s, name, now);
	else if (name[0] == 'b')
		sweep_content(s, name, now);
	else if (name[0] == 'p')
		sweep_thumbnail(s, name, now);
	else if (name[0] == 'm' && facts_read(s, name, &f) == 0 && f.expires <= now)
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
	count(s);
	return !s->sweep;
}

/* --- opening ---------------------------------------------------------------------------- */

static int count_entry(struct store *s, const char *name)
{
	struct store_file f;
	struct stat st;

	if ((name[0] == 'b' || name[0] == 'p') && name[1] == '-' &&
	    fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		s->bytes += blocks_of((uint64_t)st.st_size);
	if (name[0] != 'm' || name[1] != '-' || facts_read(s, name, &f))
		return 0;
	s->files++;
	return share_add(s, f.user, blocks_of(f.size));
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
	for (i = 0; i < BUCKETS; i++)
		while (s->shares[i]) {
			struct share *next = s->shares[i]->next;

			free(s->shares[i]);
			s->shares[i] = next;
		}
	if (s->sweep)
		closedir(s->sweep);
	if (s->dir != -1)
		close(s->dir);
	free(s);
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
