/* SPDX-License-Identifier: MIT */
/*
 * edits - see edits.h.
 *
 * Both units are walked side by side. Where they part, the last tag before is where an edit must
 * begin: an element that only one has and that a filter may write or cut, or an attribute.
 */
#include "config.h"

#include "replay/edits.h"

#include <ctype.h>
#include <string.h>

#include "xmpp/edit.h"
#include "xmpp/framer.h"
#include "xmpp/ns.h"

#define BACK_MAX  16 /* tags before the place where units part that an edit may begin at */
#define DEPTH_MAX 16

static const char *const kind_names[] = {
#define EDIT(kind, name, help) [EDIT_##kind] = name,
#include "xmpp/edit.def"
#undef EDIT
};

static const struct {
	const char *filter;
	enum edit_kind kind;
} rows[] = {
#define EDITS(id, filter, kind) [EDITS_##id] = { filter, EDIT_##kind },
#include "replay/edits.def"
#undef EDITS
};

const char *edits_name(unsigned row, const char **kind_out)
{
	if (row >= EDITS_COUNT)
		return NULL;
	*kind_out = kind_names[rows[row].kind];
	return rows[row].filter;
}

void edits_difference(struct edits_difference *d, const uint8_t *a, size_t a_len, const uint8_t *b,
		      size_t b_len)
{
	size_t n = MIN_OF(a_len, b_len), head = 0, tail = 0;

	while (head < n && a[head] == b[head])
		head++;
	while (tail < n - head && a[a_len - 1 - tail] == b[b_len - 1 - tail])
		tail++;
	*d = (struct edits_difference){ .old = a + head,
					.new = b + head,
					.old_len = a_len - head - tail,
					.new_len = b_len - head - tail };
}

/* --- elements ----------------------------------------------------------------------------- */

struct element {
	struct tag tag;
	const uint8_t *p;
	size_t len;
	const uint8_t *text; /* all behind the start tag, up to the end tag */
	size_t text_len;
};

/* The element that begins here. False: none does, or it does not end. */
static bool element_read(struct element *e, const uint8_t *p, size_t len)
{
	static const char open[] = "<x xmlns:stream='http://etherx.jabber.org/streams'>";
	struct framer f;
	enum framer_event ev;
	size_t at = 0, tag = 0, end;

	if (!len || p[0] != '<')
		return false;
	framer_init(&f);
	(void)framer_feed(&f, (const uint8_t *)open, sizeof(open) - 1, &ev);
	do {
		at += framer_feed(&f, p + at, len - at, &ev);
		if (ev == FRAMER_START)
			tag = at;
	} while (ev != FRAMER_MORE && ev != FRAMER_ERROR && ev != FRAMER_END && ev != FRAMER_CLOSE);
	framer_fini(&f);
	if (ev != FRAMER_END || tag_read(&e->tag, p, tag))
		return false;
	for (end = at; end > tag && p[end - 1] != '<';)
		end--;
	e->p = p;
	e->len = at;
	e->text = p + tag;
	e->text_len = end > tag ? end - 1 - tag : 0;
	return true;
}

static bool is_named(const struct element *e, const char *ns, const char *local)
{
	return tag_span_is(e->tag.local, local) && tag_span_is(tag_attr(&e->tag, "xmlns"), ns);
}

static bool has(const struct element *e, const char *text)
{
	return memmem(e->text, e->text_len, text, strlen(text)) != NULL;
}

static bool starts(struct tag_span s, const char *text)
{
	return s.len > strlen(text) && memcmp(s.p, text, strlen(text)) == 0;
}

/* Base64 of a picture's size; what redaction has masked need not be one any more. */
static bool is_base64(const uint8_t *p, size_t len)
{
	size_t i, pad = 0;

	if (len < 24 || len % 4)
		return false;
	while (pad < 2 && p[len - 1 - pad] == '=')
		pad++;
	for (i = 0; i < len - pad; i++)
		if (!isalnum(p[i]) && p[i] != '+' && p[i] != '/')
			return false;
	return true;
}

/* A data element with a picture, of XEP-0047 or XEP-0231. */
static bool is_data(const struct element *e, const char *ns)
{
	return is_named(e, ns, "data") && starts(tag_attr(&e->tag, "type"), "image/") &&
	       is_base64(e->text, e->text_len);
}

static bool is_thumbs(const struct element *e)
{
	return (is_named(e, NS_THUMBS1, "thumbnail") && tag_attr(&e->tag, "uri").p) ||
	       (is_named(e, NS_THUMBS0, "thumbnail") && tag_attr(&e->tag, "cid").p);
}

/* --- what filters write, and take out ------------------------------------------------------- */

/* Where an element stands: in what, and what is behind it. */
struct place {
	enum unit_kind kind;
	const char *parent; /* its name */
	size_t parent_len;
	bool last; /* child */
};

static bool is_in(const struct place *at, const char *name)
{
	return at->parent_len == strlen(name) && memcmp(at->parent, name, at->parent_len) == 0;
}

/* Each at most once in a message; those of one bit are one thing. */
enum {
	FORM_IBB,
	FORM_BOB,
	FORM_THUMBS0,
	FORM_SIMS,
	FORM_SFS,
	FORM_FALLBACK,
	FORM_OGP,
	FORM_THUMBS1,
	FORM_FILE
};
#define FORM_NONE (-1)

static int form_in_message(const struct element *e, const struct place *at)
{
	if (is_data(e, NS_IBB))
		return at->last ? FORM_IBB : FORM_NONE;
	if (is_data(e, NS_BOB) && starts(tag_attr(&e->tag, "cid"), "sha1+"))
		return FORM_BOB;
	if (is_named(e, NS_THUMBS0, "thumbnail") && is_thumbs(e))
		return FORM_THUMBS0;
	if (is_named(e, NS_REFERENCE, "reference") && has(e, NS_SIMS) && has(e, NS_THUMBS1))
		return FORM_SIMS;
	if (is_named(e, NS_SFS, "file-sharing") && has(e, NS_THUMBS1))
		return FORM_SFS;
	if (is_named(e, NS_FALLBACK, "fallback") && tag_span_is(tag_attr(&e->tag, "for"), NS_SFS))
		return FORM_FALLBACK;
	if (tag_span_is(e->tag.local, "Description") && has(e, NS_OGP) && has(e, "data:image/"))
		return FORM_OGP;
	if (is_named(e, NS_FILE_METADATA, "file"))
		return FORM_FILE;
	return FORM_NONE;
}

/* What filter thumbnail writes into messages, and its twins into offers. */
static int form_of(const struct element *e, const struct place *at)
{
	if (at->kind == UNIT_MESSAGE && is_in(at, "message"))
		return form_in_message(e, at);
	if (at->kind == UNIT_MESSAGE && (is_in(at, "x") || is_in(at, "file")) &&
	    is_named(e, NS_THUMBS1, "thumbnail") && is_thumbs(e))
		return FORM_THUMBS1;
	if (at->kind == UNIT_IQ && is_in(at, "file") && is_thumbs(e))
		return FORM_THUMBS1;
	return FORM_NONE;
}

static bool is_feature(const struct element *e, const struct place *at)
{
	struct tag_span var = tag_attr(&e->tag, "var");

	return at->kind == UNIT_IQ && is_in(at, "query") && tag_span_is(e->tag.local, "feature") &&
	       (tag_span_is(var, NS_KONTALK_UPLOAD) || tag_span_is(var, NS_KONTALK_UPLOAD_OLD) ||
		tag_span_is(var, NS_HTTP_UPLOAD));
}

static bool is_caps(const struct element *e)
{
	return is_named(e, NS_CAPS, "c") || is_named(e, NS_CAPS2, "c");
}

/* The row of an element that was cut, or -1. */
static int cut_of(const struct element *e, const struct place *at)
{
	if (at->kind == UNIT_FEATURES)
		return is_named(e, NS_TLS, "starttls") ||
				       is_named(e, NS_COMPRESS_FEATURE, "compression")
			       ? EDITS_FEATURES
		       : is_caps(e) ? EDITS_CAPS
				    : -1;
	if (at->kind == UNIT_MESSAGE || at->kind == UNIT_IQ)
		return is_thumbs(e) || is_data(e, NS_IBB) || is_data(e, NS_BOB) ? EDITS_STRIP : -1;
	return -1;
}

/* --- the walk ----------------------------------------------------------------------------- */

struct walk {
	enum unit_kind kind;
	const uint8_t *a; /* what is left of the sent one */
	size_t a_len;
	const uint8_t *b; /* and of the one that arrived */
	size_t b_len;
	const uint8_t *start; /* of the latter */
	uint32_t found;       /* bits of enum edits_row */
	uint32_t forms;       /* bits of forms */
	bool thumbnail;
};

/* The element that is open at this place of the unit that arrived. */
static void find_place(const struct walk *w, const uint8_t *at, struct place *out)
{
	struct tag_span open[DEPTH_MAX] = { 0 };
	const uint8_t *p = w->start, *end;
	size_t depth = 0;

	*out = (struct place){ .kind = w->kind };
	while (p < at && (p = memchr(p, '<', (size_t)(at - p))) != NULL) {
		char quote = 0;

		for (end = p + 1; end < at && (quote || *end != '>'); end++)
			if (quote)
				quote = *end == quote ? 0 : quote;
			else if (*end == '\'' || *end == '"')
				quote = (char)*end;
		if (end >= at)
			break;
		if (p[1] == '/') {
			depth -= depth > 0;
		} else if (end[-1] != '/') {
			size_t n = strcspn((const char *)p + 1, " \t\r\n>/");

			if (depth < DEPTH_MAX)
				open[depth] = (struct tag_span){ (const char *)p + 1, n };
			depth++;
		}
		p = end + 1;
	}
	if (depth && depth <= DEPTH_MAX) {
		out->parent = open[depth - 1].p;
		out->parent_len = open[depth - 1].len;
	}
}

static void walk_take(struct walk *w, size_t both, size_t a, size_t b)
{
	w->a += both + a;
	w->a_len -= both + a;
	w->b += both + b;
	w->b_len -= both + b;
}

/* An element that only the one that arrived has, `k` bytes from here. */
static bool walk_insert(struct walk *w, size_t k)
{
	struct element e;
	struct place at;
	int form;

	if (!element_read(&e, w->b + k, w->b_len - k))
		return false;
	find_place(w, w->b + k, &at);
	at.last = w->a_len - k > 2 && memcmp(w->a + k, "</", 2) == 0;
	form = form_of(&e, &at);
	if (form != FORM_NONE) {
		bool several =
			at.kind == UNIT_IQ || memmem(w->start, (size_t)(w->b - w->start) + w->b_len,
						     NS_FORWARD, strlen(NS_FORWARD));

		if (w->forms & 1u << form && !several)
			return false;
		w->forms |= 1u << form;
		w->thumbnail |= form != FORM_FALLBACK && form != FORM_FILE;
		w->found |= 1u << EDITS_THUMBNAIL;
	} else if (is_feature(&e, &at)) {
		w->found |= 1u << EDITS_DISCO;
	} else {
		return false;
	}
	walk_take(w, k, 0, e.len);
	return true;
}

/* An element that only the sent one has; or caps that both have, but not alike. */
static bool walk_cut(struct walk *w, size_t k)
{
	struct element e, other;
	struct place at;
	int row;

	if (!element_read(&e, w->a + k, w->a_len - k))
		return false;
	find_place(w, w->b + k, &at);
	row = cut_of(&e, &at);
	if (row == -1)
		return false;
	w->found |= 1u << row;
	if (row == EDITS_CAPS && element_read(&other, w->b + k, w->b_len - k) && is_caps(&other))
		walk_take(w, k, e.len, other.len);
	else
		walk_take(w, k, e.len, 0);
	return true;
}

/* The attribute location of <enabled/>; `n` bytes are alike. */
static bool walk_location(struct walk *w, size_t n)
{
	static const char name[] = "location=";
	size_t at = n, end;
	const uint8_t *quote;

	if (w->kind != UNIT_ENABLED && w->kind != UNIT_SASL2_SUCCESS)
		return false;
	while (at && !isspace(w->a[at]))
		at--;
	for (end = at; end < w->a_len && isspace(w->a[end]);)
		end++;
	if (end == at || w->a_len - end < sizeof(name) + 1 ||
	    memcmp(w->a + end, name, sizeof(name) - 1) != 0)
		return false;
	end += sizeof(name) - 1;
	quote = memchr(w->a + end + 1, w->a[end], w->a_len - end - 1);
	if (!quote)
		return false;
	w->found |= 1u << EDITS_ENABLED;
	walk_take(w, at, (size_t)(quote + 1 - w->a) - at, 0);
	return true;
}

/* One edit more; false: what differs is none. */
static bool walk_step(struct walk *w)
{
	size_t n = 0, k, tries = 0;

	while (n < w->a_len && n < w->b_len && w->a[n] == w->b[n])
		n++;
	if (n == w->a_len && n == w->b_len) {
		walk_take(w, n, 0, 0);
		return true;
	}
	for (k = n + 1; k-- > 0 && tries < BACK_MAX;) {
		if (k == w->a_len || w->a[k] != '<' || k == w->b_len || w->b[k] != '<')
			continue;
		tries++;
		if (walk_insert(w, k) || walk_cut(w, k))
			return true;
	}
	return n < w->a_len && walk_location(w, n);
}

/* --- replies ------------------------------------------------------------------------------ */

/* An error that became a result: the start tags are alike but for the type. */
static uint32_t substitute_find(const uint8_t *sent, size_t sent_len, const uint8_t *got,
				size_t got_len)
{
	static const char error[] = "error", result[] = "result";
	struct element a, b, child;
	struct tag_span ta, tb;
	size_t before, behind;

	if (!element_read(&a, sent, sent_len) || !element_read(&b, got, got_len) ||
	    a.len != sent_len || b.len != got_len)
		return 0;
	ta = tag_attr(&a.tag, "type");
	tb = tag_attr(&b.tag, "type");
	if (!tag_span_is(ta, error) || !tag_span_is(tb, result))
		return 0;
	before = (size_t)((const uint8_t *)ta.p - sent);
	behind = a.tag.len - before - ta.len;
	if ((size_t)((const uint8_t *)tb.p - got) != before || memcmp(sent, got, before) != 0 ||
	    b.tag.len - before - tb.len != behind ||
	    memcmp(ta.p + ta.len, tb.p + tb.len, behind) != 0)
		return 0;
	if (!element_read(&child, b.text, b.text_len) || child.len != b.text_len)
		return 0;
	if (is_data(&child, NS_BOB))
		return 1u << EDITS_BOB;
	if (is_named(&child, NS_DISCO_ITEMS, "query") || is_named(&child, NS_DISCO_INFO, "query") ||
	    is_named(&child, NS_KONTALK_UPLOAD, "upload") ||
	    is_named(&child, NS_KONTALK_UPLOAD_OLD, "upload") ||
	    is_named(&child, NS_HTTP_UPLOAD, "slot"))
		return 1u << EDITS_UPLOAD;
	return 0;
}

uint32_t edits_find(enum unit_kind kind, const uint8_t *sent, size_t sent_len, const uint8_t *got,
		    size_t got_len, bool *thumbnail_out)
{
	struct walk w = {
		.kind = kind, .a = sent, .a_len = sent_len, .b = got, .b_len = got_len, .start = got
	};

	*thumbnail_out = false;
	while (w.a_len || w.b_len)
		if (!walk_step(&w))
			return kind == UNIT_IQ ? substitute_find(sent, sent_len, got, got_len) : 0;
	*thumbnail_out = w.thumbnail;
	return w.found;
}
