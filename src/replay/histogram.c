/* SPDX-License-Identifier: MIT */
/*
 * histogram - see histogram.h.
 */
#include "config.h"

#include "replay/histogram.h"

#include <math.h>

/* Below 2 * HISTOGRAM_SUB each value has its own bucket; above, HISTOGRAM_SUB a power of two. */
static size_t bucket_of(uint64_t us)
{
	unsigned log, shift;
	size_t b;

	if (us < 2 * HISTOGRAM_SUB)
		return (size_t)us;
	log = 63 - (unsigned)__builtin_clzll(us);
	shift = log - 5;
	b = (size_t)shift * HISTOGRAM_SUB + (size_t)(us >> shift);
	return MIN_OF(b, (size_t)HISTOGRAM_BUCKETS - 1);
}

uint64_t histogram_bound(size_t bucket)
{
	size_t shift;

	if (bucket < 2 * HISTOGRAM_SUB)
		return bucket;
	shift = bucket / HISTOGRAM_SUB - 1;
	return ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
	h->n[bucket_of(us)]++;
	h->count++;
	h->sum += us;
	h->max = MAX_OF(h->max, us);
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
	uint64_t want = (uint64_t)ceil(share * (double)h->count), seen = 0;
	size_t i;

	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->n[i];
		if (h->n[i] && seen >= want)
			return MIN_OF(histogram_bound(i), h->max);
	}
	return h->max;
}
