/* SPDX-License-Identifier: MIT */
/*
 * features - see features.h.
 */
#include "config.h"

#include "stream/features.h"

#include <string.h>

#include "xmpp/edit.h"
#include "xmpp/ns.h"

#define FEATURES_ARENA (1024u * 1024)

/* Cuts every such feature. 0 or ERR_*. */
static int cut_all(struct edits *e, struct arena *a, const struct outline *o, const char *ns,
		   const char *local)
{
	int at = 0, rc = 0;

	while (!rc && (at = outline_child(o, 0, ns, local, at + 1)) != -1)
		rc = edit_cut(e, a, o, at);
	return rc;
}

static bool strip(struct arena *a, const struct lane *l, const uint8_t *p, size_t len,
		  const struct outline_limits *limits, struct buf *out)
{
	struct edits e = { 0 };
	struct outline o;
	uint8_t *result;
	size_t n;

	if (outline_parse(a, l->ctx, p, len, limits, &o))
		return false;
	if (l->both->listen->tls != CONF_TLS_OFF && cut_all(&e, a, &o, NS_TLS, "starttls"))
		return false;
	if (cut_all(&e, a, &o, NS_COMPRESS_FEATURE, "compression") || !e.count)
		return false;
	n = edit_length(&e, len);
	result = arena_alloc(a, n);
	if (!result)
		return false;
	edit_apply(&e, p, len, result);
	return edit_check(&e, a, l->ctx, &o, result, n, limits) == 0 &&
	       buf_add(out, result, n) == 0;
}

bool features_strip(const struct lane *l, const uint8_t *p, size_t len, struct buf *out)
{
	const struct outline_limits limits = {
		.depth = (unsigned)lane_limits(l)->depth,
		.attributes = (unsigned)lane_limits(l)->attributes,
		.elements = (unsigned)lane_limits(l)->elements,
	};
	struct arena *a;
	bool stripped;

	if (!memmem(p, len, NS_TLS, strlen(NS_TLS)) &&
	    !memmem(p, len, NS_COMPRESS_FEATURE, strlen(NS_COMPRESS_FEATURE)))
		return false;
	a = arena_new(FEATURES_ARENA);
	if (!a)
		return false;
	stripped = strip(a, l, p, len, &limits, out);
	arena_free(&a);
	return stripped;
}
