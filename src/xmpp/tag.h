/* SPDX-License-Identifier: MIT */
/*
 * tag - reads one raw start tag, from < to >.
 *
 * For the few tags that matter before or without libxml2: stream headers, the start tags
 * of units and of an iq's first child. The bytes must have passed the framer, which makes
 * this short. Values are raw (references not resolved); tag_text() resolves them.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

struct tag_span {
	const char *p; /* into the tag's bytes; NULL if absent */
	size_t len;
};

struct tag {
	struct tag_span prefix; /* p NULL if none */
	struct tag_span local;
	const uint8_t *bytes;
	size_t len;
	size_t attrs_at; /* offset of the first byte behind the name */
	bool empty;      /* <a/> */
};

/* 0, or ERR_SYNTAX for bytes that are no complete start tag. */
int tag_read(struct tag *t, const uint8_t *p, size_t len) MUSTCHECK;

bool tag_span_is(struct tag_span s, const char *text);

/* Iterates: *at starts as t->attrs_at; false at the end. name includes a prefix. */
bool tag_next_attr(const struct tag *t, size_t *at, struct tag_span *name, struct tag_span *value);

/* Raw value of the attribute with exactly this name (such as "xmlns:stream"); p NULL if absent. */
struct tag_span tag_attr(const struct tag *t, const char *name);

/* Copies a raw value with its references resolved, NUL-terminated; ERR_FULL if room is too small.
 */
int tag_text(struct tag_span raw, char *out, size_t room) MUSTCHECK;

/*
 * What a stream header declares, shared between all streams with the same declarations
 * (idle sessions must stay small). Immutable, interned, reference-counted.
 */
struct nsctx;

/* From a stream header's start tag: the context, or NULL when out of memory. */
struct nsctx *nsctx_of_header(const struct tag *t) MUSTCHECK;
struct nsctx *nsctx_ref(struct nsctx *c);
void nsctx_unref(struct nsctx **c);

/* The default namespace that the header declared, or "". */
const char *nsctx_default(const struct nsctx *c);
/* "<x xmlns='..' xmlns:stream='..'>": a start tag with the same declarations, to parse units in. */
const char *nsctx_wrapper(const struct nsctx *c, size_t *len_out);

/*
 * Namespace of a start tag: its own declarations first, then those of the header. raw (its
 * references unresolved); p NULL for an undeclared prefix. ctx may be NULL.
 */
struct tag_span tag_ns(const struct tag *t, const struct nsctx *ctx);
