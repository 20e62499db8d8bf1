/* SPDX-License-Identifier: MIT */
/*
 * encrypted - see encrypted.h. XEP-0027, 0364, 0373, 0380, 0384, 0420, 0448, RFC 3923 and
 * the marks that Kontalk and Conversations put on addresses.
 */
#include "config.h"

#include "thumbnail/encrypted.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "xmpp/ns.h"

/*
 * NULL local or ns: any; an ns that ends in a colon: any version of it. deep: anywhere below the
 * message, else a child of it.
 */
static const struct {
	const char *sign;
	const char *ns;
	const char *local;
	bool deep;
} elements[] = {
	{ "rfc3923", NS_E2E, "e2e", false },
	{ "xep-0027", NS_ENCRYPTED, "x", false },
	{ "openpgp", "urn:xmpp:openpgp:", "openpgp", false },
	{ "encrypted", NULL, "encrypted",
	  false }, /* OMEMO in all its namespaces, and what may come */
	{ "eme", "urn:xmpp:eme:", "encryption", false },
	{ "esfs", "urn:xmpp:esfs:", NULL, true },
};

static bool is_ns(const char *ns, const char *wanted)
{
	size_t len = strlen(wanted);

	return strncmp(ns, wanted, len) == 0 && (wanted[len - 1] == ':' || !ns[len]);
}

static bool has_element(const struct outline *o, int root, size_t row)
{
	size_t i, end = o->elements[root].end_end;

	for (i = (size_t)root + 1; i < o->elements_n && o->elements[i].start < end; i++) {
		const struct outline_element *e = &o->elements[i];

		if ((elements[row].deep || e->parent == root) &&
		    (!elements[row].ns || is_ns(e->ns, elements[row].ns)) &&
		    (!elements[row].local || strcmp(e->local, elements[row].local) == 0))
			return true;
	}
	return false;
}

/* What a body begins with: XEP-0364, OpenPGP by hand, XEP-0454 without the envelope it belongs in.
 */
static const struct {
	const char *sign;
	const char *text;
} bodies[] = {
	{ "otr", "?OTR" },
	{ "pgp-armour", "-----BEGIN PGP MESSAGE-----" },
	{ "aesgcm-body", "aesgcm://" },
};

static const char *body_sign(const struct outline *o, int root)
{
	const char *ns = o->elements[root].ns;
	size_t row;
	int body;

	for (body = outline_child(o, root, ns, "body", 0); body != -1;
	     body = outline_child(o, root, ns, "body", body + 1)) {
		const char *text = o->elements[body].text;

		text += strspn(text, " \t\r\n");
		for (row = 0; row < ARRAY_SIZE(bodies); row++)
			if (strncasecmp(text, bodies[row].text, strlen(bodies[row].text)) == 0)
				return bodies[row].sign;
	}
	return NULL;
}

static bool url_is_marked(const struct outline *o, int url)
{
	const char *mark = outline_attr(o, url, "", "encrypted");

	return mark && (strcasecmp(mark, "true") == 0 || strcmp(mark, "1") == 0);
}

static bool url_has_foreign_scheme(const struct outline *o, int url)
{
	const char *text = o->elements[url].text + strspn(o->elements[url].text, " \t\r\n");

	return strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0;
}

/* A fragment may be a key (XEP-0454), so any is a sign. */
static bool text_has_fragment(const char *text)
{
	return strchr(text, '#') != NULL;
}

static bool url_has_fragment(const struct outline *o, int url)
{
	return text_has_fragment(o->elements[url].text);
}

/* Conversations' OpenPGP uploads: the path ends in .pgp. */
static bool text_is_pgp_file(const char *text)
{
	size_t len = strcspn(text, "?#");

	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	return len >= 4 && strncasecmp(text + len - 4, ".pgp", 4) == 0;
}

static bool url_is_pgp_file(const struct outline *o, int url)
{
	return text_is_pgp_file(o->elements[url].text);
}

static bool url_has_pgp_type(const struct outline *o, int url)
{
	const char *type = outline_attr(o, url, "", "type");

	return type && strncasecmp(type + strspn(type, " "), "application/pgp-encrypted", 25) == 0;
}

static const struct {
	const char *sign;
	bool (*holds)(const struct outline *o, int url);
} urls[] = {
	{ "url-encrypted", url_is_marked },         { "url-scheme", url_has_foreign_scheme },
	{ "url-fragment", url_has_fragment },       { "url-pgp", url_is_pgp_file },
	{ "type-pgp-encrypted", url_has_pgp_type },
};

static const char *url_sign(const struct outline *o, int url)
{
	size_t row;

	for (row = 0; row < ARRAY_SIZE(urls); row++)
		if (urls[row].holds(o, url))
			return urls[row].sign;
	return NULL;
}

/* Sources of shared media (XEP-0385) and files (XEP-0447); other schemes are other ways to get
 * the same file. */
static const char *shared_sign(const struct outline *o, int root)
{
	size_t i, end = o->elements[root].end_end;

	for (i = (size_t)root + 1; i < o->elements_n && o->elements[i].start < end; i++) {
		const struct outline_element *e = &o->elements[i];
		const char *uri;

		if (strcmp(e->ns, NS_REFERENCE) == 0)
			uri = outline_attr(o, (int)i, "", "uri");
		else if (strcmp(e->ns, NS_URL_DATA) == 0)
			uri = outline_attr(o, (int)i, "", "target");
		else
			continue;
		/* A mention's xmpp: address is none of a file. */
		if (!uri || strncasecmp(uri, "xmpp:", 5) == 0)
			continue;
		if (strncasecmp(uri, "aesgcm:", 7) == 0)
			return "url-scheme";
		if (text_has_fragment(uri))
			return "url-fragment";
		if (text_is_pgp_file(uri))
			return "url-pgp";
	}
	return NULL;
}

bool encrypted_address(const char *url)
{
	return text_has_fragment(url) || text_is_pgp_file(url);
}

const char *encrypted_sign(const struct outline *o, int root)
{
	const char *sign = body_sign(o, root);
	size_t row;
	int x, url;

	if (sign)
		return sign;
	for (row = 0; row < ARRAY_SIZE(elements); row++)
		if (has_element(o, root, row))
			return elements[row].sign;
	for (x = outline_child(o, root, NS_OOB, "x", 0); x != -1;
	     x = outline_child(o, root, NS_OOB, "x", x + 1)) {
		for (url = outline_child(o, x, NS_OOB, "url", x + 1); url != -1;
		     url = outline_child(o, x, NS_OOB, "url", url + 1)) {
			sign = url_sign(o, url);
			if (sign)
				return sign;
		}
	}
	return shared_sign(o, root);
}
