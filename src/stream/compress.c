/* SPDX-License-Identifier: MIT */
/*
 * compress - see compress.h.
 */
#include "config.h"

#include "stream/compress.h"

#include <string.h>

#include "base/err.h"
#include "stream/lane-inside.h"
#include "xmpp/ns.h"

#define COMPRESS_ARENA (64u * 1024)

const char compress_failure[] =
	"<failure xmlns='http://jabber.org/protocol/compress'><setup-failed/></failure>";

/* May this session begin compression now? */
static bool compress_allowed(const struct lanes *b)
{
	return b->listen->compression == CONF_COMPRESSION_RELAY && b->authenticated &&
	       !b->compressed;
}

/* As XML schemas compare: white space around it does not count. */
static bool is_zlib(const char *text)
{
	static const char space[] = " \t\r\n";
	size_t len;

	text += strspn(text, space);
	len = strcspn(text, space);
	return len == 4 && memcmp(text, "zlib", 4) == 0 && !text[len + strspn(text + len, space)];
}

/* Is this <compress/> for zlib? False also if it cannot be read. */
static bool compress_asks_zlib(const struct lane *l, const uint8_t *p, size_t len)
{
	/* One element with one method is all that there is. */
	const struct outline_limits limits = { .depth = 4, .attributes = 16, .elements = 4 };
	struct arena *a = arena_new(COMPRESS_ARENA);
	struct outline o;
	bool found = false;
	int at;

	if (!a)
		return false;
	if (outline_parse(a, l->ctx, p, len, &limits, &o) == 0) {
		at = outline_child(&o, 0, NS_COMPRESS, "method", 1);
		found = at != -1 && is_zlib(o.elements[at].text) &&
			outline_child(&o, 0, NS_COMPRESS, "method", at + 1) == -1;
	}
	arena_free(&a);
	return found;
}

int compress_on_request(struct lane *l, const uint8_t *p, size_t len)
{
	struct lanes *b = l->both;

	if (compress_allowed(b)) {
		b->asked = lane_may_read(l, len) && compress_asks_zlib(l, p, len);
		return COMPRESS_FORWARD;
	}
	if (b->refusals == COMPRESS_REFUSALS)
		return ERR_POLICY;
	b->refusals++;
	b->answers++;
	b->answers_from = l->heads;
	return COMPRESS_ANSWER;
}

bool compress_may_answer(const struct lanes *b)
{
	const struct lane *l = &b->lane[LANE_S2C];

	return l->headed && l->heads >= b->answers_from && !l->closed && !l->eof && !b->opaque &&
	       l->mode != LANE_PASS && !l->torn;
}

/* A new stream header comes next, and nothing else. */
static void lane_restart(struct lane *l)
{
	framer_fini(&l->framer);
	framer_init(&l->framer);
	l->headed = false;
}

int compress_switch(struct lanes *b, const uint8_t *rest, size_t len)
{
	int rc;

	/* No unit can wait any longer: what it waits for would leave behind the switch. */
	lane_release(&b->lane[LANE_S2C]);
	lane_release(&b->lane[LANE_C2S]);
	rc = b->ops->compress(b->ctx, rest, len);
	b->asked = false;
	b->compressed = true;
	lane_restart(&b->lane[LANE_S2C]);
	lane_restart(&b->lane[LANE_C2S]);
	return rc;
}

static int edit_methods(struct edits *e, struct arena *a, const struct outline *o, int feature)
{
	bool offered = false;
	int at = feature, rc = 0;

	while ((at = outline_child(o, feature, NS_COMPRESS_FEATURE, "method", at + 1)) != -1)
		offered |= is_zlib(o->elements[at].text);
	if (!offered)
		return edit_cut(e, a, o, feature);
	at = feature;
	while (!rc && (at = outline_child(o, feature, NS_COMPRESS_FEATURE, "method", at + 1)) != -1)
		if (!is_zlib(o->elements[at].text))
			rc = edit_cut(e, a, o, at);
	return rc;
}

int compress_edit_features(struct edits *e, struct arena *a, const struct lane *l,
			   const struct outline *o)
{
	bool allowed = compress_allowed(l->both);
	int at = 0, rc = 0;

	while (!rc && (at = outline_child(o, 0, NS_COMPRESS_FEATURE, "compression", at + 1)) != -1)
		rc = allowed ? edit_methods(e, a, o, at) : edit_cut(e, a, o, at);
	return rc;
}
