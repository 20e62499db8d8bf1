/* SPDX-License-Identifier: MIT */
/*
 * compress - XEP-0138 as inset takes part in it: what is asked for, what is left in the
 * features, what inset answers itself. The bytes are zstream.h's, the switch lane.c's.
 */
#pragma once

#include "stream/lane.h"
#include "xmpp/edit.h"

/* What a client may send of <compress/> that inset answers itself; one more ends its stream. */
#define COMPRESS_REFUSALS 3

/* The answer. */
extern const char compress_failure[];

/* May this session begin compression now? */
bool compress_allowed(const struct lanes *b);
/* Is this <compress/> for zlib? False also if it cannot be read. */
bool compress_asks_zlib(const struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;
/* Leaves zlib alone in the features, or nothing where it is not allowed: 0 or ERR_*. */
int compress_edit_features(struct edits *e, struct arena *a, const struct lane *l,
			   const struct outline *o) MUSTCHECK;
