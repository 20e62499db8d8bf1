/* SPDX-License-Identifier: MIT */
/*
 * test_s3 - jobs with a bucket that is played by the test: which requests are made, with which
 * keys and sums, what each answer means, and who is told. The store is a real one.
 */
#include "config.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/ipc.h"
#include "box/bucket.h"
#include "box/http.h"
#include "box/offer.h"
#include "box/s3.h"

/* --- the bucket: requests that wait for their answer ----------------------------------------- */

#define REQUESTS_MAX 300

struct bucket {
	int nothing;
};

struct bucket_transfer {
	int nothing;
};

static struct bucket the_bucket;
static struct bucket_transfer transfer;
static struct bucket_request *waiting[REQUESTS_MAX];
static size_t waiting_n;
static bool no_memory;

struct bucket *bucket_new(struct event_base *base UNUSED)
{
	return &the_bucket;
}

void bucket_free(struct bucket **b)
{
	*b = NULL;
}

int bucket_start(struct bucket *b, const struct conf *c, struct bucket_request *r)
{
	assert_ptr_equal(b, &the_bucket);
	assert_non_null(c);
	if (no_memory)
		return ERR_NOMEM;
	assert_true(waiting_n < REQUESTS_MAX);
	r->modified = -1;
	r->transfer = &transfer;
	waiting[waiting_n++] = r;
	return 0;
}

void bucket_stop(struct bucket_request *r)
{
	size_t i;

	for (i = 0; i < waiting_n && r->transfer; i++)
		if (waiting[i] == r) {
			memmove(waiting + i, waiting + i + 1,
				(waiting_n - i - 1) * sizeof(struct bucket_request *));
			waiting_n--;
			break;
		}
	r->transfer = NULL;
}

/* The oldest request gets this answer. */
static void answer_all(int rc, long status, const void *p, size_t len, int64_t modified)
{
	struct bucket_request *r = waiting[0];
	size_t i;

	assert_true(waiting_n > 0);
	/* A byte at a time: nothing depends on how it comes. */
	for (i = 0; i < len && !rc; i++)
		if (r->write(r->arg, (const char *)p + i, 1))
			rc = ERR_IO;
	r->modified = modified;
	bucket_stop(r);
	r->done(r, rc, status);
}

static void answer(long status)
{
	answer_all(0, status, NULL, 0, -1);
}

/* The oldest request is this one. */
static void asks(enum bucket_method method, const char *key)
{
	assert_true(waiting_n > 0);
	assert_int_equal(waiting[0]->method, method);
	assert_string_equal(waiting[0]->key, key);
}

/* What it would put: its sum is the one that is signed. */
static size_t body_of(char *out, size_t room)
{
	struct bucket_request *r = waiting[0];
	uint8_t sum[HASH_SHA256_LEN];
	size_t at = 0;

	assert_true(r->size < room);
	while (at < r->size) {
		ssize_t n = r->read(r->arg, out + at, MIN_OF(r->size - at, 7u), at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	out[at] = '\0';
	assert_int_equal(hash_sha256(out, at, sum), 0);
	assert_memory_equal(sum, r->sha256, sizeof(sum));
	return at;
}

/* --- who waits ---------------------------------------------------------------------------------
 */

struct told {
	int rc;
	int n;
	struct store_file file;
};

static void on_done(void *arg, int rc, const struct store_file *f)
{
	struct told *t = arg;

	t->rc = rc;
	t->n++;
	t->file = *f;
}

/* --- a store and its files ---------------------------------------------------------------------
 */

#define ID   "01000000000000000000000000000000"
#define DATA "some bytes"

static char folder[64];
static struct store *store;
static struct conf *conf;
static struct s3 *s3;
static char content_key[BUCKET_KEY_LEN], sum_of_data[2 * HASH_SHA256_LEN + 1];
static uint8_t data_sum[HASH_SHA256_LEN];

static int setup(void **state UNUSED)
{
	struct err_msg msg = { 0 };

	strcpy(folder, "/tmp/inset-s3-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	store = store_open(folder, http_now(), &msg);
	conf = conf_new();
	s3 = s3_new(NULL);
	waiting_n = 0;
	no_memory = false;
	if (!store || !conf || !s3 || hash_sha256(DATA, strlen(DATA), data_sum))
		return -1;
	conf->upload.s3_concurrent = 64;
	conf->upload.expire = 100000 * 1000;
	hash_print_hex(data_sum, sizeof(data_sum), sum_of_data);
	snprintf(content_key, sizeof(content_key), "c-" ID "-%s", sum_of_data);
	return 0;
}

static size_t names(const char *kinds)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		n += e->d_name[1] == '-' && strchr(kinds, e->d_name[0]) != NULL;
	closedir(dir);
	return n;
}

static int teardown(void **state UNUSED)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	s3_free(&s3);
	assert_int_equal(waiting_n, 0);
	store_close(&store);
	conf_unref(&conf);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), e->d_name, 0), 0);
	closedir(dir);
	return rmdir(folder);
}

/* An upload of these bytes begins under id n. */
static int put(uint8_t n, const char *bytes, struct told *t)
{
	const uint8_t user[TOKEN_USER_LEN] = { 9 };
	struct store_file f = { .id = { n }, .expires = http_now() + 1000, .type = "a/b" };
	struct store_draft *d;
	int rc;

	assert_int_equal(store_begin(store, user, strlen(bytes), &d), 0);
	assert_int_equal(store_write(d, bytes, strlen(bytes)), 0);
	*t = (struct told){ 0 };
	rc = s3_store(s3, conf, store, &d, &f, on_done, t);
	assert_int_equal(d == NULL, rc == 0);
	store_abort(&d);
	return rc;
}

static int get(uint8_t n, struct told *t)
{
	const uint8_t id[TOKEN_ID_LEN] = { n };

	*t = (struct told){ 0 };
	return s3_fetch(s3, conf, store, id, on_done, t);
}

/* Facts of these bytes, as another box has put them. */
static size_t facts_of(const char *bytes, int64_t life, char out[STORE_FACTS_MAX])
{
	struct store_file f = { .size = strlen(bytes),
				.expires = http_now() + (uint64_t)life,
				.type = "image/gif" };

	assert_int_equal(hash_sha256(bytes, strlen(bytes), f.sha256), 0);
	return (size_t)store_print_facts(&f, out);
}

static void answer_facts(const char *bytes, int64_t life)
{
	char text[STORE_FACTS_MAX];
	size_t len = facts_of(bytes, life, text);

	answer_all(0, 200, text, len, -1);
}

static bool is_here(uint8_t n, const char *type)
{
	const uint8_t id[TOKEN_ID_LEN] = { n };
	struct store_file f;
	int fd = -1;

	if (store_find(store, id, http_now(), &f) == 0)
		fd = store_read(store, &f);
	if (fd == -1)
		return false;
	close(fd);
	assert_true(f.elsewhere);
	assert_string_equal(f.type, type);
	return true;
}

/* --- uploads -----------------------------------------------------------------------------------
 */

static void an_upload_is_three_requests(void **state UNUSED)
{
	char text[STORE_FACTS_MAX];
	struct told t;

	assert_int_equal(put(1, DATA, &t), 0);
	asks(BUCKET_GET, "m-" ID);
	answer(404);
	asks(BUCKET_PUT, content_key);
	assert_false(waiting[0]->exclusive);
	assert_int_equal(body_of(text, sizeof(text)), strlen(DATA));
	assert_string_equal(text, DATA);
	assert_int_equal(names("bmu"), 0);
	answer(200);
	asks(BUCKET_PUT, "m-" ID);
	assert_true(waiting[0]->exclusive);
	assert_true(body_of(text, sizeof(text)) > 0);
	assert_null(strstr(text, "elsewhere"));
	assert_non_null(strstr(text, sum_of_data));
	assert_int_equal(names("bmu"), 0);
	assert_int_equal(t.n, 0);
	answer(200);
	assert_true(t.n == 1 && t.rc == 0);
	assert_true(is_here(1, "a/b"));
	assert_int_equal(waiting_n, 0);
}

/* The answer to each request in turn is this one: who gets what, and what is here then. */
static void each_answer_to_each_request(void **state UNUSED)
{
	static const long statuses[] = { 100, 200, 201, 204, 206, 301, 307, 400, 401, 403, 404,
					 405, 409, 411, 412, 416, 429, 500, 501, 503, 507 };
	struct told t;
	size_t i;
	int step;

	for (step = 0; step < 3; step++)
		for (i = 0; i < ARRAY_SIZE(statuses); i++) {
			long s = statuses[i];
			bool good = s == 200 || s == 201 || s == 204;
			uint8_t n = (uint8_t)(10 + step * 30 + (int)i);

			assert_int_equal(put(n, DATA, &t), 0);
			if (step > 0)
				answer(404);
			if (step > 1)
				answer(200);
			answer(s);
			if (step == 0 && s == 404) { /* goes on */
				assert_int_equal(waiting[0]->method, BUCKET_PUT);
				answer(500);
			} else if (step == 1 && good) {
				answer(500);
			} else if (step == 2 && (s == 409 || s == 412)) {
				assert_int_equal(waiting[0]->method, BUCKET_GET);
				answer(404);
			} else if (step == 2 && s == 501) {
				assert_int_equal(waiting[0]->method, BUCKET_PUT);
				assert_false(waiting[0]->exclusive);
				answer(500);
			}
			assert_int_equal(waiting_n, 0);
			assert_int_equal(t.n, 1);
			assert_int_equal(t.rc, step == 2 && good ? 0 : ERR_IO);
			assert_int_equal(is_here(n, "a/b"), t.rc == 0);
		}
	assert_int_equal(names("t"), 0);
}

static void transfers_that_fail(void **state UNUSED)
{
	static const int codes[] = { ERR_IO, ERR_TIMEOUT };
	struct told t;
	size_t i;
	int step;

	for (i = 0; i < ARRAY_SIZE(codes); i++)
		for (step = 0; step < 3; step++) {
			assert_int_equal(put(1, DATA, &t), 0);
			if (step > 0)
				answer(404);
			if (step > 1)
				answer(200);
			answer_all(codes[i], 0, NULL, 0, -1);
			assert_true(t.n == 1 && t.rc == codes[i]);
			assert_int_equal(names("bmut"), 0);
			assert_int_equal(store_bytes(store), 0);
		}
}

static void facts_that_are_there(void **state UNUSED)
{
	struct told t;

	/* The same bytes: all is well, the first one's facts count. */
	assert_int_equal(put(1, DATA, &t), 0);
	answer_facts(DATA, 500);
	assert_true(t.n == 1 && t.rc == 0 && is_here(1, "image/gif"));
	/* Others; the same that are over; nonsense. */
	assert_int_equal(put(2, DATA, &t), 0);
	answer_facts("other bytes", 500);
	assert_true(t.n == 1 && t.rc == ERR_EXISTS);
	assert_int_equal(put(2, DATA, &t), 0);
	answer_facts(DATA, 0);
	assert_true(t.n == 1 && t.rc == ERR_EXISTS);
	assert_int_equal(put(2, DATA, &t), 0);
	answer_all(0, 200, "<Error/>", 8, -1);
	assert_true(t.n == 1 && t.rc == ERR_IO);
	/* More than facts can be. */
	{
		static const char long_text[STORE_FACTS_MAX + 10] = "x";

		assert_int_equal(put(2, DATA, &t), 0);
		answer_all(0, 200, long_text, sizeof(long_text), -1);
		assert_true(t.n == 1 && t.rc == ERR_IO);
	}
	assert_int_equal(names("mu"), 2);
}

/* Somebody was faster: the same, or other bytes, whose own content then goes. */
static void the_faster_one(void **state UNUSED)
{
	static const int answers[] = { 204, 404, 500, 0 };
	struct told t;
	size_t i;

	assert_int_equal(put(1, DATA, &t), 0);
	answer(404);
	answer(200);
	answer(412);
	asks(BUCKET_GET, "m-" ID);
	answer_facts(DATA, 500);
	assert_true(t.n == 1 && t.rc == 0 && is_here(1, "image/gif"));
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(put(2, DATA, &t), 0);
		answer(404);
		answer(200);
		answer(409);
		answer_facts("other bytes", 500);
		assert_int_equal(t.n, 0);
		assert_int_equal(waiting[0]->method, BUCKET_DELETE);
		assert_int_equal(waiting[0]->key[0], 'c');
		answer_all(answers[i] ? 0 : ERR_IO, answers[i], NULL, 0, -1);
		assert_true(t.n == 1 && t.rc == ERR_EXISTS);
		assert_false(is_here(2, "a/b"));
	}
}

static void a_server_without_conditions(void **state UNUSED)
{
	char text[STORE_FACTS_MAX];
	struct told t;

	assert_int_equal(put(1, DATA, &t), 0);
	answer(404);
	answer(200);
	answer(501);
	asks(BUCKET_PUT, "m-" ID);
	assert_false(waiting[0]->exclusive);
	assert_true(body_of(text, sizeof(text)) > 0);
	answer(200);
	assert_true(t.n == 1 && t.rc == 0 && is_here(1, "a/b"));
}

/* --- fetches -----------------------------------------------------------------------------------
 */

static void a_fetch_is_two_requests(void **state UNUSED)
{
	struct told t;

	assert_int_equal(get(1, &t), 0);
	asks(BUCKET_GET, "m-" ID);
	answer_facts(DATA, 500);
	asks(BUCKET_GET, content_key);
	assert_int_equal(waiting[0]->size, strlen(DATA));
	answer_all(0, 200, DATA, strlen(DATA), -1);
	assert_true(t.n == 1 && t.rc == 0 && is_here(1, "image/gif"));
}

static void contents_that_are_not_what_the_facts_say(void **state UNUSED)
{
	static const char *const bad[] = { "", "some byte", "some bytez", "some bytes!" };
	struct told t;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(get(1, &t), 0);
		answer_facts(DATA, 500);
		answer_all(0, 200, bad[i], strlen(bad[i]), -1);
		assert_int_equal(t.n, 1);
		assert_true(t.rc == ERR_IO || t.rc == ERR_TOO_BIG);
		assert_int_equal(names("bmut"), 0);
		assert_int_equal(store_bytes(store), 0);
	}
	assert_int_equal(get(1, &t), 0);
	answer_facts(DATA, 0);
	assert_true(t.n == 1 && t.rc == ERR_NOT_FOUND);
	assert_int_equal(get(1, &t), 0);
	answer(404);
	assert_true(t.n == 1 && t.rc == ERR_NOT_FOUND);
	assert_int_equal(get(1, &t), 0);
	answer(403);
	assert_true(t.n == 1 && t.rc == ERR_IO);
	store_set_limits(store, 4096, 0);
	assert_int_equal(get(1, &t), 0);
	answer_facts(DATA, 500); /* a copy asks for no share of its user's */
	answer(404);
	assert_true(t.n == 1 && t.rc == ERR_IO);
	store_set_limits(store, 0, 0);
	assert_int_equal(get(1, &t), 0);
	answer_facts(DATA, 500);
	assert_true(t.n == 1 && t.rc == ERR_FULL);
}

/* Answers to LOAD that have come; none of them has the file. */
static unsigned loaded(struct event_base *base, int media)
{
	static struct ipc_in in;
	unsigned n = 0;

	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	while (ipc_recv(media, &in, ROLE_MEDIA, ROLE_BOX) == 0) {
		assert_int_equal(in.type, IPC_LOADED);
		assert_int_equal(in.fd, -1);
		ipc_in_fini(&in);
		n++;
	}
	return n;
}

/* Whoever asks for one file again and again is not remembered without end. */
static void questions_of_media_have_a_cap(void **state UNUSED)
{
	static struct ipc_out out;
	struct event_base *base = event_base_new();
	struct offers *offers = offers_new(base);
	unsigned i, n = 0;
	int fds[2];

	assert_non_null(offers);
	free(conf->upload.public_url);
	free(conf->upload.s3);
	conf->upload.public_url = strdup("http://box.example");
	conf->upload.s3 = strdup("http://bucket.example/b");
	conf->fetch.max_bytes = 1000;
	offers_set_site(offers, conf, store, s3);
	assert_int_equal(ipc_pair(fds), 0);
	offers_set_channel(offers, fds[0]);
	for (i = 0; i < 300; i++) {
		ipc_begin(&out, IPC_LOAD);
		ipc_put_u64(&out, i);
		ipc_put_u64(&out, 1000);
		ipc_put_str(&out, "http://box.example/f/" ID);
		assert_int_equal(ipc_send(fds[1], &out), 0);
		n += loaded(base, fds[1]);
	}
	assert_int_equal(n, 300 - 256);
	assert_int_equal(waiting_n, 1);
	answer(404);
	assert_int_equal(loaded(base, fds[1]), 256);
	offers_free(&offers);
	event_base_free(base);
	close(fds[1]);
}

static void all_who_want_the_same_get_it_with_the_first(void **state UNUSED)
{
	struct told t[5], other;
	size_t i;

	for (i = 0; i < 3; i++)
		assert_int_equal(get(1, &t[i]), 0);
	assert_int_equal(get(2, &other), 0);
	assert_int_equal(waiting_n, 2);
	answer_facts(DATA, 500);
	for (i = 3; i < 5; i++)
		assert_int_equal(get(1, &t[i]), 0);
	assert_int_equal(waiting_n, 2);
	answer(404); /* the other's */
	assert_true(other.n == 1 && other.rc == ERR_NOT_FOUND);
	answer_all(0, 200, DATA, strlen(DATA), -1);
	for (i = 0; i < 5; i++)
		assert_true(t[i].n == 1 && t[i].rc == 0);
	assert_int_equal(waiting_n, 0);
}

/* --- thumbnails --------------------------------------------------------------------------------
 */

static void thumbnails(void **state UNUSED)
{
	char key[BUCKET_KEY_LEN], text[64];
	int64_t now = (int64_t)http_now();
	struct store_file f;
	struct told t;
	int fd;

	snprintf(key, sizeof(key), "p-%s", sum_of_data);
	assert_int_equal(s3_share_thumbnail(s3, conf, DATA "", strlen(DATA)), 0);
	asks(BUCKET_PUT, key);
	assert_int_equal(body_of(text, sizeof(text)), strlen(DATA));
	answer(200);
	assert_int_equal(s3_share_thumbnail(s3, conf, DATA, 65536), ERR_TOO_BIG);
	/* And back: what is not what its name says is not taken. */
	t = (struct told){ 0 };
	assert_int_equal(s3_fetch_thumbnail(s3, conf, store, data_sum, on_done, &t), 0);
	asks(BUCKET_GET, key);
	answer_all(0, 200, "some bytez", 10, now);
	assert_true(t.n == 1 && t.rc == ERR_IO && names("p") == 0);
	t = (struct told){ 0 };
	assert_int_equal(s3_fetch_thumbnail(s3, conf, store, data_sum, on_done, &t), 0);
	answer_all(0, 200, DATA, strlen(DATA), now - 100000);
	assert_true(t.n == 1 && t.rc == ERR_NOT_FOUND && names("p") == 0);
	t = (struct told){ 0 };
	assert_int_equal(s3_fetch_thumbnail(s3, conf, store, data_sum, on_done, &t), 0);
	answer_all(0, 200, DATA, strlen(DATA), now - 50000);
	assert_true(t.n == 1 && t.rc == 0 && names("p") == 1);
	fd = store_thumbnail(store, data_sum, http_now(), &f);
	if (fd != -1) { /* ten bytes are none; the life is what counts */
		close(fd);
		assert_true(f.expires <= (uint64_t)now + 50000);
	}
}

/* --- deletion ----------------------------------------------------------------------------------
 */

static void make_gone(const char *name)
{
	char path[192];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
}

static void an_upload_is_deleted_content_first(void **state UNUSED)
{
	static const long good[] = { 200, 204, 404, 403, 501 };
	struct store_file f = { .id = { 1 } };
	size_t i;

	memcpy(f.sha256, data_sum, sizeof(f.sha256));
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		make_gone("g-" ID);
		assert_int_equal(s3_delete(s3, conf, store, "g-" ID, &f), 0);
		assert_int_equal(s3_delete(s3, conf, store, "g-" ID, &f), ERR_AGAIN);
		asks(BUCKET_DELETE, content_key);
		answer(good[i]);
		asks(BUCKET_DELETE, "m-" ID);
		assert_int_equal(names("g"), 1);
		answer(good[i]);
		assert_int_equal(names("g"), 0);
	}
	/* Not now: it is named again. */
	make_gone("g-" ID);
	assert_int_equal(s3_delete(s3, conf, store, "g-" ID, &f), 0);
	answer(500);
	assert_int_equal(waiting_n, 0);
	assert_int_equal(s3_delete(s3, conf, store, "g-" ID, &f), 0);
	answer(204);
	answer_all(ERR_TIMEOUT, 0, NULL, 0, -1);
	assert_int_equal(names("g"), 1);
}

static void a_thumbnail_is_deleted_by_who_put_it_last(void **state UNUSED)
{
	const int64_t now = (int64_t)http_now();
	char key[BUCKET_KEY_LEN], name[BUCKET_KEY_LEN];
	struct store_file f = { 0 };

	memcpy(f.sha256, data_sum, sizeof(f.sha256));
	snprintf(key, sizeof(key), "p-%s", sum_of_data);
	snprintf(name, sizeof(name), "q-%s", sum_of_data);
	make_gone(name);
	assert_int_equal(s3_delete(s3, conf, store, name, &f), 0);
	asks(BUCKET_HEAD, key);
	answer_all(0, 200, NULL, 0, now - 100001);
	asks(BUCKET_DELETE, key);
	answer(204);
	assert_int_equal(names("q"), 0);
	/* In use elsewhere, not known since when, not there: nothing to do. */
	make_gone(name);
	assert_int_equal(s3_delete(s3, conf, store, name, &f), 0);
	answer_all(0, 200, NULL, 0, now - 99000);
	assert_true(waiting_n == 0 && names("q") == 0);
	make_gone(name);
	assert_int_equal(s3_delete(s3, conf, store, name, &f), 0);
	answer_all(0, 200, NULL, 0, -1);
	assert_true(waiting_n == 0 && names("q") == 0);
	make_gone(name);
	assert_int_equal(s3_delete(s3, conf, store, name, &f), 0);
	answer(404);
	assert_true(waiting_n == 0 && names("q") == 0);
	make_gone(name);
	assert_int_equal(s3_delete(s3, conf, store, name, &f), 0);
	answer(500);
	assert_true(waiting_n == 0 && names("q") == 1);
}

static void deletions_go_last(void **state UNUSED)
{
	struct told t[3];
	uint8_t n;

	for (n = 0; n < 6; n++) {
		struct store_file f = { .id = { (uint8_t)(100 + n) } };

		assert_int_equal(s3_delete(s3, conf, store, "g-00", &f), n < 4 ? 0 : ERR_AGAIN);
	}
	s3_stop(s3);
	s3_go(s3);
	conf->upload.s3_concurrent = 2;
	for (n = 0; n < 3; n++)
		assert_int_equal(get((uint8_t)(n + 1), &t[n]), 0);
	assert_int_equal(s3_delete(s3, conf, store, "g-00", &(struct store_file){ .id = { 9 } }),
			 ERR_AGAIN);
	s3_stop(s3); /* as long as t lives */
}

/* --- caps and ends -----------------------------------------------------------------------------
 */

static void jobs_wait_for_their_turn_up_to_a_cap(void **state UNUSED)
{
	static struct told t[257];
	size_t i;

	conf->upload.s3_concurrent = 3;
	for (i = 0; i < 256; i++) {
		const uint8_t id[TOKEN_ID_LEN] = { (uint8_t)i, 1 };

		t[i] = (struct told){ 0 };
		assert_int_equal(s3_fetch(s3, conf, store, id, on_done, &t[i]), 0);
		assert_int_equal(waiting_n, MIN_OF(i + 1, (size_t)3));
	}
	assert_int_equal(get(1, &t[256]), ERR_AGAIN);
	assert_int_equal(put(1, DATA, &t[256]), ERR_AGAIN);
	for (i = 0; i < 256; i++) {
		assert_int_equal(waiting[0]->key[3] - '0',
				 (int)i % 16 < 10 ? (int)i % 16 : (int)i % 16 + 39);
		answer(404);
		assert_true(t[i].n == 1 && t[i].rc == ERR_NOT_FOUND);
		assert_int_equal(waiting_n, MIN_OF(255 - i, (size_t)3));
	}
	assert_int_equal(put(1, DATA, &t[256]), 0);
}

static void without_memory(void **state UNUSED)
{
	struct told t[3];

	no_memory = true;
	assert_int_equal(put(1, DATA, &t[0]), ERR_NOMEM);
	assert_int_equal(get(1, &t[0]), ERR_NOMEM);
	assert_int_equal(s3_share_thumbnail(s3, conf, DATA, 5), ERR_NOMEM);
	assert_int_equal(t[0].n, 0);
	assert_int_equal(names("t"), 0);
	/* In the middle, and for one whose turn it would be. */
	no_memory = false;
	conf->upload.s3_concurrent = 1;
	assert_int_equal(put(1, DATA, &t[0]), 0);
	assert_int_equal(put(2, DATA, &t[1]), 0);
	assert_int_equal(get(3, &t[2]), 0);
	no_memory = true;
	answer(404);
	assert_true(t[0].n == 1 && t[0].rc == ERR_NOMEM);
	assert_true(t[1].n == 1 && t[1].rc == ERR_NOMEM);
	assert_true(t[2].n == 1 && t[2].rc == ERR_NOMEM);
	no_memory = false;
	assert_int_equal(put(1, DATA, &t[0]), 0);
	assert_int_equal(waiting_n, 1);
	s3_stop(s3);
}

static void an_end_tells_everybody(void **state UNUSED)
{
	struct told t[4];

	conf->upload.s3_concurrent = 2;
	assert_int_equal(put(1, DATA, &t[0]), 0);
	assert_int_equal(get(2, &t[1]), 0);
	assert_int_equal(get(2, &t[2]), 0);
	assert_int_equal(put(3, "queued", &t[3]), 0);
	assert_int_equal(waiting_n, 2);
	s3_stop(s3);
	for (size_t i = 0; i < 4; i++)
		assert_true(t[i].n == 1 && t[i].rc == ERR_SHUTDOWN);
	assert_int_equal(waiting_n, 0);
	assert_int_equal(put(1, DATA, &t[0]), ERR_SHUTDOWN);
	assert_int_equal(get(1, &t[0]), ERR_SHUTDOWN);
	assert_int_equal(names("t"), 0);
	s3_go(s3);
	assert_int_equal(get(1, &t[0]), 0);
	s3_stop(s3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_upload_is_three_requests),
		TEST(each_answer_to_each_request),
		TEST(transfers_that_fail),
		TEST(facts_that_are_there),
		TEST(the_faster_one),
		TEST(a_server_without_conditions),
		TEST(a_fetch_is_two_requests),
		TEST(contents_that_are_not_what_the_facts_say),
		TEST(all_who_want_the_same_get_it_with_the_first),
		TEST(thumbnails),
		TEST(an_upload_is_deleted_content_first),
		TEST(a_thumbnail_is_deleted_by_who_put_it_last),
		TEST(deletions_go_last),
		TEST(jobs_wait_for_their_turn_up_to_a_cap),
		TEST(questions_of_media_have_a_cap),
		TEST(without_memory),
		TEST(an_end_tells_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
