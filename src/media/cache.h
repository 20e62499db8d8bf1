/* SPDX-License-Identifier: MIT */
/*
 * cache - results of jobs in memory, least recently used ones leave first.
 *
 * Thumbnails and failures alike, under a digest of everything that shaped them. Bounded by
 * bytes, its own book-keeping included. No I/O; time is clock_now().
 *
 * A thumbnail may outlive its time, for two uses: its validator asks the host whether it has
 * changed, and a second index finds it by the bytes that it was made of, whatever their URL.
 * entry_drop() takes an entry out of every index.
 */
#pragma once

#include <stdbool.h>

#include "base/job.h"
#include "media/freshness.h"

struct cache;

struct cache_key {
	uint8_t sum[HASH_SHA256_LEN];
};

/* The first bytes of a key are those of all keys of its URL, whatever the profile. */
#define CACHE_KEY_URL 16

/* url is canonical and without fragment. 0 or ERR_NOMEM. */
int cache_key_make(struct cache_key *key, const char *url, const struct job *j) MUSTCHECK;

/* Of the bytes of a medium and the profile, whatever its URL. 0 or ERR_NOMEM. */
int cache_content_key_make(struct cache_key *key, const uint8_t sha256[HASH_SHA256_LEN],
			   const struct job *j) MUSTCHECK;

/* NULL when out of memory. */
struct cache *cache_new(size_t max) MUSTCHECK;
void cache_free(struct cache **c);

/* Another cap; what does not fit any more leaves at once. */
void cache_set_max(struct cache *c, size_t max);

/*
 * True and *r filled (id 0, from_cache, max_age what is left of its life) when there. r->bytes
 * are borrowed: until the next call that changes the cache.
 */
bool cache_find(struct cache *c, const struct cache_key *key, struct job_result *r);

/* Copies r, whose bytes may be borrowed from here, for ttl_ms (0: forgets the key). What cannot be
 * kept is not kept. */
void cache_store(struct cache *c, const struct cache_key *key, const struct job_result *r,
		 uint64_t ttl_ms);

/*
 * The same for a thumbnail that was made of a medium: content finds it by those bytes, and v asks
 * for it again where it can; ttl_ms 0 keeps it for that alone.
 */
void cache_store_made(struct cache *c, const struct cache_key *key, const struct job_result *r,
		      uint64_t ttl_ms, const struct cache_key *content, const struct validator *v);

/*
 * A thumbnail whose host can be asked with *v whether it has changed, its time over or not.
 * r->bytes as with cache_find().
 */
bool cache_find_known(struct cache *c, const struct cache_key *key, struct job_result *r,
		      struct validator *v);

/* A thumbnail of these bytes, its time over or not; r as from the scaler. Bytes as cache_find(). */
bool cache_find_content(struct cache *c, const struct cache_key *content, struct job_result *r);

/* Forgets everything. */
void cache_flush(struct cache *c);
/*
 * Forgets one entry of this URL and says which, and the cid of its thumbnail if it had one. False:
 * there is none, or no memory to tell.
 */
bool cache_purge_one(struct cache *c, const char *url, struct cache_key *key_out,
		     uint8_t cid_out[HASH_SHA1_LEN], bool *has_cid_out) MUSTCHECK;

size_t cache_bytes(const struct cache *c);
size_t cache_entries(const struct cache *c);
