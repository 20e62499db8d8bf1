/* SPDX-License-Identifier: MIT */
/*
 * jid - see jid.h. RFC 7622 3.1: the first '/' ends the domain part, then the first '@'
 * in front of it the local part.
 */
#include "config.h"

#include "xmpp/jid.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"

#define PART_MAX 1023

int jid_parse(struct jid *out, const char *text)
{
	size_t len = strnlen(text, JID_MAX + 1);
	size_t bare = jid_bare_len(text);
	const char *at = memchr(text, '@', bare);

	*out = (struct jid){ .domain = text, .domain_len = bare };
	if (len > JID_MAX)
		return ERR_SYNTAX;
	if (at) {
		out->local = text;
		out->local_len = (size_t)(at - text);
		out->domain = at + 1;
		out->domain_len = bare - out->local_len - 1;
	}
	if (text[bare] == '/') {
		out->resource = text + bare + 1;
		out->resource_len = len - bare - 1;
	}
	if ((out->local && !out->local_len) || !out->domain_len ||
	    (out->resource && !out->resource_len) || memchr(out->domain, '@', out->domain_len))
		return ERR_SYNTAX;
	if (out->local_len > PART_MAX || out->domain_len > PART_MAX || out->resource_len > PART_MAX)
		return ERR_SYNTAX;
	return 0;
}

size_t jid_bare_len(const char *text)
{
	return strcspn(text, "/");
}

bool jid_same_bare(const char *a, const char *b)
{
	struct jid x, y;

	if (jid_parse(&x, a) || jid_parse(&y, b))
		return false;
	return !x.local == !y.local && x.local_len == y.local_len &&
	       (!x.local || !memcmp(x.local, y.local, x.local_len)) &&
	       x.domain_len == y.domain_len && !strncasecmp(x.domain, y.domain, x.domain_len);
}
