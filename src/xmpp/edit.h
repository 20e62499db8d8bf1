/* SPDX-License-Identifier: MIT */
/*
 * edit - changes to a unit at byte offsets of the original, and the check afterwards.
 *
 * Foreign XML is never written anew: what no edit covers leaves as it came. Kinds are the
 * rows of edit.def. Edits of one unit must not overlap; inserts at one offset keep the
 * order in which they were added.
 */
#pragma once

#include "xmpp/outline.h"

enum edit_kind {
#define EDIT(kind, name, help) EDIT_##kind,
#include "xmpp/edit.def"
#undef EDIT
	EDIT_KIND_COUNT
};

const char *edit_kind_name(enum edit_kind kind);

struct edit {
	struct edit *next;
	enum edit_kind kind;
	size_t at;           /* offset into the original */
	size_t cut;          /* bytes replaced; 0 for an insert */
	const uint8_t *text; /* what comes instead; lives in the arena */
	size_t len;
};

/* The edits of one unit, ordered by offset. Zero-initialise; memory comes from the arena. */
struct edits {
	struct edit *first;
	size_t count;
	size_t grown;  /* bytes added */
	size_t shrunk; /* bytes cut */
};

/* XML at offset `at`, which must be between elements (in content). 0, ERR_SYNTAX (overlap, offset),
 * ERR_NOMEM. */
int edit_insert(struct edits *e, struct arena *a, const struct outline *o, size_t at,
		const void *xml, size_t len) MUSTCHECK;
/* Removes a whole element, which is not the unit itself. */
int edit_cut(struct edits *e, struct arena *a, const struct outline *o, int element) MUSTCHECK;
/* Removes an attribute, by its name as written in the tag, and the white space before it.
 * ERR_NOT_FOUND if it is not there. */
int edit_cut_attribute(struct edits *e, struct arena *a, const struct outline *o, int element,
		       const char *name) MUSTCHECK;
/* Replaces the value of an attribute by this text, which is escaped here. ERR_NOT_FOUND if it is
 * not there. */
int edit_attribute(struct edits *e, struct arena *a, const struct outline *o, int element,
		   const char *name, const char *value) MUSTCHECK;
/*
 * Turns a reply into another: its start tag stays but for the value of `type`, its content
 * becomes xml. No other edit may be on that unit.
 */
int edit_substitute(struct edits *e, struct arena *a, const struct outline *o, const char *type,
		    const void *xml, size_t len) MUSTCHECK;

/* Length of the result. */
size_t edit_length(const struct edits *e, size_t original);

/* Writes the result (edit_length() bytes). */
void edit_apply(const struct edits *e, const uint8_t *original, size_t len, uint8_t *out);

/*
 * Parses the result and compares: the original's elements, attributes and text plus exactly
 * what the edits say. 0, or ERR_WELL_FORMED and the like: the original goes out instead.
 * Uses the arena for the second outline.
 */
int edit_check(const struct edits *e, struct arena *a, const struct nsctx *ctx,
	       const struct outline *original, const uint8_t *result, size_t len,
	       const struct outline_limits *limits) MUSTCHECK;

/* Appends text with & < > ' " escaped to an arena string; NULL when out of memory. */
char *edit_escape(struct arena *a, const char *text) MUSTCHECK;
