/* SPDX-License-Identifier: MIT */
/*
 * redis - see redis.h.
 */
#include "config.h"

#include "conf/redis.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"

#define PREFIX       "redis://"
#define PREFIX_UNIX  "unix:"
#define PORT         6379
#define DATABASE_MAX 9999

static int copy(char *out, size_t room, const char *p, size_t len)
{
	if (!len || len >= room)
		return ERR_SYNTAX;
	memcpy(out, p, len);
	out[len] = '\0';
	return 0;
}

/* ":password@" if it stands here; *text moves behind it. */
static int password_take(const char **text, struct redis_address *out)
{
	const char *at = strrchr(*text, '@');
	int rc;

	if (!at)
		return 0;
	if (**text != ':')
		return ERR_SYNTAX;
	rc = copy(out->password, sizeof(out->password), *text + 1, (size_t)(at - *text - 1));
	*text = at + 1;
	return rc;
}

static int database_take(const char *slash, struct redis_address *out)
{
	size_t len = strspn(slash + 1, "0123456789");

	if (slash[1 + len] || len > 4)
		return ERR_SYNTAX;
	out->database = len ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0;
	return out->database <= DATABASE_MAX ? 0 : ERR_SYNTAX;
}

static int host_take(const char *text, size_t len, struct redis_address *out)
{
	bool bracket = text[0] == '[';
	const char *end = bracket ? memchr(text, ']', len) : memchr(text, ':', len);
	const char *rest = end ? end + bracket : text + len;
	char port[8];
	size_t i;

	if (bracket && !end)
		return ERR_SYNTAX;
	out->port = PORT;
	if (rest != text + len &&
	    (*rest != ':' || copy(port, sizeof(port), rest + 1, (size_t)(text + len - rest - 1)) ||
	     address_port(port, &out->port)))
		return ERR_SYNTAX;
	if (copy(out->host, sizeof(out->host), text + bracket,
		 (size_t)((end ? end : rest) - text) - bracket))
		return ERR_SYNTAX;
	for (i = 0; out->host[i]; i++)
		if (!isalnum((unsigned char)out->host[i]) && !strchr("-._:", out->host[i]))
			return ERR_SYNTAX;
	return 0;
}

int redis_parse(const char *text, struct redis_address *out)
{
	const char *slash;

	*out = (struct redis_address){ .path = "" };
	if (strncmp(text, PREFIX_UNIX, strlen(PREFIX_UNIX)) == 0) {
		text += strlen(PREFIX_UNIX);
		if (text[0] != '/' && password_take(&text, out))
			return ERR_SYNTAX;
		return text[0] == '/' ? copy(out->path, sizeof(out->path), text, strlen(text))
				      : ERR_SYNTAX;
	}
	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
		return ERR_SYNTAX;
	text += strlen(PREFIX);
	if (password_take(&text, out))
		return ERR_SYNTAX;
	slash = strchr(text, '/');
	if (slash && database_take(slash, out))
		return ERR_SYNTAX;
	return host_take(text, slash ? (size_t)(slash - text) : strlen(text), out);
}
