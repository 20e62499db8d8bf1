/* SPDX-License-Identifier: MIT */
/*
 * lane-start - what a unit is and who wants it whole, by its start tag and its first child.
 *
 * Judges by names, namespaces and attributes alone; what is in a unit is read when it is there
 * (lane-filter.c, learn.c, slots.c). Puts nothing out: lane.c does what lane.mode says.
 */
#include "config.h"

#include <string.h>

#include "stream/lane-inside.h"
#include "stream/learn.h"
#include "stream/slots.h"

size_t lane_tag_len(const uint8_t *p, size_t len)
{
	uint8_t quote = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (quote)
			quote = p[i] == quote ? 0 : quote;
		else if (p[i] == '"' || p[i] == '\'')
			quote = p[i];
		else if (p[i] == '>')
			return i + 1;
	}
	return len;
}

static enum chain_want lane_wants(struct lane *l, const struct tag_span *child_ns)
{
	enum unit_kind kind = (enum unit_kind)l->kind;
	enum iq_type iq = (enum iq_type)l->iq_type;
	enum chain_want filters = CHAIN_NO;

	/* Who has not logged in makes us fetch nothing: the server will refuse the stanza. */
	if (l->dir == LANE_S2C || l->both->authenticated)
		filters = chain_wants(l->both->chain, (enum lane_dir)l->dir, kind, iq, child_ns);
	if (filters == CHAIN_YES)
		l->wanted = true;
	/* A unit that is kept anyway is asked about again when its child is there. */
	if (filters != CHAIN_NO)
		return filters;
	if (l->dir == LANE_S2C)
		return learn_wants(l->both, kind, iq, child_ns);
	if (kind == UNIT_COMPRESS)
		return CHAIN_YES;
	return slots_wants(l->both, kind, iq, child_ns);
}

/* An iq: is it a reply that a filter, or the session itself, waits for? */
static bool lane_awaits_reply(struct lane *l, const struct tag *t)
{
	if ((l->iq_type == IQ_RESULT || l->iq_type == IQ_ERROR) &&
	    chain_awaits(l->both->chain, (enum lane_dir)l->dir, (enum iq_type)l->iq_type, t)) {
		l->awaited = true;
		l->wanted = true;
	}
	return l->awaited || (l->dir == LANE_S2C && slots_await(l->both, t));
}

void lane_on_start(struct lane *l, const uint8_t *p, size_t len)
{
	static const uint8_t modes[] = {
		[CHAIN_NO] = LANE_PASS,
		[CHAIN_CHILD] = LANE_CHILD,
		[CHAIN_YES] = LANE_KEEP,
	};
	bool awaited = l->awaits;
	struct tag t;

	l->mode = LANE_PASS;
	l->awaits = false; /* unless these are the features, below */
	l->kind = UNIT_OTHER;
	l->iq_type = IQ_NONE;
	l->wanted = false;
	l->awaited = false;
	l->torn = false;
	/* Without the header's declarations (it was too long to be kept) nothing can be read. */
	if (!p || !l->ctx || tag_read(&t, p, len))
		return;
	l->kind = (uint8_t)(framer_may_declare(&l->framer) ? unit_classify(&t, l->ctx)
							   : unit_classify_plain(&t, l->ctx));
	if (l->kind == UNIT_IQ) {
		l->iq_type = (uint8_t)unit_iq_type(&t);
	} else if (l->kind < UNIT_IQ) {
		l->valid = !tag_span_is(tag_attr(&t, "type"), "error");
	} else {
		l->awaits = l->kind == UNIT_FEATURES && awaited;
		l->valid = l->kind == UNIT_DIALBACK_RESULT &&
			   tag_span_is(tag_attr(&t, "type"), "valid");
	}
	if (l->dir == LANE_S2C && l->both->resumed && !l->both->jid && l->kind <= UNIT_IQ)
		learn_to(l->both, &t);
	l->mode = modes[lane_wants(l, NULL)];
	if (l->kind == UNIT_IQ && lane_awaits_reply(l, &t))
		l->mode = LANE_KEEP;
}

/* The namespace of an iq's first child; declarations may stand in either tag, or the header. */
static struct tag_span child_ns(const struct tag *child, const struct tag *iq,
				const struct nsctx *ctx)
{
	char name[64] = "xmlns";
	struct tag_span own;

	if (child->prefix.p && child->prefix.len < sizeof(name) - 6) {
		name[5] = ':';
		memcpy(name + 6, child->prefix.p, child->prefix.len);
		name[6 + child->prefix.len] = '\0';
	}
	own = tag_attr(child, name);
	if (!own.p)
		own = tag_attr(iq, name);
	return own.p ? own : tag_ns(child, ctx);
}

void lane_on_child(struct lane *l, const uint8_t *p, size_t len)
{
	size_t tag_len = l->framer.tag_len;
	struct tag iq, child;
	struct tag_span ns;

	l->mode = LANE_PASS;
	if (tag_len < len && tag_read(&child, p + len - tag_len, tag_len) == 0 &&
	    tag_read(&iq, p, lane_tag_len(p, len)) == 0) {
		ns = child_ns(&child, &iq, l->ctx);
		if (lane_wants(l, &ns) == CHAIN_YES)
			l->mode = LANE_KEEP;
	}
}
