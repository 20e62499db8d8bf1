/* SPDX-License-Identifier: MIT */
/*
 * rate - token buckets for senders, in a table of fixed size.
 *
 * The limits come with each job, only the fill is kept. Where the table is full the sender
 * not seen for longest in its set is forgotten, which gives that one a full bucket again.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

struct rate;

struct rate *rate_new(void) MUSTCHECK;
void rate_free(struct rate **r);

/* Takes a token: false when there is none. per_min 0: no limit. */
bool rate_take(struct rate *r, uint64_t sender, uint32_t per_min, uint32_t burst);
