/* SPDX-License-Identifier: MIT */
/*
 * xpath - XPath 1.0 over one unit, bounded.
 *
 * Expressions are compiled once. A unit is read into libxml2's tree for them only where one is
 * asked, with the hardening of the outline (outline.h), which the unit must have passed before:
 * its shape is within limits. All expressions asked of one unit share one number of steps.
 * Prefixes are those of xpath.def, and c for the stream's namespace.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "xmpp/tag.h"

#define XPATH_TEXT_MAX 1024 /* bytes of an expression */

struct xpath;
struct xpath_unit;

/* 0; ERR_SYNTAX and msg (prefixes, functions and variables that are not there included), or
 * ERR_NOMEM. */
int xpath_compile(const char *text, struct xpath **out, struct err_msg *msg) MUSTCHECK;
void xpath_free(struct xpath **x);

/* An element's name without a prefix in a right expression, which never matches a unit's element:
 * true, and the first one in out. */
bool xpath_has_bare_name(const char *text, char out[64]);

/* The tree of a unit: 0, ERR_WELL_FORMED or ERR_NOMEM. The bytes are copied. */
int xpath_unit_new(const struct nsctx *ctx, const uint8_t *p, size_t len, uint64_t steps,
		   struct xpath_unit **out) MUSTCHECK;
void xpath_unit_free(struct xpath_unit **u);

/* The expression's value as boolean(): 0 and *out; ERR_TOO_BIG when the steps are used up, or
 * memory is. */
int xpath_holds(struct xpath_unit *u, const struct xpath *x, bool *out) MUSTCHECK;

/* The bound prefixes, in order; NULL at the end. For the manual. */
const char *xpath_prefix(size_t i, const char **ns_out);
