/* SPDX-License-Identifier: MIT */
/*
 * guard - which addresses, names and ports may be fetched from.
 *
 * The union of what careful projects refuse: everything that is not the public Internet,
 * this machine's own addresses, and what the configuration adds. An exact origin in
 * allow-origin is exempt from the judgement of its addresses, name and port, from nothing
 * else. No sockets: guard_refresh() asks the kernel for the interfaces, the rest is pure.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/util.h"
#include "conf/conf.h"
#include "media/target.h"

struct guard;

/* With the rules of this configuration, local addresses included; NULL when out of memory. */
struct guard *guard_new(const struct conf_fetch *f) MUSTCHECK;
void guard_free(struct guard **g);

/* Reads the addresses of this machine anew: 0, or ERR_IO, ERR_NOMEM and the old ones stay. */
int guard_refresh(struct guard *g) MUSTCHECK;

/* Is it an exact origin of allow-origin? */
bool guard_is_exempt(const struct guard *g, const struct target *t);

/* May this be connected to? IPv4-mapped addresses are judged as IPv4; other families: no. */
bool guard_allows_address(const struct guard *g, const struct sockaddr *sa);

/* Not a single label, .local, .onion, .i2p, .internal, .home.arpa, .localhost. */
bool guard_allows_name(const char *host);
bool guard_allows_port(const struct guard *g, uint16_t port);
