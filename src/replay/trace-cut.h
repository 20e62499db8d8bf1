/* SPDX-License-Identifier: MIT */
/*
 * trace-cut - cuts one direction of a stream into units, for captures and at both ends of a replay.
 *
 * A unit is what the framer makes of it, white space before it included, so that all who cut the
 * same bytes cut them in the same places. Copies: this is not insetd's way (stream/lane.h).
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "xmpp/framer.h"
#include "xmpp/unit.h"

#define TRACE_UNIT_MAX (16u * 1024 * 1024)

struct trace_cut {
	struct framer framer;
	struct nsctx *ctx;  /* one reference; NULL before the header */
	struct buf pending; /* of the unit in progress */
	bool s2c;
};

/* One unit, valid during the call, with what stood before it. Not 0 ends the cutting. */
typedef int (*trace_unit_fn)(void *ctx, const uint8_t *p, size_t len, enum unit_kind kind);

void trace_cut_init(struct trace_cut *c, bool s2c);
void trace_cut_fini(struct trace_cut *c);
/*
 * Calls fn for each unit that ends; other is the cut of the other direction (may be NULL), whose
 * stream may begin anew behind SASL's success. 0, a violation, ERR_NOMEM, ERR_FULL, or what fn
 * returned: then it is not to be fed again.
 */
int trace_cut_feed(struct trace_cut *c, struct trace_cut *other, const uint8_t *p, size_t len,
		   trace_unit_fn fn, void *ctx) MUSTCHECK;

/* The start tag that a unit begins with, behind white space and an XML declaration; *len_out 0: it
 * is not there to its end. */
const uint8_t *trace_unit_tag(const uint8_t *p, size_t len, size_t *len_out);
