/* SPDX-License-Identifier: MIT */
/*
 * tag - see tag.h.
 *
 * The framer has judged the bytes; what is checked again here is only what keeps this
 * code inside of them. Contexts are interned in a table of this process.
 */
#include "config.h"

#include "xmpp/tag.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

#define NSCTX_BUCKETS 1024

struct nsctx {
	struct nsctx *next; /* in its bucket */
	size_t refs;
	uint64_t hash;    /* of the wrapper */
	struct tag tag;   /* points into wrapper */
	char *default_ns; /* owned; references resolved */
	size_t len;
	char wrapper[];
};

static struct nsctx *buckets[NSCTX_BUCKETS];

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool ends_name(uint8_t c)
{
	return is_space(c) || c == '/' || c == '>' || c == '=';
}

static struct tag_span span(const void *p, size_t len)
{
	return (struct tag_span){ .p = p, .len = len };
}

int tag_read(struct tag *t, const uint8_t *p, size_t len)
{
	const uint8_t *colon;
	size_t n = 1;

	if (len < 3 || p[0] != '<' || p[len - 1] != '>')
		return ERR_SYNTAX;
	while (!ends_name(p[n])) /* the last byte does */
		n++;
	if (n == 1)
		return ERR_SYNTAX;
	*t = (struct tag){ .bytes = p, .len = len, .attrs_at = n, .empty = p[len - 2] == '/' };
	colon = memchr(p + 1, ':', n - 1);
	if (colon) {
		t->prefix = span(p + 1, (size_t)(colon - p) - 1);
		t->local = span(colon + 1, (size_t)(p + n - colon) - 1);
	} else {
		t->local = span(p + 1, n - 1);
	}
	return 0;
}

bool tag_span_is(struct tag_span s, const char *text)
{
	return s.p && s.len == strlen(text) && !memcmp(s.p, text, s.len);
}

bool tag_next_attr(const struct tag *t, size_t *at, struct tag_span *name, struct tag_span *value)
{
	const uint8_t *p = t->bytes + *at, *end = t->bytes + t->len;
	const uint8_t *from, *close;

	while (p < end && is_space(*p))
		p++;
	from = p;
	while (p < end && !ends_name(*p))
		p++;
	if (p == from || p == end)
		return false;
	*name = span(from, (size_t)(p - from));
	while (p < end && (is_space(*p) || *p == '='))
		p++;
	if (p == end || (*p != '\'' && *p != '"'))
		return false;
	close = memchr(p + 1, *p, (size_t)(end - p) - 1);
	if (!close)
		return false;
	*value = span(p + 1, (size_t)(close - p) - 1);
	*at = (size_t)(close + 1 - t->bytes);
	return true;
}

struct tag_span tag_attr(const struct tag *t, const char *name)
{
	struct tag_span n, value;
	size_t at = t->attrs_at;

	while (tag_next_attr(t, &at, &n, &value)) {
		if (tag_span_is(n, name))
			return value;
	}
	return span(NULL, 0);
}

static size_t put_utf8(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The character that "name" of &name; stands for; 0 for none. */
static uint32_t resolve(struct tag_span name)
{
	uint32_t c = 0, base = 10, digit;
	size_t i = 1;

	if (!name.len || name.p[0] != '#')
		return tag_span_is(name, "lt")     ? '<'
		       : tag_span_is(name, "gt")   ? '>'
		       : tag_span_is(name, "amp")  ? '&'
		       : tag_span_is(name, "quot") ? '"'
		       : tag_span_is(name, "apos") ? '\''
						   : 0;
	if (name.len > 1 && name.p[1] == 'x') {
		base = 16;
		i = 2;
	}
	for (; i < name.len; i++) {
		char d = name.p[i];

		if (d >= '0' && d <= '9')
			digit = (uint32_t)(d - '0');
		else if (base == 16 && (d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			digit = (uint32_t)((d | 0x20) - 'a') + 10;
		else
			return 0;
		c = c * base + digit;
		if (c > 0x10ffff)
			return 0;
	}
	return c;
}

int tag_text(struct tag_span raw, char *out, size_t room)
{
	size_t len = 0, n, i;
	const char *semicolon;
	char c[4];

	for (i = 0; i < raw.len; i++) {
		n = 1;
		c[0] = raw.p[i];
		if (c[0] == '&') {
			uint32_t value = 0;

			semicolon = memchr(raw.p + i, ';', raw.len - i);
			if (semicolon)
				value = resolve(
					span(raw.p + i + 1, (size_t)(semicolon - raw.p) - i - 1));
			if (!value)
				return ERR_SYNTAX;
			n = put_utf8(value, c);
			i = (size_t)(semicolon - raw.p);
		} else if (is_space((uint8_t)c[0])) {
			/* XML 1.0 2.11 and 3.3.3 */
			if (c[0] == '\r' && i + 1 < raw.len && raw.p[i + 1] == '\n')
				continue;
			c[0] = ' ';
		}
		if (n >= room || len >= room - n)
			return ERR_FULL;
		memcpy(out + len, c, n);
		len += n;
	}
	if (len >= room)
		return ERR_FULL;
	out[len] = '\0';
	return 0;
}

static bool declares(struct tag_span name)
{
	return name.len >= 5 && !memcmp(name.p, "xmlns", 5) && (name.len == 5 || name.p[5] == ':');
}

/* Writes the wrapper for this header's declarations, with their own quotes; out may be NULL. */
static size_t wrapper_write(const struct tag *t, char *out)
{
	struct tag_span name, value;
	size_t at = t->attrs_at, len = 2;

	if (out)
		memcpy(out, "<x", 2);
	while (tag_next_attr(t, &at, &name, &value)) {
		if (!declares(name))
			continue;
		if (out) {
			char *p = out + len;

			*p++ = ' ';
			memcpy(p, name.p, name.len);
			p += name.len;
			*p++ = '=';
			memcpy(p, value.p - 1, value.len + 2);
		}
		len += name.len + value.len + 4;
	}
	if (out)
		memcpy(out + len, ">", 2);
	return len + 1;
}

static struct nsctx *nsctx_new(const struct tag *t)
{
	size_t len = wrapper_write(t, NULL);
	struct nsctx *c = calloc(1, sizeof(*c) + len + 1);
	struct tag_span ns;

	if (!c)
		return NULL;
	c->refs = 1;
	c->len = wrapper_write(t, c->wrapper);
	c->hash = hash_keyed(c->wrapper, c->len);
	if (tag_read(&c->tag, (const uint8_t *)c->wrapper, c->len))
		BUG(); /* we made it */
	ns = tag_attr(&c->tag, "xmlns");
	c->default_ns = calloc(1, ns.len + 1);
	if (!c->default_ns) {
		free(c);
		return NULL;
	}
	/* References only get shorter; what is none stays unknown. */
	if (ns.p && tag_text(ns, c->default_ns, ns.len + 1))
		c->default_ns[0] = '\0';
	return c;
}

static void nsctx_free(struct nsctx *c)
{
	free(c->default_ns);
	free(c);
}

struct nsctx *nsctx_of_header(const struct tag *t)
{
	struct nsctx *c = nsctx_new(t), *known;
	struct nsctx **bucket;

	if (!c)
		return NULL;
	bucket = &buckets[c->hash % NSCTX_BUCKETS];
	for (known = *bucket; known; known = known->next) {
		if (known->hash != c->hash || known->len != c->len ||
		    memcmp(known->wrapper, c->wrapper, c->len))
			continue;
		nsctx_free(c);
		return nsctx_ref(known);
	}
	c->next = *bucket;
	*bucket = c;
	return c;
}

struct nsctx *nsctx_ref(struct nsctx *c)
{
	c->refs++;
	return c;
}

void nsctx_unref(struct nsctx **cp)
{
	struct nsctx *c = *cp, **at;

	*cp = NULL;
	if (!c || --c->refs)
		return;
	for (at = &buckets[c->hash % NSCTX_BUCKETS]; *at != c; at = &(*at)->next)
		BUG_ON(!*at);
	*at = c->next;
	nsctx_free(c);
}

const char *nsctx_default(const struct nsctx *c)
{
	return c->default_ns;
}

const char *nsctx_wrapper(const struct nsctx *c, size_t *len_out)
{
	*len_out = c->len;
	return c->wrapper;
}

/* The value of the declaration of this prefix in t; p NULL if t has none. */
static struct tag_span declared(const struct tag *t, struct tag_span prefix)
{
	struct tag_span name, value;
	size_t at = t->attrs_at;

	while (tag_next_attr(t, &at, &name, &value)) {
		if (!declares(name))
			continue;
		if (!prefix.p ? name.len == 5
			      : name.len == prefix.len + 6 &&
					!memcmp(name.p + 6, prefix.p, prefix.len))
			return value;
	}
	return span(NULL, 0);
}

struct tag_span tag_ns(const struct tag *t, const struct nsctx *ctx)
{
	struct tag_span ns = declared(t, t->prefix);

	if (!ns.p && ctx)
		ns = declared(&ctx->tag, t->prefix);
	if (!ns.p && tag_span_is(t->prefix, "xml"))
		ns = span("http://www.w3.org/XML/1998/namespace", 36);
	if (!ns.p && !t->prefix.p)
		ns = span("", 0);
	return ns;
}
