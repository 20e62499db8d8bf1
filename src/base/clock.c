/* SPDX-License-Identifier: MIT */
/*
 * clock - see clock.h.
 */
#include "config.h"

#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

static int64_t cached;
static bool faked;

int64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_update(void)
{
	if (!faked)
		cached = clock_us() / 1000;
}

int64_t clock_now(void)
{
	if (cached == 0)
		clock_update();
	return cached;
}

void clock_fake(int64_t ms)
{
	faked = true;
	cached = ms;
}

int64_t clock_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}
