/* SPDX-License-Identifier: MIT */
/*
 * stall - see stall.h.
 */
#include "config.h"

#include "base/stall.h"

#include "base/clock.h"
#include "base/counters.h"

static const struct {
	enum metric stalls;
	enum metric longest;
} rows[ROLE_COUNT] = {
	[ROLE_MASTER] = { METRIC_STALLS_MASTER, METRIC_STALL_MAX_MASTER },
	[ROLE_PROXY] = { METRIC_STALLS_PROXY, METRIC_STALL_MAX_PROXY },
	[ROLE_MEDIA] = { METRIC_STALLS_MEDIA, METRIC_STALL_MAX_MEDIA },
	[ROLE_WEB] = { METRIC_STALLS_WEB, METRIC_STALL_MAX_WEB },
	[ROLE_BOX] = { METRIC_STALLS_BOX, METRIC_STALL_MAX_BOX },
	[ROLE_SCALER] = { METRIC_STALLS_SCALER, METRIC_STALL_MAX_SCALER },
};

static enum role own;
static int64_t longest;

void stall_open(enum role role)
{
	BUG_ON(role >= ROLE_COUNT);
	own = role;
	longest = 0;
	(void)clock_end_turn(); /* what came before was no turn */
}

void stall_observe(int64_t ms)
{
	if (ms > longest) {
		longest = ms;
		counter_set(rows[own].longest, (uint64_t)ms);
	}
	if (ms <= STALL_MS)
		return;
	counter_inc(rows[own].stalls);
	counter_observe(HISTOGRAM_LOOP_STALL, (uint64_t)ms);
}

void stall_end_of_turn(void)
{
	stall_observe(clock_end_turn());
}
