/* SPDX-License-Identifier: MIT */
/*
 * json - see json.h.
 */
#include "config.h"

#include "web/json.h"

#include <stdbool.h>

/* Length of the UTF-8 character that begins here, 0: none does. RFC 3629 section 4. */
static size_t utf8_len(const uint8_t *p)
{
	size_t n = p[0] < 0x80                    ? 1
		   : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
		   : p[0] >= 0xe0 && p[0] <= 0xef ? 3
		   : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						  : 0;
	size_t i;

	/* The text's NUL is no continuation, so that this never looks behind it. */
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

int json_text(struct buf *out, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	int rc = buf_add(out, "\"", 1);

	while (*p && !rc) {
		size_t n = utf8_len(p);

		if (n == 0)
			rc = buf_add_str(out, "\\ufffd");
		else if (*p < 0x20 || *p == 0x7f)
			rc = buf_printf(out, "\\u%04x", *p);
		else if (*p == '"' || *p == '\\')
			rc = buf_printf(out, "\\%c", *p);
		else
			rc = buf_add(out, p, n);
		p += n ? n : 1;
	}
	return rc ? rc : buf_add(out, "\"", 1);
}
