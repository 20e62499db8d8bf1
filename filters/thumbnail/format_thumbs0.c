/* SPDX-License-Identifier: MIT */
/*
 * format_thumbs0 - the element of the ProtoXEP File Transfer Thumbnails of 2009, which became
 * XEP-0264, as a child of the message.
 *
 * Its cid has no "cid:" in front. The data is in the message (bob), or the filter bob answers
 * for it; formats.c sees to that.
 */
#include "config.h"

#include "thumbnail/formats.h"

static int thumbs0_write(const struct form *f, struct pieces *out)
{
	return pieces_add(f, out, pieces_end(f),
			  "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='%s' mime-type='%s' "
			  "width='%u' height='%u'/>",
			  f->cid, picture_mime(f->r->format), f->r->width, f->r->height);
}

const struct format format_thumbs0 = {
	.id = CONF_FORMAT_THUMBS0,
	.name = "thumbs0",
	.help = "thumbnail element of the ProtoXEP of 2009, for libpurple's kind",
	.publishes = true,
	.write = thumbs0_write,
};
