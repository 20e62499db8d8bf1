/* SPDX-License-Identifier: MIT */
/*
 * redact-inside - what redact.c and redact-mask.c share. Not for anybody else.
 */
#pragma once

#include <string.h>
#include <strings.h>

#include "xmpp/redact.h"

#define REDACT_REFERENCE_MAX 12 /* bytes of &amp; or &#x10ffff; that are kept together */

/*
 * Masks these bytes of a text in place. Whether they stand in a URL goes on from call to call
 * (in_url, in_authority) until redact.c ends the text.
 */
void redact_mask(struct redact *r, uint8_t *p, size_t len);
/* The whole of an address: local part and resource; its domain stays. */
void redact_mask_address(struct redact *r, uint8_t *p, size_t len);

/* Is this one of the words, in whatever case? */
static inline bool redact_is_among(const char *const *list, size_t n, const void *p, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(list[i]) == len && strncasecmp(list[i], p, len) == 0)
			return true;
	return false;
}
#define REDACT_AMONG(list, p, len) redact_is_among(list, ARRAY_SIZE(list), p, len)
