/* SPDX-License-Identifier: MIT */
/*
 * lane - see lane.h.
 *
 * A chunk is walked once. Bytes that may leave form a run, which leaves in one emit() at
 * the chunk's end:
 *
 *   pending            |            chunk
 *   <message><bo       |dy/></message><r/><mess
 *                       ^run           ^done   ^tail, becomes pending
 *
 * kept says that pending (followed by the chunk from run on) is still to leave.
 */
#include "config.h"

#include "stream/lane-inside.h"

#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "stream/compress.h"
#include "stream/features.h"
#include "stream/learn.h"
#include "stream/record.h"
#include "stream/slots.h"
#include "stream/tracing.h"
#include "xmpp/ns.h"

#define FEED_PIECES 8
#define TLS_RECORD  0x16 /* first byte of a TLS handshake */

/* One call of lane_feed(). */
struct feed {
	struct lane *l;
	const uint8_t *p;
	size_t len;
	size_t pos;  /* framed so far */
	size_t run;  /* first byte neither put out nor copied */
	size_t done; /* behind the last complete unit */
	size_t unit; /* where the kept unit begins, unless it is in pending */
	bool kept;
	int rc;
	int n;
	struct iovec v[FEED_PIECES];
};

/* --- output ---------------------------------------------------------------------------- */

static void feed_flush(struct feed *x)
{
	if (x->n && UNLIKELY(x->l->awaits))
		lane_await(x->l, x->v, x->n);
	else if (x->n)
		lane_emit(x->l, x->v, x->n);
	x->n = 0;
}

/* These bytes may leave; they must live until feed_flush(). */
static void feed_put(struct feed *x, const uint8_t *p, size_t len)
{
	if (!len || x->rc == ERR_NOMEM)
		return;
	if (!lane_is_drained(x->l)) {
		if (fifo_add_span(x->l->fifo, x->l, p, len))
			x->rc = ERR_NOMEM;
		return;
	}
	if (x->n == FEED_PIECES)
		feed_flush(x);
	x->v[x->n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)p, .iov_len = len };
}

/* What pending holds may leave. */
static void feed_put_kept(struct feed *x)
{
	if (x->kept)
		feed_put(x, x->l->pending.p, x->l->pending.len);
	x->kept = false;
}

/* The chunk up to `to` may leave, and what was kept before it. */
static void feed_put_run(struct feed *x, size_t to)
{
	feed_put_kept(x);
	if (to > x->run) {
		feed_put(x, x->p + x->run, to - x->run);
		x->run = to;
	}
}

/* --- a unit that was kept --------------------------------------------------------------- */

/* The bytes of the kept unit so far, in one piece; NULL when out of memory. */
static const uint8_t *feed_unit(struct feed *x, size_t *len_out)
{
	struct lane *l = x->l;

	if (!x->kept) {
		*len_out = x->pos - x->unit;
		return x->p + x->unit;
	}
	if (buf_add(&l->pending, x->p + x->run, x->pos - x->run)) {
		x->rc = ERR_NOMEM;
		return NULL;
	}
	x->run = x->pos;
	*len_out = l->pending.len;
	return l->pending.p;
}

/* The kept unit does not leave as it came: what stands before it may. */
static void feed_take_unit(struct feed *x)
{
	if (!x->kept)
		feed_put(x, x->p + x->run, x->unit - x->run);
	x->run = x->pos;
	x->kept = false;
}

/* These bytes leave in place of the kept unit; they need not outlive the call. */
static void feed_put_instead(struct feed *x, const uint8_t *p, size_t len)
{
	feed_take_unit(x);
	feed_put(x, p, len);
	feed_flush(x);
}

/* The filters' way of the unit. False: it leaves as it came. */
static bool feed_filter(struct feed *x, const uint8_t *p, size_t len)
{
	struct lane *l = x->l;
	struct fifo_entry *e = lane_filter(l, p, len);

	if (!e)
		return false;
	feed_take_unit(x);
	if (x->rc) { /* what stands before it could not be kept: it must not pass that */
		if (e->waiting)
			l->both->ops->unhold(l->both->ctx, e);
		fifo_entry_free(&e);
		return true;
	}
	if (e->waiting)
		counter_inc(METRIC_HELD_UNITS);
	if (e->edited && lane_is_drained(l)) {
		const uint8_t *out = fifo_entry_bytes(e, &len);

		feed_put(x, out, len);
		feed_flush(x);
		fifo_entry_free(&e);
		return true;
	}
	fifo_add(l->fifo, e);
	fifo_note(l->fifo, lane_limits(l)->hold_window);
	return true;
}

/* --- compression ------------------------------------------------------------------------ */

/* Answers of ours leave, behind what has been put out. */
static void feed_answers(struct feed *x)
{
	struct lanes *b = x->l->both;

	for (; b->answers; b->answers--)
		feed_put(x, (const uint8_t *)compress_failure, strlen(compress_failure));
}

/* The client's <compress/>: the server's, or answered by us in its place. */
static void feed_compress(struct feed *x, const uint8_t *p, size_t len)
{
	struct lanes *b = x->l->both;
	struct feed answer = { .l = &b->lane[LANE_S2C] };
	int rc = compress_on_request(x->l, p, len);

	if (rc == COMPRESS_FORWARD) {
		feed_put_kept(x);
		return;
	}
	if (rc != COMPRESS_ANSWER) {
		x->rc = rc;
		return;
	}
	feed_take_unit(x);
	if (x->rc || !compress_may_answer(b))
		return;
	feed_answers(&answer);
	feed_flush(&answer);
	x->rc = answer.rc;
}

/* <compressed/>: everything up to here leaves as it is, all behind it is compressed. */
static void feed_switch(struct feed *x)
{
	feed_put_run(x, x->pos);
	feed_flush(x);
	if (x->rc)
		return;
	x->rc = compress_switch(x->l->both, x->p + x->pos, x->len - x->pos);
	x->pos = x->run = x->len;
}

static void feed_kept_unit(struct feed *x)
{
	struct lane *l = x->l;
	struct lanes *b = l->both;
	enum unit_kind kind = (enum unit_kind)l->kind;
	size_t len;
	const uint8_t *p = feed_unit(x, &len);
	struct buf stripped;

	if (!p)
		return;
	if (l->dir == LANE_C2S && l->kind == UNIT_COMPRESS) {
		feed_compress(x, p, len);
		return;
	}
	if (l->dir == LANE_S2C && len <= b->listen->max_stanza)
		learn_unit(b, l, p, len);
	if (len <= b->listen->max_stanza)
		slots_unit(b, l, p, len);
	buf_init(&stripped, len);
	if (l->dir == LANE_S2C && features_concern(kind) && lane_may_read(l, len) &&
	    features_strip(l, p, len, &stripped)) {
		p = stripped.p;
		len = stripped.len;
	}
	if (UNLIKELY(tracing_on != NULL))
		tracing_seen(l, p, len);
	if (l->wanted &&
	    (l->awaited || chain_has_needle(b->chain, (enum lane_dir)l->dir, kind, p, len)) &&
	    lane_may_read(l, len) && feed_filter(x, p, len))
		; /* the filters' way */
	else if (stripped.len)
		feed_put_instead(x, stripped.p, stripped.len);
	else
		feed_put_kept(x); /* as it came; if it is in the chunk, with the run */
	if (UNLIKELY(tracing_on != NULL))
		tracing_passed(l);
	buf_fini(&stripped);
}

/* --- events of the framer -------------------------------------------------------------- */

/*
 * The start tag that has just ended, in one piece, or NULL if part of it has left already.
 * What was kept before it may leave.
 */
static const uint8_t *feed_tag(struct feed *x, size_t len)
{
	struct lane *l = x->l;

	if (len <= x->pos - x->run) {
		feed_put_kept(x);
		x->unit = x->pos - len;
		return x->p + x->unit;
	}
	if (x->kept && len == l->pending.len + (x->pos - x->run))
		return feed_unit(x, &len);
	feed_put_kept(x);
	return NULL;
}

static void feed_on_start(struct feed *x)
{
	struct lane *l = x->l;
	const uint8_t *p = feed_tag(x, l->framer.tag_len);

	lane_on_start(l, p, l->framer.tag_len);
	if (l->mode == LANE_PASS)
		feed_put_kept(x);
}

static void feed_on_child(struct feed *x)
{
	struct lane *l = x->l;
	const uint8_t *p;
	size_t len;

	if (l->mode != LANE_CHILD)
		return;
	p = feed_unit(x, &len);
	if (!p)
		return;
	lane_on_child(l, p, len);
	if (l->mode == LANE_PASS)
		feed_put_kept(x);
}

static void feed_on_header(struct feed *x)
{
	size_t len = x->l->framer.tag_len;
	const uint8_t *p = feed_tag(x, len);

	x->rc = lanes_on_header(x->l, p, len);
	if (!x->rc)
		feed_put_kept(x);
}

static void feed_on_end(struct feed *x)
{
	struct lane *l = x->l;

	l->awaits = false;
	l->units++;
	counter_inc(l->dir == LANE_C2S ? METRIC_UNITS_C2S : METRIC_UNITS_S2C);
	if (l->mode == LANE_KEEP)
		feed_kept_unit(x);
	else if (l->mode == LANE_CHILD) /* an iq without a child */
		feed_put_kept(x);
	else if (UNLIKELY(tracing_on != NULL) && l->kind == UNIT_MESSAGE)
		tracing_through(l);
	l->mode = LANE_BETWEEN;
	/* Stanzas change nothing but who has logged in. */
	if (x->rc || (l->kind <= UNIT_IQ && l->both->authenticated))
		return;
	if (l->kind == UNIT_COMPRESSED && l->dir == LANE_S2C && l->both->asked)
		feed_switch(x);
	else
		x->rc = lanes_on_end(l);
}

/* Components and servers come back with the same unit for ever; a client's user sees the error. */
static bool lane_is_of_client(const struct lane *l)
{
	const char *ns = l->ctx ? nsctx_default(l->ctx) : NS_CLIENT;

	return strcmp(ns, NS_COMPONENT) != 0 && strcmp(ns, NS_SERVER) != 0;
}

/* A client that is nobody yet may not make us keep or count much. */
static int lane_check_limits(const struct lane *l)
{
	const struct conf_limits *c = lane_limits(l);
	const struct framer *f = &l->framer;

	if (l->dir != LANE_C2S)
		return 0;
	if (l->both->authenticated)
		return l->since > l->both->listen->max_stanza &&
				       l->both->listen->oversize == CONF_CLOSE &&
				       lane_is_of_client(l)
			       ? ERR_TOO_BIG
			       : 0;
	if (!l->headed)
		return l->since > c->header ? ERR_POLICY : 0;
	return l->since > c->auth_unit || f->elements > c->auth_elements ? ERR_POLICY : 0;
}

/* --- the end of a chunk ---------------------------------------------------------------- */

/* Keeps the chunk from `at` on, behind what is kept already. */
static void feed_keep(struct feed *x, size_t at)
{
	struct lane *l = x->l;

	if (!x->kept) {
		feed_flush(x); /* pending may be among the pieces */
		l->pending.len = 0;
	}
	if (buf_add(&l->pending, x->p + at, x->len - at))
		x->rc = ERR_NOMEM;
	x->run = x->len;
	x->kept = true;
}

static void feed_tail(struct feed *x)
{
	struct lane *l = x->l;
	size_t tag = framer_in_tag(&l->framer) ? l->framer.tag_len : 0;
	size_t fresh = x->len - x->run;
	size_t all = x->kept ? l->pending.len + fresh : x->len - x->unit;

	if (l->mode == LANE_KEEP || l->mode == LANE_CHILD) {
		if (all <= l->both->listen->max_stanza) {
			if (!x->kept)
				feed_put_run(x, x->unit);
			feed_keep(x, x->run);
			return;
		}
		if (l->dir == LANE_C2S && l->kind == UNIT_COMPRESS) { /* is not put through */
			x->rc = ERR_POLICY;
			return;
		}
		counter_inc(METRIC_UNITS_SIZE);
		l->mode = LANE_PASS;
	}
	if (tag && tag <= lane_limits(l)->tag) {
		if (tag <= fresh)
			feed_put_run(x, x->len - tag);
		if (tag <= fresh || x->kept) {
			feed_keep(x, x->run);
			return;
		}
	}
	l->torn = tag > 0;
	feed_put_run(x, x->len);
}

/* Nothing of the unit in progress leaves, all before it does. */
static void feed_stop(struct feed *x)
{
	int rc = x->rc;

	x->l->awaits = false;
	if (rc != ERR_NOMEM) { /* else something may be missing: nothing may follow it */
		x->rc = 0;
		if (x->done)
			feed_put_run(x, x->done);
	}
	feed_flush(x);
	lane_release(x->l);
	buf_clear(&x->l->pending);
	if (!x->rc)
		x->rc = rc;
}

static void feed_frame(struct feed *x)
{
	struct lane *l = x->l;
	enum framer_event ev;

	do {
		size_t n;

		/* What follows <compress/> before its answer is neither clear nor compressed. */
		if (UNLIKELY(l->both->asked) && l->dir == LANE_C2S && x->pos < x->len) {
			x->rc = ERR_POLICY;
			return;
		}
		n = framer_feed(&l->framer, x->p + x->pos, x->len - x->pos, &ev);
		x->pos += n;
		l->since += n;
		if (ev == FRAMER_ERROR)
			x->rc = framer_error(&l->framer);
		else
			x->rc = lane_check_limits(l);
		if (x->rc)
			return;
		switch (ev) {
		case FRAMER_HEADER:
			feed_on_header(x);
			break;
		case FRAMER_START:
			feed_on_start(x);
			break;
		case FRAMER_CHILD:
			feed_on_child(x);
			break;
		case FRAMER_END:
			feed_on_end(x);
			break;
		case FRAMER_CLOSE:
			l->awaits = false;
			l->closed = true;
			break;
		case FRAMER_MORE:
		case FRAMER_ERROR:
			break;
		}
		if (!x->rc && (ev == FRAMER_HEADER || ev == FRAMER_END || ev == FRAMER_CLOSE)) {
			x->done = x->pos;
			l->since = 0;
			if (UNLIKELY(l->both->answers) && l->dir == LANE_S2C &&
			    compress_may_answer(l->both)) {
				feed_put_run(x, x->pos);
				feed_answers(x);
			}
		}
	} while (!x->rc && ev != FRAMER_MORE && !l->both->opaque);
}

/* After a chunk: is something kept back, and did a unit end before it? */
static void lane_note_kept(struct lane *l, bool kept, bool anew)
{
	if (kept ? !anew && !list_is_empty(&l->keeping)
		 : !l->pending.p && list_is_empty(&l->keeping))
		return;
	list_remove(&l->keeping);
	if (!kept) {
		buf_clear(&l->pending);
		return;
	}
	l->kept_at = clock_now();
	if (l->both->keepers)
		list_add_tail(l->both->keepers, &l->keeping);
}

/* Are these bytes, which come next, no XML? */
static bool lane_is_blind(const struct lane *l, const uint8_t *p)
{
	return l->both->opaque || (!l->bytes && p[0] == TLS_RECORD);
}

int lane_feed(struct lane *l, const uint8_t *p, size_t len)
{
	struct feed x = { .l = l, .p = p, .len = len, .kept = l->pending.len > 0 };
	const struct iovec all = { .iov_base = (void *)(uintptr_t)p, .iov_len = len };

	if (!len)
		return 0;
	if (UNLIKELY(l->both->record != NULL))
		record_bytes(l->both->record, (enum lane_dir)l->dir, CAPTURE_BEFORE,
			     lane_is_blind(l, p), &all, 1);
	if (UNLIKELY(!l->bytes)) {
		l->awaits = l->dir == LANE_S2C && lane_limits(l)->features_wait > 0;
		if (p[0] == TLS_RECORD && !l->both->opaque)
			x.rc = lanes_go_opaque(l->both, l);
	}
	l->bytes += len;
	if (!x.rc && !l->both->opaque)
		feed_frame(&x);
	if (!x.rc) {
		if (l->both->opaque)
			feed_put_run(&x, len);
		else
			feed_tail(&x);
	}
	if (x.rc)
		feed_stop(&x);
	else
		feed_flush(&x);
	lane_note_kept(l, x.kept, x.done > 0);
	return x.rc;
}

int lane_let_out(struct lane *l)
{
	struct feed x = { .l = l, .kept = l->pending.len > 0 };

	feed_put_kept(&x);
	feed_flush(&x);
	lane_note_kept(l, false, true);
	return x.rc;
}

int lane_let_go(struct lane *l)
{
	if (l->mode == LANE_KEEP && l->dir == LANE_C2S && l->kind == UNIT_COMPRESS) {
		lane_note_kept(l, false, true);
		return ERR_POLICY;
	}
	if (l->mode == LANE_KEEP || l->mode == LANE_CHILD) {
		counter_inc(METRIC_UNITS_SLOW);
		l->mode = LANE_PASS;
	}
	l->torn = framer_in_tag(&l->framer);
	lane_await_end(l);
	return lane_let_out(l);
}

int lane_end(struct lane *l)
{
	int rc;

	lane_await_end(l);
	rc = lane_let_out(l);
	l->eof = true;
	return rc;
}
