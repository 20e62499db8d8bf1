/* SPDX-License-Identifier: MIT */
/*
 * clock - see clock.h.
 */
#include "config.h"

#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

static int64_t cached;
static int64_t turn; /* when this one began; 0: nothing ran yet */
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
	if (!turn)
		turn = cached;
}

void clock_begin_turn(void)
{
	if (!turn)
		clock_update();
}

int64_t clock_end_turn(void)
{
	int64_t ms = turn ? (faked ? cached : clock_us() / 1000) - turn : 0;

	turn = 0;
	return ms;
}

int64_t clock_now(void)
{
	if (cached == 0) /* before the first turn */
		cached = clock_us() / 1000;
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
