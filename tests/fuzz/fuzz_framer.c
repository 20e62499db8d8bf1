/* SPDX-License-Identifier: MIT */
/*
 * The framer over "header, input, stream end": any split must tell the same, and what it
 * takes for a whole stream libxml2 must take too and cut at the same places. What only
 * libxml2 refuses: duplicate attributes, characters and colons of names,
 * mismatches below depth 64. The first byte chooses the pieces.
 */
#include "config.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fuzz.h"
#include "xmpp/framer.h"

#define HEADER     "<s:s xmlns='c' xmlns:s='S'>"
#define CLOSE      "</s:s>"
#define EVENTS_MAX 4096

struct event {
	size_t at;
	enum framer_event what;
};

struct story {
	struct event events[EVENTS_MAX];
	size_t n;
	int error;
	uint32_t deepest;
};

/* What libxml2 saw. */
struct reference {
	xmlParserCtxtPtr ctxt;
	size_t ends[EVENTS_MAX];
	size_t n;
	size_t depth;
	int fatal;      /* first code */
	bool qualified; /* no namespace error: behind a:b:c libxml2 may lose its way */
};

static void tell(struct story *s, const uint8_t *p, size_t len, size_t piece)
{
	enum framer_event event;
	struct framer f;
	size_t at = 0, n, taken;

	s->n = 0;
	s->deepest = 0;
	framer_init(&f);
	do {
		n = MIN_OF(piece, len - at);
		do {
			taken = framer_feed(&f, p + at, n, &event);
			BUG_ON(taken > n);
			at += taken;
			n -= taken;
			s->deepest = MAX_OF(s->deepest, f.max_depth);
			BUG_ON(f.tag_len > at);
			if (event != FRAMER_MORE && s->n < EVENTS_MAX)
				s->events[s->n++] = (struct event){ .at = at, .what = event };
		} while (event != FRAMER_MORE && event != FRAMER_ERROR);
	} while (at < len && event != FRAMER_ERROR);
	s->error = framer_error(&f);
	framer_fini(&f);
}

static void on_start(void *user, const xmlChar *local UNUSED, const xmlChar *prefix UNUSED,
		     const xmlChar *ns UNUSED, int namespaces_n UNUSED,
		     const xmlChar **namespaces UNUSED, int attrs_n UNUSED, int defaulted UNUSED,
		     const xmlChar **attrs UNUSED)
{
	struct reference *r = user;

	r->depth++;
}

static void on_end(void *user, const xmlChar *local UNUSED, const xmlChar *prefix UNUSED,
		   const xmlChar *ns UNUSED)
{
	struct reference *r = user;
	const xmlParserInput *in = r->ctxt->input;

	if (--r->depth == 1 && r->n < EVENTS_MAX)
		r->ends[r->n++] = in->consumed + (size_t)(in->cur - in->base);
}

static void on_error(void *user, xmlErrorPtr error)
{
	struct reference *r = user;

	if (error->code >= XML_NS_ERR_XML_NAMESPACE && error->code <= XML_NS_ERR_XML_NAMESPACE + 5)
		r->qualified = false;
	if (error->level == XML_ERR_FATAL && !r->fatal)
		r->fatal = error->code;
}

static bool ask_libxml2(struct reference *r, const uint8_t *p, size_t len)
{
	xmlSAXHandler sax = { .initialized = XML_SAX2_MAGIC,
			      .startElementNs = on_start,
			      .endElementNs = on_end,
			      .serror = on_error };
	bool good;

	r->n = 0;
	r->depth = 0;
	r->fatal = 0;
	r->qualified = true;
	r->ctxt = xmlCreatePushParserCtxt(&sax, r, NULL, 0, NULL);
	BUG_ON(!r->ctxt);
	xmlCtxtUseOptions(r->ctxt, XML_PARSE_IGNORE_ENC | XML_PARSE_NONET);
	BUG_ON(xmlSwitchEncoding(r->ctxt, XML_CHAR_ENCODING_UTF8));
	xmlParseChunk(r->ctxt, (const char *)p, (int)len, 1);
	good = r->ctxt->wellFormed;
	xmlFreeParserCtxt(r->ctxt);
	return good;
}

/* Whole stream according to the framer. */
static void compare(const struct story *s, const struct reference *r, bool good, bool ascii)
{
	size_t i, k = 0;

	if (!good) {
		BUG_ON(ascii && r->qualified && r->fatal != XML_ERR_ATTRIBUTE_REDEFINED &&
		       s->deepest <= FRAMER_STACK_MAX);
		return;
	}
	for (i = 0; i < s->n; i++) {
		if (s->events[i].what == FRAMER_END)
			BUG_ON(k >= r->n || r->ends[k++] != s->events[i].at);
	}
	BUG_ON(k != r->n);
}

static bool is_ascii(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] >= 0x80)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct story whole, split;
	static struct reference reference;
	uint8_t stream[8192];
	size_t piece, n;
	bool good;

	if (len < 1 || len > sizeof(stream) - 64)
		return 0;
	piece = bytes[0] % 32 + 1U;
	memcpy(stream, HEADER, sizeof(HEADER) - 1);
	n = sizeof(HEADER) - 1;
	memcpy(stream + n, bytes + 1, len - 1);
	n += len - 1;
	memcpy(stream + n, CLOSE, sizeof(CLOSE) - 1);
	n += sizeof(CLOSE) - 1;
	tell(&whole, stream, n, n);
	tell(&split, stream, n, piece);
	BUG_ON(whole.n != split.n || whole.error != split.error);
	BUG_ON(memcmp(whole.events, split.events, whole.n * sizeof(whole.events[0])) != 0);
	good = ask_libxml2(&reference, stream, n);
	if (!whole.error && whole.n && whole.events[whole.n - 1].what == FRAMER_CLOSE)
		compare(&whole, &reference, good, is_ascii(stream, n));
	/* Nothing well-formed is refused but for the rules of XMPP. */
	BUG_ON(good && (whole.error == ERR_WELL_FORMED ||
			(!whole.error && whole.events[whole.n - 1].what != FRAMER_CLOSE)));
	return 0;
}
