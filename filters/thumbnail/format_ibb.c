/* SPDX-License-Identifier: MIT */
/*
 * format_ibb - the form of Kontalk's media note: one un-negotiated chunk of an in-band
 * bytestream (XEP-0047) as the message's last child, with the note's own attribute type.
 *
 * seq and sid must always be valid: Smack before 2025 closed its connection otherwise. The
 * sid is random, so that it meets no bytestream that is under way, and nobody guesses it.
 */
#include "config.h"

#include "thumbnail/formats.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hash.h"
#include "xmpp/ns.h"

#define SID_BYTES 12 /* 96 random bits */

static const char head[] = "<data xmlns='http://jabber.org/protocol/ibb' seq='0' type='%s' sid='t";
static const char foot[] = "</data>";

static size_t ibb_size(const struct job_result *r)
{
	return sizeof(head) + 32 + 2 * SID_BYTES + 2 + BASE64_LEN(r->len) + sizeof(foot);
}

static int ibb_write(struct filter_unit *u, const struct job_result *r)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t sid[SID_BYTES];
	size_t room = ibb_size(r), n, i;
	char *xml = arena_alloc(u->arena, room);

	if (!xml)
		return ERR_NOMEM;
	hash_random(sid, sizeof(sid));
	n = (size_t)snprintf(xml, room, head, picture_mime(r->format));
	for (i = 0; i < sizeof(sid); i++) {
		xml[n++] = hex[sid[i] >> 4];
		xml[n++] = hex[sid[i] & 15];
	}
	xml[n++] = '\'';
	xml[n++] = '>';
	n += base64_print(xml + n, r->bytes, r->len);
	memcpy(xml + n, foot, sizeof(foot) - 1);
	n += sizeof(foot) - 1;
	return edit_insert(u->edits, u->arena, u->outline, u->outline->elements[0].end, xml, n);
}

const struct format format_ibb = {
	.id = CONF_FORMAT_IBB,
	.name = "ibb",
	.help = "in-band bytestream data (XEP-0047) as in Kontalk's media note",
	.size = ibb_size,
	.write = ibb_write,
};
