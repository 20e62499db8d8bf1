/* SPDX-License-Identifier: MIT */
/*
 * learn - what the server's side of a stream tells about the session.
 *
 * Who the client is (bind result, SASL2 success with or without Bind2, resumption), and the
 * largest stanza that the server takes (XEP-0478); whether it sends the client to another host,
 * past inset, which is counted and told. Reads single units; changes nothing.
 */
#pragma once

#include "stream/lane.h"

/* Does the session itself want this s2c unit whole? The same answers as chain_wants(). */
enum chain_want learn_wants(const struct lanes *b, enum unit_kind kind, enum iq_type iq,
			    const struct tag_span *child_ns);

/* A unit that learn_wants() wanted, whole. */
void learn_unit(struct lanes *b, const struct lane *l, const uint8_t *p, size_t len);

/* The start tag of an s2c stanza: after <resumed/> its `to` tells who the client is. */
void learn_to(struct lanes *b, const struct tag *t);
