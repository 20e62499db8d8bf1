/* SPDX-License-Identifier: MIT */
/*
 * turn - see turn.h.
 */
#include "config.h"

#include "media/turn.h"

#include "base/clock.h"
#include "base/counters.h"

static int64_t began; /* ms; 0: nothing ran yet in this turn */
static int64_t longest;

void turn_begin(void)
{
	clock_update();
	if (!began)
		began = clock_now();
}

void turn_end(void)
{
	int64_t ms = began ? clock_us() / 1000 - began : 0;

	began = 0;
	if (ms <= longest)
		return;
	longest = ms;
	counter_set(METRIC_LOOP_STALL_MAX, (uint64_t)ms);
}
