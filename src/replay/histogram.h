/* SPDX-License-Identifier: MIT */
/*
 * histogram - how often which time was seen, in microseconds, to about 3 % at every scale.
 *
 * Fixed size, no allocation; 1 us to 19 hours.
 */
#pragma once

#include "base/util.h"

#define HISTOGRAM_SUB     32 /* parts of a power of two */
#define HISTOGRAM_BUCKETS (32 * HISTOGRAM_SUB)

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t n[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t us);
/* The time that this share (0 to 1) of them did not exceed; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double share);
/* Largest time of a bucket. */
uint64_t histogram_bound(size_t bucket);
