/* SPDX-License-Identifier: MIT */
/*
 * freshness - see freshness.h.
 */
#include "config.h"

#include "media/freshness.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#define DATE_MAX 63

void freshness_init(struct freshness *f)
{
	*f = (struct freshness){ .max_age = FRESHNESS_NONE,
				 .s_maxage = FRESHNESS_NONE,
				 .retry = FRESHNESS_NONE,
				 .retry_date = -1,
				 .date = -1,
				 .expires = -1 };
}

static bool is(const char *p, size_t len, const char *what)
{
	return strlen(what) == len && strncasecmp(p, what, len) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Digits, perhaps in quotes (RFC 9111, 5.2); capped. FRESHNESS_NONE: not a number. */
static uint32_t seconds_of(const char *p, size_t len)
{
	uint64_t n = 0;
	size_t i;

	if (len >= 2 && p[0] == '"' && p[len - 1] == '"') {
		p++;
		len -= 2;
	}
	for (i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return FRESHNESS_NONE;
		n = MIN_OF(n * 10 + (uint64_t)(p[i] - '0'), (uint64_t)FRESHNESS_NONE - 1);
	}
	return len ? (uint32_t)n : FRESHNESS_NONE;
}

/* A date as in RFC 9110, 5.6.7, or -1. */
static int64_t date_of(const char *p, size_t len)
{
	char text[DATE_MAX + 1];

	/* Each of the three forms begins with the name of a day. libcurl reads much more than that.
	 */
	if (len < 20 || len > DATE_MAX || memchr(p, '\0', len) || p[0] < 'A' || p[0] > 'Z')
		return -1;
	memcpy(text, p, len);
	text[len] = '\0';
	return MAX_OF((int64_t)curl_getdate(text, NULL), -1);
}

/* What is no number means: stale already. Said twice: the shorter one. */
static void take_seconds(uint32_t *out, const char *p, size_t len)
{
	uint32_t n = seconds_of(p, len);

	*out = MIN_OF(*out, n == FRESHNESS_NONE ? 0 : n);
}

static void add_directive(struct freshness *f, const char *p, size_t len)
{
	const char *equals = memchr(p, '=', len);
	size_t name = equals ? (size_t)(equals - p) : len;
	const char *value = equals ? equals + 1 : p + len;
	size_t value_len = (size_t)(p + len - value);

	if (is(p, name, "no-store") || is(p, name, "private"))
		f->no_store = true;
	else if (is(p, name, "no-cache"))
		f->no_cache = true;
	else if (is(p, name, "max-age"))
		take_seconds(&f->max_age, value, value_len);
	else if (is(p, name, "s-maxage"))
		take_seconds(&f->s_maxage, value, value_len);
}

/* A comma inside quotes ends a directive as well: more is read as a directive than is one. */
static void add_control(struct freshness *f, const char *p, size_t len)
{
	while (len) {
		const char *comma = memchr(p, ',', len);
		size_t n = comma ? (size_t)(comma - p) : len, word = n;
		const char *from = p;

		while (word && is_blank(*from)) {
			from++;
			word--;
		}
		while (word && is_blank(from[word - 1]))
			word--;
		add_directive(f, from, word);
		n += comma != NULL;
		p += n;
		len -= n;
	}
}

/* [W/]"...": what it may hold keeps it on its line when it is sent back. */
static void add_etag(struct validator *v, const char *p, size_t len)
{
	size_t at = len >= 2 && memcmp(p, "W/", 2) == 0 ? 2 : 0, i;

	if (len > FRESHNESS_ETAG_MAX || len < at + 2 || p[at] != '"' || p[len - 1] != '"')
		return;
	for (i = at + 1; i < len - 1; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == '"' || p[i] == 0x7f)
			return;
	memcpy(v->etag, p, len);
	v->etag[len] = '\0';
}

static void add_modified(struct validator *v, const char *p, size_t len)
{
	size_t i;

	if (len >= sizeof(v->modified) || date_of(p, len) == -1)
		return;
	for (i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] > '~')
			return;
	memcpy(v->modified, p, len);
	v->modified[len] = '\0';
}

void freshness_add(struct freshness *f, const char *name, size_t name_len, const char *value,
		   size_t len)
{
	uint32_t n;

	if (is(name, name_len, "cache-control")) {
		add_control(f, value, len);
	} else if (is(name, name_len, "age")) {
		n = seconds_of(value, len);
		f->age = n == FRESHNESS_NONE ? f->age : MAX_OF(f->age, n);
	} else if (is(name, name_len, "date")) {
		f->date = date_of(value, len);
	} else if (is(name, name_len, "expires")) {
		f->expires = MAX_OF(date_of(value, len), 0);
	} else if (is(name, name_len, "etag")) {
		add_etag(&f->validator, value, len);
	} else if (is(name, name_len, "last-modified")) {
		add_modified(&f->validator, value, len);
	} else if (is(name, name_len, "retry-after")) {
		f->retry = seconds_of(value, len);
		f->retry_date = f->retry == FRESHNESS_NONE ? date_of(value, len) : -1;
	}
}

/* Seconds from one time to another, 0 if it lies behind. */
static uint32_t until(int64_t from, int64_t to)
{
	return to <= from ? 0 : (uint32_t)MIN_OF(to - from, (int64_t)FRESHNESS_NONE - 1);
}

uint32_t freshness_life(const struct freshness *f, int64_t now)
{
	uint32_t life = f->s_maxage;

	if (f->no_cache)
		return 0;
	if (life == FRESHNESS_NONE)
		life = f->max_age;
	/* By the host's own clock, where it tells the time. */
	if (life == FRESHNESS_NONE && f->expires != -1)
		life = until(f->date != -1 ? f->date : now, f->expires);
	if (life == FRESHNESS_NONE)
		return life;
	return life > f->age ? life - f->age : 0;
}

uint32_t freshness_retry(const struct freshness *f, int64_t now)
{
	if (f->retry != FRESHNESS_NONE)
		return f->retry;
	if (f->retry_date == -1)
		return 0;
	return until(f->date != -1 ? f->date : now, f->retry_date);
}

bool validator_is_there(const struct validator *v)
{
	return v->etag[0] || v->modified[0];
}
