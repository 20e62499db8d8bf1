/* SPDX-License-Identifier: MIT */
/*
 * freshness - how long an HTTP response may be kept, and how to ask whether it has changed.
 *
 * Cache-Control, Expires, Age, Date, ETag, Last-Modified and Retry-After (RFC 9110, 9111), as a
 * shared cache reads them. What is malformed makes a life shorter, never longer. Pure: the
 * caller says what time it is.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define FRESHNESS_NONE     UINT32_MAX /* seconds: nothing was said */
#define FRESHNESS_ETAG_MAX 127

/* With what a response can be asked for again; "" where it has none. Safe to be sent back. */
struct validator {
	uint32_t life;  /* seconds that were said with it, or FRESHNESS_NONE */
	uint64_t where; /* keyed hash of the URL it is of: a validator means nothing elsewhere */
	char etag[FRESHNESS_ETAG_MAX + 1];
	char modified[40];
};

struct freshness {
	bool no_store;    /* no-store or private: not to be kept at all */
	bool no_cache;    /* to be kept, but asked for each time */
	uint32_t max_age; /* seconds, or FRESHNESS_NONE */
	uint32_t s_maxage;
	uint32_t age;
	uint32_t retry;     /* Retry-After in seconds, or FRESHNESS_NONE */
	int64_t retry_date; /* Retry-After as a date, in seconds since 1970; -1: none */
	int64_t date;       /* the same */
	int64_t expires;    /* the same; 0, long ago, when it is no date */
	struct validator validator;
};

void freshness_init(struct freshness *f);

/* A header field, value without blanks around it; others than the above are passed over. */
void freshness_add(struct freshness *f, const char *name, size_t name_len, const char *value,
		   size_t len);

/* Seconds of life that are left, or FRESHNESS_NONE when nothing was said. now: since 1970. */
uint32_t freshness_life(const struct freshness *f, int64_t now);

/* Seconds for which the host wants to be left alone; 0: it did not say. */
uint32_t freshness_retry(const struct freshness *f, int64_t now);

/* Can it be asked whether this has changed? */
bool validator_is_there(const struct validator *v);
