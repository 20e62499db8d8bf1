/* SPDX-License-Identifier: MIT */
/*
 * The pure parts of the media process: cache, rates, hosts and their breaker, response headers.
 */
#include "config.h"

#include "media/cache.h"
#include "media/cid.h"

#include "base/clock.h"
#include "base/err.h"
#include "media/host.h"
#include "media/listed.h"
#include "media/rate.h"
#include "media/reply.h"
#include "unit.h"

static struct cache_key key_of(const char *url, uint16_t width)
{
	struct job j = { .width = width, .height = 128, .max_bytes = 8192, .fetch_max = 1000 };
	struct cache_key key;

	assert_int_equal(cache_key_make(&key, url, &j), 0);
	return key;
}

static struct job_result result_of(const uint8_t *p, size_t len)
{
	return (struct job_result){
		.status = JOB_OK, .bytes = p, .len = len, .width = 1, .height = 2, .max_age = 60
	};
}

static void test_cache_life(void **state UNUSED)
{
	struct cache *c = cache_new(65536);
	struct cache_key a = key_of("http://a/", 128), b = key_of("http://a/", 129);
	struct job_result r = result_of((const uint8_t *)"abc", 3), got;

	clock_fake(1000);
	assert_false(cache_find(c, &a, &got));
	cache_store(c, &a, &r, 60000);
	assert_true(cache_find(c, &a, &got));
	assert_memory_equal(got.bytes, "abc", 3);
	assert_true(got.from_cache);
	assert_int_equal(got.max_age, 60);
	assert_false(cache_find(c, &b, &got));
	clock_fake(1000 + 59999);
	assert_true(cache_find(c, &a, &got));
	assert_int_equal(got.max_age, 0);
	clock_fake(1000 + 60000);
	assert_false(cache_find(c, &a, &got));
	assert_int_equal(cache_entries(c), 0);
	assert_int_equal(cache_bytes(c), 0);
	cache_store(c, &a, &r, 1000);
	cache_store(c, &a, &r, 0); /* forgets */
	assert_false(cache_find(c, &a, &got));
	r = (struct job_result){ .status = JOB_HTTP };
	cache_store(c, &a, &r, 1000);
	assert_true(cache_find(c, &a, &got));
	assert_int_equal(got.status, JOB_HTTP);
	cache_free(&c);
}

static void test_cache_lru(void **state UNUSED)
{
	static const uint8_t bytes[10000];
	struct cache *c = cache_new(50000);
	struct job_result r = result_of(bytes, sizeof(bytes)), got;
	struct cache_key key[6];
	char url[32];
	size_t i;

	clock_fake(1);
	for (i = 0; i < 6; i++) {
		snprintf(url, sizeof(url), "http://h/%zu", i);
		key[i] = key_of(url, 1);
	}
	for (i = 0; i < 4; i++)
		cache_store(c, &key[i], &r, 1000);
	assert_int_equal(cache_entries(c), 4);
	assert_true(cache_find(c, &key[0], &got)); /* now 1 is the oldest */
	cache_store(c, &key[4], &r, 1000);
	assert_false(cache_find(c, &key[1], &got));
	assert_true(cache_find(c, &key[0], &got));
	assert_true(cache_bytes(c) <= 50000);
	r.len = sizeof(bytes);
	cache_set_max(c, 12000);
	assert_int_equal(cache_entries(c), 1);
	cache_set_max(c, 9000); /* nothing of that size fits any more */
	cache_store(c, &key[5], &r, 1000);
	assert_int_equal(cache_entries(c), 0);
	cache_free(&c);
}

/* Past its time it is no answer, but still there to be asked about and found by its bytes. */
static void test_cache_outlives(void **state UNUSED)
{
	struct cache *c = cache_new(65536);
	struct cache_key a = key_of("http://a/", 128), b = key_of("http://b/", 128), same;
	struct job j = { .width = 128, .height = 128, .max_bytes = 8192 };
	const uint8_t sum[HASH_SHA256_LEN] = "sum";
	struct validator v = { .etag = "\"x\"", .life = 7 }, got_v;
	struct job_result r = result_of((const uint8_t *)"abc", 3), got;
	size_t bytes;

	assert_int_equal(cache_content_key_make(&same, sum, &j), 0);
	clock_fake(1000);
	cache_store_made(c, &a, &r, 60000, &same, &v);
	bytes = cache_bytes(c);
	assert_true(cache_find(c, &a, &got));
	clock_fake(61000);
	assert_false(cache_find(c, &a, &got));
	assert_int_equal(cache_entries(c), 1);
	assert_true(cache_find_known(c, &a, &got, &got_v));
	assert_string_equal(got_v.etag, "\"x\"");
	assert_int_equal(got_v.life, 7);
	assert_int_equal(got.max_age, 0);
	assert_true(cache_find_content(c, &same, &got));
	assert_memory_equal(got.bytes, "abc", 3);
	/* Straight from one entry into another, and back under its own key. */
	cache_store_made(c, &b, &got, 0, &same, NULL);
	assert_false(cache_find(c, &b, &got));
	assert_false(cache_find_known(c, &b, &got, &got_v));
	assert_true(cache_find_content(c, &same, &got));
	cache_store_made(c, &a, &got, 1000, &same, &v);
	assert_true(cache_find(c, &a, &got));
	assert_memory_equal(got.bytes, "abc", 3);
	/* Whichever leaves, the other one is found. */
	cache_store(c, &b, &r, 0);
	assert_true(cache_find_content(c, &same, &got));
	cache_store(c, &a, &r, 0);
	assert_false(cache_find_content(c, &same, &got));
	assert_int_equal(cache_bytes(c), 0);
	/* Another profile is another thumbnail. */
	cache_store_made(c, &a, &r, 0, &same, NULL);
	j.width = 96;
	assert_int_equal(cache_content_key_make(&same, sum, &j), 0);
	assert_false(cache_find_content(c, &same, &got));
	/* The validator counts, too. */
	cache_set_max(c, bytes - 1);
	cache_store_made(c, &a, &r, 1000, &same, &v);
	assert_int_equal(cache_entries(c), 0);
	cache_set_max(c, bytes);
	cache_store_made(c, &a, &r, 1000, &same, &v);
	cache_store_made(c, &b, &r, 1000, &same, &v);
	assert_int_equal(cache_entries(c), 1);
	assert_int_equal(cache_bytes(c), bytes);
	cache_free(&c);
}

static void test_rate(void **state UNUSED)
{
	struct rate *r = rate_new();
	uint64_t i;
	int n = 0;

	clock_fake(1000);
	for (i = 0; i < 20; i++)
		n += rate_take(r, 7, 10, 5);
	assert_int_equal(n, 5);
	assert_true(rate_take(r, 8, 10, 5));
	clock_fake(1000 + 5999);
	assert_false(rate_take(r, 7, 10, 5));
	clock_fake(1000 + 6000);
	assert_true(rate_take(r, 7, 10, 5));
	assert_false(rate_take(r, 7, 10, 5));
	clock_fake(1000 + 6000000);
	for (n = 0, i = 0; i < 20; i++)
		n += rate_take(r, 7, 10, 5);
	assert_int_equal(n, 5);
	for (i = 0; i < 1000; i++)
		assert_true(rate_take(r, 9, 0, 0));
	for (i = 0; i < 100000; i++) /* the table is bounded */
		assert_true(rate_take(r, 1000 + i, 1, 1));
	rate_free(&r);
}

static void test_breaker(void **state UNUSED)
{
	struct conf *c = conf_new();
	struct host_table *t = host_table_new();
	struct host *h = host_get(t, "a.example", 80), *other = host_get(t, "a.example", 81);
	int i;

	clock_fake(1000);
	for (i = 0; i < 4; i++)
		host_failed(h, &c->limits);
	assert_false(host_is_blocked(h, &c->limits));
	host_succeeded(h);
	for (i = 0; i < 5; i++)
		host_failed(h, &c->limits);
	assert_true(host_is_blocked(h, &c->limits));
	assert_false(host_is_blocked(other, &c->limits));
	host_failed(h, &c->limits); /* late ones do not double */
	clock_fake(1000 + 29999);
	assert_true(host_is_blocked(h, &c->limits));
	clock_fake(1000 + 30000);
	assert_false(host_is_blocked(h, &c->limits));
	host_start(h);
	assert_true(host_is_blocked(h, &c->limits)); /* one may try */
	host_stop(h);
	host_failed(h, &c->limits);
	clock_fake(1000 + 30000 + 59999);
	assert_true(host_is_blocked(h, &c->limits));
	for (i = 0; i < 20; i++) {
		clock_fake(clock_now() + 600000);
		assert_false(host_is_blocked(h, &c->limits)); /* never longer than breaker-max */
		host_failed(h, &c->limits);
		assert_true(host_is_blocked(h, &c->limits));
	}
	clock_fake(clock_now() + 600000);
	host_succeeded(h);
	assert_false(host_is_blocked(h, &c->limits));
	host_put(&h);
	host_put(&other);
	host_table_free(&t);
	conf_unref(&c);
}

static void test_host_asks_for_a_pause(void **state UNUSED)
{
	struct conf *c = conf_new();
	struct host_table *t = host_table_new();
	struct host *h = host_get(t, "a.example", 80);

	clock_fake(1000);
	host_pause(h, 10, &c->limits);
	host_pause(h, 5, &c->limits); /* the longer one holds */
	host_succeeded(h);            /* a transfer that was under way */
	assert_true(host_is_blocked(h, &c->limits));
	clock_fake(10999);
	assert_true(host_is_blocked(h, &c->limits));
	clock_fake(11000);
	assert_false(host_is_blocked(h, &c->limits));
	host_pause(h, UINT32_MAX, &c->limits);
	clock_fake(11000 + c->limits.breaker_max - 1);
	assert_true(host_is_blocked(h, &c->limits));
	clock_fake(11000 + c->limits.breaker_max);
	assert_false(host_is_blocked(h, &c->limits));
	host_put(&h);
	host_table_free(&t);
	conf_unref(&c);
}

static void test_host_table_is_bounded(void **state UNUSED)
{
	struct host_table *t = host_table_new();
	struct host *kept = host_get(t, "kept.example", 80), *h;
	static struct host *held[5000];
	char name[32];
	int i, n = 0;

	for (i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "h%d.example", i);
		h = host_get(t, name, 80);
		assert_non_null(h);
		host_put(&h);
	}
	h = host_get(t, "kept.example", 80);
	assert_ptr_equal(h, kept);
	host_put(&h);
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "g%d.example", i);
		held[i] = host_get(t, name, 80);
		n += held[i] != NULL;
	}
	assert_int_equal(n, 4095);
	for (i = 0; i < 5000; i++)
		host_put(&held[i]);
	host_put(&kept);
	host_table_free(&t);
}

static void test_listed_is_bounded(void **state UNUSED)
{
	struct listed *l = listed_new();
	char origin[32];
	int i;

	assert_false(listed_has(l, "http://0:80"));
	for (i = 0; i <= LISTED_MAX; i++) {
		snprintf(origin, sizeof(origin), "http://%d:80", i);
		listed_add(l, origin);
		listed_add(l, "http://0:80"); /* named again and again */
		assert_true(listed_has(l, origin));
	}
	assert_true(listed_has(l, "http://0:80"));
	assert_false(listed_has(l, "http://1:80"));
	assert_true(listed_has(l, "http://2:80"));
	assert_false(listed_has(l, "http://2:8"));
	listed_free(&l);
}

static int feed(struct reply *r, const char *line)
{
	return reply_add(r, line, strlen(line));
}

static void test_reply(void **state UNUSED)
{
	struct reply r;

	reply_init(&r);
	assert_int_equal(feed(&r, "HTTP/1.1 103 Early\r\n"), 0);
	assert_int_equal(feed(&r, "Location: /early\r\n"), 0);
	assert_int_equal(feed(&r, "\r\n"), 0);
	assert_false(r.ended);
	assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n"), 0);
	assert_string_equal(r.location, "");
	assert_int_equal(feed(&r, "CONTENT-type:  image/jpeg; x=y \r\n"), 0);
	assert_int_equal(feed(&r, "Cache-Control: public, max-age=99999999999999999999, foo\r\n"),
			 0);
	assert_int_equal(feed(&r, "\r\n"), 0);
	assert_true(r.ended);
	assert_int_equal(r.status, 200);
	assert_true(reply_may_be_picture(&r));
	assert_false(r.fresh.no_store);
	assert_true(r.fresh.max_age != FRESHNESS_NONE && r.fresh.max_age > 1000000);
	assert_int_equal(feed(&r, "HTTP/1.1 302 trailer\r\n"), 0);
	assert_int_equal(r.status, 200);
}

/* Whether a body that ends is known to be whole. */
static void test_reply_delimited(void **state UNUSED)
{
	static const struct {
		const char *line;
		bool delimited;
	} rows[] = {
		{ "Content-Length: 12\r\n", true },
		{ "content-length:0\r\n", true },
		{ "Transfer-Encoding: chunked\r\n", true },
		{ "transfer-encoding: CHUNKED\r\n", true },
		{ "Transfer-Encoding: gzip\r\n", false },
		{ "Content-Length: many\r\n", false },
		{ "Content-Length: -1\r\n", false },
		{ "Content-Length:\r\n", false },
		{ "Connection: close\r\n", false },
	};
	struct reply r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		reply_init(&r);
		assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n"), 0);
		assert_int_equal(feed(&r, rows[i].line), 0);
		assert_int_equal(r.delimited, rows[i].delimited);
	}
	/* What an early response says does not count. */
	reply_init(&r);
	assert_int_equal(feed(&r, "HTTP/1.1 103 Early\r\n"), 0);
	assert_int_equal(feed(&r, "Content-Length: 1\r\n"), 0);
	assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n"), 0);
	assert_false(r.delimited);
}

static void test_reply_cache_control(void **state UNUSED)
{
	static const struct {
		const char *line;
		bool no_store;
		uint32_t max_age;
	} rows[] = {
		{ "Cache-Control: no-store\r\n", true, FRESHNESS_NONE },
		{ "cache-control: max-age=5,PRIVATE\r\n", true, 5 },
		{ "Cache-Control: , ,max-age=0\r\n", false, 0 },
		{ "Cache-Control: max-age=\r\n", false, 0 },
		{ "Cache-Control: max-age=x\r\n", false, 0 },
		{ "Cache-Control:\r\n", false, FRESHNESS_NONE },
		{ "Cache-Control\r\n", false, FRESHNESS_NONE },
		{ "X: no-store\r\n", false, FRESHNESS_NONE },
	};
	struct reply r;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reply_init(&r);
		assert_int_equal(feed(&r, "HTTP/1.1 200 OK\r\n"), 0);
		assert_int_equal(feed(&r, rows[i].line), 0);
		assert_int_equal(r.fresh.no_store, rows[i].no_store);
		assert_int_equal(r.fresh.max_age, rows[i].max_age);
	}
}

static void test_reply_types(void **state UNUSED)
{
	static const char *const good[] = { "", "image/png", "IMAGE/x-thing",
					    "application/octet-stream", "binary/octet-stream;x" };
	static const char *const bad[] = { "text/html", "text/html; charset=x", "image/svg+xml",
					   "video/mp4", "application/pdf",      "imagex/png",
					   "nonsense" };
	struct reply r;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		reply_init(&r);
		snprintf(r.type, sizeof(r.type), "%s", good[i]);
		assert_true(reply_may_be_picture(&r));
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		reply_init(&r);
		snprintf(r.type, sizeof(r.type), "%s", bad[i]);
		assert_false(reply_may_be_picture(&r));
	}
}

static void test_reply_caps(void **state UNUSED)
{
	static char line[70000];
	struct reply r;
	int i;

	reply_init(&r);
	for (i = 0; i < REPLY_LINES; i++) /* endless 1xx count, too */
		assert_int_equal(feed(&r, i % 2 ? "\r\n" : "HTTP/1.1 100 Continue\r\n"), 0);
	assert_int_equal(feed(&r, "X: y\r\n"), ERR_TOO_BIG);
	reply_init(&r);
	memset(line, 'a', sizeof(line));
	assert_int_equal(reply_add(&r, line, REPLY_BYTES), 0);
	assert_int_equal(reply_add(&r, line, 1), ERR_TOO_BIG);
	reply_init(&r);
	memcpy(line, "Location: ", 10); /* too long to be followed */
	assert_int_equal(reply_add(&r, line, 3000), 0);
	assert_string_equal(r.location, "");
}

static struct cid_claim claim_of(uint8_t owner, bool no_store)
{
	struct cid_claim claim = { .made = true, .no_store = no_store };

	memset(claim.owner, owner, sizeof(claim.owner));
	return claim;
}

static bool finds(struct cache *c, const char *data, uint8_t owner, struct job_result *got)
{
	uint8_t cid[HASH_SHA1_LEN];

	assert_int_equal(hash_sha1(data, strlen(data), cid), 0);
	return cid_find(c, cid, claim_of(owner, false).owner, got);
}

static void test_cid_is_found_for_its_owner(void **state UNUSED)
{
	struct cache *c = cache_new(65536);
	struct cid_claim a = claim_of(1, false), b = claim_of(2, true), nobody = { 0 };
	struct job_result r = result_of((const uint8_t *)"abc", 3), got;

	clock_fake(1000);
	cid_publish(c, &nobody, &r, 60000);
	cid_publish(c, &a, &r, 0);
	assert_int_equal(cache_entries(c), 0);
	cid_publish(c, &a, &r, 60000);
	assert_int_equal(cache_entries(c), 2);
	assert_true(finds(c, "abc", 1, &got));
	assert_memory_equal(got.bytes, "abc", 3);
	assert_int_equal(got.max_age, 60);
	assert_false(finds(c, "abc", 2, &got));
	assert_false(finds(c, "abd", 1, &got));
	/* Another owner: the data is there once; what that one said of keeping is its own. */
	cid_publish(c, &b, &r, 30000);
	assert_int_equal(cache_entries(c), 3);
	assert_true(finds(c, "abc", 2, &got));
	assert_int_equal(got.max_age, 0);
	assert_true(finds(c, "abc", 1, &got));
	assert_int_equal(got.max_age, 60); /* not shortened */
	/* Both ways: the stricter one. */
	b.no_store = false;
	cid_publish(c, &b, &r, 30000);
	assert_true(finds(c, "abc", 2, &got));
	assert_int_equal(got.max_age, 0);
	clock_fake(1000 + 30000);
	assert_false(finds(c, "abc", 2, &got));
	assert_true(finds(c, "abc", 1, &got));
	assert_int_equal(got.max_age, 30);
	clock_fake(1000 + 60000);
	assert_false(finds(c, "abc", 1, &got));
	cache_free(&c);
}

/* The bytes that are published may be those of an entry that has to leave for it. */
/* One URL under several profiles, among others: what a purge finds. */
static void test_purge(void **state UNUSED)
{
	struct cache *c = cache_new(1 << 20);
	struct cache_key keys[3], key, other = key_of("http://b/", 128);
	struct job_result r = result_of((const uint8_t *)"abc", 3), no = { .status = JOB_HTTP },
			  got;
	uint8_t cid[HASH_SHA1_LEN], want[HASH_SHA1_LEN];
	bool has_cid;
	size_t i, cids = 0;

	clock_fake(1000);
	for (i = 0; i < 3; i++) {
		keys[i] = key_of("http://a/", (uint16_t)(100 + i));
		cache_store(c, &keys[i], i == 2 ? &no : &r, 60000);
		assert_memory_equal(keys[i].sum, keys[0].sum, CACHE_KEY_URL);
		assert_true(!i || memcmp(&keys[i], &keys[0], sizeof(key)) != 0);
	}
	cache_store(c, &other, &r, 60000);
	assert_int_equal(hash_sha1(r.bytes, r.len, want), 0);
	assert_false(cache_purge_one(c, "http://a", &key, cid, &has_cid));
	for (i = 0; i < 3; i++) {
		assert_true(cache_purge_one(c, "http://a/", &key, cid, &has_cid));
		assert_memory_equal(key.sum, keys[0].sum, CACHE_KEY_URL);
		cids += has_cid;
		assert_true(!has_cid || memcmp(cid, want, sizeof(cid)) == 0);
	}
	assert_int_equal(cids, 2);
	assert_false(cache_purge_one(c, "http://a/", &key, cid, &has_cid));
	assert_true(cache_find(c, &other, &got));
	assert_int_equal(cache_entries(c), 1);
	cache_flush(c);
	assert_false(cache_find(c, &other, &got));
	assert_int_equal(cache_bytes(c), 0);
	cache_free(&c);
}

/* Data of a purged thumbnail, by its cid: nobody gets it any more. */
static void test_cid_forget(void **state UNUSED)
{
	struct cache *c = cache_new(65536);
	struct cid_claim a = claim_of(1, false);
	struct job_result r = result_of((const uint8_t *)"abc", 3), got;
	uint8_t cid[HASH_SHA1_LEN];

	clock_fake(1000);
	assert_int_equal(hash_sha1(r.bytes, r.len, cid), 0);
	cid_forget(c, cid); /* nothing there */
	cid_publish(c, &a, &r, 60000);
	assert_true(cid_find(c, cid, a.owner, &got));
	cid_forget(c, cid);
	assert_false(cid_find(c, cid, a.owner, &got));
	cid_publish(c, &a, &r, 60000);
	assert_true(cid_find(c, cid, a.owner, &got));
	cache_free(&c);
}

static void test_cid_of_bytes_that_leave(void **state UNUSED)
{
	static uint8_t big[30000];
	struct cache *c = cache_new(65536);
	struct cache_key key = key_of("http://a/", 128);
	struct cid_claim a = claim_of(1, false);
	struct job_result r = result_of(big, sizeof(big)), got;
	uint8_t cid[HASH_SHA1_LEN];
	int i;

	memset(big, 'x', sizeof(big));
	assert_int_equal(hash_sha1(big, sizeof(big), cid), 0);
	cache_store(c, &key, &r, 60000);
	for (i = 0; i < 3; i++) {
		assert_true(cache_find(c, &key, &got));
		cache_set_max(c, cache_bytes(c)); /* full */
		cid_publish(c, &a, &got, 60000);
		assert_false(cache_find(c, &key, &got));
		cache_set_max(c, 65536);
		cid_publish(c, &a, &r, 60000);
		assert_true(cid_find(c, cid, a.owner, &got));
		assert_memory_equal(got.bytes, big, sizeof(big));
		cid_publish(c, &a, &got, 60000); /* its own bytes */
		assert_true(cid_find(c, cid, a.owner, &got));
		assert_memory_equal(got.bytes, big, sizeof(big));
		cache_set_max(c, 0);
		cache_set_max(c, 65536);
		cache_store(c, &key, &r, 60000);
	}
	/* Never more than the cap, whoever publishes. */
	for (i = 0; i < 2000; i++) {
		memcpy(big, &i, sizeof(i));
		a = claim_of((uint8_t)i, i % 2);
		r.len = (size_t)(i * 7 % 3000) + 1;
		cid_publish(c, &a, &r, 60000);
		assert_true(cache_bytes(c) <= 65536);
	}
	cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_life),
		cmocka_unit_test(test_cache_lru),
		cmocka_unit_test(test_cache_outlives),
		cmocka_unit_test(test_cid_is_found_for_its_owner),
		cmocka_unit_test(test_cid_of_bytes_that_leave),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_purge),
		cmocka_unit_test(test_cid_forget),
		cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_host_asks_for_a_pause),
		cmocka_unit_test(test_host_table_is_bounded),
		cmocka_unit_test(test_listed_is_bounded),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_reply_delimited),
		cmocka_unit_test(test_reply_cache_control),
		cmocka_unit_test(test_reply_types),
		cmocka_unit_test(test_reply_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
