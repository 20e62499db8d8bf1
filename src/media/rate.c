/* SPDX-License-Identifier: MIT */
/*
 * rate - see rate.h.
 */
#include "config.h"

#include "media/rate.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"

#define SETS  1024
#define WAYS  8
#define TOKEN 60000 /* a token in parts, so that per_min parts a millisecond come back */

struct bucket {
	uint64_t sender;
	int64_t at; /* last look; 0: unused */
	uint64_t parts;
};

struct rate {
	struct bucket buckets[SETS][WAYS];
};

struct rate *rate_new(void)
{
	return calloc(1, sizeof(struct rate));
}

void rate_free(struct rate **r)
{
	free(*r);
	*r = NULL;
}

bool rate_take(struct rate *r, uint64_t sender, uint32_t per_min, uint32_t burst)
{
	struct bucket *set = r->buckets[hash_keyed(&sender, sizeof(sender)) % SETS];
	uint64_t full = (uint64_t)MAX_OF(burst, 1u) * TOKEN;
	struct bucket *b = &set[0];
	int64_t now = clock_now();
	size_t i;

	if (per_min == 0)
		return true;
	for (i = 0; i < WAYS; i++) {
		if (set[i].at && set[i].sender == sender) {
			b = &set[i];
			break;
		}
		if (set[i].at < b->at)
			b = &set[i];
	}
	if (i == WAYS) {
		*b = (struct bucket){ .sender = sender, .parts = full };
	} else {
		/* A day refills any bucket; more could overflow. */
		b->parts += (uint64_t)MIN_OF(now - b->at, 86400000) * per_min;
		b->parts = MIN_OF(b->parts, full);
	}
	b->at = MAX_OF(now, 1);
	if (b->parts < TOKEN)
		return false;
	b->parts -= TOKEN;
	return true;
}
