/* SPDX-License-Identifier: MIT */
/*
 * format_ibb - the form of Kontalk's media note: one un-negotiated chunk of an in-band
 * bytestream (XEP-0047) as the message's last child, with the note's own attribute type.
 *
 * seq and sid must always be valid: Smack before 2025 closed its connection otherwise. The
 * sid is random, so that it meets no bytestream that is under way, and nobody guesses it.
 */
#include "config.h"

#include "base/hash.h"
#include "thumbnail/formats.h"

#define SID_BYTES 12 /* 96 random bits */

static int ibb_write(const struct form *f, struct pieces *out)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t random[SID_BYTES];
	char sid[2 * SID_BYTES + 1] = "";
	size_t i;

	hash_random(random, sizeof(random));
	for (i = 0; i < sizeof(random); i++) {
		sid[2 * i] = hex[random[i] >> 4];
		sid[2 * i + 1] = hex[random[i] & 15];
	}
	return pieces_add(f, out, pieces_end(f),
			  "<data xmlns='http://jabber.org/protocol/ibb' seq='0' type='%s' "
			  "sid='t%s'>%s</data>",
			  picture_mime(f->r->format), sid, f->base64);
}

const struct format format_ibb = {
	.id = CONF_FORMAT_IBB,
	.name = "ibb",
	.help = "in-band bytestream data (XEP-0047) as in Kontalk's media note",
	.write = ibb_write,
};
