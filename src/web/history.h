/* SPDX-License-Identifier: MIT */
/*
 * history - the last ten minutes and the last day of some figures, for the plots of the page.
 *
 * Samples of the counter pages in rings of a fixed size. Counters are kept as they are: who draws
 * takes differences. Ends with the process; what must last is a Prometheus server's business.
 */
#pragma once

#include "base/buf.h"
#include "base/counters.h"

#define HISTORY_STEP_S 2

enum history_span { HISTORY_MINUTES, HISTORY_DAY, HISTORY_SPANS };

struct history;

struct history *history_new(void) MUSTCHECK;
void history_free(struct history **h);

/* One sample, each HISTORY_STEP_S seconds. now: seconds since 1970. */
void history_sample(struct history *h, int64_t now);

/* {"step": seconds, "at": [...], "sessions": [...], ...}: 0, ERR_FULL or ERR_NOMEM. */
int history_print(const struct history *h, enum history_span span, struct buf *out) MUSTCHECK;

/* What was observed within the last ten minutes, or since the process began. */
void history_recent(const struct history *h, enum histogram_id id, struct counters_histogram *out);
