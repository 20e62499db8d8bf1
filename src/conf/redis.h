/* SPDX-License-Identifier: MIT */
/*
 * redis - the address of a Redis or Valkey as cache.redis writes it.
 *
 * "redis://host:port", "redis://:password@host:port/0" or "unix:/path" ("unix::password@/path").
 * The password stands as it is, without percent-encoding, and may hold any '@' but the last.
 */
#pragma once

#include "base/err.h"

struct redis_address {
	char path[108]; /* of a socket; "": host and port */
	char host[254]; /* a name or an address, without brackets */
	uint16_t port;
	uint32_t database;
	char password[256]; /* secret; "": none */
};

/* 0 or ERR_SYNTAX. */
int redis_parse(const char *text, struct redis_address *out) MUSTCHECK;
