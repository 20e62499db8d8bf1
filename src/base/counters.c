/* SPDX-License-Identifier: MIT */
/*
 * counters - see counters.h.
 */
#include "config.h"

#include "base/counters.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/rates.h"
#include "base/tally.h"

/* What lies in the memfd. Pages that nobody has written take no memory. */
struct counters_pages {
	struct tally tally[COUNTERS_SLOTS]; /* first: whole pages on every machine */
	uint64_t key[2];
	uint32_t used; /* slots up to here have had a process */
	struct counters_slot slot[COUNTERS_SLOTS];
	struct rates_cell rates[RATES_CELLS];
	struct counters_process process[COUNTERS_SLOTS];
	uint64_t listeners[COUNTERS_SLOTS][COUNTERS_LISTENERS][LISTENER_FIGURE_COUNT];
	uint64_t rules[COUNTERS_SLOTS][COUNTERS_RULES][RULE_FIGURE_COUNT];
};

_Static_assert(sizeof(struct tally) % 65536 == 0, "a tally is given back by pages");

static struct counters_slot private_slot;
static struct counters_slot *all = &private_slot; /* COUNTERS_SLOTS once mapped */
static unsigned slots = 1;
static struct counters_pages *pages; /* NULL until mapped */
static unsigned own;                 /* slot */

struct counters_slot *counters_mine = &private_slot;

/*
 * No process may shorten the pages under the others, who would die of it, nor seal them against
 * those that are still to come.
 */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#define METRIC(id, t, n, l, h) [METRIC_##id] = { n, l, h, METRIC_TYPE_##t },
#define HISTOGRAM(id, name, help)
const struct metric_row metric_rows[METRIC_COUNT] = {
#include "base/metrics.def"
};
#undef METRIC
#undef HISTOGRAM

#define METRIC(id, t, n, l, h)
#define HISTOGRAM(id, n, h) [HISTOGRAM_##id] = { n, h },
const struct histogram_row histogram_rows[HISTOGRAM_COUNT] = {
#include "base/metrics.def"
};
#undef METRIC
#undef HISTOGRAM

#define RULE_FIGURE(id, k, n, t, h) [RULE_FIGURE_##id] = { k, n, h, RULE_FIGURE_TYPE_##t },
const struct rule_figure_row rule_figure_rows[RULE_FIGURE_COUNT] = {
#include "base/rule-figures.def"
};
#undef RULE_FIGURE

#define LISTENER_FIGURE(id, n, l, t, h) [LISTENER_FIGURE_##id] = { n, l, h, METRIC_TYPE_##t },
const struct listener_figure_row listener_figure_rows[LISTENER_FIGURE_COUNT] = {
#include "base/listener-figures.def"
};
#undef LISTENER_FIGURE

const unsigned histogram_bounds[HISTOGRAM_BUCKETS] = { 1,   2,   5,    10,   20,   50,   100,
						       200, 500, 1000, 2000, 3000, 5000, 10000 };

int counters_create(void)
{
	int fd = memfd_create("inset-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint64_t key[2];

	if (fd == -1)
		return -1;
	hash_random(key, sizeof(key));
	if (ftruncate(fd, (off_t)sizeof(struct counters_pages)) == -1 ||
	    pwrite(fd, key, sizeof(key), offsetof(struct counters_pages, key)) !=
		    (ssize_t)sizeof(key) ||
	    fcntl(fd, F_ADD_SEALS, SEALS) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

/* FNV-1a: nothing hostile is hashed here, and it has to come out the same in every process. */
static uint64_t layout_add(uint64_t h, const char *s)
{
	do
		h = (h ^ (uint8_t)*s) * 0x100000001b3;
	while (*s++);
	return h;
}

uint64_t counters_layout(void)
{
	uint64_t h = 0xcbf29ce484222325 + sizeof(struct counters_pages);
	int i;

	for (i = 0; i < METRIC_COUNT; i++)
		h = layout_add(layout_add(h, metric_rows[i].name), metric_rows[i].labels);
	for (i = 0; i < HISTOGRAM_COUNT; i++)
		h = layout_add(h, histogram_rows[i].name);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		h = (h ^ histogram_bounds[i]) * 0x100000001b3;
	for (i = 0; i < RULE_FIGURE_COUNT; i++)
		h = layout_add(h, rule_figure_rows[i].key);
	for (i = 0; i < LISTENER_FIGURE_COUNT; i++)
		h = layout_add(layout_add(h, listener_figure_rows[i].name),
			       listener_figure_rows[i].labels);
	h = (h ^ COUNTERS_SLOTS) * 0x100000001b3;
	h = (h ^ (offsetof(struct counters_pages, slot) * 31 +
		  offsetof(struct counters_pages, rules) * 7 +
		  offsetof(struct counters_pages, listeners))) *
	    0x100000001b3;
	return h ? h : 1;
}

bool counters_fit(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct counters_pages) &&
	       seals != -1 && (seals & SEALS) == SEALS;
}

/* Any process may have written any number there. */
static unsigned slots_used(void)
{
	uint32_t used = pages ? __atomic_load_n(&pages->used, __ATOMIC_RELAXED) : 0;

	return MIN_OF(used, (uint32_t)COUNTERS_SLOTS);
}

static void clear_gauges(struct counters_slot *slot)
{
	int m;

	for (m = 0; m < METRIC_COUNT; m++)
		if (metric_rows[m].type != METRIC_TYPE_COUNTER)
			__atomic_store_n(&slot->value[m], 0, __ATOMIC_RELAXED);
}

static void clear_listener_gauges(unsigned slot)
{
	unsigned row, f;

	for (row = 0; row < COUNTERS_LISTENERS; row++)
		for (f = 0; f < LISTENER_FIGURE_COUNT; f++)
			if (listener_figure_rows[f].type != METRIC_TYPE_COUNTER)
				__atomic_store_n(&pages->listeners[slot][row][f], 0,
						 __ATOMIC_RELAXED);
}

int counters_map(int fd, unsigned slot)
{
	uint32_t used = 0;
	void *p;

	BUG_ON(slot >= COUNTERS_SLOTS);
	p = mmap(NULL, sizeof(struct counters_pages), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return ERR_NOMEM;
	pages = p;
	all = pages->slot;
	slots = COUNTERS_SLOTS;
	own = slot;
	counters_mine = &all[slot];
	rates_map(pages->rates);
	clear_gauges(counters_mine);
	clear_listener_gauges(slot);
	while (used <= slot && !__atomic_compare_exchange_n(&pages->used, &used, slot + 1, false,
							    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	tally_map(pages->tally, &pages->used, COUNTERS_SLOTS, slot);
	return 0;
}

void counters_forget(unsigned slot)
{
	struct tally *t;

	if (!pages)
		return;
	BUG_ON(slot >= COUNTERS_SLOTS);
	clear_gauges(&all[slot]);
	clear_listener_gauges(slot);
	pages->process[slot] = (struct counters_process){ .state = COUNTERS_UNUSED };
	t = &pages->tally[slot];
	/* Gives the memory back, too; where that cannot be done zeroes do the same. */
	if (madvise(t, sizeof(*t), MADV_REMOVE) == -1)
		memset(t, 0, sizeof(*t));
}

uint64_t counters_hash(const void *p, size_t len)
{
	return pages ? hash_with(pages->key, p, len) : hash_keyed(p, len);
}

static void bump(uint64_t *v, uint64_t by)
{
	__atomic_store_n(v, __atomic_load_n(v, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

void counter_observe(enum histogram_id h, uint64_t ms)
{
	struct counters_histogram *to = &counters_mine->histogram[h];
	unsigned i = 0;

	while (i < HISTOGRAM_BUCKETS && ms > histogram_bounds[i])
		i++;
	bump(&to->bucket[i], 1);
	bump(&to->sum, ms);
	bump(&to->count, 1);
}

uint64_t counters_of(unsigned slot, enum metric m)
{
	return slot < slots ? __atomic_load_n(&all[slot].value[m], __ATOMIC_RELAXED) : 0;
}

uint64_t counters_sum(enum metric m)
{
	bool peak = metric_rows[m].type == METRIC_TYPE_PEAK;
	uint64_t sum = 0, v;
	unsigned i;

	for (i = 0; i < slots; i++) {
		v = counters_of(i, m);
		sum = peak ? MAX_OF(sum, v) : sum + v;
	}
	return sum;
}

void counters_histogram_sum(enum histogram_id h, struct counters_histogram *out)
{
	unsigned i, b;

	*out = (struct counters_histogram){ 0 };
	for (i = 0; i < slots; i++) {
		const struct counters_histogram *from = &all[i].histogram[h];

		for (b = 0; b <= HISTOGRAM_BUCKETS; b++)
			out->bucket[b] += __atomic_load_n(&from->bucket[b], __ATOMIC_RELAXED);
		out->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
		out->count += __atomic_load_n(&from->count, __ATOMIC_RELAXED);
	}
}

void counters_rule_add(unsigned row, enum rule_figure f, uint64_t by)
{
	if (!pages || row >= COUNTERS_RULES)
		return;
	if (rule_figure_rows[f].type == RULE_FIGURE_TYPE_LATEST)
		__atomic_store_n(&pages->rules[own][row][f], by, __ATOMIC_RELAXED);
	else
		bump(&pages->rules[own][row][f], by);
}

uint64_t counters_rule_sum(unsigned row, enum rule_figure f)
{
	uint64_t sum = 0, v;
	unsigned i, n = slots_used();

	for (i = 0; row < COUNTERS_RULES && i < n; i++) {
		v = __atomic_load_n(&pages->rules[i][row][f], __ATOMIC_RELAXED);
		if (rule_figure_rows[f].type == RULE_FIGURE_TYPE_LATEST)
			sum = MAX_OF(sum, v);
		else
			sum += v;
	}
	return sum;
}

void counters_rule_clear(unsigned row)
{
	unsigned i, f, n = slots_used();

	for (i = 0; row < COUNTERS_RULES && i < n; i++)
		for (f = 0; f < RULE_FIGURE_COUNT; f++)
			__atomic_store_n(&pages->rules[i][row][f], 0, __ATOMIC_RELAXED);
}

void counters_listener_add(unsigned row, enum listener_figure f, uint64_t by)
{
	if (pages && row < COUNTERS_LISTENERS)
		bump(&pages->listeners[own][row][f], by);
}

uint64_t counters_listener_sum(unsigned row, enum listener_figure f)
{
	uint64_t sum = 0;
	unsigned i, n = slots_used();

	for (i = 0; row < COUNTERS_LISTENERS && i < n; i++)
		sum += __atomic_load_n(&pages->listeners[i][row][f], __ATOMIC_RELAXED);
	/* A session may outlive its listener by so many generations that its row is another's. */
	return sum > INT64_MAX ? 0 : sum;
}

void counters_listener_clear(unsigned row)
{
	unsigned i, f, n = slots_used();

	for (i = 0; row < COUNTERS_LISTENERS && i < n; i++)
		for (f = 0; f < LISTENER_FIGURE_COUNT; f++)
			__atomic_store_n(&pages->listeners[i][row][f], 0, __ATOMIC_RELAXED);
}

void counters_process_set(unsigned slot, const struct counters_process *p)
{
	BUG_ON(slot >= COUNTERS_SLOTS);
	if (pages)
		pages->process[slot] = *p;
}

bool counters_process_get(unsigned slot, struct counters_process *out)
{
	if (!pages || slot >= COUNTERS_SLOTS)
		return false;
	*out = pages->process[slot];
	return out->state != COUNTERS_UNUSED && out->state < COUNTERS_PROCESS_STATES;
}
