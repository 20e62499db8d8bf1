/* SPDX-License-Identifier: MIT */
/*
 * tally - see tally.h.
 */
#include "config.h"

#include "base/tally.h"

static const uint32_t one = 1;
static struct tally private_part;
static struct tally *all = &private_part;
static struct tally *mine = &private_part;
static const uint32_t *used = &one;
static uint32_t most = 1;

void tally_map(struct tally *parts, const uint32_t *n, uint32_t max, unsigned own)
{
	BUG_ON(own >= max);
	all = parts;
	mine = &parts[own];
	used = n;
	most = max;
}

/* Each row takes other bits of the hash. */
static unsigned cell_of(uint64_t hash, unsigned row)
{
	return hash >> row * 16 & (TALLY_CELLS - 1);
}

static void tally_bump(uint64_t hash, uint32_t by)
{
	unsigned row;

	for (row = 0; row < TALLY_ROWS; row++) {
		uint32_t *v = &mine->cell[row][cell_of(hash, row)];

		__atomic_store_n(v, __atomic_load_n(v, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
	}
}

void tally_add(uint64_t hash)
{
	tally_bump(hash, 1);
}

void tally_remove(uint64_t hash)
{
	tally_bump(hash, (uint32_t)-1);
}

uint32_t tally_count(uint64_t hash)
{
	uint32_t parts = __atomic_load_n(used, __ATOMIC_RELAXED);
	uint32_t least = UINT32_MAX;
	unsigned row, i;

	parts = MIN_OF(parts, most);
	for (row = 0; row < TALLY_ROWS; row++) {
		uint32_t sum = 0;

		for (i = 0; i < parts; i++)
			sum += __atomic_load_n(&all[i].cell[row][cell_of(hash, row)],
					       __ATOMIC_RELAXED);
		least = MIN_OF(least, sum);
	}
	return least;
}
