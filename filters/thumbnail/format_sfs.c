/* SPDX-License-Identifier: MIT */
/*
 * format_sfs - Stateless File Sharing (XEP-0447) with a thumbnail by cid, whose data comes
 * along, for Kaidan and Dino.
 *
 * Where a file sharing of the same address is there, only the thumbnail goes into it. What
 * binds the form:
 *   - Dino shows a bare link for a sharing without a hash, and throws away a file whose hash is
 *     wrong: only with the sum and size of the whole body; and tries one thumbnail only
 *   - Dino's second message (attach-to, sources) belongs to its first: left alone
 *   - the body is marked as a fallback (XEP-0428) by where the address stands in it; a body that
 *     does not name it would lose its text, so then there is no sharing at all
 *   - Dino shows nothing of the text of a message that shares a file, whatever the mark says: a
 *     body with more text only where the profile says so (captions)
 *   - of several addresses a client would show only the one that is shared
 */
#include "config.h"

#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hash.h"
#include "thumbnail/formats.h"
#include "xmpp/ns.h"

/* PART: nothing but white space around the address; CAPTION: text. */
enum body { BODY_NONE, BODY_WHOLE, BODY_PART, BODY_CAPTION, BODY_FOREIGN };

static bool is_blank(const char *from, const char *to)
{
	return from + strspn(from, " \t\r\n") >= to;
}

/* The address as a word: not the beginning of a longer one. */
static const char *find_address(const char *text, const char *url)
{
	const char *at;

	for (at = strstr(text, url); at; at = strstr(at + 1, url)) {
		char next = at[strlen(url)];

		if (!next || strchr(" \t\r\n<>()[]{}\"',;!", next))
			return at;
	}
	return NULL;
}

/* What the bodies are to the address; its place in the one body that has more than it. */
static enum body body_of(const struct outline *o, int root, const char *url, size_t *start_out,
			 size_t *end_out)
{
	const char *ns = o->elements[root].ns, *at;
	int first = outline_child(o, root, ns, "body", 0), body;
	enum body found = BODY_NONE;

	for (body = first; body != -1; body = outline_child(o, root, ns, "body", body + 1)) {
		const char *text = o->elements[body].text;

		if (strcmp(text, url) == 0 && (found == BODY_NONE || found == BODY_WHOLE)) {
			found = BODY_WHOLE;
			continue;
		}
		at = find_address(text, url);
		/* In several languages the address stands at several places. */
		if (!at || found != BODY_NONE)
			return BODY_FOREIGN;
		found = is_blank(text, at) && is_blank(at + strlen(url), text + strlen(text))
				? BODY_PART
				: BODY_CAPTION;
		*start_out = pieces_characters(text, (size_t)(at - text));
		*end_out = *start_out + pieces_characters(url, strlen(url));
	}
	return found;
}

static bool sfs_is_marked(const struct outline *o, int root)
{
	int f;

	for (f = outline_child(o, root, NS_FALLBACK, "fallback", 0); f != -1;
	     f = outline_child(o, root, NS_FALLBACK, "fallback", f + 1)) {
		const char *what = outline_attr(o, f, "", "for");

		if (what && strcmp(what, NS_SFS) == 0)
			return true;
	}
	return false;
}

static bool body_allows(const struct outline *o, const struct sources *all, const char *url)
{
	size_t start, end;
	enum body body = body_of(o, all->root, url, &start, &end);

	return body != BODY_FOREIGN && (body != BODY_CAPTION || all->captions);
}

static bool sfs_fits(const struct outline *o, const struct sources *all, const struct source *s)
{
	int file;

	switch (source_shared(o, all->root, SOURCE_SFS, s->url, &file)) {
	case SHARED_SAME:
		return source_file_is_open(o, file);
	case SHARED_OTHER:
		return false;
	case SHARED_NONE:
		break;
	}
	return !all->several && outline_child(o, all->root, NS_ATTACH, "attach-to", 0) == -1 &&
	       outline_child(o, all->root, NS_SFS, "sources", 0) == -1 &&
	       !sfs_is_marked(o, all->root) && body_allows(o, all, s->url);
}

static const char *sfs_fallback(const struct form *f)
{
	static const char head[] = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'>";
	size_t start = 0, end = 0;

	switch (body_of(f->u->outline, f->sources->root, f->source->url, &start, &end)) {
	case BODY_WHOLE:
		return arena_printf(f->u->arena, "%s<body/></fallback>", head);
	case BODY_PART:
	case BODY_CAPTION:
		return arena_printf(f->u->arena, "%s<body start='%zu' end='%zu'/></fallback>", head,
				    start, end);
	case BODY_NONE:
	case BODY_FOREIGN:
		break;
	}
	return "";
}

static int sfs_write(const struct form *f, struct pieces *out)
{
	const struct job_result *r = f->r;
	const char *thumbnail, *fallback;
	char hash[BASE64_LEN(HASH_SHA256_LEN) + 1] = "";
	int file;

	thumbnail = arena_printf(f->u->arena,
				 "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:%s' "
				 "media-type='%s' width='%u' height='%u'/>",
				 f->cid, picture_mime(r->format), r->width, r->height);
	fallback = sfs_fallback(f);
	if (!thumbnail || !fallback)
		return ERR_NOMEM;
	if (source_shared(f->u->outline, f->sources->root, SOURCE_SFS, f->source->url, &file) ==
	    SHARED_SAME)
		return pieces_add(f, out, f->u->outline->elements[file].end, "%s", thumbnail);
	if (!r->media_whole || strlen(f->url) > FORMAT_ATTR_MAX)
		return 0;
	base64_print(hash, r->media_sha256, HASH_SHA256_LEN);
	return pieces_add(f, out, pieces_end(f),
			  "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'>"
			  "<file xmlns='urn:xmpp:file:metadata:0'><media-type>%s</media-type>"
			  "<name>%s</name><size>%llu</size><width>%u</width><height>%u</height>"
			  "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>%s</hash>%s</file>"
			  "<sources><url-data xmlns='http://jabber.org/protocol/url-data' "
			  "target='%s'/></sources></file-sharing>%s",
			  picture_mime(r->media_format), f->name, (unsigned long long)r->media_size,
			  r->media_width, r->media_height, hash, thumbnail, f->url, fallback);
}

const struct format format_sfs = {
	.id = CONF_FORMAT_SFS,
	.name = "sfs",
	.help = "file sharing (XEP-0447) with the thumbnail as data, for Kaidan and Dino",
	.publishes = true,
	.with_data = true,
	.fits = sfs_fits,
	.write = sfs_write,
};
