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

struct host_facts {
	const char *name;
	uint16_t port;
	unsigned active;
	uint64_t failures; /* in a row */
	int64_t open_ms;   /* that its breaker stays open; 0: one transfer may try, or does */
};
/* Hosts whose breaker is open, at most `most`, those asked last first. */
void host_each_blocked(const struct host_table *t, const struct conf_limits *l, size_t most,
		       void (*fn)(void *arg, const struct host_facts *h), void *arg);

/* Transfers under way from it. */
unsigned host_active(const struct host *h);
void host_start(struct host *h);
void host_stop(struct host *h);

/* It asked to be left alone for so long; breaker-max is the most that it gets. */
void host_pause(struct host *h, uint32_t seconds, const struct conf_limits *l);

/* What came of a transfer. */
void host_succeeded(struct host *h);
void host_failed(struct host *h, const struct conf_limits *l);
