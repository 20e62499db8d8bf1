/* SPDX-License-Identifier: MIT */
/*
 * Units that the framer cuts and libxml2 reads: offsets must fit together, and an insert, a
 * cut or an attribute must come out as exactly that. The first byte chooses where.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fuzz.h"
#include "xmpp/edit.h"
#include "xmpp/framer.h"

#define HEADER "<s:s xmlns='c' xmlns:s='S'>"
#define DATA   "<data xmlns='http://jabber.org/protocol/ibb' sid='1'>QUJD<a/></data>"

static const struct outline_limits limits = { .depth = 64, .attributes = 100, .elements = 500 };
static const struct outline_limits wider = { .depth = 66, .attributes = 100, .elements = 502 };

static bool is_unit(const uint8_t *p, size_t len)
{
	enum framer_event event;
	struct framer f;
	size_t at = 0;
	bool good;

	framer_init(&f);
	(void)framer_feed(&f, (const uint8_t *)HEADER, sizeof(HEADER) - 1, &event);
	do
		at += framer_feed(&f, p + at, len - at, &event);
	while (event == FRAMER_START || event == FRAMER_CHILD);
	good = len && p[0] == '<' && event == FRAMER_END && at == len;
	framer_fini(&f);
	return good;
}

static void check_offsets(const struct outline *o)
{
	const struct outline_element *e, *up;
	size_t i;

	for (i = 0; i < o->elements_n; i++) {
		e = &o->elements[i];
		BUG_ON(e->start >= e->start_end || e->start_end > e->end || e->end > e->end_end ||
		       e->end_end > o->len);
		BUG_ON(o->bytes[e->start] != '<' || o->bytes[e->start_end - 1] != '>' ||
		       o->bytes[e->end_end - 1] != '>');
		BUG_ON(e->end != e->end_end && memcmp(o->bytes + e->end, "</", 2) != 0);
		if (!i) {
			BUG_ON(e->start || e->end_end != o->len || e->parent != -1);
			continue;
		}
		up = &o->elements[e->parent];
		BUG_ON(e->start < up->start_end || e->end_end > up->end);
	}
}

/* Applies the edits; the check must agree, and so must the number of elements. */
static void check_result(const struct edits *e, struct arena *a, const struct nsctx *ctx,
			 const struct outline *o, size_t elements)
{
	size_t len = edit_length(e, o->len);
	uint8_t *out = malloc(len);
	struct outline after;

	BUG_ON(!out);
	edit_apply(e, o->bytes, o->len, out);
	if (!is_unit(out, len)) { /* a cut can bring "]" and "]>" together */
		BUG_ON(edit_check(e, a, ctx, o, out, len, &wider) == 0);
		free(out);
		return;
	}
	BUG_ON(edit_check(e, a, ctx, o, out, len, &wider) != 0);
	BUG_ON(outline_parse(a, ctx, out, len, &wider, &after) != 0);
	check_offsets(&after);
	BUG_ON(after.elements_n != elements);
	/* Any other bytes are none of these edits. */
	out[0] = '>';
	BUG_ON(edit_check(e, a, ctx, o, out, len, &wider) == 0);
	free(out);
}

static void try_edits(struct arena *a, const struct nsctx *ctx, const struct outline *o,
		      size_t pick)
{
	const struct outline_element *e = &o->elements[pick % o->elements_n];
	size_t i, inside = 0;
	struct edits edits = { 0 };

	if (e->end != e->end_end) {
		BUG_ON(edit_insert(&edits, a, o, e->end, DATA, sizeof(DATA) - 1) != 0);
		check_result(&edits, a, ctx, o, o->elements_n + 2);
	}
	edits = (struct edits){ 0 };
	if (e != o->elements) {
		for (i = 0; i < o->elements_n; i++)
			inside += o->elements[i].start >= e->start &&
				  o->elements[i].end_end <= e->end_end;
		BUG_ON(edit_cut(&edits, a, o, (int)(e - o->elements)) != 0);
		check_result(&edits, a, ctx, o, o->elements_n - inside);
	}
	edits = (struct edits){ 0 };
	if (outline_attr(o, 0, "", "type")) {
		BUG_ON(edit_attribute(&edits, a, o, 0, "type", "<'\"&\n>\xc3\xa9") != 0);
		check_result(&edits, a, ctx, o, o->elements_n);
		edits = (struct edits){ 0 };
		BUG_ON(edit_substitute(&edits, a, o, "result", DATA, sizeof(DATA) - 1) != 0);
		check_result(&edits, a, ctx, o, 3);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct nsctx *ctx;
	struct outline o;
	struct arena *a;
	struct tag t;

	if (!ctx) {
		outline_setup();
		BUG_ON(tag_read(&t, (const uint8_t *)HEADER, sizeof(HEADER) - 1) != 0);
		ctx = nsctx_of_header(&t);
		BUG_ON(!ctx);
	}
	if (len < 1 || len > 8192 || !is_unit(bytes + 1, len - 1))
		return 0;
	a = arena_new(64 << 20);
	BUG_ON(!a);
	if (!outline_parse(a, ctx, bytes + 1, len - 1, &limits, &o)) {
		check_offsets(&o);
		try_edits(a, ctx, &o, bytes[0]);
	}
	arena_free(&a);
	return 0;
}
