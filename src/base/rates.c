/* SPDX-License-Identifier: MIT */
/*
 * rates - see rates.h.
 */
#include "config.h"

#include "base/rates.h"

#define SET 8 /* cells that a hash may have */

static struct rates_cell own[RATES_CELLS];
static struct rates_cell *cells = own;

void rates_map(struct rates_cell *mapped)
{
	cells = mapped ? mapped : own;
}

/* The hash's cell; with make, one that counts nothing becomes its own. NULL: none. */
static struct rates_cell *cell_of(uint64_t hash, uint64_t now, bool make)
{
	struct rates_cell *set = &cells[hash & (RATES_CELLS - SET)];
	unsigned i;

	for (i = 0; i < SET; i++)
		if (__atomic_load_n(&set[i].hash, __ATOMIC_ACQUIRE) == hash)
			return &set[i];
	for (i = 0; i < SET && make; i++) {
		uint64_t old = __atomic_load_n(&set[i].hash, __ATOMIC_ACQUIRE);

		if (old && __atomic_load_n(&set[i].full, __ATOMIC_RELAXED) > now)
			continue;
		if (__atomic_compare_exchange_n(&set[i].hash, &old, hash, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return &set[i];
	}
	return NULL;
}

static bool set_is_full(uint64_t hash, uint64_t now)
{
	const struct rates_cell *set = &cells[hash & (RATES_CELLS - SET)];
	unsigned i;

	for (i = 0; i < SET; i++)
		if (__atomic_load_n(&set[i].full, __ATOMIC_RELAXED) <= now)
			return false;
	return true;
}

bool rates_has(uint64_t hash, uint32_t count, uint32_t per_ms, int64_t now_us, bool take)
{
	uint64_t now = (uint64_t)now_us, whole = (uint64_t)per_ms * 1000, full, from;
	uint64_t one = count ? MAX_OF(whole / count, (uint64_t)1) : 0;
	struct rates_cell *c;

	if (!count || !per_ms)
		return true;
	hash = hash ? hash : 1;
	c = cell_of(hash, now, take);
	if (!c)
		return !take && !set_is_full(hash, now);
	full = __atomic_load_n(&c->full, __ATOMIC_RELAXED);
	do {
		from = MAX_OF(full, now);
		if (from + one > now + whole)
			return false;
		if (!take)
			return true;
	} while (!__atomic_compare_exchange_n(&c->full, &full, from + one, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}
