/* SPDX-License-Identifier: MIT */
/*
 * outline - the elements of one complete unit, with byte offsets.
 *
 * Made by libxml2's SAX2 callbacks over "wrapper unit </x>" (fresh parser per unit, pinned
 * to UTF-8, no entities, no network: security.md 4.3). Readers see names and namespaces,
 * never prefixes, and change bytes only through edits (edit.h). Everything lives in the
 * arena given.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "xmpp/tag.h"

struct outline_attr {
	const char *ns; /* "" for none */
	const char *local;
	const char *value; /* references resolved, normalised as XML says */
};

struct outline_element {
	const char *ns; /* "" for none */
	const char *local;
	const struct outline_attr *attrs;
	size_t attrs_n;
	const char *text; /* own character data, children's left out; never NULL */
	int parent;       /* index; -1 for the unit itself */
	unsigned depth;   /* 0 for the unit itself */
	/* Offsets into the unit's bytes: <a ...> content </a> */
	size_t start;     /* its < */
	size_t start_end; /* behind the start tag's > */
	size_t end;       /* the < of its end tag; equal to end_end for <a/> */
	size_t end_end;   /* behind its last > */
};

struct outline {
	const uint8_t *bytes; /* borrowed: the unit */
	size_t len;
	const struct outline_element *elements; /* document order; [0] is the unit itself */
	size_t elements_n;
};

struct outline_limits {
	unsigned depth;
	unsigned attributes;
	unsigned elements;
};

/*
 * Parses the unit: 0 and *out; ERR_NAMESPACE (undeclared or forbidden prefix, duplicate
 * namespaced attribute: libxml2 codes 200-205), ERR_WELL_FORMED (duplicate attribute and all
 * else), ERR_TOO_BIG (a limit), ERR_BAD_FORMAT (an element of the stream's own namespace below
 * the top), ERR_NOMEM. All but 0 mean: relay unread.
 */
int outline_parse(struct arena *a, const struct nsctx *ctx, const uint8_t *unit, size_t len,
		  const struct outline_limits *limits, struct outline *out) MUSTCHECK;

/* The first child of `parent` (an index) with this name at or behind index `from`; -1 if none. NULL
 * ns: any. */
int outline_child(const struct outline *o, int parent, const char *ns, const char *local, int from);

/* The value, or NULL. ns "" for attributes without prefix. */
const char *outline_attr(const struct outline *o, int element, const char *ns, const char *local);

/* The byte range of an attribute's value, between the quotes, by its name as written in the tag. 0
 * or ERR_NOT_FOUND. */
int outline_attr_range(const struct outline *o, int element, const char *name, size_t *at_out,
		       size_t *len_out) MUSTCHECK;

/* The version of libxml2. */
const char *outline_library(void);

/* Call once per process before the first parse (silences libxml2, forbids loading). */
void outline_setup(void);
