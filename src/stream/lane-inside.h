/* SPDX-License-Identifier: MIT */
/*
 * lane-inside - what the files of a lane call of each other. Not for anybody else.
 *
 * lane.c walks the bytes. It asks lane-start.c at a start tag and lane-filter.c at the end of a
 * kept unit, and tells lanes.c what concerns the other lane; what may leave goes by lane-hold.c.
 * None of them but lane.c knows the chunk.
 */
#pragma once

#include "stream/lane.h"

/* --- lane.c ---------------------------------------------------------------------------- */

/* What is kept back of this lane leaves as it is. 0 or ERR_NOMEM. */
int lane_let_out(struct lane *l) MUSTCHECK;

/* --- lane-start.c ---------------------------------------------------------------------- */

/*
 * A unit has begun with this start tag (NULL: part of it has left already): sets what the lane
 * knows of it, kind to awaited, and mode to what becomes of its bytes.
 */
void lane_on_start(struct lane *l, const uint8_t *tag, size_t len);
/* In LANE_CHILD: these bytes end with the first child's start tag. Sets mode. */
void lane_on_child(struct lane *l, const uint8_t *p, size_t len);

/* --- lane-filter.c --------------------------------------------------------------------- */

/* Is the shape of the unit that has just ended one that libxml2 may meet? Counts it if not. */
bool lane_may_read(const struct lane *l, size_t len);
/*
 * Runs the filters over a copy of the unit that has just ended. An entry, the caller's, that waits
 * or is edited; NULL: it leaves as it came.
 */
struct fifo_entry *lane_filter(struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;

/* --- lanes.c --------------------------------------------------------------------------- */

/*
 * A stream header has come; tag NULL: part of it has left already. 0; ERR_NAMESPACE for another
 * root element, or ERR_NOMEM: then it must not leave.
 */
int lanes_on_header(struct lane *l, const uint8_t *tag, size_t len) MUSTCHECK;
/* What the end of a unit means for the stream. 0, or as lanes_go_opaque(). */
int lanes_on_end(struct lane *l) MUSTCHECK;
/*
 * From here on both lanes are relayed blind, the one that is fed now (whose bytes are its feeder's)
 * and the other. 0, ERR_NOMEM, or ERR_UNSUPPORTED where the listener does not relay that.
 */
int lanes_go_opaque(struct lanes *b, const struct lane *now) MUSTCHECK;

/* --- lane-hold.c ----------------------------------------------------------------------- */

/* Past the FIFO: only while it is empty, or for its head. */
void lane_emit(struct lane *l, const struct iovec *v, int n);
/* Keeps these bytes for the features; without memory for it they leave. */
void lane_await(struct lane *l, const struct iovec *v, int n);
/* The features do not come, or something else does: what waited for them leaves. */
void lane_await_end(struct lane *l);
