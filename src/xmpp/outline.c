/* SPDX-License-Identifier: MIT */
/*
 * outline - see outline.h. libxml2's push parser reads the wrapper, the unit and "</x>".
 *
 * Where things stand (design.md 3): in the start callback the parser is at the > or /> of
 * the tag, in the end callback behind the end tag. The < in front of either is the first one
 * behind the previous tag that opens no CDATA section, because the framer and the callbacks
 * below let nothing else stand between tags.
 *
 * The first error counts: p->error is set once and stops the parser.
 */
#include "config.h"

#include "xmpp/outline.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "xmpp/ns.h"

#define WRAPPER_END "</x>"

/* An element that is still open. */
struct frame {
	struct frame *up;
	int element;
	const xmlChar *ns; /* libxml2's, to see at once that a child's is the same */
	struct buf text;
};

struct parse {
	struct arena *arena;
	xmlParserCtxtPtr ctxt;
	const uint8_t *unit;
	size_t len;
	size_t wrapper_len;
	size_t at; /* behind the last tag */
	const struct outline_limits *limits;
	struct outline_element *elements;
	size_t elements_n;
	size_t elements_room;
	struct frame *open; /* innermost; NULL outside of the unit */
	bool wrapped;       /* the wrapper's start tag has been read */
	bool namespace_error;
	int error;
};

/* libxml2 lets go of its input at once: nothing that it handed over may be read after this. */
static void stop(struct parse *p, int error)
{
	if (!p->error)
		p->error = error;
	xmlStopParser(p->ctxt);
}

static const char *copy(struct parse *p, const xmlChar *text, size_t len)
{
	const char *s = arena_strndup(p->arena, text, len);

	if (!s)
		stop(p, ERR_NOMEM);
	return s;
}

/* Where the parser stands, as an offset into the unit; may be behind its end. */
static size_t here(const struct parse *p)
{
	const xmlParserInput *in = p->ctxt->input;

	return in->consumed + (size_t)(in->cur - in->base) - p->wrapper_len;
}

/* The < of the next tag behind p->at; p->len if there is none. */
static size_t next_tag(const struct parse *p)
{
	static const char open[] = "<![CDATA[";
	const uint8_t *at = p->unit + p->at, *end = p->unit + p->len;

	while ((at = memchr(at, '<', (size_t)(end - at))) != NULL) {
		if ((size_t)(end - at) < sizeof(open) || memcmp(at, open, sizeof(open) - 1))
			return (size_t)(at - p->unit);
		at = memmem(at, (size_t)(end - at), "]]>", 3);
		if (!at)
			break;
	}
	return p->len;
}

/*
 * A value as libxml2 hands it over: without NOENT, which is never set, each & that the value
 * really has is written &#38; there, so every one of these stands for one &.
 */
static const char *copy_value(struct parse *p, const xmlChar *raw, size_t len)
{
	static const char mark[] = "&#38;";
	char *s = arena_strndup(p->arena, raw, len);
	char *from, *to;

	if (!s) {
		stop(p, ERR_NOMEM);
		return NULL;
	}
	for (from = to = strchrnul(s, '&'); *from;) {
		*to++ = *from;
		from += strncmp(from, mark, sizeof(mark) - 1) ? 1 : sizeof(mark) - 1;
	}
	*to = '\0';
	return s;
}

static bool copy_attributes(struct parse *p, struct outline_element *e, const xmlChar **raw,
			    size_t n)
{
	struct outline_attr *attrs = arena_alloc(p->arena, n * sizeof(*attrs));
	size_t i;

	if (!attrs) {
		stop(p, ERR_NOMEM);
		return false;
	}
	/* Each is five pointers: local name, prefix, namespace, value, end of the value. */
	for (i = 0; i < n; i++, raw += 5) {
		attrs[i].value = copy_value(p, raw[3], (size_t)(raw[4] - raw[3]));
		if (!p->error)
			attrs[i].local = copy(p, raw[0], strlen((const char *)raw[0]));
		if (!p->error)
			attrs[i].ns = raw[2] ? copy(p, raw[2], strlen((const char *)raw[2])) : "";
		if (p->error)
			return false;
	}
	e->attrs = attrs;
	e->attrs_n = n;
	return true;
}

/* Refuses what may not start here: 0 or an error. */
static int judge(const struct parse *p, const xmlChar *ns, size_t attributes)
{
	size_t depth = p->open ? p->elements[p->open->element].depth + 1 : 0;

	if (!p->open && p->elements_n)
		return ERR_WELL_FORMED; /* a second element in the wrapper */
	if (depth >= p->limits->depth || attributes > p->limits->attributes ||
	    p->elements_n >= p->elements_room)
		return ERR_TOO_BIG;
	if (depth && ns && !strcmp((const char *)ns, NS_STREAM))
		return ERR_BAD_FORMAT;
	return 0;
}

static void on_start(void *user, const xmlChar *local, const xmlChar *prefix UNUSED,
		     const xmlChar *ns, int namespaces_n, const xmlChar **namespaces UNUSED,
		     int attrs_n, int defaulted UNUSED, const xmlChar **attrs)
{
	struct parse *p = user;
	struct outline_element *e;
	struct frame *f;
	size_t close;
	int error;

	if (p->error)
		return;
	if (!p->wrapped) {
		p->wrapped = true;
		return;
	}
	close = here(p);
	error = judge(p, ns, (size_t)attrs_n + (size_t)namespaces_n);
	if (error || close >= p->len) {
		stop(p, error ? error : ERR_WELL_FORMED);
		return;
	}
	f = arena_alloc(p->arena, sizeof(*f));
	if (!f) {
		stop(p, ERR_NOMEM);
		return;
	}
	e = &p->elements[p->elements_n];
	e->parent = p->open ? p->open->element : -1;
	e->depth = p->open ? p->elements[e->parent].depth + 1 : 0;
	e->start = next_tag(p);
	e->start_end = close + (p->unit[close] == '/' ? 2 : 1);
	e->text = "";
	if (p->open && p->open->ns == ns)
		e->ns = p->elements[e->parent].ns;
	else
		e->ns = ns ? copy(p, ns, strlen((const char *)ns)) : "";
	if (!p->error)
		e->local = copy(p, local, strlen((const char *)local));
	if (p->error || (attrs_n && !copy_attributes(p, e, attrs, (size_t)attrs_n)))
		return;
	if (e->start >= e->start_end)
		stop(p, ERR_WELL_FORMED);
	p->at = e->start_end;
	f->up = p->open;
	f->element = (int)p->elements_n++;
	f->ns = ns;
	buf_init(&f->text, p->len);
	p->open = f;
}

static void on_end(void *user, const xmlChar *local UNUSED, const xmlChar *prefix UNUSED,
		   const xmlChar *ns UNUSED)
{
	struct parse *p = user;
	struct frame *f = p->open;
	struct outline_element *e;

	if (p->error)
		return;
	if (!f) {
		/* The wrapper's end must be ours, not one inside the bytes. */
		if (here(p) != p->len + sizeof(WRAPPER_END) - 1)
			stop(p, ERR_WELL_FORMED);
		return;
	}
	e = &p->elements[f->element];
	e->end_end = here(p);
	e->end = e->end_end == e->start_end ? e->end_end : next_tag(p);
	if (f->text.len)
		e->text = copy(p, f->text.p, f->text.len);
	if (e->end_end > p->len || e->end > e->end_end)
		stop(p, ERR_WELL_FORMED);
	p->at = MIN_OF(e->end_end, p->len);
	buf_fini(&f->text);
	p->open = f->up;
}

static void on_text(void *user, const xmlChar *text, int len)
{
	struct parse *p = user;

	if (p->error)
		return;
	if (!p->open)
		stop(p, ERR_WELL_FORMED);
	else if (buf_add(&p->open->text, text, (size_t)len))
		stop(p, ERR_NOMEM);
}

static void on_instruction(void *user, const xmlChar *target UNUSED, const xmlChar *data UNUSED)
{
	stop(user, ERR_WELL_FORMED);
}

static void on_comment(void *user, const xmlChar *text UNUSED)
{
	stop(user, ERR_WELL_FORMED);
}

static void on_error(void *user, xmlErrorPtr error)
{
	struct parse *p = user;

	/* 99 and 100 only find that a namespace is no absolute URI. */
	if (error->code >= XML_NS_ERR_XML_NAMESPACE && error->code <= XML_NS_ERR_XML_NAMESPACE + 5)
		p->namespace_error = true;
	else if (error->code == XML_ERR_NO_MEMORY && !p->error)
		p->error = ERR_NOMEM;
}

static int feed(const struct parse *p, const void *bytes, size_t len, bool last)
{
	if (p->error)
		return p->error;
	xmlParseChunk(p->ctxt, bytes, (int)len, last);
	if (p->error)
		return p->error;
	return p->ctxt->wellFormed ? 0 : ERR_WELL_FORMED;
}

static int run(struct parse *p, const struct nsctx *ctx)
{
	const char *wrapper = nsctx_wrapper(ctx, &p->wrapper_len);
	int error;

	xmlCtxtUseOptions(p->ctxt, XML_PARSE_IGNORE_ENC | XML_PARSE_NONET);
	if (xmlSwitchEncoding(p->ctxt, XML_CHAR_ENCODING_UTF8))
		return ERR_NOMEM;
	error = feed(p, wrapper, p->wrapper_len, false);
	if (!error)
		error = feed(p, p->unit, p->len, false);
	if (!error)
		error = feed(p, WRAPPER_END, sizeof(WRAPPER_END) - 1, true);
	if (!error && p->namespace_error)
		error = ERR_NAMESPACE;
	if (!error && (!p->elements_n || p->open))
		error = ERR_WELL_FORMED;
	return error;
}

/* At least as many as there are elements, unless that is over the limit. */
static size_t count_elements(const uint8_t *unit, size_t len, size_t limit)
{
	const uint8_t *at = unit, *end = unit + len;
	size_t n = 0;

	while (n < limit && (at = memchr(at, '<', (size_t)(end - at))) != NULL) {
		at++;
		n += at < end && *at != '/' && *at != '!';
	}
	return n;
}

int outline_parse(struct arena *a, const struct nsctx *ctx, const uint8_t *unit, size_t len,
		  const struct outline_limits *limits, struct outline *out)
{
	xmlSAXHandler sax = { .initialized = XML_SAX2_MAGIC,
			      .startElementNs = on_start,
			      .endElementNs = on_end,
			      .characters = on_text,
			      .ignorableWhitespace = on_text,
			      .cdataBlock = on_text,
			      .processingInstruction = on_instruction,
			      .comment = on_comment,
			      .serror = on_error };
	struct parse p = { .arena = a, .unit = unit, .len = len, .limits = limits };
	int error;

	if (len > INT_MAX)
		return ERR_TOO_BIG;
	if (!len)
		return ERR_WELL_FORMED;
	p.elements_room = count_elements(unit, len, limits->elements);
	p.elements = arena_alloc(a, MAX_OF(p.elements_room, (size_t)1) * sizeof(*p.elements));
	if (!p.elements)
		return ERR_NOMEM;
	p.ctxt = xmlCreatePushParserCtxt(&sax, &p, NULL, 0, NULL);
	if (!p.ctxt)
		return ERR_NOMEM;
	error = run(&p, ctx);
	xmlFreeParserCtxt(p.ctxt);
	for (; p.open; p.open = p.open->up)
		buf_fini(&p.open->text);
	if (error)
		return error;
	*out = (struct outline){
		.bytes = unit, .len = len, .elements = p.elements, .elements_n = p.elements_n
	};
	return 0;
}

int outline_child(const struct outline *o, int parent, const char *ns, const char *local, int from)
{
	const struct outline_element *e;
	size_t i;

	/* Children stand behind their parent. */
	for (i = (size_t)MAX_OF(from, parent + 1); i < o->elements_n; i++) {
		e = &o->elements[i];
		if (e->start >= o->elements[parent].end_end)
			break;
		if (e->parent == parent && !strcmp(e->local, local) && (!ns || !strcmp(e->ns, ns)))
			return (int)i;
	}
	return -1;
}

const char *outline_attr(const struct outline *o, int element, const char *ns, const char *local)
{
	const struct outline_element *e = &o->elements[element];
	size_t i;

	for (i = 0; i < e->attrs_n; i++) {
		if (!strcmp(e->attrs[i].local, local) && !strcmp(e->attrs[i].ns, ns))
			return e->attrs[i].value;
	}
	return NULL;
}

int outline_attr_range(const struct outline *o, int element, const char *name, size_t *at_out,
		       size_t *len_out)
{
	const struct outline_element *e = &o->elements[element];
	struct tag_span value;
	struct tag t;

	if (tag_read(&t, o->bytes + e->start, e->start_end - e->start))
		return ERR_NOT_FOUND;
	value = tag_attr(&t, name);
	if (!value.p)
		return ERR_NOT_FOUND;
	*at_out = (size_t)((const uint8_t *)value.p - o->bytes);
	*len_out = value.len;
	return 0;
}

static xmlParserInputPtr load_nothing(const char *url UNUSED, const char *id UNUSED,
				      xmlParserCtxtPtr ctxt UNUSED)
{
	return NULL;
}

static void say_nothing(void *user UNUSED, const char *text UNUSED, ...)
{
}

const char *outline_library(void)
{
	return LIBXML_DOTTED_VERSION;
}

void outline_setup(void)
{
	xmlInitParser();
	xmlSetGenericErrorFunc(NULL, say_nothing);
	xmlSetExternalEntityLoader(load_nothing);
}
