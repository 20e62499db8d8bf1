/* SPDX-License-Identifier: MIT */
/*
 * test_freshness - lives, validators and pauses out of HTTP headers; what a picture claims in its
 * first bytes; the body that ends early. Covers media/{freshness,peek,body}.c.
 */
#include "config.h"

#include "media/freshness.h"

#include <unistd.h>

#include "base/err.h"
#include "media/body.h"
#include "media/reply.h"
#include "scaler/samples.h"
#include "unit.h"

#define NOW  1700000000 /* Tue, 14 Nov 2023 22:13:20 GMT */
#define THEN "Tue, 14 Nov 2023 22:13:20 GMT"
#define SOON "Tue, 14 Nov 2023 22:14:20 GMT" /* a minute on */

static struct freshness read_all(const char *text)
{
	char copy[512], *rest = copy, *line;
	struct freshness f;

	snprintf(copy, sizeof(copy), "%s", text);
	freshness_init(&f);
	while ((line = strsep(&rest, "\n"))) {
		char *colon = strchr(line, ':');

		assert_non_null(colon);
		freshness_add(&f, line, (size_t)(colon - line), colon + 2, strlen(colon + 2));
	}
	return f;
}

static void lives(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint32_t life;
		bool no_store;
	} rows[] = {
		{ "X: y", FRESHNESS_NONE, false },
		{ "Cache-Control: max-age=60", 60, false },
		{ "cache-control: MAX-AGE=\"60\"", 60, false },
		{ "Cache-Control: max-age=60, s-maxage=5", 5, false },
		{ "Cache-Control: s-maxage=500,max-age=60", 500, false },
		{ "Cache-Control: max-age=60\nAge: 20", 40, false },
		{ "Age: 61\nCache-Control: max-age=60", 0, false },
		{ "Cache-Control: max-age=60\nAge: -5", 60, false },
		{ "Cache-Control: max-age=60\nAge: 5\nAge: 50", 10, false },
		{ "Cache-Control: max-age=60, max-age=7", 7, false },
		{ "Cache-Control: max-age=60\nCache-Control: max-age=8", 8, false },
		{ "Cache-Control: max-age=-1", 0, false },
		{ "Cache-Control: max-age", 0, false },
		{ "Cache-Control: max-age=1.5", 0, false },
		{ "Cache-Control: max-age=99999999999999999999", FRESHNESS_NONE - 1, false },
		{ "Cache-Control: no-cache", 0, false },
		{ "Cache-Control: max-age=60, no-cache=\"x\"", 0, false },
		{ "Cache-Control: no-store", FRESHNESS_NONE, true },
		{ "Cache-Control:  public ,\tno-store\t, max-age=5", 5, true },
		{ "Cache-Control: private=\"set-cookie\", max-age=5", 5, true },
		{ "Cache-Control: no-storeish, privateer, max-aged=4", FRESHNESS_NONE, false },
		{ "Cache-Control: ,,,", FRESHNESS_NONE, false },
		{ "Expires: " SOON, 60, false },
		{ "Expires: " SOON "\nDate: " THEN, 60, false },
		{ "Expires: " THEN "\nDate: " SOON, 0, false },
		{ "Expires: " SOON "\nDate: " THEN "\nAge: 50", 10, false },
		{ "Expires: " SOON "\nCache-Control: max-age=3", 3, false },
		{ "Expires: 0", 0, false },
		{ "Expires: never and a long text around it", 0, false },
		{ "Expires: 20991231 20991231 20991231", 0, false },
		{ "Expires: Tuesday, 14-Nov-23 22:14:20 GMT", 60, false },
		{ "Expires: Tue Nov 14 22:14:20 2023", 60, false },
		{ "Expires: " SOON "\nDate: soon", 60, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct freshness f = read_all(rows[i].text);

		if (freshness_life(&f, NOW) != rows[i].life || f.no_store != rows[i].no_store)
			fail_msg("%s: %u", rows[i].text, freshness_life(&f, NOW));
	}
}

static void pauses(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint32_t seconds;
	} rows[] = {
		{ "X: y", 0 },
		{ "Retry-After: 120", 120 },
		{ "retry-after: 0", 0 },
		{ "Retry-After: -1", 0 },
		{ "Retry-After: 99999999999999", FRESHNESS_NONE - 1 },
		{ "Retry-After: " SOON, 60 },
		{ "Retry-After: " SOON "\nDate: Tue, 14 Nov 2023 22:14:10 GMT", 10 },
		{ "Retry-After: Mon, 13 Nov 2023 22:14:10 GMT", 0 },
		{ "Retry-After: in a while, when I feel better", 0 },
		{ "Retry-After: 5\nRetry-After: " SOON, 60 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct freshness f = read_all(rows[i].text);

		if (freshness_retry(&f, NOW) != rows[i].seconds)
			fail_msg("%s: %u", rows[i].text, freshness_retry(&f, NOW));
	}
}

static void validators(void **state UNUSED)
{
	static const struct {
		const char *text, *etag, *modified;
	} rows[] = {
		{ "ETag: \"a\"", "\"a\"", "" },
		{ "etag: W/\"a-b\xc3\xa9\"", "W/\"a-b\xc3\xa9\"", "" },
		{ "ETag: \"\"", "\"\"", "" },
		{ "ETag: a", "", "" },
		{ "ETag: \"a", "", "" },
		{ "ETag: \"", "", "" },
		{ "ETag: W/\"", "", "" },
		{ "ETag: w/\"a\"", "", "" },
		{ "ETag: \"a\"b\"", "", "" },
		{ "ETag: \"a b\"", "", "" },
		{ "ETag: \"a\rX: y\"", "", "" },
		{ "Last-Modified: " THEN, "", THEN },
		{ "Last-Modified: yesterday, all my troubles", "", "" },
		{ "Last-Modified: Tue, 14 Nov 2023 22:13:20\rX", "", "" },
		{ "ETag: \"x\"\nLast-Modified: " THEN, "\"x\"", THEN },
	};
	char text[300] = "ETag: \"";
	struct freshness f;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		f = read_all(rows[i].text);
		assert_string_equal(f.validator.etag, rows[i].etag);
		assert_string_equal(f.validator.modified, rows[i].modified);
		assert_int_equal(validator_is_there(&f.validator),
				 rows[i].etag[0] || rows[i].modified[0]);
	}
	memset(text + 7, 'x', FRESHNESS_ETAG_MAX - 2);
	strcpy(text + 7 + FRESHNESS_ETAG_MAX - 2, "\"");
	f = read_all(text);
	assert_int_equal(strlen(f.validator.etag), FRESHNESS_ETAG_MAX);
	strcpy(text + 7 + FRESHNESS_ETAG_MAX - 2, "x\"");
	f = read_all(text);
	assert_string_equal(f.validator.etag, "");
}

/* An early response's fields are not the final one's. */
static void fields_of_an_early_response(void **state UNUSED)
{
	static const char *const lines[] = { "HTTP/1.1 103 Early\r\n", "ETag: \"early\"\r\n",
					     "Cache-Control: no-store\r\n", "\r\n",
					     "HTTP/1.1 200 OK\r\n" };
	struct reply r;
	size_t i;

	reply_init(&r);
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(reply_add(&r, lines[i], strlen(lines[i])), 0);
	assert_false(r.fresh.no_store || validator_is_there(&r.fresh.validator));
	assert_int_equal(freshness_life(&r.fresh, NOW), FRESHNESS_NONE);
}

/* --- first bytes --------------------------------------------------------------------------- */

static struct peek peek_cut(enum picture_format f, const uint8_t *p, size_t len, size_t cut)
{
	struct peek k;
	size_t at;

	peek_init(&k, f);
	for (at = 0; at < len; at += cut)
		peek_add(&k, p + at, MIN_OF(cut, len - at));
	return k;
}

/* Up to BMP: the formats of libheif tell nothing in a fixed place, their decoder judges them. */
static void sizes_of_samples_however_they_are_cut(void **state UNUSED)
{
	enum picture_format f;
	size_t cut;

	for (f = PICTURE_JPEG; f <= PICTURE_BMP; f++)
		for (cut = 1; cut <= samples[f].len; cut++) {
			struct peek k = peek_cut(f, samples[f].p, samples[f].len, cut);

			assert_true(k.done);
			assert_int_equal(k.width, 16);
			assert_int_equal(k.height, 8);
		}
}

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static void odd_pictures(void **state UNUSED)
{
	static const struct {
		enum picture_format format;
		const uint8_t *p;
		size_t len;
		uint32_t width, height;
	} rows[] = {
		/* a segment to skip, stray bytes, fill bytes, then the frame */
		{ PICTURE_JPEG,
		  BYTES("\xff\xd8\xff\xe1\0\x06\xff\xc0\xff\xc0zz\xff\xff\xff\xc2\0\x11\x08\x01\x02"
			"\x03\x04"),
		  0x304, 0x102 },
		{ PICTURE_JPEG, BYTES("\xff\xd8\xff\xc4\0\x02\xff\xd0\xff\xc0\0\x08\x08\0\1\0\2"),
		  2, 1 },
		{ PICTURE_JPEG,
		  BYTES("\xff\xd8\xff\xda\0\x08\x08\0\1\0\2\xff\xc0\0\x08\x08\0\1\0\2"), 0, 0 },
		{ PICTURE_JPEG, BYTES("\xff\xd8\xff\xc0\0\x07\x08\0\1\0\2xxxxxx"), 0, 0 },
		{ PICTURE_JPEG, BYTES("\xff\xd8\xff\xe0\0\x01\xff\xc0\0\x08\x08\0\1\0\2"), 0, 0 },
		{ PICTURE_JPEG, BYTES("\xff\xd8\xff\xc0\0\x08\x08\0\1\0"), 0, 0 },
		{ PICTURE_WEBP, BYTES("RIFF....WEBPVP8X....\0\0\0\0\x01\0\0\x02\0\1"), 2, 65539 },
		{ PICTURE_WEBP, BYTES("RIFF....WEBPJUNK....\0\0\0\0\x01\0\0\x02\0\1"), 0, 0 },
		{ PICTURE_BMP, BYTES("BM............\x0c\0\0\0\5\0\6\0...."), 5, 6 },
		{ PICTURE_BMP, BYTES("BM............\x28\0\0\0\5\0\0\0\xfe\xff\xff\xff"), 5, 2 },
		{ PICTURE_GIF, BYTES("GIF89a\xff\xff\x01\0"), 65535, 1 },
		{ PICTURE_NONE, BYTES("anything"), 0, 0 },
	};
	size_t i, cut;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (cut = 1; cut <= rows[i].len; cut++) {
			struct peek k = peek_cut(rows[i].format, rows[i].p, rows[i].len, cut);

			assert_int_equal(k.width, rows[i].width);
			assert_int_equal(k.height, rows[i].height);
		}
}

static void limits_of_sizes(void **state UNUSED)
{
	struct peek k = { .format = PICTURE_PNG, .width = 1000, .height = 500 };

	assert_false(peek_is_too_big(&k, 1000, 500000, 1));
	assert_true(peek_is_too_big(&k, 999, 500000, 1));
	assert_true(peek_is_too_big(&k, 1000, 499999, 1000000));
	k.format = PICTURE_JPEG;
	assert_false(peek_is_too_big(&k, 1000, 1, 500000));
	assert_true(peek_is_too_big(&k, 1000, 1, 499999));
	k.height = 0; /* unknown, and the scaler's business */
	assert_false(peek_is_too_big(&k, 1, 1, 1));
	k.width = k.height = UINT32_MAX;
	assert_true(peek_is_too_big(&k, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX / 2));
}

/* The error comes with the byte that shows it. */
static size_t bytes_taken(const uint8_t *p, size_t len, const struct body_limits *limits, int *rc)
{
	struct body b;
	size_t n = 0;

	body_init(&b, 1 << 20, limits);
	for (*rc = 0; n < len && !*rc; n++)
		*rc = body_add(&b, p + n, 1);
	body_fini(&b);
	return n;
}

static void bodies_end_early(void **state UNUSED)
{
	const struct body_limits tight = { .max_pixels = 127,
					   .max_pixels_jpeg = 127,
					   .max_side = 100 };
	const struct body_limits fits = { .max_pixels = 128,
					  .max_pixels_jpeg = 128,
					  .max_side = 16 };
	enum picture_format f;
	int rc;

	for (f = PICTURE_JPEG; f <= PICTURE_BMP; f++) {
		size_t n = bytes_taken(samples[f].p, samples[f].len, &tight, &rc);

		assert_int_equal(rc, ERR_TOO_BIG);
		assert_true(n < samples[f].len);
		if (f != PICTURE_JPEG)
			assert_true(n <= 30);
		assert_int_equal(bytes_taken(samples[f].p, samples[f].len, &fits, &rc),
				 samples[f].len);
		assert_int_equal(rc, 0);
	}
	assert_int_equal(
		bytes_taken((const uint8_t *)"<html><head><title>Not a picture", 32, &fits, &rc),
		16);
	assert_int_equal(rc, ERR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives),
		cmocka_unit_test(pauses),
		cmocka_unit_test(validators),
		cmocka_unit_test(fields_of_an_early_response),
		cmocka_unit_test(sizes_of_samples_however_they_are_cut),
		cmocka_unit_test(odd_pictures),
		cmocka_unit_test(limits_of_sizes),
		cmocka_unit_test(bodies_end_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
