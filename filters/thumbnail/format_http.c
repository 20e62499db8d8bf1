/* SPDX-License-Identifier: MIT */
/*
 * format_http - the thumbnail by its address in the box, inside the jabber:x:oob element, with the
 * file's facts beside it (Fluux).
 *
 * Only for thumbnails that the box has taken over (job_result.in_box): an address that
 * nobody answers for would be worse than none.
 */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "thumbnail/formats.h"
#include "xmpp/ns.h"

/* White space around an address does not count. */
static bool names(const char *text, const char *url)
{
	static const char space[] = " \t\r\n";
	size_t len = strlen(url);

	text += strspn(text, space);
	return strncmp(text, url, len) == 0 && !text[len + strspn(text + len, space)];
}

/* The <x/> that names this address; -1. */
static int oob_of(const struct outline *o, int root, const char *url)
{
	int x, at;

	for (x = outline_child(o, root, NS_OOB, "x", 0); x != -1;
	     x = outline_child(o, root, NS_OOB, "x", x + 1)) {
		at = outline_child(o, x, NS_OOB, "url", x + 1);
		if (at != -1 && names(o->elements[at].text, url))
			return x;
	}
	return -1;
}

static bool http_fits(const struct outline *o, const struct sources *all, const struct source *s)
{
	return oob_of(o, all->root, s->url) != -1 &&
	       outline_child(o, all->root, NS_FILE_METADATA, "file", 0) == -1;
}

static int http_write(const struct form *f, struct pieces *out)
{
	int x = oob_of(f->u->outline, f->sources->root, f->source->url);
	uint8_t sum[HASH_SHA256_LEN];
	char hex[2 * HASH_SHA256_LEN + 1];
	int rc;

	if (!f->r->in_box || !f->sources->box_url || x == -1)
		return 0;
	rc = hash_sha256(f->r->bytes, f->r->len, sum);
	if (rc)
		return rc;
	hash_print_hex(sum, sizeof(sum), hex);
	rc = pieces_add(f, out, f->u->outline->elements[x].end,
			"<thumbnail xmlns='urn:xmpp:thumbs:1' uri='%s/t/%s%s' media-type='%s' "
			"width='%u' height='%u'/>",
			f->sources->box_url, hex, picture_extension(f->r->format),
			picture_mime(f->r->format), f->r->width, f->r->height);
	if (rc)
		return rc;
	return pieces_add(
		f, out, pieces_end(f),
		"<file xmlns='urn:xmpp:file:metadata:0'><media-type>%s</media-type><name>%s</name>"
		"<size>%llu</size><width>%u</width><height>%u</height></file>",
		picture_mime(f->r->media_format), f->name, (unsigned long long)f->r->media_size,
		f->r->media_width, f->r->media_height);
}

const struct format format_http = {
	.id = CONF_FORMAT_HTTP,
	.name = "http",
	.help = "the thumbnail's address in the box, inside the jabber:x:oob element, for Fluux",
	.fits = http_fits,
	.write = http_write,
};
