/* SPDX-License-Identifier: MIT */
/*
 * answer - what the server's errors become: the list of services, an upload's address, a slot.
 *
 * One stanza for one stanza: the reply keeps its start tag (protocol.md 6.2).
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/token.h"
#include "upload/upload.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

#define XML_MAX      (32u * 1024)
#define NAME_MAX_LEN 80 /* of a file's name in an address */

/* --- what may be replaced ----------------------------------------------------------------- */

static const char *type_of(const struct filter_unit *u)
{
	const char *type = outline_attr(u->outline, 0, "", "type");

	return type ? type : "";
}

/* The server does not know what was asked; other errors are its own and pass. */
static bool is_ignorance(const struct filter_unit *u)
{
	static const char *const conditions[] = { "service-unavailable", "feature-not-implemented",
						  "item-not-found", "not-allowed", "bad-request" };
	const struct outline *o = u->outline;
	int error = strcmp(type_of(u), "error") == 0 ? outline_child(o, 0, NULL, "error", 1) : -1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(conditions) && error != -1; i++)
		if (outline_child(o, error, NS_STANZAS, conditions[i], error + 1) != -1)
			return true;
	return false;
}

static bool is_empty_items(const struct filter_unit *u)
{
	const struct outline *o = u->outline;
	int query = strcmp(type_of(u), "result") == 0
			    ? outline_child(o, 0, NS_DISCO_ITEMS, "query", 1)
			    : -1;

	return query != -1 && outline_child(o, query, NULL, "item", query + 1) == -1;
}

static const char *ns_of(const struct upload_request *r)
{
	return r->old ? NS_KONTALK_UPLOAD_OLD : NS_KONTALK_UPLOAD;
}

/* --- writing ------------------------------------------------------------------------------ */

/* rc: of the writing so far. */
static enum filter_verdict substitute(struct filter_unit *u, const char *type, struct buf *xml,
				      int rc)
{
	if (!rc)
		rc = edit_substitute(u->edits, u->arena, u->outline, type, xml->p, xml->len);
	buf_fini(xml);
	if (rc)
		return FILTER_PASS;
	counter_inc(METRIC_SUBSTITUTED);
	return FILTER_EDIT;
}

static enum filter_verdict refuse(struct filter_unit *u, const char *type, const char *condition,
				  const char *more)
{
	struct buf xml;

	buf_init(&xml, XML_MAX);
	return substitute(u, "error", &xml,
			  buf_printf(&xml,
				     "<error type='%s'><%s "
				     "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>%s</error>",
				     type, condition, more));
}

/* Adds text, escaped. */
static int put(struct buf *xml, struct arena *a, const char *text)
{
	char *escaped = edit_escape(a, text);

	return escaped ? buf_add_str(xml, escaped) : ERR_NOMEM;
}

static enum filter_verdict write_items(struct filter_instance *f, struct filter_unit *u,
				       const struct track_request *t)
{
	const struct upload_request *r = (const void *)t->data;
	struct buf xml;
	size_t i;
	int rc;

	buf_init(&xml, XML_MAX);
	rc = buf_printf(&xml, "<query xmlns='http://jabber.org/protocol/disco#items' node='%s'>",
			ns_of(r));
	for (i = 0; i < f->conf->services_n && !rc; i++) {
		const struct conf_service *s = &f->conf->services[i];

		rc = buf_add_str(&xml, "<item node='") || put(&xml, u->arena, s->node) ||
				     buf_add_str(&xml, "' jid='") || put(&xml, u->arena, t->to) ||
				     buf_add_str(&xml, "' name='") ||
				     put(&xml, u->arena, s->name) || buf_add_str(&xml, "'/>")
			     ? ERR_FULL
			     : 0;
	}
	if (!rc)
		rc = buf_add_str(&xml, "</query>");
	return substitute(u, "result", &xml, rc);
}

enum filter_verdict upload_on_items(struct filter_instance *f, struct filter_unit *u,
				    const struct track_request *t)
{
	const struct upload *up = f->state;

	if (up->native || (!is_ignorance(u) && !is_empty_items(u)))
		return FILTER_PASS;
	return write_items(f, u, t);
}

/* --- tokens ------------------------------------------------------------------------------- */

/* For whom: the server's word on whose stream this is stands in the reply's `to`. */
static int token_begin(struct token *t, const struct filter_instance *f,
		       const struct filter_unit *u)
{
	const struct conf_upload *c = &f->conf->upload;
	const char *to = outline_attr(u->outline, 0, "", "to");

	memset(t, 0, sizeof(*t));
	if (!c->key || !f->host->wall_clock)
		return ERR_NOT_FOUND;
	hash_random(t->id, sizeof(t->id));
	t->expires = (uint64_t)f->host->wall_clock(f->host->ctx) + c->token_life / 1000;
	t->max_bytes = c->max_bytes;
	return token_user(c->key, to ? to : "", to ? jid_bare_len(to) : 0, t->user);
}

/* As many patterns as there is room for. */
static void token_accept(struct token *t, const struct conf_list *accept)
{
	size_t i, n = 0;

	for (i = 0; i < accept->n; i++) {
		size_t len = strlen(accept->v[i]);

		if (n + len + 1 > TOKEN_TYPES_MAX)
			return;
		n += (size_t)snprintf(t->types + n, sizeof(t->types) - n, "%s%s", n ? "," : "",
				      accept->v[i]);
	}
}

/* A type that a client named, if it is one; it becomes a pattern and may hold nothing special. */
static bool is_type(const char *type)
{
	size_t n = strcspn(type, "; ");

	return n && n < 128 && memchr(type, '/', n) &&
	       strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "!#$&^_.+-/") >= n;
}

static void token_type(struct token *t, const char *type)
{
	size_t i, n = strcspn(type, "; ");

	for (i = 0; i < n; i++)
		t->types[i] = (char)tolower((unsigned char)type[i]);
	t->types[n] = '\0';
}

/* --- <upload/> ---------------------------------------------------------------------------- */

static const struct conf_service *service_find(const struct conf *conf, const char *node)
{
	size_t i;

	for (i = 0; i < conf->services_n; i++)
		if (strcmp(conf->services[i].node, node) == 0)
			return &conf->services[i];
	return NULL;
}

static bool service_takes(const struct conf_service *s, const char *type)
{
	size_t i;

	for (i = 0; i < s->accept.n; i++)
		if (token_type_matches(s->accept.v[i], type))
			return true;
	return false;
}

static int put_address(struct buf *xml, struct filter_instance *f, struct filter_unit *u,
		       const struct conf_service *s, const char *type)
{
	char text[TOKEN_TEXT_MAX];
	struct token t;
	int rc;

	if (s->uri[0])
		return put(xml, u->arena, s->uri);
	rc = token_begin(&t, f, u);
	if (rc)
		return rc;
	if (is_type(type))
		token_type(&t, type);
	else
		token_accept(&t, &s->accept);
	rc = token_print(&t, f->conf->upload.key, text);
	return rc ? rc : buf_printf(xml, "%s/up/%s", f->conf->upload.public_url, text);
}

enum filter_verdict upload_on_file(struct filter_instance *f, struct filter_unit *u,
				   const struct track_request *t)
{
	const struct upload *up = f->state;
	const struct upload_request *r = (const void *)t->data;
	const struct conf_service *s;
	struct buf xml;
	int rc;

	if (up->native || !is_ignorance(u))
		return FILTER_PASS;
	if (!r->has_first)
		return refuse(u, "modify", "bad-request", "");
	s = service_find(f->conf, r->first);
	if (!s)
		return refuse(u, "cancel", "item-not-found", "");
	if (r->second[0] && !service_takes(s, r->second))
		return refuse(u, "modify", "not-acceptable", "");
	buf_init(&xml, XML_MAX);
	rc = buf_printf(&xml, "<upload xmlns='%s' node='", ns_of(r));
	if (!rc)
		rc = put(&xml, u->arena, r->first);
	if (!rc)
		rc = buf_add_str(&xml, "'><uri>");
	if (!rc)
		rc = put_address(&xml, f, u, s, r->second);
	if (!rc)
		rc = buf_add_str(&xml, "</uri></upload>");
	return substitute(u, "result", &xml, rc);
}

/* --- slots (XEP-0363) --------------------------------------------------------------------- */

/* A file's name as the last part of an address: what is not plain becomes -. */
static void print_name(const char *name, char out[NAME_MAX_LEN + 1])
{
	size_t len = strlen(name), i;

	if (len > NAME_MAX_LEN) /* the end tells the type */
		name += len - NAME_MAX_LEN;
	for (i = 0; name[i]; i++) {
		bool plain =
			isalnum((unsigned char)name[i]) || name[i] == '_' || (name[i] == '.' && i);

		out[i] = plain ? name[i] : '-';
	}
	out[i] = '\0';
}

static int put_slot(struct buf *xml, struct filter_instance *f, struct filter_unit *u,
		    const struct upload_request *r)
{
	const char *base = f->conf->upload.public_url;
	char text[TOKEN_TEXT_MAX], name[NAME_MAX_LEN + 1], id[2 * TOKEN_ID_LEN + 1];
	struct token t;
	int rc = token_begin(&t, f, u);

	if (rc)
		return rc;
	t.slot = true;
	t.max_bytes = r->size;
	if (is_type(r->second))
		token_type(&t, r->second);
	else
		snprintf(t.types, sizeof(t.types), "*/*");
	rc = token_print(&t, f->conf->upload.key, text);
	if (rc)
		return rc;
	print_name(r->first, name);
	hash_print_hex(t.id, sizeof(t.id), id);
	return buf_printf(xml,
			  "<slot xmlns='urn:xmpp:http:upload:0'><put url='%s/up/%s/%s'/><get "
			  "url='%s/f/%s/%s'/></slot>",
			  base, text, name, base, id, name);
}

enum filter_verdict upload_on_slot(struct filter_instance *f, struct filter_unit *u,
				   const struct track_request *t)
{
	const struct upload *up = f->state;
	const struct upload_request *r = (const void *)t->data;
	struct buf xml;
	char more[256];

	if (up->native_slot || !is_ignorance(u))
		return FILTER_PASS;
	if (!r->has_first)
		return refuse(u, "modify", "bad-request", "");
	snprintf(
		more, sizeof(more),
		"<file-too-large xmlns='urn:xmpp:http:upload:0'><max-file-size>%llu</max-file-size>"
		"</file-too-large>",
		(unsigned long long)f->conf->upload.max_bytes);
	if (r->size > f->conf->upload.max_bytes)
		return refuse(u, "modify", "not-acceptable", more);
	buf_init(&xml, XML_MAX);
	return substitute(u, "result", &xml, put_slot(&xml, f, u, r));
}
