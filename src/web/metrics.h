/* SPDX-License-Identifier: MIT */
/*
 * metrics - the counter pages as Prometheus text, and a judgement on health.
 *
 * No I/O: figures in, text out.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "conf/conf.h"

/* Prometheus text exposition format 0.0.4: 0, ERR_FULL or ERR_NOMEM. */
int metrics_print(struct buf *out) MUSTCHECK;

/* The same for the figures of these rules. */
int metrics_print_rules(const struct conf *conf, struct buf *out) MUSTCHECK;

/* The same for the figures of its listeners, whose names need no escapes. */
int metrics_print_listeners(const struct conf *conf, struct buf *out) MUSTCHECK;

/* Can messages get thumbnails now? *why_out: "ok", or what is missing. */
bool metrics_is_healthy(const char **why_out);
