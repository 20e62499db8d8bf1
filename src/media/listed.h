/* SPDX-License-Identifier: MIT */
/*
 * listed - origins of upload services that this server's users were sent to (fetch.from).
 *
 * Proxies learn them from replies and tell them again whenever media starts anew. A table with a
 * cap: who was not named for longest leaves. Being listed exempts from nothing.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define LISTED_MAX 256

struct listed;

struct listed *listed_new(void) MUSTCHECK;
void listed_free(struct listed **l);

/* origin: as target.origin. */
void listed_add(struct listed *l, const char *origin);
bool listed_has(const struct listed *l, const char *origin);
