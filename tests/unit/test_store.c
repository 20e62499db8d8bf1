/* SPDX-License-Identifier: MIT */
/*
 * test_store - uploads that are whole or not there: every system call of one fails once,
 * with a full disk and with a broken one; same bytes, other bytes, limits, expiry, what a
 * crash leaves, a second process at the same folder; a cache of another store.
 */
#include "config.h"

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box/store.h"

#define NOW 1000000

static char folder[64];
static long countdown = -1; /* calls until one fails; negative: none does */
static int failure;
static bool failed;

static bool fails_now(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	errno = failure;
	return true;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	return fails_now() ? -1 : __real_write(fd, p, n);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return fails_now() ? -1 : __real_fsync(fd);
}

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	return fails_now() ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...)
{
	return fails_now() ? -1 : __real_openat(dir, name, flags, 0600);
}

static size_t names(char kind)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += e->d_name[0] == kind && e->d_name[1] == '-';
	closedir(dir);
	return n;
}

static void empty(void)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), e->d_name, 0), 0);
	closedir(dir);
}

static struct store *open_store(uint64_t now)
{
	struct err_msg msg = { 0 };
	struct store *s = store_open(folder, now, &msg);

	if (!s)
		fail_msg("%s", msg.text);
	return s;
}

static int setup(void **state UNUSED)
{
	strcpy(folder, "/tmp/inset-store-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	empty();
	return rmdir(folder);
}

/* One upload of these bytes by user n under id n; its code. */
static int upload(struct store *s, uint8_t n, const char *bytes, struct store_file *f)
{
	uint8_t user[TOKEN_USER_LEN] = { n };
	struct store_draft *d = NULL;
	int rc = store_begin(s, user, strlen(bytes), &d);

	*f = (struct store_file){ .id = { n }, .expires = NOW + 100, .type = "image/png" };
	if (rc)
		return rc;
	rc = store_write(d, bytes, strlen(bytes));
	if (rc) {
		store_abort(&d);
		return rc;
	}
	rc = store_commit(&d, f, NOW);
	assert_null(d);
	return rc;
}

static bool holds(struct store *s, uint8_t n, const char *bytes)
{
	const uint8_t id[TOKEN_ID_LEN] = { n };
	struct store_file f;
	char text[4096];
	ssize_t len;
	int fd;

	if (store_find(s, id, NOW, &f))
		return false;
	fd = store_read(s, &f);
	assert_int_not_equal(fd, -1);
	len = read(fd, text, sizeof(text));
	close(fd);
	assert_int_equal(len, strlen(bytes));
	assert_memory_equal(text, bytes, strlen(bytes));
	assert_int_equal(f.size, strlen(bytes));
	return true;
}

static void kept_and_found(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f, again;

	assert_int_equal(upload(s, 1, "hello", &f), 0);
	assert_true(holds(s, 1, "hello"));
	assert_int_equal(store_find(s, f.id, NOW, &again), 0);
	assert_string_equal(again.type, "image/png");
	assert_memory_equal(again.sha256, f.sha256, sizeof(f.sha256));
	assert_int_equal(store_files(s), 1);
	store_close(&s);
	s = open_store(NOW);
	assert_true(holds(s, 1, "hello"));
	assert_false(holds(s, 2, "hello"));
	assert_int_equal(store_files(s), 1);
	assert_int_equal(store_bytes(s), 4096);
	store_close(&s);
}

static void same_and_other_bytes(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f;

	assert_int_equal(upload(s, 1, "one", &f), 0);
	f.expires = 0;
	assert_int_equal(upload(s, 1, "one", &f), 0);
	assert_int_equal(f.expires, NOW + 100);
	assert_int_equal(upload(s, 1, "two", &f), ERR_EXISTS);
	assert_true(holds(s, 1, "one"));
	assert_int_equal(upload(s, 2, "one", &f), 0);
	assert_int_equal(names('b'), 1);
	assert_int_equal(names('m'), 2);
	assert_int_equal(names('t'), 0);
	assert_int_equal(store_bytes(s), 4096);
	assert_int_equal(store_files(s), 2);
	store_close(&s);
}

static void limits(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	const uint8_t user[TOKEN_USER_LEN] = { 9 };
	struct store_draft *d, *more;
	struct store_file f = { .id = { 9 }, .expires = NOW + 1, .type = "a/b" };

	store_set_limits(s, 3 * 4096, 2 * 4096);
	/* Room is set aside when an upload begins, and is free again when it ends without one. */
	assert_int_equal(store_begin(s, user, 4097, &d), 0);
	assert_int_equal(store_begin(s, user, 1, &more), ERR_FULL);
	store_abort(&d);
	assert_int_equal(store_begin(s, user, 5, &d), 0);
	assert_int_equal(store_write(d, "123456", 6), ERR_TOO_BIG);
	assert_int_equal(store_write(d, "1234", 4), 0);
	assert_int_equal(store_commit(&d, &f, NOW), ERR_BAD_FORMAT);
	assert_int_equal(store_bytes(s), 0);
	assert_int_equal(upload(s, 1, "a", &f), 0);
	assert_int_equal(upload(s, 2, "b", &f), 0);
	assert_int_equal(upload(s, 3, "c", &f), 0);
	assert_int_equal(upload(s, 4, "d", &f), ERR_FULL);
	assert_int_equal(names('t'), 0);
	store_close(&s);
}

static void expiry_and_what_a_crash_leaves(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f;
	char path[128];
	int fd;

	assert_int_equal(upload(s, 1, "one", &f), 0);
	assert_int_equal(upload(s, 2, "one", &f), 0);
	f.expires = NOW + 100;
	assert_int_equal(store_find(s, f.id, NOW + 100, &f), ERR_NOT_FOUND);
	/* A draft of somebody who died, and one of somebody who writes. */
	snprintf(path, sizeof(path), "%s/t-1-1", folder);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	close(fd);
	snprintf(path, sizeof(path), "%s/t-1-2", folder);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	while (!store_sweep(s, NOW))
		;
	assert_int_equal(names('t'), 1);
	close(fd);
	while (!store_sweep(s, NOW + 101))
		;
	assert_int_equal(names('t') + names('m') + names('u') + names('b'), 0);
	assert_int_equal(store_bytes(s), 0);
	assert_int_equal(store_files(s), 0);
	/* Names without facts go when they are old, and do not hinder a new upload before. */
	assert_int_equal(upload(s, 3, "three", &f), 0);
	snprintf(path, sizeof(path), "%s/m-03000000000000000000000000000000", folder);
	assert_int_equal(unlink(path), 0);
	assert_false(holds(s, 3, "three"));
	assert_int_equal(upload(s, 3, "other", &f), 0);
	assert_true(holds(s, 3, "other"));
	store_close(&s);
	/* Facts that are no facts are nobody's. */
	snprintf(path, sizeof(path), "%s/m-04000000000000000000000000000000", folder);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "inset-upload 1\nzz\n", 18), 18);
	close(fd);
	s = open_store(NOW);
	assert_false(holds(s, 4, ""));
	assert_int_equal(store_files(s), 1);
	store_close(&s);
	assert_int_equal(names('m'), 2);
}

/* Facts that were damaged go when they are old, and then what they were about. */
static void damaged_facts(void **state UNUSED)
{
	static const char *const bad[] = { "", "x", "inset-upload 1\n" };
	struct store *s = open_store(NOW);
	uint64_t later = (uint64_t)time(NULL) + 7200;
	struct store_file f;
	char path[128];
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(upload(s, 1, "one", &f), 0);
		snprintf(path, sizeof(path), "%s/m-01000000000000000000000000000000", folder);
		fd = open(path, O_TRUNC | O_WRONLY | O_CLOEXEC);
		assert_int_equal(write(fd, bad[i], strlen(bad[i])), strlen(bad[i]));
		close(fd);
		while (!store_sweep(s, NOW))
			;
		assert_int_equal(names('m') + names('u') + names('b'), 3);
		for (int times = 0; times < 3; times++)
			while (!store_sweep(s, later))
				;
		assert_int_equal(names('m') + names('u') + names('b'), 0);
		assert_int_equal(store_bytes(s), 0);
	}
	store_close(&s);
}

/* Whatever fails: the file is whole, or it is not there and all room is free again. */
static void every_call_fails_once(void **state UNUSED)
{
	static const int errors[] = { ENOSPC, EIO, EMFILE };
	struct store_file f;
	struct store *s;
	size_t i;
	long n;
	int rc;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		for (n = 0, failed = true; failed; n++) {
			empty();
			s = open_store(NOW);
			assert_int_equal(upload(s, 1, "before", &f), 0);
			failure = errors[i];
			failed = false;
			countdown = n;
			rc = upload(s, 2, "content", &f);
			countdown = -1;
			if (rc && !failed)
				fail_msg("failed by itself: %s", err_str(rc));
			if (rc && errors[i] == ENOSPC)
				assert_int_equal(rc, ERR_FULL);
			assert_int_equal(holds(s, 2, "content"), rc == 0);
			assert_true(holds(s, 1, "before"));
			assert_int_equal(names('t'), 0);
			assert_int_equal(store_files(s), 1 + (rc == 0));
			/* What is left without facts is nobody's, but takes its room. */
			assert_int_equal(store_bytes(s), 4096 * names('b'));
			/* And it can be tried again. */
			assert_int_equal(upload(s, 2, "content", &f), 0);
			assert_true(holds(s, 2, "content"));
			assert_int_equal(store_bytes(s), 2 * 4096);
			store_close(&s);
			s = open_store(NOW);
			assert_true(holds(s, 1, "before") && holds(s, 2, "content"));
			assert_int_equal(store_files(s), 2);
			assert_int_equal(store_bytes(s), 2 * 4096);
			store_close(&s);
		}
	empty();
}

/* Two processes at one folder: one id, one content, each wins once. */
static void two_generations(void **state UNUSED)
{
	struct store *a = open_store(NOW), *b = open_store(NOW);
	const uint8_t user[TOKEN_USER_LEN] = { 1 };
	struct store_file f = { .id = { 1 }, .expires = NOW + 100, .type = "a/b" }, g = f;
	struct store_draft *x, *y;

	assert_int_equal(store_begin(a, user, 1, &x), 0);
	assert_int_equal(store_begin(b, user, 1, &y), 0);
	assert_int_equal(store_write(x, "x", 1), 0);
	assert_int_equal(store_write(y, "y", 1), 0);
	/* Neither sweeps away what the other writes. */
	while (!store_sweep(a, NOW))
		;
	assert_int_equal(store_commit(&y, &g, NOW), 0);
	assert_int_equal(store_commit(&x, &f, NOW), ERR_EXISTS);
	assert_true(holds(a, 1, "y"));
	assert_true(holds(b, 1, "y"));
	assert_int_equal(names('b'), 1);
	/* One removes what is over while the other refers to the same content anew. */
	assert_int_equal(upload(b, 2, "y", &g), 0);
	f = (struct store_file){ .id = { 2 } };
	while (!store_sweep(a, NOW + 100))
		;
	assert_int_equal(upload(b, 3, "y", &g), 0);
	assert_true(holds(b, 3, "y"));
	store_close(&a);
	store_close(&b);
}

/* --- a cache of another store --------------------------------------------------------------- */

static char told[8][128];
static uint8_t told_ids[8];
static size_t told_n;

static void on_gone(void *arg, const char *name, const struct store_file *f)
{
	assert_ptr_equal(arg, told);
	assert_true(told_n < ARRAY_SIZE(told));
	snprintf(told[told_n], sizeof(told[0]), "%s", name);
	told_ids[told_n++] = name[0] == 'g' ? f->id[0] : f->sha256[0];
}

/* As upload(), of what the other store has, too; a block of content that is n's alone. */
static int copy(struct store *s, uint8_t n, struct store_file *f)
{
	const uint8_t user[TOKEN_USER_LEN] = { 1 };
	struct store_draft *d;
	char text[32];
	int rc = store_begin_copy(s, user, 8, &d);

	*f = (struct store_file){
		.id = { n }, .expires = NOW + 100, .type = "image/png", .elsewhere = true
	};
	if (rc)
		return rc;
	snprintf(text, sizeof(text), "copy %03u", n);
	rc = store_write(d, text, 8);
	if (!rc)
		return store_commit(&d, f, NOW);
	store_abort(&d);
	return rc;
}

static void path_of(char out[128], uint8_t n)
{
	const uint8_t id[TOKEN_ID_LEN] = { n };
	char hex[2 * TOKEN_ID_LEN + 1];

	hash_print_hex(id, sizeof(id), hex);
	snprintf(out, 128, "%s/u-%s", folder, hex);
}

/* Its facts are; is its content? */
static bool is_here(struct store *s, uint8_t n)
{
	struct store_file f;
	char path[128];

	assert_int_equal(store_find(s, (uint8_t[TOKEN_ID_LEN]){ n }, NOW, &f), 0);
	path_of(path, n);
	return access(path, F_OK) == 0;
}

/* Its last use was then. */
static void used_at(uint8_t n, time_t when)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = when } };
	char path[128];

	path_of(path, n);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_least_recently_used_makes_room(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f;
	uint8_t n;
	int fd;

	store_set_limits(s, 4 * 4096, UINT64_MAX);
	for (n = 1; n <= 4; n++) {
		assert_int_equal(copy(s, n, &f), 0);
		used_at(n, 1000 + n);
	}
	assert_int_equal(copy(s, 5, &f), ERR_FULL); /* nobody has said that it may */
	store_set_elsewhere(s, on_gone, told);
	used_at(1, 2000);
	assert_int_equal(copy(s, 5, &f), 0);
	used_at(5, 1005);
	assert_true(is_here(s, 1) && !is_here(s, 2) && is_here(s, 3) && is_here(s, 4));
	/* Reading is using. */
	assert_int_equal(store_find(s, (uint8_t[TOKEN_ID_LEN]){ 3 }, NOW, &f), 0);
	fd = store_read(s, &f);
	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(copy(s, 6, &f), 0);
	used_at(6, 1006);
	assert_true(is_here(s, 3) && !is_here(s, 4));
	/* It comes back under the facts that have stayed; what is set aside for it is in use then.
	 */
	assert_int_equal(copy(s, 2, &f), 0);
	assert_true(is_here(s, 2) && !is_here(s, 5));
	assert_int_equal(store_bytes(s), 4 * 4096);
	assert_int_equal(store_files(s), 6);
	assert_int_equal(names('t'), 0);
	assert_int_equal(names('m'), 6);
	store_close(&s);
	s = open_store(NOW);
	assert_int_equal(store_bytes(s), 4 * 4096);
	assert_int_equal(store_files(s), 6);
	store_close(&s);
}

/* Whatever fails while room is made: what is counted is what is there, and it can be tried again.
 */
static void every_call_fails_once_while_room_is_made(void **state UNUSED)
{
	static const int errors[] = { ENOSPC, EIO, EMFILE };
	struct store_file f;
	struct store *s;
	size_t i;
	long n;
	int rc;

	for (i = 0; i < ARRAY_SIZE(errors); i++)
		for (n = 0, failed = true; failed; n++) {
			empty();
			s = open_store(NOW);
			store_set_limits(s, 2 * 4096, UINT64_MAX);
			store_set_elsewhere(s, on_gone, told);
			assert_int_equal(copy(s, 1, &f), 0);
			assert_int_equal(upload(s, 2, "mine", &f), 0);
			failure = errors[i];
			failed = false;
			countdown = n;
			rc = copy(s, 3, &f);
			countdown = -1;
			assert_true(rc == 0 || failed);
			assert_true(holds(s, 2, "mine"));
			assert_int_equal(names('t'), 0);
			assert_int_equal(store_bytes(s), 4096 * names('b'));
			assert_int_equal(store_files(s), names('m'));
			store_set_limits(s, 3 * 4096, UINT64_MAX); /* for what nobody refers to */
			assert_int_equal(copy(s, 3, &f), 0);
			assert_true(is_here(s, 3) && holds(s, 2, "mine"));
			assert_int_equal(store_bytes(s), 4096 * names('b'));
			store_close(&s);
		}
	empty();
}

/* One content, two uploads: of the other store, and of this one alone. */
static void what_is_here_alone_stays(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f;

	store_set_limits(s, 2 * 4096, UINT64_MAX);
	store_set_elsewhere(s, on_gone, told);
	assert_int_equal(upload(s, 1, "copy 002", &f), 0);
	assert_int_equal(copy(s, 2, &f), 0);
	assert_int_equal(names('b'), 1);
	assert_int_equal(copy(s, 3, &f), 0);
	used_at(2, 2000);
	used_at(3, 3000);
	assert_int_equal(copy(s, 4, &f), 0);
	assert_true(holds(s, 1, "copy 002"));
	assert_false(is_here(s, 2) || is_here(s, 3));
	assert_int_equal(upload(s, 5, "mine", &f), 0);
	assert_false(is_here(s, 4));
	assert_int_equal(upload(s, 6, "more", &f), ERR_FULL);
	assert_int_equal(copy(s, 6, &f), ERR_FULL);
	assert_true(holds(s, 1, "copy 002") && holds(s, 5, "mine"));
	assert_int_equal(store_bytes(s), 2 * 4096);
	store_close(&s);
}

static void the_name_of_what_made_room_is_nobody_elses(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	struct store_file f;

	store_set_limits(s, 2 * 4096, UINT64_MAX);
	store_set_elsewhere(s, on_gone, told);
	assert_int_equal(copy(s, 1, &f), 0);
	assert_int_equal(copy(s, 2, &f), 0);
	used_at(1, 1000);
	assert_int_equal(copy(s, 3, &f), 0);
	assert_false(is_here(s, 1));
	assert_int_equal(upload(s, 1, "as long!", &f), ERR_EXISTS);
	assert_false(is_here(s, 1));
	assert_int_equal(store_bytes(s), 4096 * names('b'));
	assert_int_equal(copy(s, 1, &f), 0);
	assert_true(holds(s, 1, "copy 001"));
	store_close(&s);
}

/* A user's share counts what has made room; copies do not ask for it. */
static void shares_of_users(void **state UNUSED)
{
	const uint8_t user[TOKEN_USER_LEN] = { 1 };
	struct store *s = open_store(NOW);
	struct store_draft *d;
	struct store_file f;

	store_set_elsewhere(s, on_gone, told);
	store_set_limits(s, 4096, 2 * 4096);
	assert_int_equal(copy(s, 1, &f), 0);
	assert_int_equal(copy(s, 2, &f), 0);
	assert_int_equal(store_begin(s, user, 1, &d), ERR_FULL);
	assert_int_equal(copy(s, 3, &f), 0);
	store_set_limits(s, 4096, 4 * 4096);
	assert_int_equal(store_begin(s, user, 1, &d), 0);
	store_abort(&d);
	assert_int_equal(copy(s, 1, &f), 0); /* again: nothing is counted twice */
	assert_int_equal(store_begin(s, user, 1, &d), 0);
	store_abort(&d);
	assert_int_equal(store_bytes(s), 0);
	store_close(&s);
}

static void the_end_is_told_a_day_later_until_it_is_forgotten(void **state UNUSED)
{
	struct store *s = open_store(NOW);
	uint64_t end = NOW + 100;
	struct store_file f;
	uint8_t sum[HASH_SHA256_LEN];
	bool fresh;

	told_n = 0;
	store_set_elsewhere(s, on_gone, told);
	assert_int_equal(copy(s, 7, &f), 0);
	assert_int_equal(upload(s, 8, "mine", &f), 0);
	assert_int_equal(store_keep(s, "sixteen bytes or so", 19, end, NOW, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(hash_sha256("sixteen bytes or so", 19, sum), 0);
	while (!store_sweep(s, end))
		;
	assert_int_equal(store_bytes(s), 0);
	assert_int_equal(store_files(s), 0);
	assert_int_equal(names('g'), 1);
	assert_int_equal(names('q'), 1);
	assert_int_equal(names('m') + names('u') + names('b') + names('p'), 0);
	assert_int_equal(told_n, 0);
	/* A start in between forgets nothing, and tells nobody who has not said that he listens. */
	store_close(&s);
	s = open_store(end + 86400);
	while (!store_sweep(s, end + 86399))
		;
	assert_int_equal(names('g') + names('q'), 2);
	store_set_elsewhere(s, on_gone, told);
	while (!store_sweep(s, end + 86399))
		;
	assert_int_equal(told_n, 0);
	while (!store_sweep(s, end + 86400))
		;
	assert_int_equal(told_n, 2);
	while (!store_sweep(s, end + 86400))
		;
	assert_int_equal(told_n, 4);
	assert_true((told_ids[0] == 7 && told_ids[1] == sum[0]) ||
		    (told_ids[1] == 7 && told_ids[0] == sum[0]));
	store_forget(s, told[0]);
	store_forget(s, told[1]);
	store_forget(s, "m-00"); /* nothing else is forgotten */
	assert_int_equal(names('g') + names('q'), 0);
	/* Nobody is told: there is nothing to wait for. */
	assert_int_equal(copy(s, 9, &f), 0);
	store_set_elsewhere(s, NULL, NULL);
	while (!store_sweep(s, end + 86400))
		;
	assert_int_equal(names('g') + names('q') + names('m'), 0);
	store_close(&s);
}

static void thumbnails_are_touched_when_they_gain_by_it(void **state UNUSED)
{
	const char *bytes = "sixteen bytes or so";
	struct store *s = open_store(NOW);
	uint64_t life = 3200, at;
	struct store_file f;
	uint8_t sum[HASH_SHA256_LEN];
	bool fresh;
	int fd;

	assert_int_equal(hash_sha256(bytes, 19, sum), 0);
	for (at = NOW; at < NOW + 100; at += 50) {
		assert_int_equal(store_keep(s, bytes, 19, at + life, at, &fresh), 0);
		assert_int_equal(fresh, at == NOW);
	}
	assert_int_equal(store_keep(s, bytes, 19, NOW + 101 + life, NOW + 101, &fresh), 0);
	assert_true(fresh);
	fd = store_thumbnail(s, sum, NOW, &f);
	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(f.expires, NOW + 101 + life);
	/* Never shorter. */
	assert_int_equal(store_keep(s, bytes, 19, NOW + 200, NOW + 102, &fresh), 0);
	assert_false(fresh);
	assert_int_equal(store_bytes(s), 4096);
	store_close(&s);
}

static void facts_as_text(void **state UNUSED)
{
	struct store_file f = { .size = 5, .expires = 7, .type = "a/b", .elsewhere = true }, g;
	char text[STORE_FACTS_MAX], bad[STORE_FACTS_MAX];
	size_t len, i;

	len = (size_t)store_print_facts(&f, text);
	for (i = 0; i < len; i++) { /* cut anywhere; without its last line it is another's */
		snprintf(bad, sizeof(bad), "%.*s", (int)i, text);
		assert_int_equal(store_parse_facts(bad, &g), i == len - strlen("elsewhere\n"));
	}
	memset(&g, 0, sizeof(g));
	assert_true(store_parse_facts(text, &g));
	assert_memory_equal(&f, &g, sizeof(f));
	f.size = INT64_MAX;
	(void)store_print_facts(&f, text);
	assert_true(store_parse_facts(text, &g));
}

/* A bucket may say anything: sizes that no sum of blocks holds, types that are no header. */
static void facts_that_lie(void **state UNUSED)
{
	static const char *const numbers[] = {
		"",
		"0",
		"-1",
		"+5",
		" 5",
		"5 ",
		"0x5",
		"9223372036854775808",
		"5.0",
		"1e3",
		"18446744073709551615",
		"18446744073709551616",
	};
	static const char *const types[] = { "", "A/b", "a/b; q", "a/b\r", "a/\xff", "a/\"b\"" };
	struct store_file g;
	char text[STORE_FACTS_MAX];
	size_t i;

#define FACTS "inset-upload 1\n%064d\n%032d\n%s\n%s\n%s\n"
	snprintf(text, sizeof(text), FACTS, 0, 0, "5", "0", "a/b");
	assert_true(store_parse_facts(text, &g));
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		snprintf(text, sizeof(text), FACTS, 0, 0, numbers[i], "7", "a/b");
		assert_false(store_parse_facts(text, &g));
		snprintf(text, sizeof(text), FACTS, 0, 0, "5", numbers[i], "a/b");
		assert_int_equal(store_parse_facts(text, &g), strcmp(numbers[i], "0") == 0);
	}
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		snprintf(text, sizeof(text), FACTS, 0, 0, "5", "7", types[i]);
		assert_false(store_parse_facts(text, &g));
	}
#undef FACTS
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_and_found, setup, teardown),
		cmocka_unit_test_setup_teardown(same_and_other_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(expiry_and_what_a_crash_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(every_call_fails_once, setup, teardown),
		cmocka_unit_test_setup_teardown(two_generations, setup, teardown),
		cmocka_unit_test_setup_teardown(the_least_recently_used_makes_room, setup,
						teardown),
		cmocka_unit_test_setup_teardown(every_call_fails_once_while_room_is_made, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_here_alone_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(the_name_of_what_made_room_is_nobody_elses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(shares_of_users, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_is_told_a_day_later_until_it_is_forgotten,
						setup, teardown),
		cmocka_unit_test_setup_teardown(thumbnails_are_touched_when_they_gain_by_it, setup,
						teardown),
		cmocka_unit_test(facts_as_text),
		cmocka_unit_test(facts_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
