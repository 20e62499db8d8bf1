/* SPDX-License-Identifier: MIT */
/*
 * features - what inset takes out of a server's stream features, because it cannot be had
 * through it: STARTTLS where inset ends TLS itself, and XEP-0138 compression, behind which
 * nothing could be read.
 *
 * By edits, with their check. Mechanisms, channel bindings and all else pass as they are.
 */
#pragma once

#include "base/buf.h"
#include "stream/lane.h"

/* Appends the features without them to out: true. False: they stay as they came. */
bool features_strip(const struct lane *l, const uint8_t *p, size_t len, struct buf *out) MUSTCHECK;
