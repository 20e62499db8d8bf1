/* SPDX-License-Identifier: MIT */
/*
 * HTTP headers, line by line, as libcurl hands them over: caps hold, and what would be sent back
 * to a host stays on its line.
 */
#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "media/reply.h"

#define NOW 1700000000

static bool is_one_line(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	return len < room && !memchr(text, '\r', len) && !memchr(text, '\n', len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct validator *v;
	struct reply r;
	size_t at = 0;

	reply_init(&r);
	v = &r.fresh.validator;
	while (at < len) {
		const uint8_t *end = memchr(bytes + at, '\n', len - at);
		size_t n = end ? (size_t)(end - bytes) + 1 - at : len - at;

		if (reply_add(&r, (const char *)bytes + at, n))
			break;
		BUG_ON(r.bytes > REPLY_BYTES || r.lines > REPLY_LINES);
		at += n;
	}
	BUG_ON(!is_one_line(v->etag, sizeof(v->etag)));
	BUG_ON(v->etag[0] && v->etag[strlen(v->etag) - 1] != '"');
	BUG_ON(!is_one_line(v->modified, sizeof(v->modified)));
	BUG_ON(freshness_life(&r.fresh, NOW) > freshness_life(&r.fresh, NOW - 1000000));
	if (r.fresh.retry_date != -1)
		BUG_ON(freshness_retry(&r.fresh, NOW) > freshness_retry(&r.fresh, NOW - 1000000));
	(void)reply_is_redirect(&r);
	(void)reply_may_be_picture(&r);
	return 0;
}
