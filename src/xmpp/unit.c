/* SPDX-License-Identifier: MIT */
/*
 * unit - see unit.h.
 */
#include "config.h"

#include "xmpp/unit.h"

#include <string.h>

#include "xmpp/ns.h"

#define NS_LONGEST 128 /* no namespace of ns.def is longer */

#define UNIT(kind, name, uri) { .id = #kind, .local = (name), .ns = (uri) },
static const struct {
	const char *id;
	const char *local;
	const char *ns;
} kinds[] = {
#include "xmpp/unit.def"
};
#undef UNIT

const char *unit_kind_name(enum unit_kind kind)
{
	static char names[UNIT_KIND_COUNT][24];
	const char *id;
	size_t i;

	if (kind == UNIT_HEADER)
		return "header";
	if (kind == UNIT_CLOSE)
		return "close";
	if (kind >= UNIT_OTHER)
		return "other";
	id = kinds[kind].id;
	for (i = 0; id[i] && i < sizeof(names[0]) - 1; i++)
		names[kind][i] = id[i] == '_' ? '-' : (char)(id[i] | 0x20);
	return names[kind];
}

static bool is_stanza_ns(const char *ns)
{
	return !strcmp(ns, NS_CLIENT) || !strcmp(ns, NS_SERVER) || !strcmp(ns, NS_COMPONENT);
}

static enum unit_kind kind_of(const struct tag *t, const char *ns)
{
	unsigned i;

	if (!strcmp(ns, NS_SM2)) /* XEP-0198 before 1.3 has the same elements */
		ns = NS_SM3;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (tag_span_is(t->local, kinds[i].local) &&
		    (kinds[i].ns ? !strcmp(ns, kinds[i].ns) : is_stanza_ns(ns)))
			return (enum unit_kind)i;
	}
	return UNIT_OTHER;
}

enum unit_kind unit_classify(const struct tag *t, const struct nsctx *ctx)
{
	struct tag_span raw = tag_ns(t, ctx);
	char ns[NS_LONGEST];

	/* What is longer than ours, also once resolved, is none of ours. */
	if (!raw.p || tag_text(raw, ns, sizeof(ns)))
		return UNIT_OTHER;
	return kind_of(t, ns);
}

enum unit_kind unit_classify_plain(const struct tag *t, const struct nsctx *ctx)
{
	return t->prefix.p ? unit_classify(t, ctx) : kind_of(t, nsctx_default(ctx));
}

enum iq_type unit_iq_type(const struct tag *t)
{
	static const char names[][8] = { "get", "set", "result", "error" };
	struct tag_span raw = tag_attr(t, "type");
	char type[16];
	unsigned i;

	if (!raw.p || tag_text(raw, type, sizeof(type)))
		return IQ_NONE;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(type, names[i]))
			return (enum iq_type)i;
	}
	return IQ_NONE;
}
