/* SPDX-License-Identifier: MIT */
/*
 * slots - where the server sends its users for uploads (XEP-0363), for fetch.from = "listed".
 *
 * A client's requests for a slot are remembered, the replies to them read, and the origin of the
 * address to get is told to the media process. Changes nothing, and costs nothing where every
 * public address may be fetched from.
 *
 * Invariant: only what the user's own domain or a subdomain of it was asked and answered
 * counts. A stranger who sends a slot, or is asked for one, adds no origin.
 */
#pragma once

#include "stream/lane.h"

#define SLOTS_ORIGIN_MAX 300

/* Is this unit of the client's wanted whole? The same answers as chain_wants(). */
enum chain_want slots_wants(const struct lanes *b, enum unit_kind kind, enum iq_type iq,
			    const struct tag_span *child_ns);

/* Is this, by its start tag, a reply to a request that was remembered? */
bool slots_await(const struct lanes *b, const struct tag *reply);

/* A unit of either, whole. Others are passed over. */
void slots_unit(struct lanes *b, const struct lane *l, const uint8_t *p, size_t len);

void slots_free(struct lanes *b);

/* "scheme://authority" of an address; false: it is none, or too long. */
bool slots_origin(const char *url, char out[SLOTS_ORIGIN_MAX + 1]);
