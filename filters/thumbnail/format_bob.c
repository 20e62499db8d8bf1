/* SPDX-License-Identifier: MIT */
/*
 * format_bob - the thumbnail as Bits of Binary (XEP-0231), a child of the message.
 *
 * What Kontalk's clients draw, and the data that a cid in the forms sfs and thumbs0 means.
 * nbxmpp asserts that max-age is there.
 */
#include "config.h"

#include "thumbnail/formats.h"

static int bob_write(const struct form *f, struct pieces *out)
{
	return pieces_add(f, out, pieces_end(f),
			  "<data xmlns='urn:xmpp:bob' cid='%s' type='%s' max-age='%u'>%s</data>",
			  f->cid, picture_mime(f->r->format), f->max_age, f->base64);
}

const struct format format_bob = {
	.id = CONF_FORMAT_BOB,
	.name = "bob",
	.help = "Bits of Binary data (XEP-0231), for Kontalk",
	.publishes = true,
	.with_data = true,
	.write = bob_write,
};
