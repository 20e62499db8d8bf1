/* SPDX-License-Identifier: MIT */
/*
 * entries - see entries.h. Entries are the operator's, so their hash needs no key.
 */
#include "config.h"

#include "rule/entries.h"

#include <stdlib.h>
#include <string.h>

#include "rule/glob.h"

static uint64_t hash_of(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h ^ h >> 32;
}

static const char **place_of(const struct entries_set *s, const char *text)
{
	size_t at = hash_of(text) & (s->room - 1);

	while (s->v[at] && strcmp(s->v[at], text) != 0)
		at = (at + 1) & (s->room - 1);
	return &s->v[at];
}

static int set_grow(struct entries_set *s)
{
	struct entries_set more = { .room = s->room ? 2 * s->room : 8, .n = s->n };
	size_t i;

	more.v = calloc(more.room, sizeof(*more.v));
	if (!more.v)
		return ERR_NOMEM;
	for (i = 0; i < s->room; i++)
		if (s->v[i])
			*place_of(&more, s->v[i]) = s->v[i];
	free(s->v);
	*s = more;
	return 0;
}

static int set_add(struct entries_set *s, const char *text)
{
	const char **at;

	if (s->n + s->n / 2 + 1 >= s->room && set_grow(s))
		return ERR_NOMEM;
	at = place_of(s, text);
	s->n += !*at;
	*at = text;
	return 0;
}

int entries_keep(struct entries *l, char *text)
{
	char **v = reallocarray(l->texts, l->texts_n + 1, sizeof(*v));

	if (!v) {
		free(text);
		return ERR_NOMEM;
	}
	l->texts = v;
	v[l->texts_n++] = text;
	return 0;
}

int entries_add(struct entries *l, const char *entry, bool excluded, const char **why)
{
	struct entries_globs *g = &l->globs[excluded];
	const char **v;

	*why = glob_check(entry);
	if (*why)
		return ERR_SYNTAX;
	if (!glob_is_wild(entry, l->question))
		return set_add(&l->plain[excluded], entry);
	if (l->globs[0].n + l->globs[1].n == ENTRIES_GLOBS_MAX) {
		*why = "more than 1000 entries with wildcards";
		return ERR_SYNTAX;
	}
	v = reallocarray(g->v, g->n + 1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	g->v = v;
	v[g->n++] = entry;
	return 0;
}

static bool side_holds(const struct entries *l, bool excluded, const char *const *subjects,
		       size_t n)
{
	const struct entries_set *plain = &l->plain[excluded];
	const struct entries_globs *globs = &l->globs[excluded];
	size_t i, k;

	for (i = 0; i < n; i++) {
		if (plain->n && *place_of(plain, subjects[i]))
			return true;
		for (k = 0; k < globs->n; k++)
			if (glob_match(globs->v[k], subjects[i], l->question))
				return true;
	}
	return false;
}

bool entries_holds(const struct entries *l, const char *const *subjects, size_t n)
{
	bool any = l->plain[0].n || l->globs[0].n, excluding = l->plain[1].n || l->globs[1].n;

	if (excluding && side_holds(l, true, subjects, n))
		return false;
	return any ? side_holds(l, false, subjects, n) : excluding;
}

bool entries_can_hold(const struct entries *l)
{
	size_t i;

	for (i = 0; i < l->globs[1].n; i++)
		if (l->globs[1].v[i][strspn(l->globs[1].v[i], "*")] == '\0')
			return false;
	for (i = 0; i < l->plain[0].room; i++)
		if (l->plain[0].v[i] && !side_holds(l, true, &l->plain[0].v[i], 1))
			return true;
	return l->globs[0].n || (!l->plain[0].n && (l->plain[1].n || l->globs[1].n));
}

void entries_fini(struct entries *l)
{
	size_t i;

	for (i = 0; i < l->texts_n; i++)
		free(l->texts[i]);
	free(l->texts);
	for (i = 0; i < 2; i++) {
		free(l->plain[i].v);
		free(l->globs[i].v);
	}
	*l = (struct entries){ 0 };
}
