/* SPDX-License-Identifier: MIT */
/*
 * plan - what the filters of one listener want, worked out once for all of its sessions.
 *
 * For each lane and kind of unit a flag and a list of distinct needles, so that chat which
 * no filter wants costs a table look-up. Not for what filters do: that is the chain's.
 *
 * Invariants
 *   - there is one plan for a listener of a generation, however many sessions use it
 *   - a plan does not change
 */
#pragma once

#include "filter/filter.h"

#define PLAN_FILTERS 8 /* options.def: at most so many in a listener */
#define PLAN_NEEDLES 8 /* distinct needles of one lane and kind */

struct plan_needle {
	const char *text;
	size_t len;
	size_t rare; /* where its rarest byte stands */
};

/* What the filters want of one kind of unit on one lane. */
struct plan_wish {
	bool any;
	bool always; /* a filter without needle wants it, or there are too many needles */
	unsigned needles_n;
	struct plan_needle needles[PLAN_NEEDLES];
};

struct plan {
	struct plan *next;
	unsigned refs;
	struct conf *conf;                /* one reference */
	const struct conf_listen *listen; /* borrowed from conf */
	size_t filters_n;
	const struct filter_ops *filters[PLAN_FILTERS];
	struct plan_wish wishes[2][UNIT_KIND_COUNT];
};

enum chain_want { CHAIN_NO, CHAIN_CHILD /* an iq: ask again with its first child */, CHAIN_YES };

/* The plan of this listener of this configuration: a reference, or NULL when out of memory. */
struct plan *plan_get(struct conf *conf, const struct conf_listen *listen) MUSTCHECK;
void plan_put(struct plan **p);

/* See chain_wants() and chain_has_needle() in chain.h. */
enum chain_want plan_wants(const struct plan *p, enum lane_dir dir, enum unit_kind kind,
			   enum iq_type iq, const struct tag_span *child_ns);
bool plan_has_needle(const struct plan *p, enum lane_dir dir, enum unit_kind kind,
		     const uint8_t *bytes, size_t len);

/* Does this row of this filter count under this configuration? */
bool plan_row_is_on(const struct plan *p, const struct filter_ops *ops,
		    const struct filter_want *want);
