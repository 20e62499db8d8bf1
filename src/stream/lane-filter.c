/* SPDX-License-Identifier: MIT */
/*
 * lane-filter - a unit that was kept whole meets the filters: in whose name, for how long it may
 * wait, how large it may become.
 *
 * Puts nothing out: lane.c puts the entry where the unit stood, lane-hold.c lets it go.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "stream/lane-inside.h"
#include "stream/tracing.h"
#include "xmpp/ns.h"

#define HOLD_MAX_MS 10000 /* whatever the configuration says */
#define QUICK_MS    100   /* wait for an answer from the cache when the budget is used up */
#define FINAL_SPARE 4096  /* what servers on the way may add to a stanza of the largest size */

bool lane_may_read(const struct lane *l, size_t len)
{
	const struct conf_limits *c = lane_limits(l);

	if (len > l->both->listen->max_stanza) {
		counter_inc(METRIC_UNITS_SIZE);
		return false;
	}
	if (l->framer.max_depth > c->depth || l->framer.max_attributes > c->attributes ||
	    l->framer.elements > c->elements) {
		counter_inc(METRIC_UNITS_SHAPE);
		return false;
	}
	return true;
}

/*
 * Whose unit it is: on a client's stream what the server said; where stanzas carry a `from` that
 * the receiving side checks (s2c, components, servers) that one. NULL: unknown.
 */
static const char *lane_from(struct lane *l, struct fifo_entry *e)
{
	struct tag_span raw;
	struct tag t;

	if (l->dir == LANE_C2S && strcmp(nsctx_default(l->ctx), NS_COMPONENT) != 0 &&
	    strcmp(nsctx_default(l->ctx), NS_SERVER) != 0)
		return l->both->jid;
	if (tag_read(&t, e->bytes.p, lane_tag_len(e->bytes.p, e->bytes.len)))
		return NULL;
	raw = tag_attr(&t, "from");
	if (!raw.p)
		return NULL;
	e->from = malloc(raw.len + 1);
	if (!e->from || tag_text(raw, e->from, raw.len + 1))
		return NULL;
	return e->from;
}

/* Bytes that an edited unit may have. */
static size_t lane_max_final(const struct lane *l)
{
	size_t max = lane_limits(l)->final_stanza;
	size_t seen = l->both->max_bytes;

	if (l->dir == LANE_C2S && seen)
		max = MIN_OF(max, seen > FINAL_SPARE ? seen - FINAL_SPARE : 0);
	return max;
}

/* From now on, for as long as the configuration and the budget allow. */
static void lane_set_deadline(const struct lane *l, struct fifo_entry *e)
{
	const struct conf_listen *c = l->both->listen;
	uint32_t left =
		fifo_budget(l->fifo, lane_limits(l)->hold_budget, lane_limits(l)->hold_window);
	uint32_t hold = MIN_OF(l->dir == LANE_C2S ? c->hold : c->hold_s2c, HOLD_MAX_MS);

	e->cached_only = left == 0;
	e->since = clock_now();
	e->deadline = e->since + (left ? MIN_OF(hold, left) : MIN_OF(hold, QUICK_MS));
}

struct fifo_entry *lane_filter(struct lane *l, const uint8_t *p, size_t len)
{
	struct chain_input in = {
		.kind = (enum unit_kind)l->kind,
		.dir = (enum lane_dir)l->dir,
		.len = len,
		.ctx = l->ctx,
	};
	struct fifo_entry *e;
	enum chain_result r;

	if (!l->fifo)
		l->fifo = fifo_new();
	if (!l->fifo || l->fifo->units >= FIFO_UNITS_MAX)
		return NULL;
	e = fifo_entry_new(l, p, len);
	if (!e)
		return NULL;
	lane_set_deadline(l, e);
	in.bytes = e->bytes.p;
	in.from = lane_from(l, e);
	in.connection = l->both->connection;
	in.max_final = lane_max_final(l);
	in.cached_only = e->cached_only;
	in.host_unit = e;
	if (UNLIKELY(tracing_on != NULL))
		tracing_take(e);
	e->waiting = true; /* a job may be started for it from now on */
	r = chain_run(l->both->chain, &in, &e->unit);
	e->waiting = r == CHAIN_WAIT;
	e->edited = r == CHAIN_EDITED;
	if (UNLIKELY(e->traced))
		tracing_judged(e, r);
	if (r == CHAIN_PASS)
		fifo_entry_free(&e);
	return e;
}
