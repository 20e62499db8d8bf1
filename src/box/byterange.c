/* SPDX-License-Identifier: MIT */
/*
 * byterange - see byterange.h.
 */
#include "config.h"

#include "box/byterange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool digits_parse(const char *text, const char **end_out, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	*end_out = end;
	return !errno;
}

bool byterange_parse(const char *text, uint64_t size, struct byterange *r)
{
	uint64_t first, last = size - 1;
	const char *at;

	*r = (struct byterange){ .len = size };
	if (!text || strncmp(text, "bytes=", 6) != 0)
		return true;
	text += 6;
	if (*text == '-') {
		if (!digits_parse(text + 1, &at, &first) || *at)
			return true;
		if (first == 0)
			return false;
		first = first < size ? size - first : 0;
	} else {
		if (!digits_parse(text, &at, &first) || *at++ != '-' ||
		    (*at && (!digits_parse(at, &at, &last) || *at || last < first)))
			return true;
		if (first >= size)
			return false;
	}
	*r = (struct byterange){ .from = first,
				 .len = MIN_OF(last, size - 1) - first + 1,
				 .partial = true };
	return true;
}
