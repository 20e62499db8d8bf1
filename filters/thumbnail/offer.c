/* SPDX-License-Identifier: MIT */
/*
 * offer - see offer.h.
 *
 * Values are copied raw, in the quotes that they had, so that whatever escaping they have
 * stays right. What would not be valid in the other form is left out (sizes that are no
 * unsigned short), or there is no twin (a cid that needs percent-encoding in a URI).
 */
#include "config.h"

#include "thumbnail/offer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "xmpp/ns.h"

#define OFFER_VALUE_MAX 1024 /* bytes of an attribute; longer ones get no twin */
#define OFFER_ROOM      (4 * (OFFER_VALUE_MAX + 32))
#define SCHEME          "cid:"

static const char si_file[] = "http://jabber.org/protocol/si/profile/file-transfer";
static const char jingle_file[] = "urn:xmpp:jingle:apps:file-transfer:";

static bool is_thumbnail(const struct outline_element *e, const char *ns)
{
	return strcmp(e->local, "thumbnail") == 0 && strcmp(e->ns, ns) == 0;
}

static bool is_file(const struct outline_element *e)
{
	return strcmp(e->local, "file") == 0 &&
	       (strcmp(e->ns, si_file) == 0 ||
		strncmp(e->ns, jingle_file, sizeof(jingle_file) - 1) == 0);
}

/* Can this cid stand in a URI as it is, and be read back? */
static bool cid_is_plain(const char *cid)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-._~!$&'()*+,;=:@/";

	return *cid && !cid[strspn(cid, plain)];
}

static const char *cid_of_uri(const struct outline *o, int i)
{
	const char *uri = outline_attr(o, i, "", "uri");

	return uri && strncasecmp(uri, SCHEME, sizeof(SCHEME) - 1) == 0 ? uri + sizeof(SCHEME) - 1
									: NULL;
}

/* Has the file of thumbnail i a thumbs:1 for this cid? */
static bool has_uri(const struct outline *o, int file, const char *cid)
{
	size_t i;

	for (i = (size_t)file + 1; i < o->elements_n; i++) {
		const char *other;

		if (o->elements[i].parent != file || !is_thumbnail(&o->elements[i], NS_THUMBS1))
			continue;
		other = cid_of_uri(o, (int)i);
		if (other && strcmp(other, cid) == 0)
			return true;
	}
	return false;
}

/* Does another thumbnail of that form stand in front of this one? Two of the same get one twin. */
static bool is_repeated(const struct outline *o, int file, int i, const char *cid)
{
	int k;

	for (k = file + 1; k < i; k++) {
		const char *other =
			o->elements[k].parent == file && is_thumbnail(&o->elements[k], NS_THUMBS0)
				? outline_attr(o, k, "", "cid")
				: NULL;

		if (other && strcmp(other, cid) == 0)
			return true;
	}
	return false;
}

/* --- writing --------------------------------------------------------------------------- */

struct twin {
	char *xml; /* OFFER_ROOM */
	size_t len;
};

/* The raw value of an attribute of the original; 0, or ERR_NOT_FOUND, ERR_TOO_BIG. */
static int raw_value(const struct outline *o, int i, const char *name, size_t *at, size_t *len)
{
	int rc = outline_attr_range(o, i, name, at, len);

	if (rc)
		return rc;
	return *len > OFFER_VALUE_MAX ? ERR_TOO_BIG : 0;
}

/* ` name='value'`, with something in front of the value and its first bytes left out. */
static void put_value(struct twin *t, const struct outline *o, const char *name, const char *front,
		      size_t at, size_t len, size_t skip)
{
	char quote = (char)o->bytes[at - 1];

	t->len += (size_t)snprintf(t->xml + t->len, OFFER_ROOM - t->len, " %s=%c%s%.*s%c", name,
				   quote, front, (int)(len - skip),
				   (const char *)o->bytes + at + skip, quote);
}

static bool is_short(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && digits <= 5 && !text[digits] && atoi(text) <= 65535;
}

/* The attributes that both forms have. 0 or ERR_TOO_BIG. */
static int put_rest(struct twin *t, const struct outline *o, int i, const char *type_from,
		    const char *type_to)
{
	static const char *const sides[] = { "width", "height" };
	size_t at, len, k;
	int rc = raw_value(o, i, type_from, &at, &len);

	if (rc == ERR_TOO_BIG)
		return rc;
	if (!rc)
		put_value(t, o, type_to, "", at, len, 0);
	for (k = 0; k < ARRAY_SIZE(sides); k++) {
		const char *text = outline_attr(o, i, "", sides[k]);

		if (text && is_short(text) && raw_value(o, i, sides[k], &at, &len) == 0)
			put_value(t, o, sides[k], "", at, len, 0);
	}
	t->len += (size_t)snprintf(t->xml + t->len, OFFER_ROOM - t->len, "/>");
	return 0;
}

/* The same in the other form. 0, or an error and there is no twin. */
static int twin_write(struct twin *t, const struct outline *o, int i)
{
	bool old = is_thumbnail(&o->elements[i], NS_THUMBS0);
	const size_t scheme = sizeof(SCHEME) - 1;
	size_t at, len;
	int rc = raw_value(o, i, old ? "cid" : "uri", &at, &len);

	if (rc)
		return rc;
	t->len = (size_t)snprintf(t->xml, OFFER_ROOM, "<thumbnail xmlns='%s'",
				  old ? NS_THUMBS1 : NS_THUMBS0);
	if (old) {
		if (len + scheme > OFFER_VALUE_MAX)
			return ERR_TOO_BIG;
		put_value(t, o, "uri", SCHEME, at, len, 0);
		return put_rest(t, o, i, "mime-type", "media-type");
	}
	/* The scheme may be written with references: leave that alone. */
	if (len <= scheme || strncasecmp((const char *)o->bytes + at, SCHEME, scheme) != 0)
		return ERR_SYNTAX;
	put_value(t, o, "cid", "", at, len, scheme);
	return put_rest(t, o, i, "media-type", "mime-type");
}

static bool add_twin(struct filter_unit *u, int i)
{
	struct twin t = { .xml = arena_alloc(u->arena, OFFER_ROOM) };

	if (!t.xml || twin_write(&t, u->outline, i) ||
	    edit_insert(u->edits, u->arena, u->outline, u->outline->elements[i].end_end, t.xml,
			t.len))
		return false;
	counter_inc(METRIC_TWINS);
	return true;
}

/* --- the thumbnails of an offer -------------------------------------------------------- */

static bool needs_twin(const struct outline *o, int i, bool old)
{
	int file = o->elements[i].parent;
	const char *cid = old ? outline_attr(o, i, "", "cid") : cid_of_uri(o, i);

	if (!cid || !cid_is_plain(cid))
		return false;
	if (old)
		return !has_uri(o, file, cid) && !is_repeated(o, file, i, cid);
	return outline_child(o, file, NS_THUMBS0, "thumbnail", file + 1) == -1;
}

unsigned offer_add_twins(struct filter_unit *u)
{
	const struct outline *o = u->outline;
	unsigned added = 0;
	int done = -1; /* the file whose thumbs:1 has got its twin */
	size_t i;

	if (offer_is_encrypted(o))
		return 0;
	for (i = 1; i < o->elements_n; i++) {
		const struct outline_element *e = &o->elements[i];
		bool old = is_thumbnail(e, NS_THUMBS0);

		if ((!old && !is_thumbnail(e, NS_THUMBS1)) || e->depth < 2 ||
		    !is_file(&o->elements[e->parent]) || (!old && e->parent == done) ||
		    !needs_twin(o, (int)i, old) || !add_twin(u, (int)i))
			continue;
		added++;
		if (!old)
			done = e->parent;
	}
	return added;
}

bool offer_is_encrypted(const struct outline *o)
{
	static const char *const spaces[] = { "urn:xmpp:jingle:security:", "urn:xmpp:jingle:jet",
					      "urn:xmpp:esfs:" };
	size_t i, k;

	for (i = 1; i < o->elements_n; i++) {
		const struct outline_element *e = &o->elements[i];

		if (strcmp(e->local, "security") == 0 || strcmp(e->local, "encrypted") == 0)
			return true;
		for (k = 0; k < ARRAY_SIZE(spaces); k++)
			if (strncmp(e->ns, spaces[k], strlen(spaces[k])) == 0)
				return true;
	}
	return false;
}

int offer_strip(struct filter_unit *u)
{
	const struct outline *o = u->outline;
	size_t i, behind = 0; /* the end of what was cut last: nothing is cut twice */
	int n = 0, rc;

	for (i = 1; i < o->elements_n; i++) {
		const struct outline_element *e = &o->elements[i];

		if (e->start < behind ||
		    (!is_thumbnail(e, NS_THUMBS0) && !is_thumbnail(e, NS_THUMBS1)))
			continue;
		rc = edit_cut(u->edits, u->arena, o, (int)i);
		if (rc)
			return rc;
		behind = e->end_end;
		n++;
	}
	return n;
}
