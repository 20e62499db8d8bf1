/* SPDX-License-Identifier: MIT */
/*
 * parcel - a result as machines hand it to each other by way of the shared cache.
 *
 * A version, fields in network order, the thumbnail, and a sum over all that and the key, so
 * that what was cut, damaged or put under another key is nothing. Not a signature: who may
 * write to the cache can make one, and so every field is judged as if a peer had sent it.
 */
#pragma once

#include "media/cache.h"

#define PARCEL_MAX (65535 + 256)

/* May this be said on behalf of other machines? Pictures, and what is the picture's own fault; not
 * what this machine's network or load did. */
bool parcel_may_hold(const struct job_result *r);

/* Bytes written to out, which has room for PARCEL_MAX; 0: cannot be. */
size_t parcel_put(uint8_t *out, const struct cache_key *key, const struct job_result *r) MUSTCHECK;

/* 0 and *r, whose bytes live in p; ERR_BAD_MESSAGE for anything that is no result of this job. */
int parcel_get(const uint8_t *p, size_t len, const struct cache_key *key, const struct job *j,
	       struct job_result *r) MUSTCHECK;
