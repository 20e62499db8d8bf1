/* SPDX-License-Identifier: MIT */
/*
 * tally - how many there are now of each of very many things, over all processes.
 *
 * Made for "sessions of one address": each process counts what it has in a part of its own
 * of shared memory (counters.h hands it out), a question adds up all parts. Nothing is ever
 * looked up, stored by name or thrown out: a thing is its hash, and the hash picks one cell
 * in each of TALLY_ROWS rows (a count-min sketch).
 *
 * Not for exact figures: an answer may be too large when a thing shares its cell with others
 * in every row, never too small.
 *
 * Invariants
 *   - a single writer per part; relaxed atomics
 *   - what a process added is gone when its part is cleared
 */
#pragma once

#include "base/util.h"

#define TALLY_ROWS  4
#define TALLY_CELLS 16384 /* a power of 2 */

/* One process's part. All zero: counts nothing. */
struct tally {
	uint32_t cell[TALLY_ROWS][TALLY_CELLS];
};

/*
 * `max` parts lie one behind the other, the first *n are in use, `own` is the caller's. They must
 * outlive all calls. Parts that are not in use are not touched: reading takes memory, too. *n may
 * be anything: others write it.
 */
void tally_map(struct tally *parts, const uint32_t *n, uint32_t max, unsigned own);

void tally_add(uint64_t hash);
/* What was added before. */
void tally_remove(uint64_t hash);
/* Over all processes. */
uint32_t tally_count(uint64_t hash);
