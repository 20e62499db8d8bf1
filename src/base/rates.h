/* SPDX-License-Identifier: MIT */
/*
 * rates - "so many in so long", of very many things, over all processes.
 *
 * Each thing is a hash with one cell of shared memory (counters.h hands it out), so a rate
 * outlives a reload and the process that counted. A cell is the time at which its bucket will
 * be full again (GCRA): nothing is ever swept.
 *
 * Not for exact accounting: two things whose hashes meet in 64 bits share a cell.
 *
 * Invariants
 *   - any process may write any cell; only atomics touch them
 *   - when a hash's set of cells is full of things that still count, a new thing is refused
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define RATES_CELLS 65536 /* a power of 2 */

struct rates_cell {
	uint64_t hash; /* 0: never used */
	uint64_t full; /* us of the monotonic clock: nothing is taken from then on */
};

/* RATES_CELLS, all zero at first; must outlive all calls. NULL: a table of this process's own. */
void rates_map(struct rates_cell *cells);

/*
 * Is there one left of `count` in `per_ms`? take: takes it, too. False also when so many other
 * things are counted that this one has no room.
 */
bool rates_has(uint64_t hash, uint32_t count, uint32_t per_ms, int64_t now_us, bool take);
