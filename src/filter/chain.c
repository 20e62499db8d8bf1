/* SPDX-License-Identifier: MIT */
/*
 * chain - see chain.h.
 *
 * What is wanted stands in the plan (plan.h), which a listener's sessions share.
 *
 * Invariants
 *   - a unit's arena, outline and edits exist only once it is known to hold a needle
 *   - unit->at is the filter whose turn it is; all filters see the original outline and add
 *     to one list of edits, which is applied and checked once, behind the last filter
 *   - every failure ends in CHAIN_PASS
 */
#include "config.h"

#include "filter/chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* For a unit's outline, edits and result; plus 16 times its size. */
#define CHAIN_ARENA (1024u * 1024)

struct chain {
	struct plan *plan; /* one reference */
	size_t filters_n;  /* opened */
	struct filter_instance filters[];
};

struct chain_unit {
	struct chain *chain; /* borrowed: outlives its units */
	struct arena *arena; /* owned; this struct is not in it */
	const struct nsctx *ctx;
	struct outline outline;
	struct edits edits;
	struct filter_unit unit;
	size_t at;
	void *states[PLAN_FILTERS];
	const uint8_t *result; /* in the arena */
	size_t result_len;
};

static struct outline_limits limits_of(const struct conf *c)
{
	return (struct outline_limits){ .depth = (unsigned)c->limits.depth,
					.attributes = (unsigned)c->limits.attributes,
					.elements = (unsigned)c->limits.elements };
}

struct chain *chain_new(struct conf *conf, const struct conf_listen *listen,
			const struct filter_host *host)
{
	struct plan *plan = plan_get(conf, listen);
	struct chain *c;

	if (!plan)
		return NULL;
	c = calloc(1, sizeof(*c) + plan->filters_n * sizeof(c->filters[0]));
	if (!c) {
		plan_put(&plan);
		return NULL;
	}
	c->plan = plan;
	for (; c->filters_n < plan->filters_n; c->filters_n++) {
		struct filter_instance *f = &c->filters[c->filters_n];

		*f = (struct filter_instance){ .ops = plan->filters[c->filters_n],
					       .host = host,
					       .listen = listen,
					       .conf = conf };
		if (f->ops->open && f->ops->open(f)) {
			chain_free(&c);
			return NULL;
		}
	}
	return c;
}

void chain_free(struct chain **cp)
{
	struct chain *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	while (c->filters_n) {
		struct filter_instance *f = &c->filters[--c->filters_n];

		if (f->ops->close)
			f->ops->close(f);
	}
	plan_put(&c->plan);
	free(c);
}

void chain_inherit(struct chain *c, struct chain *old)
{
	size_t i, k;

	for (i = 0; i < c->filters_n; i++)
		for (k = 0; k < old->filters_n; k++) {
			struct filter_instance *to = &c->filters[i], *from = &old->filters[k];
			void *fresh = to->state;

			if (to->ops != from->ops)
				continue;
			to->state = from->state;
			from->state = fresh; /* closed with the old chain */
		}
}

enum chain_want chain_wants(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
			    enum iq_type iq, const struct tag_span *child_ns)
{
	return plan_wants(c->plan, dir, kind, iq, child_ns);
}

static bool filter_awaits(struct filter_instance *f, enum lane_dir dir, enum iq_type iq,
			  const struct tag *tag)
{
	return f->ops->awaits && (iq == IQ_RESULT || iq == IQ_ERROR) &&
	       f->ops->awaits(f, dir, iq, tag);
}

bool chain_awaits(struct chain *c, enum lane_dir dir, enum iq_type iq, const struct tag *tag)
{
	size_t i;

	for (i = 0; i < c->filters_n; i++)
		if (filter_awaits(&c->filters[i], dir, iq, tag))
			return true;
	return false;
}

bool chain_has_needle(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
		      const uint8_t *p, size_t len)
{
	return plan_has_needle(c->plan, dir, kind, p, len);
}

static bool iq_matches(const struct chain_unit *u, const struct filter_want *want)
{
	struct tag tag;

	if (tag_read(&tag, u->outline.bytes, u->outline.elements[0].start_end) ||
	    !(want->iq_types & 1u << unit_iq_type(&tag)))
		return false;
	return !want->child_ns || (u->outline.elements_n > 1 &&
				   strcmp(u->outline.elements[1].ns, want->child_ns) == 0);
}

/* Does this one filter want this very unit? (Another filter may be why it was collected.) */
static bool filter_wants(const struct chain_unit *u, struct filter_instance *f)
{
	const struct filter_ops *ops = f->ops;
	const struct filter_want *want;
	struct tag tag;

	if (u->unit.kind == UNIT_IQ && ops->awaits &&
	    tag_read(&tag, u->outline.bytes, u->outline.elements[0].start_end) == 0 &&
	    filter_awaits(f, u->unit.dir, unit_iq_type(&tag), &tag))
		return true;
	for (want = ops->wants; want->kind != UNIT_KIND_COUNT; want++) {
		if (want->kind != u->unit.kind || !(want->dirs & 1u << u->unit.dir) ||
		    !plan_row_is_on(u->chain->plan, ops, want))
			continue;
		if (want->needle &&
		    !memmem(u->outline.bytes, u->outline.len, want->needle, strlen(want->needle)))
			continue;
		if (want->kind != UNIT_IQ || iq_matches(u, want))
			return true;
	}
	return false;
}

/* Behind the last filter: the edits become bytes, and the bytes are checked. */
static enum chain_result chain_finish(struct chain_unit *u)
{
	struct outline_limits limits = limits_of(u->chain->plan->conf);
	size_t len = edit_length(&u->edits, u->outline.len);
	uint8_t *out;

	/* A limit to what we add: what gets smaller was on its way in a larger form anyway. */
	if (!u->edits.count || (len > u->unit.max_final && len > u->outline.len))
		return CHAIN_PASS;
	out = arena_alloc(u->arena, len);
	if (!out)
		return CHAIN_PASS;
	edit_apply(&u->edits, u->outline.bytes, u->outline.len, out);
	/* Our own elements may be above the limits that the original just met. */
	limits.elements += 64;
	if (edit_check(&u->edits, u->arena, u->ctx, &u->outline, out, len, &limits)) {
		counter_inc(METRIC_CHECK_FAILED);
		return CHAIN_PASS;
	}
	u->result = out;
	u->result_len = len;
	return CHAIN_EDITED;
}

/* Runs filters from u->at on; r is the result that the first of them waited for, or NULL. */
static enum chain_result chain_go_on(struct chain_unit *u, const struct job_result *r)
{
	for (; u->at < u->chain->filters_n; u->at++, r = NULL) {
		struct filter_instance *f = &u->chain->filters[u->at];
		enum filter_verdict verdict;

		if (!r && !filter_wants(u, f))
			continue;
		u->unit.state = u->states[u->at];
		verdict = r ? f->ops->on_result(f, &u->unit, r) : f->ops->on_unit(f, &u->unit);
		u->states[u->at] = u->unit.state;
		if (verdict == FILTER_WAIT)
			return CHAIN_WAIT;
	}
	return chain_finish(u);
}

static struct chain_unit *chain_unit_new(struct chain *c, const struct chain_input *in)
{
	struct chain_unit *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->chain = c;
	u->ctx = in->ctx;
	u->arena = arena_new(CHAIN_ARENA + 16 * in->len);
	u->unit = (struct filter_unit){ .kind = in->kind,
					.dir = in->dir,
					.outline = &u->outline,
					.arena = u->arena,
					.edits = &u->edits,
					.max_final = in->max_final,
					.cached_only = in->cached_only,
					.connection = in->connection,
					.ns = in->ctx,
					.host_unit = in->host_unit };
	if (u->arena && in->from)
		u->unit.from = arena_strndup(u->arena, in->from, strlen(in->from));
	if (!u->arena || (in->from && !u->unit.from))
		chain_unit_free(&u);
	return u;
}

enum chain_result chain_run(struct chain *c, const struct chain_input *in, struct chain_unit **out)
{
	struct outline_limits limits = limits_of(c->plan->conf);
	struct chain_unit *u = chain_unit_new(c, in);
	enum chain_result result;
	int rc;

	*out = NULL;
	if (!u)
		return CHAIN_PASS;
	rc = outline_parse(u->arena, in->ctx, in->bytes, in->len, &limits, &u->outline);
	if (rc) {
		counter_inc(rc == ERR_TOO_BIG ? METRIC_UNITS_SHAPE : METRIC_UNITS_PARSE);
		chain_unit_free(&u);
		return CHAIN_PASS;
	}
	result = chain_go_on(u, NULL);
	if (result == CHAIN_PASS)
		chain_unit_free(&u);
	*out = u;
	return result;
}

enum chain_result chain_unit_result(struct chain_unit *u, const struct job_result *r)
{
	return chain_go_on(u, r);
}

const uint8_t *chain_unit_bytes(const struct chain_unit *u, size_t *len_out)
{
	*len_out = u->result_len;
	return u->result;
}

void chain_unit_free(struct chain_unit **up)
{
	struct chain_unit *u = *up;

	*up = NULL;
	if (!u)
		return;
	arena_free(&u->arena);
	free(u);
}
