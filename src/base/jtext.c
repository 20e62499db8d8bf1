/* SPDX-License-Identifier: MIT */
/*
 * jtext - see jtext.h.
 */
#include "config.h"

#include "base/jtext.h"

#include <string.h>

void jtext_init(struct jtext *j, size_t max)
{
	buf_init(&j->b, max);
	j->error = 0;
}

void jtext_fini(struct jtext *j)
{
	buf_fini(&j->b);
}

static void put(struct jtext *j, const void *p, size_t len)
{
	if (!j->error)
		j->error = buf_add(&j->b, p, len);
}

/* Length of the well-formed UTF-8 character that p begins with; 0: it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t from, to, len, low, high; /* low..high: the second byte */
	} rows[] = {
		{ 0x00, 0x7f, 1, 0, 0 },       { 0xc2, 0xdf, 2, 0x80, 0xbf },
		{ 0xe0, 0xe0, 3, 0xa0, 0xbf }, { 0xe1, 0xec, 3, 0x80, 0xbf },
		{ 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf },
		{ 0xf0, 0xf0, 4, 0x90, 0xbf }, { 0xf1, 0xf3, 4, 0x80, 0xbf },
		{ 0xf4, 0xf4, 4, 0x80, 0x8f },
	};
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (p[0] < rows[i].from || p[0] > rows[i].to)
			continue;
		if (rows[i].len > left ||
		    (rows[i].len > 1 && (p[1] < rows[i].low || p[1] > rows[i].high)))
			return 0;
		for (k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

static void put_text(struct jtext *j, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = (const uint8_t *)text;
	size_t at = 0;

	put(j, "\"", 1);
	while (at < len) {
		char escape[6] = { '\\', 'u', '0', '0', hex[p[at] >> 4], hex[p[at] & 15] };
		size_t n = utf8_len(p + at, len - at);

		if (n == 0)
			put(j, "?", 1);
		else if (p[at] == '"' || p[at] == '\\')
			put(j, (char[]){ '\\', (char)p[at] }, 2);
		else if (p[at] < 0x20 || p[at] == 0x7f)
			put(j, escape, sizeof(escape));
		else
			put(j, p + at, n);
		at += MAX_OF(n, (size_t)1);
	}
	put(j, "\"", 1);
}

/* What stands before a value. */
static void begin(struct jtext *j, const char *key)
{
	uint8_t last = j->b.len ? j->b.p[j->b.len - 1] : '{';

	if (last != '{' && last != '[')
		put(j, ",", 1);
	if (!key)
		return;
	put_text(j, key, strlen(key));
	put(j, ":", 1);
}

void jtext_open(struct jtext *j, const char *key, char bracket)
{
	begin(j, key);
	put(j, &bracket, 1);
}

void jtext_close(struct jtext *j, char bracket)
{
	put(j, &bracket, 1);
}

void jtext_strn(struct jtext *j, const char *key, const char *value, size_t len)
{
	begin(j, key);
	put_text(j, value, len);
}

void jtext_str(struct jtext *j, const char *key, const char *value)
{
	begin(j, key);
	if (value)
		put_text(j, value, strlen(value));
	else
		put(j, "null", 4);
}

void jtext_int(struct jtext *j, const char *key, int64_t value)
{
	begin(j, key);
	if (!j->error)
		j->error = buf_printf(&j->b, "%lld", (long long)value);
}

void jtext_bool(struct jtext *j, const char *key, bool value)
{
	begin(j, key);
	put(j, value ? "true" : "false", value ? 4 : 5);
}
