/* SPDX-License-Identifier: MIT */
/*
 * compress - XEP-0138 as inset takes part in it: what is asked for, what is left in the
 * features, what inset answers itself, and how both lanes begin anew. The bytes are zstream.h's;
 * where in the stream all this happens is lane.c's business.
 */
#pragma once

#include "stream/lane.h"
#include "xmpp/edit.h"

/* What a client may send of <compress/> that inset answers itself; one more ends its stream. */
#define COMPRESS_REFUSALS 3

/* The answer. */
extern const char compress_failure[];

enum { COMPRESS_FORWARD, COMPRESS_ANSWER };

/*
 * The client's <compress/>: the server's to answer (COMPRESS_FORWARD; if for zlib, nothing may
 * follow it: lanes.asked), or ours in its place (COMPRESS_ANSWER, one more in lanes.answers).
 * ERR_POLICY: once too often.
 */
int compress_on_request(struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;
/* What has been put out of s2c ends between units of the stream that the question is from. */
bool compress_may_answer(const struct lanes *b);
/*
 * <compressed/> has left, to a client that asked: everything behind it is compressed, rest is the
 * server's first of it, and on both lanes a new stream header comes next. 0 or ERR_NOMEM.
 */
int compress_switch(struct lanes *b, const uint8_t *rest, size_t len) MUSTCHECK;
/* Leaves zlib alone in the features, or nothing where it is not allowed: 0 or ERR_*. */
int compress_edit_features(struct edits *e, struct arena *a, const struct lane *l,
			   const struct outline *o) MUSTCHECK;
