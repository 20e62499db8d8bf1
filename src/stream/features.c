/* SPDX-License-Identifier: MIT */
/*
 * features - see features.h.
 */
#include "config.h"

#include "stream/features.h"

#include <string.h>

#include "base/err.h"
#include "stream/compress.h"
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

/* XEP-0198 5: clients try that address first. 0 or ERR_*. */
static int cut_locations(struct edits *e, struct arena *a, const struct outline *o)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < o->elements_n && !rc; i++) {
		const struct outline_element *x = &o->elements[i];

		if (strcmp(x->local, "enabled") == 0 &&
		    (strcmp(x->ns, NS_SM3) == 0 || strcmp(x->ns, NS_SM2) == 0))
			rc = edit_cut_attribute(e, a, o, (int)i, "location");
		if (rc == ERR_NOT_FOUND)
			rc = 0;
	}
	return rc;
}

static int cut_features(struct edits *e, struct arena *a, const struct outline *o,
			const struct lane *l)
{
	int rc = 0;

	if (l->both->listen->tls != CONF_TLS_OFF)
		rc = cut_all(e, a, o, NS_TLS, "starttls");
	return rc ? rc : compress_edit_features(e, a, l, o);
}

bool features_concern(enum unit_kind kind)
{
	return kind == UNIT_FEATURES || kind == UNIT_ENABLED || kind == UNIT_SASL2_SUCCESS;
}

static bool strip(struct arena *a, const struct lane *l, const uint8_t *p, size_t len,
		  const struct outline_limits *limits, struct buf *out)
{
	struct edits e = { 0 };
	struct outline o;
	uint8_t *result;
	size_t n;
	int rc;

	if (outline_parse(a, l->ctx, p, len, limits, &o))
		return false;
	rc = l->kind == UNIT_FEATURES ? cut_features(&e, a, &o, l) : cut_locations(&e, a, &o);
	if (rc || !e.count)
		return false;
	n = edit_length(&e, len);
	result = arena_alloc(a, n);
	if (!result)
		return false;
	edit_apply(&e, p, len, result);
	return edit_check(&e, a, l->ctx, &o, result, n, limits) == 0 &&
	       buf_add(out, result, n) == 0;
}

static bool holds(const uint8_t *p, size_t len, const char *needle)
{
	return memmem(p, len, needle, strlen(needle)) != NULL;
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

	if (!holds(p, len, l->kind == UNIT_FEATURES ? NS_TLS : "location") &&
	    !(l->kind == UNIT_FEATURES && holds(p, len, NS_COMPRESS_FEATURE)))
		return false;
	a = arena_new(FEATURES_ARENA);
	if (!a)
		return false;
	stripped = strip(a, l, p, len, &limits, out);
	arena_free(&a);
	return stripped;
}
