/* SPDX-License-Identifier: MIT */
/*
 * resolver - names to addresses, without ever waiting: c-ares on libevent.
 *
 * Gives all A and AAAA records that came; judging them is the caller's business. No search
 * domains: names are asked for as they are.
 */
#pragma once

#include <ares.h>
#include <event2/event.h>

#include "base/util.h"
#include "conf/conf.h"

#define RESOLVER_ADDRESSES 32 /* more of a name are as good as a failure */

struct resolver;
struct resolve;

/*
 * n 0: failed. May be called before resolver_start() returns; not after resolve_stop(). The
 * addresses live during the call and carry no port.
 */
typedef void (*resolver_done_fn)(void *arg, const struct sockaddr_storage *addrs, size_t n);

/* With the configuration's name servers or the system's; NULL when out of memory or no c-ares. */
struct resolver *resolver_new(struct event_base *base, const struct conf_fetch *f) MUSTCHECK;
/* Every query under way fails first. */
void resolver_free(struct resolver **r);

/* Sets *out before any call of done: 0 or ERR_NOMEM. *out is gone once done was called. */
int resolver_start(struct resolver *r, const char *name, struct resolve **out,
		   resolver_done_fn done, void *arg) MUSTCHECK;
/* Nobody waits any more; accepts NULL. */
void resolve_stop(struct resolve **q);
