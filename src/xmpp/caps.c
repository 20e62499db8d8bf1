/* SPDX-License-Identifier: MIT */
/*
 * caps - see caps.h. Sorting is by bytes (i;octet), which strcmp() does for UTF-8.
 */
#include "config.h"

#include "xmpp/caps.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "xmpp/ns.h"

#define INPUT_MAX (1024 * 1024)
#define XML_NS    "http://www.w3.org/XML/1998/namespace"

/* One more entry at the end of an arena array; NULL when out of memory. */
static void *grow(struct arena *a, void *old, size_t n, size_t size)
{
	void *p;

	if (n & (n - 1)) /* room was made for the next power of two */
		return old;
	p = arena_alloc(a, (n ? 2 * n : 1) * size);
	if (p && n)
		memcpy(p, old, n * size);
	return p;
}

int caps_add_feature(struct caps *c, const char *var)
{
	const char **v = grow(c->arena, c->features, c->features_n, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	c->features = v;
	v[c->features_n++] = var;
	return 0;
}

int caps_add_identity(struct caps *c, const struct caps_identity *id)
{
	struct caps_identity *v = grow(c->arena, c->identities, c->identities_n, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	c->identities = v;
	v[c->identities_n++] = *id;
	return 0;
}

static struct caps_form *add_form(struct caps *c)
{
	struct caps_form *v = grow(c->arena, c->forms, c->forms_n, sizeof(*v));

	if (!v)
		return NULL;
	c->forms = v;
	v[c->forms_n] = (struct caps_form){ 0 };
	return &v[c->forms_n++];
}

static struct caps_field *add_field(struct caps *c, struct caps_form *f, const char *var)
{
	struct caps_field *v = grow(c->arena, f->fields, f->fields_n, sizeof(*v));

	if (!v)
		return NULL;
	f->fields = v;
	v[f->fields_n] = (struct caps_field){ .var = var };
	return &v[f->fields_n++];
}

static int add_value(struct caps *c, struct caps_field *f, const char *value)
{
	const char **v = grow(c->arena, f->values, f->values_n, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	f->values = v;
	v[f->values_n++] = value;
	return 0;
}

int caps_add_form(struct caps *c, const char *form_type, const char *var, const char *value)
{
	struct caps_form *f = add_form(c);
	struct caps_field *field = f ? add_field(c, f, "FORM_TYPE") : NULL;

	if (!field || add_value(c, field, form_type))
		return ERR_NOMEM;
	f->type = form_type;
	field = add_field(c, f, var);
	return field ? add_value(c, field, value) : ERR_NOMEM;
}

bool caps_has_feature(const struct caps *c, const char *var)
{
	size_t i;

	for (i = 0; i < c->features_n; i++)
		if (strcmp(c->features[i], var) == 0)
			return true;
	return false;
}

bool caps_has_identity(const struct caps *c, const char *category, const char *type)
{
	size_t i;

	for (i = 0; i < c->identities_n; i++)
		if (strcmp(c->identities[i].category, category) == 0 &&
		    strcmp(c->identities[i].type, type) == 0)
			return true;
	return false;
}

/* --- reading ---------------------------------------------------------------------------- */

static const char *attr_or_empty(const struct outline *o, int element, const char *name)
{
	const char *value = outline_attr(o, element, "", name);

	return value ? value : "";
}

/* An ancestor's xml:lang within the unit counts, too. The stream's is not known here. */
static const char *scope_of(const struct outline *o, int element)
{
	for (; element != -1; element = o->elements[element].parent) {
		const char *lang = outline_attr(o, element, XML_NS, "lang");

		if (lang)
			return lang;
	}
	return "";
}

static int read_field(struct caps *c, struct caps_form *form, const struct outline *o, int at)
{
	const char *var = attr_or_empty(o, at, "var");
	struct caps_field *f = add_field(c, form, var);
	int value = at;

	if (!f)
		return ERR_NOMEM;
	while ((value = outline_child(o, at, NS_DATA, "value", value + 1)) != -1)
		if (add_value(c, f, o->elements[value].text))
			return ERR_NOMEM;
	if (strcmp(var, "FORM_TYPE") == 0 && strcmp(attr_or_empty(o, at, "type"), "hidden") == 0 &&
	    f->values_n)
		form->type = f->values[0];
	return 0;
}

static int read_form(struct caps *c, const struct outline *o, int x)
{
	struct caps_form *form = add_form(c);
	int at = x, rc = form ? 0 : ERR_NOMEM;

	while (!rc && (at = outline_child(o, x, NS_DATA, "field", at + 1)) != -1)
		rc = read_field(c, form, o, at);
	return rc;
}

static int read_child(struct caps *c, const struct outline *o, int at)
{
	const struct outline_element *e = &o->elements[at];
	const char *own;
	struct caps_identity id;

	if (strcmp(e->ns, NS_DATA) == 0 && strcmp(e->local, "x") == 0)
		return read_form(c, o, at);
	if (strcmp(e->ns, NS_DISCO_INFO) != 0) {
		c->odd = true;
		return 0;
	}
	if (strcmp(e->local, "feature") == 0)
		return caps_add_feature(c, attr_or_empty(o, at, "var"));
	if (strcmp(e->local, "identity") != 0) {
		c->odd = true;
		return 0;
	}
	own = outline_attr(o, at, XML_NS, "lang");
	id = (struct caps_identity){ .category = attr_or_empty(o, at, "category"),
				     .type = attr_or_empty(o, at, "type"),
				     .lang = own ? own : "",
				     .scope = scope_of(o, at),
				     .name = attr_or_empty(o, at, "name") };
	return caps_add_identity(c, &id);
}

/* --- sorting ---------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_identity(const void *a, const void *b)
{
	const struct caps_identity *x = a, *y = b;
	int d = strcmp(x->category, y->category);

	if (!d)
		d = strcmp(x->type, y->type);
	if (!d)
		d = strcmp(x->lang, y->lang);
	if (!d)
		d = strcmp(x->scope, y->scope);
	return d ? d : strcmp(x->name, y->name);
}

static int by_var(const void *a, const void *b)
{
	return strcmp(((const struct caps_field *)a)->var, ((const struct caps_field *)b)->var);
}

static int by_form_type(const void *a, const void *b)
{
	const char *x = ((const struct caps_form *)a)->type,
		   *y = ((const struct caps_form *)b)->type;

	return strcmp(x ? x : "", y ? y : "");
}

static void sort(void *v, size_t n, size_t size, int (*by)(const void *, const void *))
{
	if (n > 1)
		qsort(v, n, size, by);
}

static void sort_all(struct caps *c)
{
	size_t i, k;

	sort(c->features, c->features_n, sizeof(*c->features), by_text);
	sort(c->identities, c->identities_n, sizeof(*c->identities), by_identity);
	for (i = 0; i < c->forms_n; i++) {
		struct caps_form *f = &c->forms[i];

		sort(f->fields, f->fields_n, sizeof(*f->fields), by_var);
		for (k = 0; k < f->fields_n; k++)
			sort(f->fields[k].values, f->fields[k].values_n,
			     sizeof(*f->fields[k].values), by_text);
	}
	sort(c->forms, c->forms_n, sizeof(*c->forms), by_form_type);
}

/* Sorted: twins are neighbours. */
static bool has_twins(const struct caps *c)
{
	size_t i;

	for (i = 1; i < c->features_n; i++)
		if (strcmp(c->features[i - 1], c->features[i]) == 0)
			return true;
	for (i = 1; i < c->identities_n; i++)
		if (by_identity(&c->identities[i - 1], &c->identities[i]) == 0)
			return true;
	for (i = 1; i < c->forms_n; i++)
		if (c->forms[i].type && by_form_type(&c->forms[i - 1], &c->forms[i]) == 0)
			return true;
	return false;
}

int caps_read(struct caps *c, struct arena *a, const struct outline *o, int query)
{
	int at = query, rc = 0;

	*c = (struct caps){ .arena = a, .scope = scope_of(o, query) };
	while (!rc && ++at < (int)o->elements_n && o->elements[at].depth > o->elements[query].depth)
		if (o->elements[at].parent == query)
			rc = read_child(c, o, at);
	if (rc)
		return rc;
	sort_all(c);
	return has_twins(c) ? ERR_SYNTAX : 0;
}

/* --- computing -------------------------------------------------------------------------- */

/* What is "<" in a value must not end it. */
static int put_escaped(struct buf *b, const char *s)
{
	int rc = 0;

	while (!rc && *s) {
		size_t n = strcspn(s, "<");

		rc = buf_add(b, s, n);
		s += n;
		if (!rc && *s) {
			rc = buf_add_str(b, "&lt;");
			s++;
		}
	}
	return rc;
}

static int put_115(struct buf *b, const char *s, char end)
{
	int rc = put_escaped(b, s);

	return rc ? rc : buf_add(b, &end, 1);
}

static int form_115(struct buf *b, const struct caps_form *f)
{
	size_t i, k;
	int rc = put_115(b, f->type, '<');

	for (i = 0; i < f->fields_n; i++) {
		if (strcmp(f->fields[i].var, "FORM_TYPE") == 0)
			continue;
		if (!rc)
			rc = put_115(b, f->fields[i].var, '<');
		for (k = 0; k < f->fields[i].values_n && !rc; k++)
			rc = put_115(b, f->fields[i].values[k], '<');
	}
	return rc;
}

static int input_115(struct buf *b, const struct caps *c)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < c->identities_n && !rc; i++) {
		const struct caps_identity *id = &c->identities[i];

		rc = put_115(b, id->category, '/');
		if (!rc)
			rc = put_115(b, id->type, '/');
		if (!rc)
			rc = put_115(b, id->lang, '/');
		if (!rc)
			rc = put_115(b, id->name, '<');
	}
	for (i = 0; i < c->features_n && !rc; i++)
		rc = put_115(b, c->features[i], '<');
	for (i = 0; i < c->forms_n && !rc; i++)
		if (c->forms[i].type)
			rc = form_115(b, &c->forms[i]);
	return rc;
}

static int put_390(struct buf *b, const char *s)
{
	int rc = buf_add(b, s, strlen(s));

	return rc ? rc : buf_add(b, "\x1f", 1);
}

/* XEP-0390 sorts what it has joined; parts end with a byte below all others, so that is the same.
 */
static int input_390(struct buf *b, const struct caps *c)
{
	size_t i, k, m;
	int rc = 0;

	for (i = 0; i < c->features_n && !rc; i++)
		rc = put_390(b, c->features[i]);
	if (!rc)
		rc = buf_add(b, "\x1c", 1);
	for (i = 0; i < c->identities_n && !rc; i++) {
		const struct caps_identity *id = &c->identities[i];

		rc = put_390(b, id->category) || put_390(b, id->type) || put_390(b, id->scope) ||
				     put_390(b, id->name) || buf_add(b, "\x1e", 1)
			     ? ERR_NOMEM
			     : 0;
	}
	if (!rc)
		rc = buf_add(b, "\x1c", 1);
	for (i = 0; i < c->forms_n && !rc; i++) {
		const struct caps_form *f = &c->forms[i];

		for (k = 0; k < f->fields_n && !rc; k++) {
			rc = put_390(b, f->fields[k].var);
			for (m = 0; m < f->fields[k].values_n && !rc; m++)
				rc = put_390(b, f->fields[k].values[m]);
			if (!rc)
				rc = buf_add(b, "\x1e", 1);
		}
		if (!rc)
			rc = buf_add(b, "\x1d", 1);
	}
	return rc ? rc : buf_add(b, "\x1c", 1);
}

static enum hash_kind kind_of(enum caps_algo algo)
{
	return algo == CAPS_115_SHA1 ? HASH_SHA1 : (enum hash_kind)(algo - CAPS_390_SHA1);
}

const char *caps_algo_name(enum caps_algo algo)
{
	return hash_name(kind_of(algo));
}

enum caps_algo caps_390_algo(const char *name)
{
	enum caps_algo a;

	for (a = CAPS_390_SHA1; a < CAPS_ALGO_COUNT; a++)
		if (strcmp(caps_algo_name(a), name) == 0)
			break;
	return a;
}

int caps_hash(struct caps *c, enum caps_algo algo, char out[CAPS_HASH_MAX])
{
	uint8_t sum[HASH_LEN_MAX];
	struct buf b;
	int rc;

	if (algo != CAPS_115_SHA1 && c->odd)
		return ERR_UNSUPPORTED;
	sort_all(c);
	buf_init(&b, INPUT_MAX);
	rc = algo == CAPS_115_SHA1 ? input_115(&b, c) : input_390(&b, c);
	if (!rc)
		rc = hash_sum(kind_of(algo), b.p, b.len, sum);
	buf_fini(&b);
	if (!rc)
		out[base64_print(out, sum, hash_len(kind_of(algo)))] = '\0';
	return rc ? ERR_NOMEM : 0;
}
