/* SPDX-License-Identifier: MIT */
/*
 * formats - see formats.h.
 */
#include "config.h"

#include "thumbnail/formats.h"

#include "base/err.h"

static const struct format *const table[CONF_FORMAT_COUNT] = {
	[CONF_FORMAT_IBB] = &format_ibb,
};

int formats_write(struct filter_unit *u, uint32_t mask, const struct job_result *r)
{
	size_t len = u->outline->len, i;
	int rc = 0;

	for (i = 0; i < CONF_FORMAT_COUNT; i++)
		if (mask & 1u << i)
			len += table[i]->size(r);
	if (len > u->max_final)
		return ERR_TOO_BIG;
	for (i = 0; i < CONF_FORMAT_COUNT && !rc; i++)
		if (mask & 1u << i)
			rc = table[i]->write(u, r);
	return rc;
}
