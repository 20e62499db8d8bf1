/* SPDX-License-Identifier: MIT */
/*
 * disco - the domain's features: added to results of disco#info, with the capability hashes
 * of the stream's features either cut or made true. protocol.md 5.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "upload/upload.h"
#include "xmpp/ns.h"

#define EXTRA_SLOT 1u /* HTTP File Upload is offered as well */

bool upload_is_domain(const struct conf *conf, const char *to)
{
	size_t i;

	for (i = 0; i < conf->upload.domains.n; i++)
		if (strcasecmp(conf->upload.domains.v[i], to) == 0)
			return true;
	return false;
}

/* Which features this configuration adds. Limits are in the hash, so they are in this as well. */
static unsigned extras_of(const struct conf *conf)
{
	return conf->upload.http_upload ? EXTRA_SLOT | (unsigned)conf->upload.max_bytes << 1 : 0;
}

static bool is_rewriting(const struct filter_instance *f)
{
	return f->listen->caps == CONF_CAPS_REWRITE;
}

/* --- stream features -------------------------------------------------------------------- */

/* XEP-0115: the value of `ver` changes, or the element goes. */
static int caps_115(struct filter_instance *f, struct filter_unit *u, int c)
{
	struct upload *up = f->state;
	const struct outline *o = u->outline;
	const char *hash = outline_attr(o, c, "", "hash"), *ver = outline_attr(o, c, "", "ver");
	const char *node = outline_attr(o, c, "", "node"), *ours = NULL;

	if (is_rewriting(f) && hash && ver && node && strcmp(hash, "sha-1") == 0 &&
	    strlen(ver) < CAPS_HASH_MAX && strlen(node) < sizeof(up->announced.node)) {
		snprintf(up->announced.node, sizeof(up->announced.node), "%s", node);
		snprintf(up->announced.ver[CAPS_115_SHA1], CAPS_HASH_MAX, "%s", ver);
		ours = known_find(CAPS_115_SHA1, ver, extras_of(f->conf));
	}
	return ours ? edit_attribute(u->edits, u->arena, o, c, "ver", ours)
		    : edit_cut(u->edits, u->arena, o, c);
}

static enum caps_algo algo_390(const char *name)
{
	return name ? caps_390_algo(name) : CAPS_ALGO_COUNT;
}

/* Text cannot be replaced, so the whole element is written anew: there is nothing else in it. */
static char *print_390(struct arena *a, enum caps_algo algo, const char *ours)
{
	return arena_printf(a, "<hash xmlns='urn:xmpp:hashes:2' algo='%s'>%s</hash>",
			    caps_algo_name(algo), ours);
}

static int caps_390(struct filter_instance *f, struct filter_unit *u, int c)
{
	struct upload *up = f->state;
	const struct outline *o = u->outline;
	char *xml = arena_strndup(u->arena, "", 0);
	int hash = c, rc;

	while (is_rewriting(f) && xml &&
	       (hash = outline_child(o, c, NS_HASHES, "hash", hash + 1)) != -1) {
		enum caps_algo algo = algo_390(outline_attr(o, hash, "", "algo"));
		const char *ver = o->elements[hash].text, *ours = NULL;

		if (algo != CAPS_ALGO_COUNT && strlen(ver) < CAPS_HASH_MAX) {
			snprintf(up->announced.ver[algo], CAPS_HASH_MAX, "%s", ver);
			ours = known_find(algo, ver, extras_of(f->conf));
		}
		if (ours)
			xml = arena_printf(u->arena, "%s%s", xml, print_390(u->arena, algo, ours));
	}
	if (!xml)
		return ERR_NOMEM;
	rc = edit_cut(u->edits, u->arena, o, c);
	if (rc || !*xml)
		return rc;
	xml = arena_printf(u->arena, "<c xmlns='urn:xmpp:caps'>%s</c>", xml);
	return xml ? edit_insert(u->edits, u->arena, o, o->elements[c].start, xml, strlen(xml))
		   : ERR_NOMEM;
}

enum filter_verdict upload_on_features(struct filter_instance *f, struct filter_unit *u)
{
	const struct outline *o = u->outline;
	int c = 0, rc = 0;

	while (!rc && (c = outline_child(o, 0, NS_CAPS, "c", c + 1)) != -1)
		rc = caps_115(f, u, c);
	c = 0;
	while (!rc && (c = outline_child(o, 0, NS_CAPS2, "c", c + 1)) != -1)
		rc = caps_390(f, u, c);
	return rc ? FILTER_PASS : FILTER_EDIT;
}

/* --- requests --------------------------------------------------------------------------- */

/* A node of capabilities, taken apart: its algorithm and where the hash begins; NULL if none. */
static const char *hash_of_node(const struct upload *up, const char *node, enum caps_algo *algo_out)
{
	const char *hash = strrchr(node, '#'), *dot;
	size_t len = strlen(NS_CAPS2);

	if (!hash)
		return NULL;
	hash++;
	if (strncmp(node, NS_CAPS2, len) == 0 && node[len] == '#') {
		char name[16];

		dot = strchr(hash, '.');
		if (!dot || (size_t)(dot - hash) >= sizeof(name))
			return NULL;
		snprintf(name, sizeof(name), "%.*s", (int)(dot - hash), hash);
		*algo_out = algo_390(name);
		return *algo_out == CAPS_ALGO_COUNT ? NULL : dot + 1;
	}
	*algo_out = CAPS_115_SHA1;
	len = strlen(up->announced.node);
	return len && strncmp(node, up->announced.node, len) == 0 && hash == node + len + 1 ? hash
											    : NULL;
}

bool upload_ask_info(struct filter_instance *f, struct filter_unit *u, int query,
		     struct upload_request *r, enum filter_verdict *verdict_out)
{
	const char *node = outline_attr(u->outline, query, "", "node"), *hash, *theirs;
	char *text;
	enum caps_algo algo;

	r->ask = UPLOAD_ASK_INFO;
	r->plain = !node;
	if (!node)
		return true;
	if (!is_rewriting(f) || strlen(node) >= sizeof(r->first))
		return false;
	hash = hash_of_node(f->state, node, &algo);
	theirs = hash ? known_original(algo, hash, extras_of(f->conf)) : NULL;
	if (!theirs)
		return false; /* theirs, or nobody's: the answer is true as it comes */
	text = arena_printf(u->arena, "%.*s%s", (int)(hash - node), node, theirs);
	if (!text || edit_attribute(u->edits, u->arena, u->outline, query, "node", text))
		return false;
	snprintf(r->first, sizeof(r->first), "%s", node);
	*verdict_out = FILTER_EDIT;
	return true;
}

/* --- results ---------------------------------------------------------------------------- */

/* The same additions as text and as entries of the set: what is there already stays alone. */
struct additions {
	struct caps *caps;
	struct buf *xml;
	bool failed;
};

static void add_feature(struct additions *a, const char *var)
{
	if (caps_has_feature(a->caps, var))
		return;
	a->failed |= buf_printf(a->xml,
				"<feature xmlns='http://jabber.org/protocol/disco#info' var='%s'/>",
				var) ||
		     caps_add_feature(a->caps, var);
}

static void add_slot(struct additions *a, const struct filter_unit *u, const struct conf *conf)
{
	const struct caps_identity store = { "store", "file", "", a->caps->scope,
					     "HTTP File Upload" };
	const char *max =
		arena_printf(u->arena, "%llu", (unsigned long long)conf->upload.max_bytes);

	if (!caps_has_identity(a->caps, store.category, store.type))
		a->failed |= buf_printf(a->xml,
					"<identity xmlns='http://jabber.org/protocol/disco#info' "
					"category='store' type='file' name='%s'/>",
					store.name) ||
			     caps_add_identity(a->caps, &store);
	add_feature(a, NS_HTTP_UPLOAD);
	a->failed |= !max ||
		     buf_printf(a->xml,
				"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' "
				"type='hidden'><value>%s</value></field><field "
				"var='max-file-size'><value>%s</value></field></x>",
				NS_HTTP_UPLOAD, max) ||
		     caps_add_form(a->caps, NS_HTTP_UPLOAD, "max-file-size", max);
}

/* Hashes of the result as it came that equal what the stream announced; then what they become. */
static void learn(const struct filter_instance *f, struct caps *before, struct caps *after)
{
	const struct upload *up = f->state;
	char theirs[CAPS_HASH_MAX], ours[CAPS_HASH_MAX];
	enum caps_algo a;

	for (a = CAPS_115_SHA1; a < CAPS_ALGO_COUNT; a++)
		if (up->announced.ver[a][0] && caps_hash(before, a, theirs) == 0 &&
		    strcmp(theirs, up->announced.ver[a]) == 0 && caps_hash(after, a, ours) == 0)
			known_add(a, theirs, ours, extras_of(f->conf));
}

static bool amend(struct filter_instance *f, struct filter_unit *u, int query, struct caps *after,
		  struct buf *xml)
{
	struct upload *up = f->state;
	struct additions a = { .caps = after, .xml = xml };
	struct caps before;

	if (caps_read(&before, u->arena, u->outline, query) ||
	    caps_read(after, u->arena, u->outline, query))
		return false;
	up->native = caps_has_feature(&before, NS_KONTALK_UPLOAD) ||
		     caps_has_feature(&before, NS_KONTALK_UPLOAD_OLD);
	up->native_slot = caps_has_feature(&before, NS_HTTP_UPLOAD);
	if (up->native)
		return false;
	add_feature(&a, NS_KONTALK_UPLOAD_OLD);
	add_feature(&a, NS_KONTALK_UPLOAD);
	if (f->conf->upload.http_upload && !up->native_slot)
		add_slot(&a, u, f->conf);
	if (a.failed)
		return false;
	if (is_rewriting(f))
		learn(f, &before, after);
	return true;
}

enum filter_verdict upload_on_info(struct filter_instance *f, struct filter_unit *u,
				   const struct upload_request *r)
{
	const struct outline *o = u->outline;
	int query = outline_child(o, 0, NS_DISCO_INFO, "query", 1);
	const char *type = outline_attr(o, 0, "", "type");
	enum filter_verdict verdict = FILTER_PASS;
	struct caps after;
	struct buf xml;
	int rc = 0;

	if (query == -1)
		return FILTER_PASS;
	/* The node that the client asked for stands in errors as well. */
	if (r->first[0] && outline_attr(o, query, "", "node")) {
		rc = edit_attribute(u->edits, u->arena, o, query, "node", r->first);
		verdict = rc ? FILTER_PASS : FILTER_EDIT;
	}
	if (rc || !type || strcmp(type, "result") != 0 ||
	    o->elements[query].end == o->elements[query].end_end)
		return verdict;
	buf_init(&xml, 4096);
	if (amend(f, u, query, &after, &xml) &&
	    edit_insert(u->edits, u->arena, o, o->elements[query].end, xml.p, xml.len) == 0)
		verdict = FILTER_EDIT;
	buf_fini(&xml);
	return verdict;
}
