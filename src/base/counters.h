/* SPDX-License-Identifier: MIT */
/*
 * counters - figures in shared pages.
 *
 * The master makes one memfd with a fixed number of slots; each process writes its own
 * slot and `web` reads them all, so no figure is lost when a process dies. A restarted
 * process takes its predecessor's slot: counters go on, gauges start at 0. So does any other
 * process in a slot that nobody writes any more: a new insetd that takes over (master/upgrade.h)
 * goes on with the old one's pages, if the layout is the same. Single writer per slot, relaxed
 * atomics; before counters_map() everything goes to a private slot. The same memory carries a tally
 * (tally.h) for each slot, the key of its hashes, the cells of rates (rates.h), and for each slot
 * the figures of rules (rule-figures.def) and of listeners (listener-figures.def). Which row of
 * these is whose, the configuration says.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

enum metric {
#define METRIC(id, type, name, labels, help) METRIC_##id,
#define HISTOGRAM(id, name, help)
#include "base/metrics.def"
#undef METRIC
#undef HISTOGRAM
	METRIC_COUNT
};

enum histogram_id {
#define METRIC(id, type, name, labels, help)
#define HISTOGRAM(id, name, help) HISTOGRAM_##id,
#include "base/metrics.def"
#undef METRIC
#undef HISTOGRAM
	HISTOGRAM_COUNT
};

/* PEAK: a gauge of which the largest counts, the others are added up. */
enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_PEAK };

enum rule_figure {
#define RULE_FIGURE(id, key, name, type, help) RULE_FIGURE_##id,
#include "base/rule-figures.def"
#undef RULE_FIGURE
	RULE_FIGURE_COUNT
};

/* LATEST: the largest counts, the others are added up. */
enum rule_figure_type { RULE_FIGURE_TYPE_COUNTER, RULE_FIGURE_TYPE_LATEST };

enum listener_figure {
#define LISTENER_FIGURE(id, name, labels, type, help) LISTENER_FIGURE_##id,
#include "base/listener-figures.def"
#undef LISTENER_FIGURE
	LISTENER_FIGURE_COUNT
};

/* Rows for listeners: some generations of as many as there may be. */
#define COUNTERS_LISTENERS 256
/* Rows for rules: two generations of as many rules as there may be. */
#define COUNTERS_RULES 8192
/* A master, web, media, scaler, box and up to 64 proxies; twice, and some for older ones. */
#define COUNTERS_SLOTS    160
#define HISTOGRAM_BUCKETS 14

struct counters_histogram {
	uint64_t bucket[HISTOGRAM_BUCKETS + 1]; /* not cumulative; the last is +Inf */
	uint64_t sum;
	uint64_t count;
};

struct counters_slot {
	uint64_t value[METRIC_COUNT];
	struct counters_histogram histogram[HISTOGRAM_COUNT];
};

/* This process's slot; never NULL. */
extern struct counters_slot *counters_mine;

/* A new memfd for all slots, or -1. The caller owns the descriptor. */
int counters_create(void) MUSTCHECK;

/* What the pages of this program look like: another number, another layout. Never 0. */
uint64_t counters_layout(void);
/* Could the descriptor be such pages, judged from outside? */
bool counters_fit(int fd);

/* Maps all slots and writes into `slot` from now on; its gauges become 0. 0 or ERR_*. fd stays the
 * caller's. */
int counters_map(int fd, unsigned slot) MUSTCHECK;

/* The process that wrote this slot has ended: its gauges become 0, its tally and its row
 * of processes are cleared. */
void counters_forget(unsigned slot);

/* A keyed hash that is the same in all processes that share the pages. */
uint64_t counters_hash(const void *p, size_t len);

static inline void counter_add(enum metric m, uint64_t by)
{
	uint64_t *v = &counters_mine->value[m];

	__atomic_store_n(v, __atomic_load_n(v, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

static inline void counter_inc(enum metric m)
{
	counter_add(m, 1);
}

/* Gauges. */
static inline void counter_dec(enum metric m)
{
	counter_add(m, (uint64_t)-1);
}

static inline void counter_set(enum metric m, uint64_t value)
{
	__atomic_store_n(&counters_mine->value[m], value, __ATOMIC_RELAXED);
}

void counter_observe(enum histogram_id h, uint64_t ms);

/* --- rules: of the mapped pages; before counters_map() nothing is counted ---------------- */

/* LATEST is set to `by`. */
void counters_rule_add(unsigned row, enum rule_figure f, uint64_t by);
/* Over all slots. */
uint64_t counters_rule_sum(unsigned row, enum rule_figure f);
/* All slots' figures of a row become 0: for a row that becomes another rule's. */
void counters_rule_clear(unsigned row);

/* --- listeners: the same ----------------------------------------------------------------- */

/* Gauges are taken from with (uint64_t)-1. */
void counters_listener_add(unsigned row, enum listener_figure f, uint64_t by);
uint64_t counters_listener_sum(unsigned row, enum listener_figure f);
void counters_listener_clear(unsigned row);

struct listener_figure_row {
	const char *name;
	const char *labels;
	const char *help;
	enum metric_type type;
};
extern const struct listener_figure_row listener_figure_rows[LISTENER_FIGURE_COUNT];

/* --- processes: what the master says of them, for the status page -------------------------- */

enum counters_process_state {
	COUNTERS_UNUSED,
	COUNTERS_DOWN,
	COUNTERS_STARTING,
	COUNTERS_UP,
	COUNTERS_ENDING,
	COUNTERS_PROCESS_STATES
};

struct counters_process {
	uint32_t role; /* enum role */
	uint32_t index;
	uint32_t pid;
	uint32_t state;
	uint32_t restarts;
	int64_t since; /* seconds since 1970; 0: it does not run */
};

/* By the master alone. Who reads meanwhile may see half of it. */
void counters_process_set(unsigned slot, const struct counters_process *p);
/* False: nothing runs in that slot, nor is anything to. */
bool counters_process_get(unsigned slot, struct counters_process *out);

struct rule_figure_row {
	const char *key;
	const char *name;
	const char *help;
	enum rule_figure_type type;
};
extern const struct rule_figure_row rule_figure_rows[RULE_FIGURE_COUNT];

/* Over all slots: the sum, or the largest. Reads the private slot where nothing is mapped. */
uint64_t counters_sum(enum metric m);
uint64_t counters_of(unsigned slot, enum metric m);
void counters_histogram_sum(enum histogram_id h, struct counters_histogram *out);

/* Rows of metrics.def, for output. labels is "" where there are none. */
struct metric_row {
	const char *name;
	const char *labels;
	const char *help;
	enum metric_type type;
};
extern const struct metric_row metric_rows[METRIC_COUNT];
struct histogram_row {
	const char *name;
	const char *help;
};
extern const struct histogram_row histogram_rows[HISTOGRAM_COUNT];
extern const unsigned histogram_bounds[HISTOGRAM_BUCKETS];
