/* SPDX-License-Identifier: MIT */
/*
 * cache - see cache.h.
 */
#include "config.h"

#include "media/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/list.h"

#define BUCKETS 8192

struct entry {
	struct list lru;    /* most recent first */
	struct list bucket; /* of its hash */
	struct list twins;  /* bucket of its content; alone: it has none */
	struct cache_key key;
	struct cache_key content;    /* of what it was made of */
	struct validator *validator; /* owned; NULL: none */
	int64_t expires;
	struct job_result result; /* bytes point behind the entry */
	uint8_t bytes[];
};

struct cache {
	size_t max;
	size_t bytes;
	size_t entries;
	struct list lru;
	struct list buckets[BUCKETS];
	struct list contents[BUCKETS];
};

/* What the keys of a URL begin with: no plain digest of it, since keys are seen by Redis. */
static int url_sum(const char *url, uint8_t out[HASH_SHA256_LEN])
{
	static const char what[] = "inset url ";
	struct hash *h = hash_sha256_new();
	int rc = ERR_NOMEM;

	if (h && hash_update(h, what, sizeof(what)) == 0 && hash_update(h, url, strlen(url)) == 0)
		rc = hash_final(h, out);
	hash_free(&h);
	return rc;
}

int cache_key_make(struct cache_key *key, const char *url, const struct job *j)
{
	struct hash *h = hash_sha256_new();
	uint8_t sum[HASH_SHA256_LEN];
	char rest[96];
	int n = snprintf(rest, sizeof(rest), "%u %u %u %u %llu ", (unsigned)j->output, j->width,
			 j->height, j->max_bytes, (unsigned long long)j->fetch_max);
	int rc = ERR_NOMEM;

	if (h && hash_update(h, rest, (size_t)n) == 0 && hash_update(h, url, strlen(url)) == 0)
		rc = hash_final(h, key->sum);
	hash_free(&h);
	if (!rc)
		rc = url_sum(url, sum);
	if (!rc)
		memcpy(key->sum, sum, CACHE_KEY_URL);
	return rc;
}

int cache_content_key_make(struct cache_key *key, const uint8_t sha256[HASH_SHA256_LEN],
			   const struct job *j)
{
	uint8_t text[HASH_SHA256_LEN + 64];
	int n = snprintf((char *)text, 64, "%u %u %u %u ", (unsigned)j->output, j->width, j->height,
			 j->max_bytes);

	memcpy(text + n, sha256, HASH_SHA256_LEN);
	return hash_sha256(text, (size_t)n + HASH_SHA256_LEN, key->sum);
}

/* The digest is as good as random, and the URL's author cannot choose it cheaply enough to matter.
 */
static struct list *bucket_of(struct list buckets[BUCKETS], const struct cache_key *key)
{
	return &buckets[(key->sum[0] << 8 | key->sum[1]) % BUCKETS];
}

static size_t entry_size(const struct entry *e)
{
	return sizeof(*e) + e->result.len + (e->validator ? sizeof(*e->validator) : 0);
}

struct cache *cache_new(size_t max)
{
	struct cache *c = calloc(1, sizeof(*c));
	size_t i;

	if (!c)
		return NULL;
	c->max = max;
	list_init(&c->lru);
	for (i = 0; i < BUCKETS; i++) {
		list_init(&c->buckets[i]);
		list_init(&c->contents[i]);
	}
	return c;
}

static void entry_drop(struct cache *c, struct entry *e)
{
	list_remove(&e->lru);
	list_remove(&e->bucket);
	list_remove(&e->twins);
	c->bytes -= entry_size(e);
	c->entries--;
	free(e->validator);
	free(e);
}

static void cache_shrink(struct cache *c, size_t max)
{
	while (c->bytes > max)
		entry_drop(c, CONTAINER_OF(c->lru.prev, struct entry, lru));
}

static void cache_count(const struct cache *c)
{
	counter_set(METRIC_CACHE_BYTES, c->bytes);
	counter_set(METRIC_CACHE_ENTRIES, c->entries);
}

void cache_free(struct cache **c)
{
	if (!*c)
		return;
	cache_shrink(*c, 0);
	free(*c);
	*c = NULL;
}

void cache_set_max(struct cache *c, size_t max)
{
	c->max = max;
	cache_shrink(c, max);
	cache_count(c);
}

static struct entry *entry_find(struct cache *c, const struct cache_key *key)
{
	struct list *bucket = bucket_of(c->buckets, key);
	struct list *i;

	LIST_EACH(i, bucket) {
		struct entry *e = CONTAINER_OF(i, struct entry, bucket);

		if (memcmp(&e->key, key, sizeof(*key)) == 0)
			return e;
	}
	return NULL;
}

/* Fills *r; the entry is in use again. */
static void entry_use(struct cache *c, struct entry *e, struct job_result *r)
{
	list_remove(&e->lru);
	list_add_head(&c->lru, &e->lru);
	*r = e->result;
	r->from_cache = true;
	r->max_age = (uint32_t)(MAX_OF(e->expires - clock_now(), 0) / 1000);
}

bool cache_find(struct cache *c, const struct cache_key *key, struct job_result *r)
{
	struct entry *e = entry_find(c, key);

	if (!e)
		return false;
	if (e->expires <= clock_now()) {
		if (!e->validator && list_is_empty(&e->twins)) {
			entry_drop(c, e);
			cache_count(c);
		}
		return false;
	}
	entry_use(c, e, r);
	return true;
}

bool cache_find_known(struct cache *c, const struct cache_key *key, struct job_result *r,
		      struct validator *v)
{
	struct entry *e = entry_find(c, key);

	if (!e || !e->validator)
		return false;
	*v = *e->validator;
	entry_use(c, e, r);
	return true;
}

bool cache_find_content(struct cache *c, const struct cache_key *content, struct job_result *r)
{
	struct list *bucket = bucket_of(c->contents, content);
	struct list *i;

	LIST_EACH(i, bucket) {
		struct entry *e = CONTAINER_OF(i, struct entry, twins);

		if (memcmp(&e->content, content, sizeof(*content)) != 0)
			continue;
		entry_use(c, e, r);
		r->from_cache = false;
		return true;
	}
	return false;
}

/* NULL: cannot be kept. */
static struct entry *entry_new(const struct cache *c, const struct cache_key *key,
			       const struct job_result *r, uint64_t ttl_ms,
			       const struct validator *v)
{
	size_t size = sizeof(struct entry) + r->len + (v ? sizeof(*v) : 0);
	struct entry *e = size <= c->max ? malloc(sizeof(*e) + r->len) : NULL;

	if (!e)
		return NULL;
	e->validator = v ? malloc(sizeof(*v)) : NULL;
	if (e->validator)
		*e->validator = *v;
	e->key = *key;
	e->expires = clock_now() + (int64_t)ttl_ms;
	e->result = *r;
	e->result.id = 0;
	e->result.bytes = e->bytes;
	if (r->len)
		memcpy(e->bytes, r->bytes, r->len);
	list_init(&e->lru);
	list_init(&e->bucket);
	list_init(&e->twins);
	return e;
}

/* e NULL: the key is forgotten. */
static void cache_put(struct cache *c, const struct cache_key *key, struct entry *e,
		      const struct cache_key *content)
{
	struct entry *old = entry_find(c, key);

	if (old)
		entry_drop(c, old);
	if (e) {
		cache_shrink(c, c->max - entry_size(e));
		list_add_head(&c->lru, &e->lru);
		list_add_head(bucket_of(c->buckets, key), &e->bucket);
		if (content) {
			e->content = *content;
			list_add_head(bucket_of(c->contents, content), &e->twins);
		}
		c->bytes += entry_size(e);
		c->entries++;
	}
	cache_count(c);
}

void cache_flush(struct cache *c)
{
	cache_shrink(c, 0);
	cache_count(c);
}

bool cache_purge_one(struct cache *c, const char *url, struct cache_key *key_out,
		     uint8_t cid_out[HASH_SHA1_LEN], bool *has_cid_out)
{
	struct list *i, *bucket;

	/* All profiles of a URL are in one bucket: it is chosen by what their keys share. */
	if (url_sum(url, key_out->sum))
		return false;
	bucket = bucket_of(c->buckets, key_out);
	LIST_EACH(i, bucket) {
		struct entry *e = CONTAINER_OF(i, struct entry, bucket);
		const struct job_result *r = &e->result;

		if (memcmp(&e->key, key_out, CACHE_KEY_URL) != 0)
			continue;
		*key_out = e->key;
		*has_cid_out = r->status == JOB_OK && hash_sha1(r->bytes, r->len, cid_out) == 0;
		entry_drop(c, e);
		cache_count(c);
		return true;
	}
	return false;
}

/* In both the copy comes first: what leaves may be what r was borrowed from. */
void cache_store(struct cache *c, const struct cache_key *key, const struct job_result *r,
		 uint64_t ttl_ms)
{
	cache_put(c, key, ttl_ms ? entry_new(c, key, r, ttl_ms, NULL) : NULL, NULL);
}

void cache_store_made(struct cache *c, const struct cache_key *key, const struct job_result *r,
		      uint64_t ttl_ms, const struct cache_key *content, const struct validator *v)
{
	struct entry *e = entry_new(c, key, r, ttl_ms, v && validator_is_there(v) ? v : NULL);

	cache_put(c, key, e, content);
}

size_t cache_bytes(const struct cache *c)
{
	return c->bytes;
}

size_t cache_entries(const struct cache *c)
{
	return c->entries;
}
