/* SPDX-License-Identifier: MIT */
/*
 * door - see door.h.
 */
#include "config.h"

#include "web/door.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/hash.h"

#define CREDENTIALS_MAX 600 /* characters behind the scheme */

/* Of hashes, so that neither bytes nor length can be felt for. */
static bool is_token(const char *token, const char *text, size_t len)
{
	uint8_t want[HASH_SHA256_LEN], got[HASH_SHA256_LEN];

	return hash_sha256(token, strlen(token), want) == 0 && hash_sha256(text, len, got) == 0 &&
	       hash_is_equal(want, got, sizeof(want));
}

/* The password; the user may be anybody. RFC 7617 section 2. */
static bool is_basic(const char *token, const char *text)
{
	uint8_t plain[CREDENTIALS_MAX / 4 * 3 + 3];
	size_t len = strlen(text), n;
	const uint8_t *colon;

	if (len > CREDENTIALS_MAX || base64_parse(plain, &n, text, len))
		return false;
	colon = memchr(plain, ':', n);
	return colon && is_token(token, (const char *)colon + 1, n - (size_t)(colon + 1 - plain));
}

static bool has_token(const char *token, const char *authorization)
{
	const char *text;

	if (!authorization)
		return false;
	text = authorization + strcspn(authorization, " ");
	text += strspn(text, " ");
	if (strncasecmp(authorization, "Bearer ", 7) == 0)
		return is_token(token, text, strlen(text));
	return strncasecmp(authorization, "Basic ", 6) == 0 && is_basic(token, text);
}

/* The host of "host:port", without brackets; false: too long, or malformed. */
static bool host_split(const char *text, char out[64])
{
	bool bracket = text[0] == '[';
	const char *from = text + bracket;
	size_t len = strcspn(from, bracket ? "]" : ":");
	const char *rest = from + len;

	if (len == 0 || len >= 64 || (bracket && *rest++ != ']'))
		return false;
	if (*rest == ':')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (*rest)
		return false;
	snprintf(out, 64, "%.*s", (int)len, from);
	return true;
}

static bool is_local_host(const char *text)
{
	struct in6_addr six;
	struct in_addr four;
	char host[64];

	if (!host_split(text, host))
		return false;
	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (text[0] == '[')
		return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
	return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

enum door door_judge(const struct conf_web *w, const char *host, const char *authorization)
{
	if (w->token[0])
		return has_token(w->token, authorization) ? DOOR_OPEN : DOOR_TOKEN;
	/* Browsers always say it. */
	return !host || is_local_host(host) ? DOOR_OPEN : DOOR_HOST;
}
