/* SPDX-License-Identifier: MIT */
/*
 * features - what inset takes out of what a server offers, because it cannot be had through
 * it: STARTTLS where inset ends TLS itself; XEP-0138 compression where it is not relayed
 * (compress.h), because nothing could be read behind it; the address past inset at which a
 * stream could be resumed (XEP-0198 `location`, also inside SASL2's success).
 *
 * By edits, with their check. Mechanisms, channel bindings and all else pass as they are.
 */
#pragma once

#include "base/buf.h"
#include "stream/lane.h"

/* May units of this kind, from the server, hold any of it? */
bool features_concern(enum unit_kind kind);
/* Appends the lane's unit without it to out: true. False: it stays as it came. */
bool features_strip(const struct lane *l, const uint8_t *p, size_t len, struct buf *out) MUSTCHECK;
