/* SPDX-License-Identifier: MIT */
/*
 * cid - see cid.h.
 */
#include "config.h"

#include "media/cid.h"

#include <string.h>

#include "base/err.h"

/* What an entry is for; no URL's key begins like this (cache_key_make() begins with a number). */
static const char data_of[] = "cid data";
static const char owner_of[] = "cid owner";
static const char owner_no_store_of[] = "cid owner no-store";

struct cid_claim cid_claim_of(const struct job *j)
{
	struct cid_claim claim = { .made = j->publishes, .no_store = j->no_store };

	memcpy(claim.owner, j->owner, sizeof(claim.owner));
	return claim;
}

/* owner may be NULL. */
static int key_make(struct cache_key *key, const char *what, const uint8_t *cid,
		    const uint8_t *owner)
{
	struct hash *h = hash_sha256_new();
	int rc = ERR_NOMEM;

	if (h && hash_update(h, what, strlen(what) + 1) == 0 &&
	    hash_update(h, cid, HASH_SHA1_LEN) == 0 &&
	    (!owner || hash_update(h, owner, JOB_OWNER_LEN) == 0))
		rc = hash_final(h, key->sum);
	hash_free(&h);
	return rc;
}

void cid_publish(struct cache *c, const struct cid_claim *claim, const struct job_result *r,
		 uint64_t ttl_ms)
{
	const struct job_result permission = { .status = JOB_OK };
	struct job_result known;
	uint8_t cid[HASH_SHA1_LEN];
	struct cache_key data, owner;
	uint64_t ttl = ttl_ms;

	if (!claim->made || !ttl_ms || hash_sha1(r->bytes, r->len, cid) ||
	    key_make(&data, data_of, cid, NULL) ||
	    key_make(&owner, claim->no_store ? owner_no_store_of : owner_of, cid, claim->owner))
		return;
	/* Nobody shortens what another one published. */
	if (cache_find(c, &data, &known))
		ttl = MAX_OF(ttl, (uint64_t)known.max_age * 1000);
	cache_store(c, &data, r, ttl);
	if (cache_find(c, &owner, &known))
		ttl_ms = MAX_OF(ttl_ms, (uint64_t)known.max_age * 1000);
	cache_store(c, &owner, &permission, ttl_ms);
}

/* Owners' entries say nothing without it; they go by their age. */
void cid_forget(struct cache *c, const uint8_t cid[HASH_SHA1_LEN])
{
	const struct job_result none = { 0 };
	struct cache_key data;

	if (key_make(&data, data_of, cid, NULL) == 0)
		cache_store(c, &data, &none, 0);
}

bool cid_find(struct cache *c, const uint8_t cid[HASH_SHA1_LEN], const uint8_t owner[JOB_OWNER_LEN],
	      struct job_result *r)
{
	struct cache_key data, keep, no_store;
	struct job_result permission = { 0 };
	bool secret;

	if (key_make(&data, data_of, cid, NULL) || key_make(&keep, owner_of, cid, owner) ||
	    key_make(&no_store, owner_no_store_of, cid, owner))
		return false;
	/* Sent both ways: the stricter one counts. */
	secret = cache_find(c, &no_store, &permission);
	if (!secret && !cache_find(c, &keep, &permission))
		return false;
	if (!cache_find(c, &data, r))
		return false;
	r->max_age = secret ? 0 : MIN_OF(r->max_age, permission.max_age);
	return true;
}
