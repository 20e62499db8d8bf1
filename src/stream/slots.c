/* SPDX-License-Identifier: MIT */
/*
 * slots - see slots.h.
 */
#include "config.h"

#include "stream/slots.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "filter/track.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/outline.h"

#define SLOTS_MAX   16 /* requests under way; the oldest leaves */
#define SLOTS_ARENA (1024 * 1024)

enum chain_want slots_wants(const struct lanes *b, enum unit_kind kind, enum iq_type iq,
			    const struct tag_span *child_ns)
{
	if (b->conf->fetch.from != CONF_FROM_LISTED || !b->jid || kind != UNIT_IQ || iq != IQ_GET)
		return CHAIN_NO;
	if (!child_ns)
		return CHAIN_CHILD;
	return tag_span_is(*child_ns, NS_HTTP_UPLOAD) ? CHAIN_YES : CHAIN_NO;
}

bool slots_await(const struct lanes *b, const struct tag *reply)
{
	return b->slots && track_awaits(b->slots, reply);
}

/* The user's domain, or a subdomain of it, and nobody's account there. */
static bool is_of_server(const struct lanes *b, const char *to)
{
	struct jid user, service;
	size_t more;

	if (!b->jid || jid_parse(&user, b->jid) || jid_parse(&service, to) || service.local ||
	    service.resource || service.domain_len < user.domain_len)
		return false;
	more = service.domain_len - user.domain_len;
	return strncasecmp(service.domain + more, user.domain, user.domain_len) == 0 &&
	       (more == 0 || service.domain[more - 1] == '.');
}

static void on_request(struct lanes *b, const struct outline *o)
{
	const char *to = outline_attr(o, 0, "", "to"), *id = outline_attr(o, 0, "", "id");

	if (!to || !id || !is_of_server(b, to) ||
	    outline_child(o, 0, NS_HTTP_UPLOAD, "request", 1) == -1)
		return;
	if (!b->slots) {
		b->slots = malloc(sizeof(*b->slots));
		if (!b->slots)
			return;
		track_init(b->slots, SLOTS_MAX);
	}
	if (track_add(b->slots, id, to, NULL, 0))
		return; /* its reply is not read */
}

bool slots_origin(const char *url, char out[SLOTS_ORIGIN_MAX + 1])
{
	const char *host = strstr(url, "://");
	size_t len;

	if (!host)
		return false;
	len = (size_t)(host - url) + 3 + strcspn(host + 3, "/?#\\");
	if (len > SLOTS_ORIGIN_MAX)
		return false;
	memcpy(out, url, len);
	out[len] = '\0';
	return true;
}

static void on_reply(struct lanes *b, const struct outline *o)
{
	const char *id = outline_attr(o, 0, "", "id"), *url;
	struct track_request *t =
		id ? track_take(b->slots, id, outline_attr(o, 0, "", "from")) : NULL;
	char origin[SLOTS_ORIGIN_MAX + 1];
	int slot, get;

	if (!t)
		return;
	track_request_free(&t);
	slot = outline_child(o, 0, NS_HTTP_UPLOAD, "slot", 1);
	get = slot == -1 ? -1 : outline_child(o, slot, NS_HTTP_UPLOAD, "get", slot + 1);
	url = get == -1 ? NULL : outline_attr(o, get, "", "url");
	if (url && b->ops->listed && slots_origin(url, origin))
		b->ops->listed(b->ctx, origin);
}

void slots_unit(struct lanes *b, const struct lane *l, const uint8_t *p, size_t len)
{
	const struct outline_limits limits = {
		.depth = (unsigned)b->conf->limits.depth,
		.attributes = (unsigned)b->conf->limits.attributes,
		.elements = (unsigned)b->conf->limits.elements,
	};
	bool request = l->dir == LANE_C2S && l->iq_type == IQ_GET;
	bool reply = l->dir == LANE_S2C && l->iq_type == IQ_RESULT && b->slots && b->slots->n;
	struct outline o;
	struct arena *a;

	if (b->conf->fetch.from != CONF_FROM_LISTED || l->kind != UNIT_IQ || (!request && !reply) ||
	    !memmem(p, len, NS_HTTP_UPLOAD, strlen(NS_HTTP_UPLOAD)))
		return;
	a = arena_new(SLOTS_ARENA);
	if (!a)
		return;
	if (outline_parse(a, l->ctx, p, len, &limits, &o) == 0) {
		if (request)
			on_request(b, &o);
		else
			on_reply(b, &o);
	}
	arena_free(&a);
}

void slots_free(struct lanes *b)
{
	if (!b->slots)
		return;
	track_fini(b->slots);
	free(b->slots);
	b->slots = NULL;
}
