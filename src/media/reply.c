/* SPDX-License-Identifier: MIT */
/*
 * reply - see reply.h.
 */
#include "config.h"

#include "media/reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

void reply_init(struct reply *r)
{
	*r = (struct reply){ 0 };
	freshness_init(&r->fresh);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A new status line: what the one before said (1xx) does not count. */
static void reply_on_status(struct reply *r, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	size_t bytes = r->bytes;
	unsigned lines = r->lines, i;

	reply_init(r);
	r->bytes = bytes;
	r->lines = lines;
	for (i = 0; space && i < 3 && space + 1 + i < line + len && space[1 + i] >= '0' &&
		    space[1 + i] <= '9';
	     i++)
		r->status = r->status * 10 + (unsigned)(space[1 + i] - '0');
}

static bool name_is(const char *line, size_t name_len, const char *name)
{
	return strlen(name) == name_len && strncasecmp(line, name, name_len) == 0;
}

static bool is_number(const char *value, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return false;
	return len > 0;
}

int reply_add(struct reply *r, const char *line, size_t len)
{
	const char *colon, *value;
	size_t value_len;

	r->bytes += len;
	if (r->bytes > REPLY_BYTES || ++r->lines > REPLY_LINES)
		return ERR_TOO_BIG;
	if (r->ended)
		return 0; /* trailers */
	if (len >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
		reply_on_status(r, line, len);
		return 0;
	}
	while (len && is_blank(line[len - 1]))
		len--;
	if (len == 0) {
		r->ended = r->status >= 200;
		return 0;
	}
	colon = memchr(line, ':', len);
	if (!colon)
		return 0;
	for (value = colon + 1; value < line + len && is_blank(*value);)
		value++;
	value_len = (size_t)(line + len - value);
	freshness_add(&r->fresh, line, (size_t)(colon - line), value, value_len);
	if (name_is(line, (size_t)(colon - line), "content-type")) {
		size_t n = MIN_OF(value_len, sizeof(r->type) - 1);

		memcpy(r->type, value, n);
		r->type[n] = '\0';
	} else if (name_is(line, (size_t)(colon - line), "content-length")) {
		r->delimited |= is_number(value, value_len);
	} else if (name_is(line, (size_t)(colon - line), "transfer-encoding")) {
		r->delimited |= name_is(value, value_len, "chunked");
	} else if (name_is(line, (size_t)(colon - line), "location")) {
		size_t n = value_len < sizeof(r->location) && !memchr(value, '\0', value_len)
				   ? value_len
				   : 0;

		memcpy(r->location, value, n);
		r->location[n] = '\0';
	}
	return 0;
}

bool reply_is_redirect(const struct reply *r)
{
	return (r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 ||
		r->status == 308) &&
	       r->location[0];
}

bool reply_may_be_picture(const struct reply *r)
{
	size_t len = strcspn(r->type, "; \t");

	if (len == 0 || name_is(r->type, len, "application/octet-stream") ||
	    name_is(r->type, len, "binary/octet-stream"))
		return true;
	return strncasecmp(r->type, "image/", 6) == 0 && !name_is(r->type, len, "image/svg+xml");
}
