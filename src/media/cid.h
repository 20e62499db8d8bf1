/* SPDX-License-Identifier: MIT */
/*
 * cid - data that clients may ask for by its cid (XEP-0231), in the thumbnail cache.
 *
 * Two kinds of entries: the data under the SHA-1 of its bytes, once, and for each owner that
 * published it a small one that says so. Both are ordinary entries of the cache, which bounds
 * and ages them. Not for judging data: what comes in was judged by who made or sent it.
 *
 * Invariants
 *   - data is found only for an owner that published it
 *   - the key is computed here, from the bytes: a wrong cid cannot be planted
 */
#pragma once

#include "media/cache.h"

/* Who will publish the result of a job. */
struct cid_claim {
	bool made;     /* anybody */
	bool no_store; /* receivers are told to keep nothing */
	uint8_t owner[JOB_OWNER_LEN];
};

struct cid_claim cid_claim_of(const struct job *j);

/* The owner publishes r (status JOB_OK), whose bytes may be the cache's, for ttl_ms. They are not
 * to be used afterwards. */
void cid_publish(struct cache *c, const struct cid_claim *claim, const struct job_result *r,
		 uint64_t ttl_ms);

/* Nobody finds this data any more. */
void cid_forget(struct cache *c, const uint8_t cid[HASH_SHA1_LEN]);

/*
 * True and *r filled when the owner published that. r->max_age is how long it will be found, 0
 * if nobody is to keep it. r->bytes as with cache_find().
 */
bool cid_find(struct cache *c, const uint8_t cid[HASH_SHA1_LEN], const uint8_t owner[JOB_OWNER_LEN],
	      struct job_result *r);
