/* SPDX-License-Identifier: MIT */
/*
 * checker - see checker.h.
 */
#include "config.h"

#include "replay/checker.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "xmpp/edit.h"
#include "xmpp/framer.h"
#include "xmpp/ns.h"

#define FIRST_MAX 16384 /* bytes of the first difference's description */
#define CONTEXT   120   /* bytes shown on each side of it */

static const char *const result_names[] = {
#define CHECKER(name, text, help) [CHECKER_##name] = text,
#include "replay/checker.def"
#undef CHECKER
};

static const char *const edit_names[] = {
#define EDIT(kind, name, help) [EDIT_##kind] = name,
#include "xmpp/edit.def"
#undef EDIT
};

/* --- what filters may do ------------------------------------------------------------------ */

/* One edit: a piece of the sent unit that became a piece of the unit that arrived. */
struct difference {
	const uint8_t *old;
	const uint8_t *new;
	size_t old_len;
	size_t new_len;
	const uint8_t *behind; /* in the sent unit */
	size_t behind_len;
};

/* These bytes are one whole element; its start tag is read. */
static bool is_element(const uint8_t *p, size_t len, struct tag *t)
{
	static const char open[] = "<x xmlns:stream='http://etherx.jabber.org/streams'>";
	struct framer f;
	enum framer_event ev;
	size_t at = 0, tag = 0;
	bool whole = false;

	framer_init(&f);
	(void)framer_feed(&f, (const uint8_t *)open, sizeof(open) - 1, &ev);
	do {
		at += framer_feed(&f, p + at, len - at, &ev);
		if (ev == FRAMER_START)
			tag = at;
		if (ev == FRAMER_END) {
			whole = at == len;
			break;
		}
	} while (ev != FRAMER_MORE && ev != FRAMER_ERROR);
	framer_fini(&f);
	return whole && len && p[0] == '<' && tag_read(t, p, tag) == 0;
}

static bool is_named(const struct tag *t, const char *ns, const char *local)
{
	return tag_span_is(t->local, local) && tag_span_is(tag_attr(t, "xmlns"), ns);
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

/* A data element of XEP-0047 with a picture in base64, the last child of the message. */
static bool is_thumbnail(const struct difference *d)
{
	const uint8_t *text, *end;
	struct tag_span type;
	struct tag t;

	if (d->old_len || d->behind_len < 3 || memcmp(d->behind, "</", 2) != 0 ||
	    !is_element(d->new, d->new_len, &t) || !is_named(&t, NS_IBB, "data"))
		return false;
	if (memchr(d->behind + 2, '<', d->behind_len - 2))
		return false;
	text = d->new + t.len;
	end = memchr(text, '<', d->new_len - t.len);
	type = tag_attr(&t, "type");
	return end && is_base64(text, (size_t)(end - text)) && type.len > 6 &&
	       memcmp(type.p, "image/", 6) == 0;
}

static bool is_feature_cut(const struct difference *d)
{
	struct tag t;

	return !d->new_len && is_element(d->old, d->old_len, &t) &&
	       (is_named(&t, NS_TLS, "starttls") ||
		is_named(&t, NS_COMPRESS_FEATURE, "compression"));
}

static bool is_location_cut(const struct difference *d)
{
	static const char name[] = "location=";
	size_t i = 0;

	if (d->new_len || d->old_len < sizeof(name) + 3)
		return false;
	while (i < d->old_len && isspace(d->old[i]))
		i++;
	return i && d->old_len - i > sizeof(name) &&
	       memcmp(d->old + i, name, sizeof(name) - 1) == 0;
}

/* Every edit that inset makes, with what makes it. */
static const struct {
	const char *filter;
	enum edit_kind kind;
	uint32_t units; /* bits of enum unit_kind */
	bool (*is)(const struct difference *d);
	bool thumbnail;
} edits[] = {
	{ "thumbnail", EDIT_INSERT, 1u << UNIT_MESSAGE, is_thumbnail, true },
	{ "features", EDIT_CUT, 1u << UNIT_FEATURES, is_feature_cut, false },
	{ "enabled", EDIT_CUT, 1u << UNIT_ENABLED | 1u << UNIT_SASL2_SUCCESS, is_location_cut,
	  false },
};

const char *checker_edit_name(unsigned row, const char **kind_out)
{
	if (row >= ARRAY_SIZE(edits))
		return NULL;
	*kind_out = edit_names[edits[row].kind];
	return edits[row].filter;
}

/* The one place where two units differ. */
static void difference_find(struct difference *d, const uint8_t *a, size_t a_len, const uint8_t *b,
			    size_t b_len)
{
	size_t n = MIN_OF(a_len, b_len), head = 0, tail = 0;

	while (head < n && a[head] == b[head])
		head++;
	while (tail < n - head && a[a_len - 1 - tail] == b[b_len - 1 - tail])
		tail++;
	/* An insertion or cut can stand in several places: the one that begins with < or space. */
	while (head && (a_len == head + tail || b_len == head + tail)) {
		const uint8_t *longer = a_len > b_len ? a : b;
		uint8_t first = longer[head];

		if (first == '<' || isspace(first) ||
		    longer[head - 1] != longer[MAX_OF(a_len, b_len) - tail - 1])
			break;
		head--;
		tail++;
	}
	*d = (struct difference){ .old = a + head,
				  .new = b + head,
				  .old_len = a_len - head - tail,
				  .new_len = b_len - head - tail,
				  .behind = a + a_len - tail,
				  .behind_len = tail };
}

static int edit_find(enum unit_kind kind, const struct difference *d)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(edits); i++)
		if (edits[i].units & 1u << kind && edits[i].is(d))
			return (int)i;
	return -1;
}

/* Two features cut leave two gaps: each is taken out of the sent unit in turn. */
static int edit_find_cuts(enum unit_kind kind, const uint8_t *sent, size_t sent_len,
			  const uint8_t *got, size_t got_len)
{
	uint8_t rest[8192];
	size_t at, len;
	int found = -1;

	if (kind != UNIT_FEATURES || sent_len > sizeof(rest))
		return -1;
	memcpy(rest, sent, sent_len);
	for (at = 0; at < sent_len && at < got_len && rest[at] == got[at]; at++)
		;
	while (at && rest[at] != '<')
		at--;
	for (len = 1; at + len <= sent_len; len++) {
		struct difference d = { .old = rest + at, .old_len = len };

		if (rest[at + len - 1] == '>' && is_feature_cut(&d)) {
			memmove(rest + at, rest + at + len, sent_len - at - len);
			difference_find(&d, rest, sent_len - len, got, got_len);
			found = edit_find(kind, &d);
			break;
		}
	}
	return found;
}

int checker_edit(enum unit_kind kind, const uint8_t *sent, size_t sent_len, const uint8_t *got,
		 size_t got_len, bool *thumbnail_out)
{
	struct difference d;
	int row;

	difference_find(&d, sent, sent_len, got, got_len);
	row = edit_find(kind, &d);
	if (row == -1)
		row = edit_find_cuts(kind, sent, sent_len, got, got_len);
	*thumbnail_out = row != -1 && edits[row].thumbnail;
	return row;
}

/* --- the first difference, for people ------------------------------------------------------- */

static void say_bytes(struct buf *b, char mark, const uint8_t *p, size_t len, size_t at, size_t n)
{
	size_t from = at > CONTEXT ? at - CONTEXT : 0, to = MIN_OF(at + n + CONTEXT, len), i;
	int rc = buf_printf(b, "%c %s", mark, from ? "..." : "");

	to = MIN_OF(to, from + 1500);
	for (i = from; i < to && !rc; i++)
		rc = p[i] == '\n'  ? buf_add_str(b, "\\n")
		     : p[i] < 0x20 ? buf_printf(b, "\\x%02x", p[i])
				   : buf_add(b, p + i, 1);
	if (!rc)
		rc = buf_printf(b, "%s\n", to < len ? "..." : "");
	(void)rc; /* a description that does not fit ends there */
}

static void checker_say(struct checker *c, enum checker_result result, uint64_t number,
			const uint8_t *sent, size_t sent_len, const uint8_t *got, size_t got_len)
{
	struct buf *b = &c->sums->first;
	struct difference d = { .old = sent, .new = got };

	if (b->len || result == CHECKER_SAME || result == CHECKER_EDITED)
		return;
	if (!b->max)
		buf_init(b, FIRST_MAX);
	if (sent && got)
		difference_find(&d, sent, sent_len, got, got_len);
	if (buf_printf(b, "%s: unit %llu %s", c->name, (unsigned long long)number,
		       result_names[result]))
		return;
	if (sent && got && buf_printf(b, ", first at byte %zu", (size_t)(d.old - sent)))
		return;
	if (buf_add_str(b, "\n"))
		return;
	if (sent)
		say_bytes(b, '-', sent, sent_len, (size_t)(d.old - sent), d.old_len);
	if (got)
		say_bytes(b, '+', got, got_len, (size_t)(d.new - got), d.new_len);
}

/* --- order -------------------------------------------------------------------------------- */

static void checker_count(struct checker *c, enum checker_result result)
{
	c->sums->n[result]++;
}

/* Is it this one, as it was or with an edit that a filter makes? -1: no; else 0 or 1. */
static int checker_is(struct checker *c, uint64_t number, const uint8_t *p, size_t len)
{
	const uint8_t *sent;
	enum unit_kind kind;
	bool thumbnail;
	size_t sent_len;
	int row;

	if (number >= c->sent)
		return -1;
	sent = c->unit(c->ctx, number, &sent_len, &kind);
	if (!sent)
		return -1;
	if (sent_len == len && memcmp(sent, p, len) == 0)
		return 0;
	row = checker_edit(kind, sent, sent_len, p, len, &thumbnail);
	if (row == -1)
		return -1;
	c->sums->edits[row]++;
	c->sums->present += thumbnail;
	return 1;
}

static void checker_miss(struct checker *c, uint64_t number)
{
	const uint8_t *sent;
	enum unit_kind kind;
	size_t len;

	checker_count(c, CHECKER_LOST); /* until it comes late */
	sent = c->unit(c->ctx, number, &len, &kind);
	checker_say(c, CHECKER_LOST, number, sent, sent ? len : 0, NULL, 0);
	if (c->missed_n == CHECKER_LOOK) {
		memmove(c->missed, c->missed + 1, sizeof(c->missed) - sizeof(c->missed[0]));
		c->missed_n--;
	}
	c->missed[c->missed_n++] = number;
}

/* One that was passed over before? */
static bool checker_is_late(struct checker *c, const uint8_t *p, size_t len, uint64_t *number_out)
{
	unsigned i;

	for (i = 0; i < c->missed_n; i++) {
		if (checker_is(c, c->missed[i], p, len) == -1)
			continue;
		*number_out = c->missed[i];
		memmove(c->missed + i, c->missed + i + 1,
			sizeof(c->missed[0]) * (c->missed_n - i - 1));
		c->missed_n--;
		c->sums->n[CHECKER_LOST]--;
		return true;
	}
	return false;
}

static bool checker_is_among(struct checker *c, uint64_t from, uint64_t to, const uint8_t *p,
			     size_t len, uint64_t *number_out)
{
	for (*number_out = from; *number_out < to; ++*number_out)
		if (checker_is(c, *number_out, p, len) != -1)
			return true;
	return false;
}

/* Is it the other one with something done to it, rather than a stranger? */
static bool is_alike(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	struct difference d;

	difference_find(&d, a, a_len, b, b_len);
	return 2 * (a_len - d.old_len) >= a_len || 2 * (b_len - d.new_len) >= b_len;
}

/* What arrived is not what is due. */
static enum checker_result checker_place(struct checker *c, const uint8_t *p, size_t len,
					 uint64_t *number)
{
	uint64_t back = c->at > CHECKER_LOOK ? c->at - CHECKER_LOOK : 0;
	const uint8_t *sent;
	enum unit_kind kind;
	size_t sent_len = 0;

	if (checker_is_late(c, p, len, number)) {
		checker_say(c, CHECKER_REORDERED, *number, NULL, 0, p, len);
		return CHECKER_REORDERED;
	}
	if (c->at && checker_is_among(c, c->at - 1, c->at, p, len, number)) {
		checker_say(c, CHECKER_DOUBLED, *number, NULL, 0, p, len);
		return CHECKER_DOUBLED;
	}
	if (checker_is_among(c, c->at + 1, MIN_OF(c->at + CHECKER_LOOK, c->sent), p, len, number)) {
		while (c->at < *number)
			checker_miss(c, c->at++);
		c->at++;
		return CHECKER_SAME;
	}
	if (checker_is_among(c, back, MIN_OF(c->at, c->sent), p, len, number)) {
		checker_say(c, CHECKER_DOUBLED, *number, NULL, 0, p, len);
		return CHECKER_DOUBLED;
	}
	*number = c->at;
	sent = c->at < c->sent ? c->unit(c->ctx, c->at, &sent_len, &kind) : NULL;
	if (!sent || !is_alike(sent, sent_len, p, len)) {
		checker_say(c, CHECKER_FOREIGN, c->at, NULL, 0, p, len);
		return CHECKER_FOREIGN;
	}
	checker_say(c, CHECKER_CHANGED, c->at, sent, sent_len, p, len);
	c->at++;
	return CHECKER_CHANGED;
}

uint64_t checker_arrived(struct checker *c, const uint8_t *p, size_t len,
			 enum checker_result *result_out)
{
	uint64_t number = c->at;
	int is = checker_is(c, c->at, p, len);

	if (is != -1) {
		c->at++;
		*result_out = is ? CHECKER_EDITED : CHECKER_SAME;
	} else {
		*result_out = checker_place(c, p, len, &number);
	}
	checker_count(c, *result_out);
	return *result_out == CHECKER_FOREIGN || *result_out == CHECKER_DOUBLED ? UINT64_MAX
										: number;
}

void checker_end(struct checker *c)
{
	while (c->at < c->sent)
		checker_miss(c, c->at++);
}

const char *checker_result_name(enum checker_result result)
{
	return result_names[result];
}

bool checker_is_clean(const struct checker_sums *s)
{
	int i;

	for (i = CHECKER_CHANGED; i < CHECKER_RESULT_COUNT; i++)
		if (s->n[i])
			return false;
	return true;
}

void checker_sums_fini(struct checker_sums *s)
{
	buf_fini(&s->first);
}
