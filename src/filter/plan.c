/* SPDX-License-Identifier: MIT */
/*
 * plan - see plan.h.
 *
 * A needle is looked for by its rarest byte: memchr() runs several times as fast as
 * memmem(), and every message that a filter might want is searched once.
 */
#include "config.h"

#include "filter/plan.h"

#include <stdlib.h>
#include <string.h>

static struct plan *plans; /* all that are in use; as few as there are listeners */

/* --- needles --------------------------------------------------------------------------- */

/* How often a byte stands in stanzas, roughly: text and base64 are letters and digits. */
static unsigned byte_commonness(char c)
{
	if ((c >= 'a' && c <= 'z') || c == ' ')
		return 4;
	if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return 3;
	if (strchr("/+=<>'\".", c))
		return 2;
	if (strchr(":-", c))
		return 1;
	return 0;
}

static struct plan_needle needle_of(const char *text)
{
	struct plan_needle n = { .text = text, .len = strlen(text) };
	size_t i;

	for (i = 1; i < n.len; i++)
		if (byte_commonness(text[i]) < byte_commonness(text[n.rare]))
			n.rare = i;
	return n;
}

static bool needle_is_in(const struct plan_needle *n, const uint8_t *p, size_t len)
{
	const uint8_t *at, *end;

	if (len < n->len)
		return false;
	at = p + n->rare;
	end = p + len - (n->len - 1 - n->rare);
	while (at < end && (at = memchr(at, n->text[n->rare], (size_t)(end - at)))) {
		if (memcmp(at - n->rare, n->text, n->len) == 0)
			return true;
		at++;
	}
	return false;
}

/* --- wishes ---------------------------------------------------------------------------- */

static void wish_add(struct plan_wish *w, const char *needle)
{
	unsigned i;

	w->any = true;
	if (!needle || !*needle) {
		w->always = true;
		return;
	}
	for (i = 0; i < w->needles_n; i++)
		if (strcmp(w->needles[i].text, needle) == 0)
			return;
	if (w->needles_n == PLAN_NEEDLES)
		w->always = true;
	else
		w->needles[w->needles_n++] = needle_of(needle);
}

bool plan_row_is_on(const struct plan *p, const struct filter_ops *ops,
		    const struct filter_want *want)
{
	return !ops->wants_row || ops->wants_row(p->listen, want);
}

static void plan_add(struct plan *p, const struct filter_ops *ops)
{
	const struct filter_want *want;
	unsigned dir;

	BUG_ON(!ops); /* the configuration was checked */
	p->filters[p->filters_n++] = ops;
	for (want = ops->wants; want->kind != UNIT_KIND_COUNT; want++)
		for (dir = 0; dir < 2; dir++)
			if ((want->dirs & 1u << dir) && plan_row_is_on(p, ops, want))
				wish_add(&p->wishes[dir][want->kind], want->needle);
}

struct plan *plan_get(struct conf *conf, const struct conf_listen *listen)
{
	struct plan *p;
	size_t i;

	for (p = plans; p; p = p->next) {
		if (p->conf != conf || p->listen != listen)
			continue;
		p->refs++;
		return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->refs = 1;
	p->conf = conf_ref(conf);
	p->listen = listen;
	for (i = 0; i < listen->filters.n && p->filters_n < PLAN_FILTERS; i++)
		plan_add(p, filter_find(listen->filters.v[i]));
	p->next = plans;
	plans = p;
	return p;
}

void plan_put(struct plan **pp)
{
	struct plan *p = *pp, **at;

	*pp = NULL;
	if (!p || --p->refs)
		return;
	for (at = &plans; *at != p; at = &(*at)->next)
		BUG_ON(!*at);
	*at = p->next;
	conf_unref(&p->conf);
	free(p);
}

static enum chain_want row_wants_iq(const struct filter_want *want, enum lane_dir dir,
				    enum iq_type iq, const struct tag_span *child_ns)
{
	if (want->kind != UNIT_IQ || !(want->dirs & 1u << dir) || !(want->iq_types & 1u << iq))
		return CHAIN_NO;
	if (!want->child_ns)
		return CHAIN_YES;
	if (!child_ns)
		return CHAIN_CHILD;
	return tag_span_is(*child_ns, want->child_ns) ? CHAIN_YES : CHAIN_NO;
}

enum chain_want plan_wants(const struct plan *p, enum lane_dir dir, enum unit_kind kind,
			   enum iq_type iq, const struct tag_span *child_ns)
{
	enum chain_want answer = CHAIN_NO;
	const struct filter_want *want;
	size_t i;

	if (LIKELY(!p->wishes[dir][kind].any))
		return CHAIN_NO;
	if (kind != UNIT_IQ)
		return CHAIN_YES;
	for (i = 0; i < p->filters_n; i++)
		for (want = p->filters[i]->wants; want->kind != UNIT_KIND_COUNT; want++)
			if (plan_row_is_on(p, p->filters[i], want))
				answer = MAX_OF(answer, row_wants_iq(want, dir, iq, child_ns));
	return answer;
}

bool plan_has_needle(const struct plan *p, enum lane_dir dir, enum unit_kind kind,
		     const uint8_t *bytes, size_t len)
{
	const struct plan_wish *w = &p->wishes[dir][kind];
	unsigned i;

	if (w->always)
		return true;
	for (i = 0; i < w->needles_n; i++)
		if (needle_is_in(&w->needles[i], bytes, len))
			return true;
	return false;
}
