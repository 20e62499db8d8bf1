/* SPDX-License-Identifier: MIT */
/*
 * checker - see checker.h.
 */
#include "config.h"

#include "replay/checker.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define FIRST_MAX 16384 /* bytes of the first difference's description */
#define CONTEXT   120   /* bytes shown on each side of it */

static const char *const result_names[] = {
#define CHECKER(name, text, help) [CHECKER_##name] = text,
#include "replay/checker.def"
#undef CHECKER
};

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
	struct edits_difference d = { .old = sent, .new = got };

	if (b->len || result == CHECKER_SAME || result == CHECKER_EDITED)
		return;
	if (!b->max)
		buf_init(b, FIRST_MAX);
	if (sent && got)
		edits_difference(&d, sent, sent_len, got, got_len);
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
	uint32_t rows;
	unsigned i;

	if (number >= c->sent)
		return -1;
	sent = c->unit(c->ctx, number, &sent_len, &kind);
	if (!sent)
		return -1;
	if (sent_len == len && memcmp(sent, p, len) == 0)
		return 0;
	rows = edits_find(kind, sent, sent_len, p, len, &thumbnail);
	if (!rows)
		return -1;
	for (i = 0; i < EDITS_COUNT; i++)
		c->sums->edits[i] += rows >> i & 1;
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
	struct edits_difference d;

	edits_difference(&d, a, a_len, b, b_len);
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
