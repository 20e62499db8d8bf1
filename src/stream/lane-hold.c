/* SPDX-License-Identifier: MIT */
/*
 * lane-hold - units that wait, headers that wait for their features, and how both leave. See
 * lane.h.
 *
 * lane.c walks the bytes, lane-filter.c says for how long a unit may wait; this file lets the FIFO
 * go.
 */
#include "config.h"

#include "stream/lane-inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "stream/record.h"
#include "stream/tracing.h"

#define HOLD_PIECES 8
#define PRELUDE_MAX 65536 /* a header and the beginning of features */

static const struct prelude *lane_prelude(const struct lane *l)
{
	return l->dir == LANE_S2C ? l->both->prelude : NULL;
}

/* --- leaving ----------------------------------------------------------------------------- */

static void lane_put_out(struct lane *l, const struct iovec *v, int n)
{
	if (UNLIKELY(l->both->record != NULL))
		record_bytes(l->both->record, (enum lane_dir)l->dir, CAPTURE_AFTER, l->both->opaque,
			     v, n);
	l->blocked = !l->both->ops->emit(l->both->ctx, (enum lane_dir)l->dir, v, n);
}

/* The header that waited, and these behind it. */
static void lane_emit_prelude(struct lane *l, const struct iovec *v, int n)
{
	struct prelude *prelude = l->both->prelude;
	struct iovec all[1 + HOLD_PIECES];

	BUG_ON(n > HOLD_PIECES);
	all[0] = (struct iovec){ .iov_base = prelude->bytes, .iov_len = prelude->len };
	if (n)
		memcpy(all + 1, v, sizeof(*v) * (size_t)n);
	l->both->prelude = NULL;
	l->awaits = false;
	lane_put_out(l, all, n + 1);
	free(prelude);
}

void lane_emit(struct lane *l, const struct iovec *v, int n)
{
	if (UNLIKELY(l->both->prelude) && l->dir == LANE_S2C)
		lane_emit_prelude(l, v, n);
	else
		lane_put_out(l, v, n);
}

void lane_await(struct lane *l, const struct iovec *v, int n)
{
	struct prelude *old = l->both->prelude, *new;
	size_t had = old ? old->len : 0, len = had;
	int i;

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	new = len <= PRELUDE_MAX ? realloc(old, sizeof(*new) + len) : NULL;
	if (!new) {
		lane_emit(l, v, n);
		return;
	}
	for (i = 0, len = had; i < n; len += v[i++].iov_len)
		memcpy(new->bytes + len, v[i].iov_base, v[i].iov_len);
	new->len = len;
	if (!old)
		new->until = clock_now() + lane_limits(l)->features_wait;
	l->both->prelude = new;
}

void lane_await_end(struct lane *l)
{
	l->awaits = false;
	if (l->both->prelude && l->dir == LANE_S2C)
		lane_emit_prelude(l, NULL, 0);
}

static void lane_resolved(struct fifo_entry *e)
{
	struct lane *l = e->lane;

	if (!e->waiting)
		return;
	e->waiting = false;
	counter_dec(METRIC_HELD_UNITS);
	counter_observe(HISTOGRAM_HOLD, (uint64_t)(clock_now() - e->since));
	if (UNLIKELY(e->traced))
		tracing_leaves(e);
	l->both->ops->unhold(l->both->ctx, e);
	if (!e->edited)
		chain_unit_free(&e->unit);
}

/* Lets the FIFO's head leave as far as it is resolved and there is room (or force). */
static void lane_drain(struct lane *l, bool force)
{
	struct fifo_entry *gone[HOLD_PIECES];
	struct iovec v[HOLD_PIECES];
	int n, i;

	if (!l->fifo)
		return;
	do {
		struct fifo_entry *e;

		for (n = 0; n < HOLD_PIECES && (force || !l->blocked); n++) {
			size_t len;

			e = fifo_head(l->fifo);
			if (!e || e->waiting)
				break;
			fifo_remove(l->fifo, e);
			v[n].iov_base = (void *)(uintptr_t)fifo_entry_bytes(e, &len);
			v[n].iov_len = len;
			gone[n] = e;
		}
		if (n)
			lane_emit(l, v, n);
		for (i = 0; i < n; i++)
			fifo_entry_free(&gone[i]);
	} while (n == HOLD_PIECES);
	fifo_note(l->fifo, lane_limits(l)->hold_window);
}

static void lane_take_result(struct fifo_entry *e, enum chain_result r)
{
	if (r == CHAIN_WAIT)
		return;
	e->edited = r == CHAIN_EDITED;
	lane_resolved(e);
	lane_drain(e->lane, false);
}

void lane_result(struct fifo_entry *e, const struct job_result *r)
{
	bool traced = e->waiting && UNLIKELY(e->traced);

	if (traced)
		tracing_result(e, r);
	if (e->waiting)
		lane_take_result(e, chain_unit_result(e->unit, r));
	if (traced)
		tracing_done(); /* e may be gone */
}

void lane_give_up(struct fifo_entry *e)
{
	if (e->waiting)
		lane_take_result(e, CHAIN_PASS);
}

void lane_release(struct lane *l)
{
	struct list *it;

	lane_await_end(l);
	if (!l->fifo)
		return;
	LIST_EACH(it, &l->fifo->entries)
		lane_resolved(CONTAINER_OF(it, struct fifo_entry, link));
	lane_drain(l, true);
}

void lane_expire(struct lane *l)
{
	int64_t at;

	while ((at = lane_deadline(l)) && at <= clock_now()) {
		if (lane_prelude(l))
			lane_await_end(l);
		else
			lane_give_up(fifo_head(l->fifo));
	}
}

void lane_resume(struct lane *l)
{
	l->blocked = false;
	lane_drain(l, false);
}

int64_t lane_deadline(const struct lane *l)
{
	const struct fifo_entry *e = l->fifo ? fifo_head(l->fifo) : NULL;

	if (UNLIKELY(lane_prelude(l) != NULL))
		return lane_prelude(l)->until;
	return e && e->waiting ? e->deadline : 0;
}

bool lane_is_drained(const struct lane *l)
{
	return !l->fifo || list_is_empty(&l->fifo->entries);
}

bool lane_is_full(const struct lane *l)
{
	return l->fifo && l->fifo->bytes >= lane_limits(l)->held_bytes;
}

bool lane_is_quiet(const struct lane *l)
{
	if (!l->headed || l->closed || l->eof || l->both->opaque)
		return false;
	if (!lane_is_drained(l)) /* entries begin and end, but for the last, between units */
		return true;
	return l->mode != LANE_PASS && !l->torn;
}
