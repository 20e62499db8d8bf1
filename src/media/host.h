/* SPDX-License-Identifier: MIT */
/*
 * host - what is remembered of hosts that were asked: transfers under way, and a breaker.
 *
 * After some failures in a row a host is left alone for a while; then one transfer may try,
 * and its failure doubles the while. A host that names a while (Retry-After) gets it at once. A
 * table with a cap: hosts idle for longest leave.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"
#include "conf/conf.h"

struct host;
struct host_table;

struct host_table *host_table_new(void) MUSTCHECK;
void host_table_free(struct host_table **t); /* no reference may be out */

/* The row of this host and port, new or old, with a reference; NULL when full or out of memory. */
struct host *host_get(struct host_table *t, const char *name, uint16_t port) MUSTCHECK;
void host_put(struct host **h);

/* Is the breaker open? Not for the one transfer that may try when its time is over. */
bool host_is_blocked(const struct host *h, const struct conf_limits *l);

/* Transfers under way from it. */
unsigned host_active(const struct host *h);
void host_start(struct host *h);
void host_stop(struct host *h);

/* It asked to be left alone for so long; breaker-max is the most that it gets. */
void host_pause(struct host *h, uint32_t seconds, const struct conf_limits *l);

/* CLOSED: failures, but not enough of them; TRIAL: its time is over, one transfer may try. */
enum host_breaker { HOST_CLOSED, HOST_OPEN, HOST_TRIAL, HOST_BREAKER_COUNT };

struct host_news {
	const char *name; /* borrowed */
	uint16_t port;
	enum host_breaker breaker;
	unsigned active;   /* transfers */
	uint64_t failures; /* in a row */
	uint64_t left_ms;  /* while it is OPEN */
};

/*
 * Hosts whose last transfer failed, at most max of them: first those whose breaker is not closed,
 * and of both those asked last first. Returns how many are in out, *all how many there are.
 */
size_t host_table_failing(const struct host_table *t, const struct conf_limits *l,
			  struct host_news *out, size_t max, size_t *all);

/* What came of a transfer. */
void host_succeeded(struct host *h);
void host_failed(struct host *h, const struct conf_limits *l);
