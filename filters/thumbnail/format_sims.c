/* SPDX-License-Identifier: MIT */
/*
 * format_sims - Stateless Inline Media Sharing (XEP-0385) with a thumbhash, for Cheogram,
 * monocles and Movim.
 *
 * Where a SIMS reference to the same address is there, only the thumbnail goes into it. What
 * binds the form:
 *   - Movim reads the first <reference/>: ours stands before others; its columns hold 255
 *     characters
 *   - Converse.js takes begin and end for a mention: none
 *   - Psi wants type and uri on the outer reference, file-transfer:5 and a hash
 *   - Cheogram knows attachments by their address: it is the out-of-band one, byte for byte; and
 *     it takes a thumbnail that is a picture in place of the downloaded one: a thumbhash only
 */
#include "config.h"

#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hash.h"
#include "thumbnail/formats.h"
#include "xmpp/ns.h"

static bool sims_fits(const struct outline *o, const struct sources *all, const struct source *s)
{
	int file;

	switch (source_shared(o, all->root, SOURCE_SIMS, s->url, &file)) {
	case SHARED_SAME:
		return source_file_is_open(o, file);
	case SHARED_OTHER:
		return false;
	case SHARED_NONE:
		break;
	}
	return !all->several && s->exact &&
	       pieces_characters(s->url, strlen(s->url)) <= FORMAT_NAME_MAX;
}

/* In front of the message's first reference, or behind everything. */
static size_t sims_place(const struct form *f)
{
	const struct outline *o = f->u->outline;
	int other = outline_child(o, f->sources->root, NS_REFERENCE, "reference", 0);

	return other == -1 ? pieces_end(f) : o->elements[other].start;
}

static const char *sims_thumbnail(const struct form *f)
{
	char text[BASE64_LEN(PICTURE_THUMBHASH_MAX) + 1] = "";

	base64_print(text, f->r->thumbhash.bytes, f->r->thumbhash.len);
	return arena_printf(f->u->arena,
			    "<thumbnail xmlns='urn:xmpp:thumbs:1' "
			    "uri='data:image/thumbhash;base64,%s' media-type='image/thumbhash' "
			    "width='%u' height='%u'/>",
			    text, f->r->media_width, f->r->media_height);
}

static const char *sims_hash(const struct form *f)
{
	char text[BASE64_LEN(HASH_SHA256_LEN) + 1] = "";

	base64_print(text, f->r->media_sha256, HASH_SHA256_LEN);
	return arena_printf(f->u->arena,
			    "<size>%llu</size><hash xmlns='urn:xmpp:hashes:2' "
			    "algo='sha-256'>%s</hash>",
			    (unsigned long long)f->r->media_size, text);
}

static int sims_write(const struct form *f, struct pieces *out)
{
	const char *thumbnail, *hash;
	int file;

	if (!f->r->thumbhash.len)
		return 0;
	thumbnail = sims_thumbnail(f);
	hash = sims_hash(f);
	if (!thumbnail || !hash)
		return ERR_NOMEM;
	if (source_shared(f->u->outline, f->sources->root, SOURCE_SIMS, f->source->url, &file) ==
	    SHARED_SAME)
		return pieces_add(f, out, f->u->outline->elements[file].end, "%s", thumbnail);
	if (!f->r->media_whole || strlen(f->url) > FORMAT_ATTR_MAX)
		return 0;
	return pieces_add(f, out, sims_place(f),
			  "<reference xmlns='urn:xmpp:reference:0' type='data' uri='%s'>"
			  "<media-sharing xmlns='urn:xmpp:sims:1'>"
			  "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'>"
			  "<media-type>%s</media-type><name>%s</name>%s%s"
			  "<width xmlns='https://schema.org/'>%u</width>"
			  "<height xmlns='https://schema.org/'>%u</height></file>"
			  "<sources><reference xmlns='urn:xmpp:reference:0' type='data' uri='%s'/>"
			  "</sources></media-sharing></reference>",
			  f->url, picture_mime(f->r->media_format), f->name, hash, thumbnail,
			  f->r->media_width, f->r->media_height, f->url);
}

const struct format format_sims = {
	.id = CONF_FORMAT_SIMS,
	.name = "sims",
	.help = "media sharing (XEP-0385) with a thumbhash, for Cheogram, monocles and Movim",
	.fits = sims_fits,
	.write = sims_write,
};
