/* SPDX-License-Identifier: MIT */
/*
 * trace-cut - see trace-cut.h.
 */
#include "config.h"

#include "replay/trace-cut.h"

#include <ctype.h>

void trace_cut_init(struct trace_cut *c, bool s2c)
{
	*c = (struct trace_cut){ .s2c = s2c };
	framer_init(&c->framer);
	buf_init(&c->pending, TRACE_UNIT_MAX);
}

void trace_cut_fini(struct trace_cut *c)
{
	nsctx_unref(&c->ctx);
	buf_fini(&c->pending);
	framer_fini(&c->framer);
}

const uint8_t *trace_unit_tag(const uint8_t *p, size_t len, size_t *len_out)
{
	const uint8_t *end = p + len, *q;
	uint8_t quote = 0;

	while (p < end && (isspace(*p) || (end - p > 1 && p[0] == '<' && p[1] == '?'))) {
		if (*p == '<')
			while (p < end && *p != '>')
				p++;
		if (p < end)
			p++;
	}
	for (q = p; q < end; q++) {
		if (quote)
			quote = *q == quote ? 0 : quote;
		else if (*q == '"' || *q == '\'')
			quote = *q;
		else if (*q == '>')
			break;
	}
	*len_out = q < end ? (size_t)(q - p) + 1 : 0;
	return p;
}

static enum unit_kind cut_classify(struct trace_cut *c, enum framer_event ev)
{
	struct tag t;
	size_t len;
	const uint8_t *p = trace_unit_tag(c->pending.p, c->pending.len, &len);

	if (ev == FRAMER_CLOSE)
		return UNIT_CLOSE;
	if (tag_read(&t, p, len))
		return ev == FRAMER_HEADER ? UNIT_HEADER : UNIT_OTHER;
	if (ev == FRAMER_HEADER) {
		nsctx_unref(&c->ctx);
		c->ctx = nsctx_of_header(&t);
		return UNIT_HEADER;
	}
	return unit_classify(&t, c->ctx);
}

/* Restarts, as lanes.c allows them. */
static void cut_unit_ended(struct trace_cut *c, struct trace_cut *other, enum unit_kind kind)
{
	if (!c->s2c && (kind == UNIT_SASL_AUTH || kind == UNIT_SASL_RESPONSE))
		framer_allow_restart(&c->framer, true);
	if (c->s2c && kind == UNIT_SASL_SUCCESS) {
		framer_allow_restart(&c->framer, true);
		if (other)
			framer_allow_restart(&other->framer, true);
	}
}

int trace_cut_feed(struct trace_cut *c, struct trace_cut *other, const uint8_t *p, size_t len,
		   trace_unit_fn fn, void *ctx)
{
	enum framer_event ev;
	size_t at = 0, from = 0;
	int rc;

	do {
		at += framer_feed(&c->framer, p + at, len - at, &ev);
		if (ev == FRAMER_ERROR)
			return framer_error(&c->framer);
		if (ev == FRAMER_HEADER || ev == FRAMER_END || ev == FRAMER_CLOSE) {
			enum unit_kind kind;

			rc = buf_add(&c->pending, p + from, at - from);
			if (rc)
				return rc;
			from = at;
			kind = cut_classify(c, ev);
			rc = fn(ctx, c->pending.p, c->pending.len, kind);
			if (rc)
				return rc;
			buf_drop(&c->pending, c->pending.len);
			cut_unit_ended(c, other, kind);
		}
	} while (ev != FRAMER_MORE);
	rc = at > from ? buf_add(&c->pending, p + from, at - from) : 0;
	if (!c->pending.len)
		buf_clear(&c->pending);
	return rc;
}
