/* SPDX-License-Identifier: MIT */
/*
 * owner - see owner.h.
 */
#include "config.h"

#include "filter/owner.h"

#include <string.h>

#include "base/err.h"
#include "xmpp/jid.h"

int owner_of(const char *jid, uint8_t owner_out[JOB_OWNER_LEN])
{
	uint8_t sum[HASH_SHA256_LEN];
	char text[JID_MAX + 1];
	struct jid parts;
	size_t i, len;
	int rc = jid_parse(&parts, jid);

	if (rc)
		return rc;
	len = jid_bare_len(jid);
	memcpy(text, jid, len);
	for (i = (size_t)(parts.domain - jid); i < len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] | 0x20);
	rc = hash_sha256(text, len, sum);
	if (!rc)
		memcpy(owner_out, sum, JOB_OWNER_LEN);
	return rc;
}
