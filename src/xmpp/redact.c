/* SPDX-License-Identifier: MIT */
/*
 * redact - see redact.h.
 *
 * A small state machine over bytes finds texts and attribute values; everything else passes. It
 * does not judge the XML: what it does not understand is masked up to the next >. A text is kept
 * back to its end, or cut at a place that depends on its own bytes alone; redact-mask.c masks it.
 */
#include "config.h"

#include "xmpp/redact-inside.h"

#include <ctype.h>
#include <string.h>

#include "base/err.h"

#define RUN_MAX  4096 /* bytes of a text that are kept back */
#define TAIL_MAX 128  /* bytes at a cut that may stay together */

enum state {
	STATE_TEXT,
	STATE_LT,    /* behind < */
	STATE_NAME,  /* of an element */
	STATE_TAG,   /* between attributes */
	STATE_ATTR,  /* an attribute's name */
	STATE_EQUAL, /* before the value's quote */
	STATE_VALUE,
	STATE_BANG, /* <!, perhaps [CDATA[ */
	STATE_CDATA,
	STATE_JUNK /* masked up to > */
};

enum policy {
	POLICY_MASK,    /* words */
	POLICY_ADDRESS, /* all but the domain */
	POLICY_RAW
};

/* What says nothing about anybody, or how streams are read and filtered. Alphabetical. */
static const char *const raw_attrs[] = {
	"affiliation",  "algo",       "ask",    "block-size", "category", "code",
	"encoding",     "h",          "hash",   "height",     "lang",     "max",
	"mechanism",    "media-type", "resume", "role",       "seq",      "stamp",
	"subscription", "type",       "var",    "version",    "width",
};
static const char *const address_names[] = { "authorization-identifier", "by", "from", "jid",
					     "to" };
static const char *const raw_texts[] = {
	"height", "idle-seconds", "max-bytes", "mechanism", "media-type",
	"method", "priority",     "show",      "size",      "width",
};
/* Their ids are keys to a stream (XEP-0198 5). */
static const char *const token_tags[] = { "enabled", "resume", "resumed" };

/* --- texts and values ---------------------------------------------------------------------- */

/* The text or value has ended. */
static int held_end(struct redact *r, struct buf *out)
{
	int rc;

	if (r->policy == POLICY_ADDRESS)
		redact_mask_address(r, r->held.p, r->held.len);
	else
		redact_mask(r, r->held.p, r->held.len);
	rc = buf_add(out, r->held.p, r->held.len);
	r->in_url = r->in_authority = false;
	buf_drop(&r->held, r->held.len);
	return rc;
}

/* Too long to be kept: its first part goes, up to a place where no word or reference is cut. */
static int held_cut(struct redact *r, struct buf *out)
{
	size_t n = r->held.len, i;
	const uint8_t *amp;
	int rc;

	r->policy = POLICY_MASK;
	for (i = n; i > n - TAIL_MAX; i--)
		if (isspace(r->held.p[i - 1]) || r->held.p[i - 1] == ';' || r->held.p[i - 1] == ',')
			break;
	if (i == n - TAIL_MAX) { /* one long word: at least between characters and references */
		for (i = n; i > n - 4 && (r->held.p[i - 1] & 0xc0) == 0x80; i--)
			;
		if (r->held.p[i - 1] >= 0xc0)
			i--;
		amp = memrchr(r->held.p + n - REDACT_REFERENCE_MAX, '&', REDACT_REFERENCE_MAX);
		if (amp)
			i = (size_t)(amp - r->held.p);
	}
	redact_mask(r, r->held.p, i);
	rc = buf_add(out, r->held.p, i);
	buf_drop(&r->held, i);
	return rc;
}

static int held_add(struct redact *r, uint8_t b, struct buf *out)
{
	if (r->policy == POLICY_RAW)
		return buf_add(out, &b, 1);
	if (r->held.len >= (r->policy == POLICY_ADDRESS ? REDACT_KEEP : RUN_MAX)) {
		int rc = held_cut(r, out);

		if (rc)
			return rc;
	}
	return buf_add(&r->held, &b, 1);
}

/* --- the machine -------------------------------------------------------------------------- */

static enum policy text_policy(const struct redact *r)
{
	if (r->depth == 0 || r->depth > REDACT_DEPTH)
		return POLICY_MASK;
	return (enum policy)r->stack[r->depth - 1];
}

static void name_begin(struct redact *r)
{
	r->name_len = 0;
}

/* Collects a local name. */
static void name_add(struct redact *r, uint8_t b)
{
	if (b == ':')
		r->name_len = 0;
	else if (r->name_len < sizeof(r->name))
		r->name[r->name_len++] = (char)b;
}

static void tag_named(struct redact *r)
{
	r->tag = POLICY_MASK;
	if (REDACT_AMONG(raw_texts, r->name, r->name_len))
		r->tag = POLICY_RAW;
	else if (REDACT_AMONG(address_names, r->name, r->name_len))
		r->tag = POLICY_ADDRESS;
	r->tokens = REDACT_AMONG(token_tags, r->name, r->name_len);
}

static void tag_ended(struct redact *r)
{
	if (r->end_tag) {
		if (r->depth)
			r->depth--;
	} else if (!r->slash && r->depth < UINT32_MAX) {
		if (r->depth < REDACT_DEPTH)
			r->stack[r->depth] = r->tag;
		r->depth++;
	}
	r->state = STATE_TEXT;
	r->policy = (uint8_t)text_policy(r);
}

static enum policy value_policy(const struct redact *r)
{
	bool raw = REDACT_AMONG(raw_attrs, r->name, r->name_len);

	if (r->match) /* xmlns or xmlns:prefix */
		return POLICY_RAW;
	if (r->tokens && !raw)
		return POLICY_MASK;
	if (REDACT_AMONG(address_names, r->name, r->name_len))
		return POLICY_ADDRESS;
	return raw ? POLICY_RAW : POLICY_MASK;
}

static void on_lt(struct redact *r, uint8_t b)
{
	r->end_tag = b == '/';
	r->slash = false;
	name_begin(r);
	if (b == '!') {
		r->state = STATE_BANG;
		r->match = 0;
		return;
	}
	r->state = STATE_NAME;
	if (b == '?')
		r->slash = true; /* opens nothing */
	else if (b == '>')
		tag_ended(r);
	else if (b != '/')
		name_add(r, b);
}

static void on_tag(struct redact *r, uint8_t b)
{
	if (b == '>') {
		tag_ended(r);
	} else if (b == '/' || b == '?') {
		r->slash = true;
	} else if (b == '"' || b == '\'') {
		r->state = STATE_VALUE;
		r->quote = b;
		r->policy = POLICY_MASK;
	} else if (!isspace(b)) {
		r->state = STATE_ATTR;
		r->match = false;
		name_begin(r);
		name_add(r, b);
	}
}

static void on_name(struct redact *r, uint8_t b)
{
	if (b != '>' && b != '/' && !isspace(b)) {
		name_add(r, b);
		return;
	}
	if (b == '/' && r->end_tag && r->name_len == 0)
		return;
	tag_named(r);
	r->state = STATE_TAG;
	on_tag(r, b);
}

static void on_attr(struct redact *r, uint8_t b)
{
	if (b == ':' && r->name_len == 5 && memcmp(r->name, "xmlns", 5) == 0)
		r->match = true;
	if (b == '=') {
		if (r->name_len == 5 && memcmp(r->name, "xmlns", 5) == 0)
			r->match = true;
		r->state = STATE_EQUAL;
	} else if (b == '>' || b == '"' || b == '\'') {
		r->name_len = 0;
		on_tag(r, b);
	} else if (!isspace(b)) {
		name_add(r, b);
	}
}

static void on_equal(struct redact *r, uint8_t b)
{
	if (b == '"' || b == '\'') {
		r->state = STATE_VALUE;
		r->quote = b;
		r->policy = (uint8_t)value_policy(r);
	} else if (b == '>') {
		tag_ended(r);
	} else if (!isspace(b)) {
		r->state = STATE_JUNK;
		r->policy = POLICY_MASK;
	}
}

/* Behind <!: [CDATA[, or nothing that an XMPP stream may hold. */
static void on_bang(struct redact *r, uint8_t b)
{
	static const char cdata[] = "[CDATA[";

	r->policy = POLICY_MASK;
	if (b != (uint8_t)cdata[r->match]) {
		r->state = b == '>' ? STATE_TEXT : STATE_JUNK;
		if (b == '>')
			r->policy = (uint8_t)text_policy(r);
	} else if (++r->match == sizeof(cdata) - 1) {
		r->state = STATE_CDATA;
		r->match = 0;
		r->policy = (uint8_t)text_policy(r);
	}
}

/* A byte of a text or value; its end among them. */
static int on_content(struct redact *r, uint8_t b, struct buf *out)
{
	bool end = (r->state == STATE_TEXT && b == '<') ||
		   (r->state == STATE_VALUE && b == r->quote) ||
		   (r->state == STATE_JUNK && b == '>');
	int rc;

	if (r->state == STATE_CDATA) {
		end = b == '>' && r->match >= 2;
		r->match = b == ']' ? (uint8_t)MIN_OF(r->match + 1, 2) : 0;
	}
	if (!end)
		return held_add(r, b, out);
	rc = held_end(r, out);
	if (rc)
		return rc;
	if (r->state == STATE_TEXT) {
		r->state = STATE_LT;
	} else if (r->state == STATE_VALUE) {
		r->state = STATE_TAG;
		r->slash = false;
	} else {
		r->state = STATE_TEXT;
		r->policy = (uint8_t)text_policy(r);
	}
	return buf_add(out, &b, 1);
}

static int on_byte(struct redact *r, uint8_t b, struct buf *out)
{
	switch ((enum state)r->state) {
	case STATE_TEXT:
	case STATE_VALUE:
	case STATE_CDATA:
	case STATE_JUNK:
		return on_content(r, b, out);
	case STATE_LT:
		on_lt(r, b);
		break;
	case STATE_NAME:
		on_name(r, b);
		break;
	case STATE_TAG:
		on_tag(r, b);
		break;
	case STATE_ATTR:
		on_attr(r, b);
		break;
	case STATE_EQUAL:
		on_equal(r, b);
		/* Without a quote this is the first byte of junk. */
		return r->state == STATE_JUNK ? held_add(r, b, out) : buf_add(out, &b, 1);
	case STATE_BANG:
		on_bang(r, b);
		return r->state == STATE_JUNK ? held_add(r, b, out) : buf_add(out, &b, 1);
	}
	return buf_add(out, &b, 1);
}

void redact_init(struct redact *r, const uint64_t key[2])
{
	*r = (struct redact){ .key = key };
	buf_init(&r->held, RUN_MAX + 1);
}

void redact_fini(struct redact *r)
{
	buf_fini(&r->held);
}

int redact_feed(struct redact *r, const uint8_t *p, size_t len, struct buf *out)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < len && !rc; i++)
		rc = on_byte(r, p[i], out);
	if (!r->held.len)
		buf_clear(&r->held);
	return rc;
}

int redact_end(struct redact *r, struct buf *out)
{
	int rc = held_end(r, out);

	buf_clear(&r->held);
	return rc;
}
