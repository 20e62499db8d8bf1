/* SPDX-License-Identifier: MIT */
/*
 * greeting - see greeting.h.
 */
#include "config.h"

#include "stream/greeting.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "xmpp/ns.h"
#include "xmpp/unit.h"

#define OUT_MAX 8192

static const char features[] = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
			       "<required/></starttls></stream:features>";
const char greeting_proceed[] = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

struct greeting *greeting_new(size_t max)
{
	struct greeting *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	framer_init(&g->framer);
	buf_init(&g->in, max);
	buf_init(&g->out, OUT_MAX);
	return g;
}

void greeting_free(struct greeting **gp)
{
	struct greeting *g = *gp;

	*gp = NULL;
	if (!g)
		return;
	framer_fini(&g->framer);
	buf_fini(&g->in);
	buf_fini(&g->out);
	nsctx_unref(&g->ctx);
	free(g->to);
	free(g);
}

/* RFC 6120 4.8.2: both directions of a stream have the same content namespace. */
static const char *content_ns(const struct nsctx *ctx)
{
	const char *ns = ctx ? nsctx_default(ctx) : "";

	return strcmp(ns, NS_SERVER) == 0      ? NS_SERVER
	       : strcmp(ns, NS_COMPONENT) == 0 ? NS_COMPONENT
					       : NS_CLIENT;
}

int greeting_header(struct buf *b, const struct nsctx *ctx, const char *from)
{
	uint8_t random[8];
	size_t i;
	int rc;

	rc = buf_printf(b,
			"<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' "
			"version='1.0' id='",
			content_ns(ctx), NS_STREAM);
	hash_random(random, sizeof(random));
	for (i = 0; i < sizeof(random) && !rc; i++)
		rc = buf_printf(b, "%02x", random[i]);
	if (!rc && from && !strchr(from, '\''))
		rc = buf_printf(b, "' from='%s", from);
	return rc ? rc : buf_add_str(b, "'>");
}

/* Raw as it came: it has passed the framer; only our own quote would end it early. */
static int greeting_answer(struct greeting *g, const char *raw_to)
{
	g->answered = true;
	return greeting_header(&g->out, g->ctx, raw_to);
}

void greeting_fail(struct greeting *g, int err, const char *reason)
{
	const char *condition = err_condition(err);

	g->reason = reason;
	if (!condition || (!g->answered && greeting_answer(g, NULL)))
		return;
	if (buf_printf(&g->out, "<stream:error><%s xmlns='%s'/></stream:error></stream:stream>",
		       condition, NS_STREAM_ERRORS))
		buf_clear(&g->out); /* no memory for the words: the end must do */
}

static enum greeting_next greeting_end(struct greeting *g, int err, const char *reason)
{
	greeting_fail(g, err, reason);
	return GREETING_END;
}

/* The tag that has just ended, which in begins with. */
static int greeting_tag(struct greeting *g, struct tag *t)
{
	size_t len = g->framer.tag_len;

	if (len > g->in.len)
		return ERR_POLICY;
	return tag_read(t, g->in.p + g->in.len - len, len);
}

static enum greeting_next greeting_on_header(struct greeting *g)
{
	struct tag_span to;
	char *raw = NULL;
	struct tag t;
	int rc;

	if (greeting_tag(g, &t))
		return greeting_end(g, ERR_WELL_FORMED, "bad stream header");
	if (!tag_span_is(tag_ns(&t, NULL), NS_STREAM) || !tag_span_is(t.local, "stream"))
		return greeting_end(g, ERR_NAMESPACE, err_str(ERR_NAMESPACE));
	if (g->answered)
		return greeting_end(g, ERR_BAD_FORMAT, err_str(ERR_BAD_FORMAT));
	g->ctx = nsctx_of_header(&t);
	if (!g->ctx)
		return greeting_end(g, ERR_NOMEM, err_str(ERR_NOMEM));
	to = tag_attr(&t, "to");
	if (to.p) {
		raw = strndup(to.p, to.len);
		g->to = malloc(to.len + 1);
		if (!raw || !g->to) {
			free(raw);
			return greeting_end(g, ERR_NOMEM, err_str(ERR_NOMEM));
		}
		if (tag_text(to, g->to, to.len + 1))
			g->to[0] = '\0';
	}
	rc = greeting_answer(g, raw);
	free(raw);
	if (!rc)
		rc = buf_add_str(&g->out, features);
	buf_clear(&g->in);
	return rc ? greeting_end(g, rc, err_str(rc)) : GREETING_MORE;
}

/* Is the element that has just begun <starttls/>? What else there may be must wait for TLS. */
static bool is_starttls(struct greeting *g)
{
	struct tag t;

	return greeting_tag(g, &t) == 0 && tag_span_is(t.local, "starttls") &&
	       tag_span_is(tag_ns(&t, g->ctx), NS_TLS);
}

static enum greeting_next greeting_on_event(struct greeting *g, enum framer_event event,
					    size_t left)
{
	switch (event) {
	case FRAMER_HEADER:
		return greeting_on_header(g);
	case FRAMER_START:
		if (!is_starttls(g))
			return greeting_end(g, ERR_POLICY, "no STARTTLS");
		return GREETING_MORE;
	case FRAMER_CHILD:
		return GREETING_MORE;
	case FRAMER_END:
		/* What stands behind it in the clear could be anybody's. */
		if (left)
			return greeting_end(g, ERR_POLICY, "bytes behind starttls");
		return GREETING_SECURE;
	case FRAMER_CLOSE:
		g->reason = "client left before STARTTLS";
		if (buf_add_str(&g->out, "</stream:stream>"))
			buf_clear(&g->out);
		return GREETING_END;
	case FRAMER_ERROR:
		return greeting_end(g, framer_error(&g->framer), err_str(framer_error(&g->framer)));
	case FRAMER_MORE:
		break;
	}
	return GREETING_MORE;
}

enum greeting_next greeting_feed(struct greeting *g, const uint8_t *p, size_t len)
{
	enum greeting_next next = GREETING_MORE;
	enum framer_event event;
	size_t at = 0, n;

	do {
		n = framer_feed(&g->framer, p + at, len - at, &event);
		/* A header, one element: more than a few KiB is nothing that a client has to say.
		 */
		if (buf_add(&g->in, p + at, n))
			return greeting_end(g, ERR_POLICY, err_str(ERR_POLICY));
		at += n;
		next = greeting_on_event(g, event, len - at);
	} while (next == GREETING_MORE && event != FRAMER_MORE);
	return next;
}
