/* SPDX-License-Identifier: MIT */
/*
 * format_ogp - link metadata (XEP-0511): Open Graph in an RDF description, for Gajim.
 *
 * Gajim wants a title, and no more than 50,000 bytes of image. The one form with a prefix:
 * rdf:about has to have a namespace.
 */
#include "config.h"

#include <string.h>

#include "thumbnail/formats.h"
#include "xmpp/ns.h"

#define IMAGE_MAX  50000 /* bytes of the text, its "data:image/...;base64," included */
#define IMAGE_HEAD 32

static bool ogp_fits(const struct outline *o, const struct sources *all,
		     const struct source *s UNUSED)
{
	return outline_child(o, all->root, NS_RDF, "Description", 0) == -1;
}

static int ogp_write(const struct form *f, struct pieces *out)
{
	if (strlen(f->url) > FORMAT_ATTR_MAX || strlen(f->base64) + IMAGE_HEAD > IMAGE_MAX)
		return 0;
	return pieces_add(
		f, out, pieces_end(f),
		"<rdf:Description xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' "
		"rdf:about='%s'><title xmlns='https://ogp.me/ns#'>%s</title>"
		"<url xmlns='https://ogp.me/ns#'>%s</url>"
		"<type xmlns='https://ogp.me/ns#'>image</type>"
		"<image xmlns='https://ogp.me/ns#'>data:%s;base64,%s</image>"
		"</rdf:Description>",
		f->url, f->name, f->url, picture_mime(f->r->format), f->base64);
}

const struct format format_ogp = {
	.id = CONF_FORMAT_OGP,
	.name = "ogp",
	.help = "link metadata (XEP-0511) with the thumbnail as og:image, for Gajim",
	.fits = ogp_fits,
	.write = ogp_write,
};
