/* SPDX-License-Identifier: MIT */
/*
 * learn - see learn.h.
 */
#include "config.h"

#include "stream/learn.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "stream/features.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/outline.h"

#define LEARN_ARENA (1024 * 1024)

enum chain_want learn_wants(const struct lanes *b, enum unit_kind kind, enum iq_type iq,
			    const struct tag_span *child_ns)
{
	if (features_concern(kind) || kind == UNIT_STREAM_ERROR)
		return CHAIN_YES;
	if (b->jid)
		return CHAIN_NO;
	if (kind != UNIT_IQ || iq != IQ_RESULT)
		return CHAIN_NO;
	if (!child_ns)
		return CHAIN_CHILD;
	return tag_span_is(*child_ns, NS_BIND) ? CHAIN_YES : CHAIN_NO;
}

/* First come, first kept; an address that is none is no knowledge. */
static void learn_jid(struct lanes *b, const char *text)
{
	struct jid jid;

	if (!b->jid && *text && jid_parse(&jid, text) == 0)
		b->jid = strdup(text); /* out of memory: stays unknown */
}

static void learn_bind(struct lanes *b, const struct outline *o)
{
	int bind = outline_child(o, 0, NS_BIND, "bind", 1);
	int jid = bind == -1 ? -1 : outline_child(o, bind, NS_BIND, "jid", bind + 1);

	if (jid != -1)
		learn_jid(b, o->elements[jid].text);
}

/* Bind2's <bound> names a JID of its own in its early versions; that one has the resource. */
static void learn_sasl2(struct lanes *b, const struct outline *o)
{
	int bound = outline_child(o, 0, NULL, "bound", 1);
	int jid = bound == -1 ? -1 : outline_child(o, bound, NULL, "jid", bound + 1);

	if (jid == -1)
		jid = outline_child(o, 0, NS_SASL2, "authorization-identifier", 1);
	if (jid != -1)
		learn_jid(b, o->elements[jid].text);
}

static void learn_features(struct lanes *b, const struct outline *o)
{
	int limits = outline_child(o, 0, NS_STREAM_LIMITS, "limits", 1);
	int max = limits == -1
			  ? -1
			  : outline_child(o, limits, NS_STREAM_LIMITS, "max-bytes", limits + 1);
	unsigned long long v;

	if (max == -1)
		return;
	v = strtoull(o->elements[max].text, NULL, 10);
	if (v > 0)
		b->max_bytes = (uint32_t)MIN_OF(v, UINT32_MAX);
}

/* RFC 6120 4.9.3.19. It passes: there may be a reason; but inset sees nothing of what follows. */
static void learn_redirect(const struct lanes *b, const uint8_t *p, size_t len)
{
	static const char see_other_host[] = "see-other-host";
	static struct log_limit limit;
	unsigned dropped;

	if (!memmem(p, len, see_other_host, sizeof(see_other_host) - 1))
		return;
	counter_inc(METRIC_SESSIONS_REDIRECTED);
	if (log_limit_ok(&limit, 10, &dropped))
		log_notice("the server sends clients to another host, past inset listener=%s "
			   "dropped=%u",
			   b->listen->name, dropped);
}

void learn_unit(struct lanes *b, const struct lane *l, const uint8_t *p, size_t len)
{
	const struct outline_limits limits = {
		.depth = (unsigned)b->conf->limits.depth,
		.attributes = (unsigned)b->conf->limits.attributes,
		.elements = (unsigned)b->conf->limits.elements,
	};
	struct outline o;
	struct arena *a;

	if (!learn_wants(b, (enum unit_kind)l->kind, (enum iq_type)l->iq_type, NULL))
		return;
	if (l->kind == UNIT_STREAM_ERROR)
		learn_redirect(b, p, len);
	if (l->kind == UNIT_ENABLED || l->kind == UNIT_STREAM_ERROR ||
	    (l->kind == UNIT_FEATURES &&
	     !memmem(p, len, NS_STREAM_LIMITS, strlen(NS_STREAM_LIMITS))))
		return;
	a = arena_new(LEARN_ARENA);
	if (!a)
		return;
	if (outline_parse(a, l->ctx, p, len, &limits, &o) == 0) {
		if (l->kind == UNIT_IQ)
			learn_bind(b, &o);
		else if (l->kind == UNIT_SASL2_SUCCESS)
			learn_sasl2(b, &o);
		else
			learn_features(b, &o);
	}
	arena_free(&a);
}

void learn_to(struct lanes *b, const struct tag *t)
{
	struct tag_span to = tag_attr(t, "to");
	char text[JID_MAX + 1];

	if (to.p && memchr(to.p, '/', to.len) && tag_text(to, text, sizeof(text)) == 0)
		learn_jid(b, text);
}
