/* SPDX-License-Identifier: MIT */
/*
 * report - /status.json: figures, stages, listeners, rules, processes, hosts and thumbnails.
 *
 * No I/O: what is known in, text out. Names of hosts, rules and listeners are in it, addresses of
 * media, accounts and messages are not.
 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "web/history.h"
#include "web/inquiry.h"

#define REPORT_MAX   (1024 * 1024)
#define REPORT_RULES 200 /* the first ones; all of them are in /metrics */

/* 0, ERR_FULL or ERR_NOMEM. */
int report_print(const struct conf *conf, const struct history *history,
		 const struct inquiry *inquiry, struct buf *out) MUSTCHECK;
