/* SPDX-License-Identifier: MIT */
/*
 * target - a URL that may be fetched, taken apart once by libcurl's parser.
 *
 * The same parts are judged and given to libcurl, so there is no second reading of the
 * text. Syntax only: whether the address may be reached is the guard's business.
 */
#pragma once

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/util.h"

#define TARGET_HOST_MAX   253
#define TARGET_ORIGIN_MAX (TARGET_HOST_MAX + 20)

struct target {
	CURLU *url; /* owned; without fragment and user */
	char *text; /* owned, by curl_free(): the canonical URL */
	bool https;
	uint16_t port;
	bool is_numeric;                    /* host is an address, addr holds it */
	struct sockaddr_storage addr;       /* with port */
	char host[TARGET_HOST_MAX + 1];     /* lower case, IPv6 without brackets */
	char origin[TARGET_ORIGIN_MAX + 1]; /* "http://host:port", port always there */
};

/*
 * Reads text; a relative one is resolved against `from` (NULL: must be absolute). 0,
 * ERR_SYNTAX (also schemes other than http and https, user names, odd hosts), ERR_TOO_BIG
 * or ERR_NOMEM; *t then needs no target_fini().
 */
int target_parse(struct target *t, const char *text, const struct target *from) MUSTCHECK;
void target_fini(struct target *t);
