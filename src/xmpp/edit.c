/* SPDX-License-Identifier: MIT */
/*
 * edit - see edit.h.
 *
 * Edits are kept in the order in which they apply: by offset, and at one offset inserts in
 * front of what cuts. The check maps every offset of the original to one of the result and
 * wants each element that was not cut to be exactly there, unchanged.
 */
#include "config.h"

#include "xmpp/edit.h"

#include <string.h>

#include "base/err.h"

/* clang-format off */
#define EDIT(kind, name, help) [EDIT_##kind] = name,
static const char *const names[EDIT_KIND_COUNT] = {
#include "xmpp/edit.def"
};
#undef EDIT
/* clang-format on */

const char *edit_kind_name(enum edit_kind kind)
{
	return names[kind];
}

/* Whether both cannot be applied. */
static bool collide(const struct edit *a, const struct edit *b)
{
	if (a->kind == EDIT_ATTRIBUTE && b->kind == EDIT_ATTRIBUTE && a->at == b->at)
		return true;
	return a->at < b->at + b->cut && b->at < a->at + a->cut;
}

/* Copies text and files the edit; ERR_SYNTAX if it collides. */
static int add(struct edits *e, struct arena *a, const struct edit *draft)
{
	struct edit **at, *old, *new;

	for (old = e->first; old; old = old->next) {
		if (collide(old, draft))
			return ERR_SYNTAX;
	}
	new = arena_alloc(a, sizeof(*new));
	if (!new)
		return ERR_NOMEM;
	*new = *draft;
	new->text = (const uint8_t *)arena_strndup(a, draft->text, draft->len);
	if (!new->text)
		return ERR_NOMEM;
	for (at = &e->first; *at; at = &(*at)->next) {
		if ((*at)->at > new->at || ((*at)->at == new->at && (*at)->cut && !new->cut))
			break;
	}
	new->next = *at;
	*at = new;
	e->count++;
	e->grown += new->len;
	e->shrunk += new->cut;
	return 0;
}

static bool is_substituted(const struct edits *e)
{
	const struct edit *d;

	for (d = e->first; d; d = d->next) {
		if (d->kind == EDIT_SUBSTITUTE)
			return true;
	}
	return false;
}

/* Whether an element may start or end at this offset without breaking another. */
static bool is_between(const struct outline *o, size_t at)
{
	const struct outline_element *e;
	size_t i;

	for (i = 0; i < o->elements_n; i++) {
		e = &o->elements[i];
		if (i && (at == e->start || at == e->end_end))
			return true;
		if (e->end != e->end_end && (at == e->start_end || at == e->end))
			return true;
	}
	return false;
}

int edit_insert(struct edits *e, struct arena *a, const struct outline *o, size_t at,
		const void *xml, size_t len)
{
	struct edit draft = { .kind = EDIT_INSERT, .at = at, .text = xml, .len = len };

	if (is_substituted(e) || !is_between(o, at))
		return ERR_SYNTAX;
	return add(e, a, &draft);
}

int edit_cut(struct edits *e, struct arena *a, const struct outline *o, int element)
{
	const struct outline_element *gone = &o->elements[element];
	struct edit draft = { .kind = EDIT_CUT,
			      .at = gone->start,
			      .cut = gone->end_end - gone->start };

	if (is_substituted(e) || element <= 0)
		return ERR_SYNTAX;
	return add(e, a, &draft);
}

static bool is_declaration(const char *name)
{
	return !strncmp(name, "xmlns", 5) && (name[5] == '\0' || name[5] == ':');
}

int edit_cut_attribute(struct edits *e, struct arena *a, const struct outline *o, int element,
		       const char *name)
{
	struct edit draft = { .kind = EDIT_CUT };
	size_t value, len;
	int error;

	if (is_substituted(e) || is_declaration(name))
		return ERR_SYNTAX;
	error = outline_attr_range(o, element, name, &value, &len);
	if (error)
		return error;
	draft.at = value - 1; /* the quote: in front of it come '=', the name and white space */
	while (o->bytes[draft.at] != '=')
		draft.at--;
	while (strchr("= \t\r\n", o->bytes[draft.at - 1]))
		draft.at--;
	draft.at -= strlen(name);
	while (strchr(" \t\r\n", o->bytes[draft.at - 1]))
		draft.at--;
	draft.cut = value + len + 1 - draft.at;
	return add(e, a, &draft);
}

int edit_attribute(struct edits *e, struct arena *a, const struct outline *o, int element,
		   const char *name, const char *value)
{
	struct edit draft = { .kind = EDIT_ATTRIBUTE };
	char *text;
	int error;

	/* A namespace belongs to names, not to values. */
	if (is_substituted(e) || is_declaration(name))
		return ERR_SYNTAX;
	error = outline_attr_range(o, element, name, &draft.at, &draft.cut);
	if (error)
		return error;
	text = edit_escape(a, value);
	if (!text)
		return ERR_NOMEM;
	draft.text = (const uint8_t *)text;
	draft.len = strlen(text);
	return add(e, a, &draft);
}

/* <iq .../> becomes <iq ...>xml</iq>. */
static int fill_empty(struct edits *e, struct arena *a, const struct outline *o, const void *xml,
		      size_t len)
{
	struct edit draft = { .kind = EDIT_SUBSTITUTE, .at = o->elements[0].end_end - 2, .cut = 2 };
	struct tag t;
	uint8_t *p;

	if (tag_read(&t, o->bytes, o->elements[0].start_end))
		return ERR_SYNTAX;
	draft.len = len + t.attrs_at + 3;
	p = arena_alloc(a, draft.len);
	if (!p)
		return ERR_NOMEM;
	draft.text = p;
	*p++ = '>';
	if (len)
		memcpy(p, xml, len);
	p += len;
	*p++ = '<';
	*p++ = '/';
	memcpy(p, o->bytes + 1, t.attrs_at - 1);
	p[t.attrs_at - 1] = '>';
	return add(e, a, &draft);
}

int edit_substitute(struct edits *e, struct arena *a, const struct outline *o, const char *type,
		    const void *xml, size_t len)
{
	const struct outline_element *top = &o->elements[0];
	struct edit content = { .kind = EDIT_SUBSTITUTE,
				.at = top->start_end,
				.cut = top->end - top->start_end,
				.text = xml,
				.len = len };
	struct edit value = { .kind = EDIT_SUBSTITUTE };
	struct edits draft = { 0 };
	char *text;
	int error;

	if (e->count)
		return ERR_SYNTAX;
	error = outline_attr_range(o, 0, "type", &value.at, &value.cut);
	if (error)
		return error;
	text = edit_escape(a, type);
	if (!text)
		return ERR_NOMEM;
	value.text = (const uint8_t *)text;
	value.len = strlen(text);
	error = add(&draft, a, &value);
	if (!error)
		error = top->end == top->end_end ? fill_empty(&draft, a, o, xml, len)
						 : add(&draft, a, &content);
	if (!error)
		*e = draft;
	return error;
}

size_t edit_length(const struct edits *e, size_t original)
{
	return original + e->grown - e->shrunk;
}

void edit_apply(const struct edits *e, const uint8_t *original, size_t len, uint8_t *out)
{
	const struct edit *d;
	size_t at = 0;

	for (d = e->first; d; d = d->next) {
		memcpy(out, original + at, d->at - at);
		out += d->at - at;
		if (d->len)
			memcpy(out, d->text, d->len);
		out += d->len;
		at = d->at + d->cut;
	}
	memcpy(out, original + at, len - at);
}

/* Both outlines during the check. */
struct check {
	const struct edits *edits;
	struct arena *arena;
	const struct outline *before;
	const struct outline *after;
	bool substituted;
};

/* Where an offset of the original went; what was inserted right there counts if asked for. */
static size_t moved(const struct check *c, size_t at, bool behind_inserts)
{
	const struct edit *d;
	size_t to = at;

	for (d = c->edits->first; d && (d->at < at || (behind_inserts && d->at == at)); d = d->next)
		to = to + d->len - d->cut;
	return to;
}

/* Whether an edit removed the original's element. */
static bool is_cut(const struct check *c, const struct outline_element *e)
{
	const struct edit *d;

	if (c->substituted)
		return e->depth > 0;
	for (d = c->edits->first; d && d->at <= e->start; d = d->next) {
		if (e->start < d->at + d->cut)
			return true;
	}
	return false;
}

/* Whether the result's element came with an edit and ends within it. */
static bool is_inserted(const struct check *c, const struct outline_element *e)
{
	const struct edit *d;
	size_t added = 0, gone = 0, from;

	for (d = c->edits->first; d; d = d->next) {
		from = d->at + added - gone;
		if (e->start < from)
			return false;
		if (e->start < from + d->len)
			return (d->kind == EDIT_INSERT || d->kind == EDIT_SUBSTITUTE) &&
			       e->end_end <= from + d->len;
		added += d->len;
		gone += d->cut;
	}
	return false;
}

/* What an edit made of the value at this offset of the original; NULL if none did. */
static const struct edit *value_edit(const struct check *c, size_t at)
{
	const struct edit *d;

	for (d = c->edits->first; d; d = d->next) {
		if (d->at == at && (d->kind == EDIT_ATTRIBUTE || d->kind == EDIT_SUBSTITUTE))
			return d;
	}
	return NULL;
}

static int same_value(const struct check *c, const struct edit *d, const char *before,
		      const char *after)
{
	char *wanted;

	if (!d)
		return strcmp(before, after) ? ERR_WELL_FORMED : 0;
	wanted = arena_alloc(c->arena, d->len + 1);
	if (!wanted)
		return ERR_NOMEM;
	if (tag_text((struct tag_span){ .p = (const char *)d->text, .len = d->len }, wanted,
		     d->len + 1))
		return ERR_WELL_FORMED;
	return strcmp(wanted, after) ? ERR_WELL_FORMED : 0;
}

static bool is_cut_at(const struct check *c, size_t at)
{
	const struct edit *d;

	for (d = c->edits->first; d && d->at <= at; d = d->next) {
		if (d->kind == EDIT_CUT && at < d->at + d->cut)
			return true;
	}
	return false;
}

/* Attributes stand in the outline as in the tag, declarations left out. */
static int same_attributes(const struct check *c, const struct outline_element *b,
			   const struct outline_element *a)
{
	const uint8_t *bytes = c->before->bytes;
	struct tag_span name, value;
	size_t at, i = 0, k = 0;
	struct tag t;
	int error;

	if (tag_read(&t, bytes + b->start, b->start_end - b->start))
		return ERR_WELL_FORMED;
	at = t.attrs_at;
	while (tag_next_attr(&t, &at, &name, &value)) {
		size_t from = (size_t)((const uint8_t *)value.p - bytes);

		if (name.len >= 5 && !memcmp(name.p, "xmlns", 5) &&
		    (name.len == 5 || name.p[5] == ':'))
			continue;
		if (is_cut_at(c, from)) {
			i++;
			continue;
		}
		if (i == b->attrs_n || k == a->attrs_n || strcmp(a->attrs[k].ns, b->attrs[i].ns) ||
		    strcmp(a->attrs[k].local, b->attrs[i].local))
			return ERR_WELL_FORMED;
		error = same_value(c, value_edit(c, from), b->attrs[i].value, a->attrs[k].value);
		if (error)
			return error;
		i++;
		k++;
	}
	return i == b->attrs_n && k == a->attrs_n ? 0 : ERR_WELL_FORMED;
}

static bool same_place(const struct check *c, const struct outline_element *b,
		       const struct outline_element *a)
{
	bool empty = b->end == b->end_end;

	if (c->substituted)
		return a->start == 0 && a->end_end == c->after->len;
	return a->start == moved(c, b->start, true) &&
	       a->start_end == moved(c, b->start_end, false) &&
	       a->end == moved(c, b->end, !empty) && a->end_end == moved(c, b->end_end, false);
}

static int same_element(const struct check *c, const struct outline_element *b,
			const struct outline_element *a)
{
	if (strcmp(a->local, b->local) || strcmp(a->ns, b->ns) || a->depth != b->depth ||
	    !same_place(c, b, a))
		return ERR_WELL_FORMED;
	/* Text of ours would show as text of theirs; only a substituted content may have some. */
	if (!c->substituted && strcmp(a->text, b->text))
		return ERR_WELL_FORMED;
	return same_attributes(c, b, a);
}

static int compare(const struct check *c)
{
	const struct outline *before = c->before, *after = c->after;
	size_t i = 0, k = 0;
	int error;

	for (;;) {
		while (i < before->elements_n && is_cut(c, &before->elements[i]))
			i++;
		while (k < after->elements_n && is_inserted(c, &after->elements[k]))
			k++;
		if (i == before->elements_n || k == after->elements_n)
			break;
		error = same_element(c, &before->elements[i++], &after->elements[k++]);
		if (error)
			return error;
	}
	return i == before->elements_n && k == after->elements_n ? 0 : ERR_WELL_FORMED;
}

int edit_check(const struct edits *e, struct arena *a, const struct nsctx *ctx,
	       const struct outline *original, const uint8_t *result, size_t len,
	       const struct outline_limits *limits)
{
	struct outline after;
	struct check c = { .edits = e,
			   .arena = a,
			   .before = original,
			   .after = &after,
			   .substituted = is_substituted(e) };
	int error;

	if (len != edit_length(e, original->len))
		return ERR_WELL_FORMED;
	error = outline_parse(a, ctx, result, len, limits, &after);
	return error ? error : compare(&c);
}

char *edit_escape(struct arena *a, const char *text)
{
	size_t len = 0;
	const char *p;
	char *out, *to;

	for (p = text; *p; p++)
		len += strchr("&<>'\"\t\n\r", *p) ? 6 : 1;
	out = arena_alloc(a, len + 1);
	if (!out)
		return NULL;
	for (p = text, to = out; *p; p++) {
		/* White space is written as references, or attribute values would lose it. */
		const char *s = *p == '&'    ? "&amp;"
				: *p == '<'  ? "&lt;"
				: *p == '>'  ? "&gt;"
				: *p == '\'' ? "&apos;"
				: *p == '"'  ? "&quot;"
				: *p == '\t' ? "&#9;"
				: *p == '\n' ? "&#10;"
				: *p == '\r' ? "&#13;"
					     : NULL;

		if (s)
			to = stpcpy(to, s);
		else
			*to++ = *p;
	}
	*to = '\0';
	return out;
}
