/* SPDX-License-Identifier: MIT */
/*
 * test_scale - header walkers and scaling of the built-in samples, in this process. Covers
 * scaler/{header,scale,encode,selftest,samples}.c; test_scaler.py has real pictures, bombs and
 * children.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "scaler/header.h"
#include "scaler/samples.h"
#include "scaler/scale.h"
#include "scaler/selftest.h"

static const struct picture_limits limits = { 1000000, 1000000, 10000, 64 << 20, 5000, 3000 };

/* On the heap and exactly as long, so that a sanitizer sees the first byte too far. */
static int read_exact(enum picture_format f, const uint8_t *p, size_t len, struct header *h)
{
	uint8_t *copy = malloc(len ? len : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	rc = header_read(f, copy, len, h);
	free(copy);
	return rc;
}

static void headers_of_samples(void **state UNUSED)
{
	enum picture_format f;

	for (f = PICTURE_JPEG; f < PICTURE_FORMAT_COUNT; f++) {
		struct header h;

		assert_int_equal(picture_sniff(samples[f].p, samples[f].len), f);
		assert_int_equal(read_exact(f, samples[f].p, samples[f].len, &h), 0);
		assert_int_equal(h.width, 16);
		assert_int_equal(h.height, 8);
	}
	assert_int_equal(header_read(PICTURE_NONE, samples[PICTURE_PNG].p, samples[PICTURE_PNG].len,
				     &(struct header){ 0 }),
			 ERR_UNSUPPORTED);
}

static void cut_anywhere_is_refused(void **state UNUSED)
{
	enum picture_format f;
	size_t len;

	for (f = PICTURE_JPEG; f < PICTURE_FORMAT_COUNT; f++)
		for (len = 0; len < samples[f].len; len++) {
			struct header h;
			int rc = read_exact(f, samples[f].p, len, &h);

			/* A GIF's trailer is not part of its first frame. */
			if (f == PICTURE_GIF && len == samples[f].len - 1)
				assert_int_equal(rc, 0);
			else
				assert_int_not_equal(rc, 0);
		}
}

/* Every byte to a few values: no read beyond the end (sanitizers), no endless loop. */
static void flipped_bytes_do_no_harm(void **state UNUSED)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
	enum picture_format f;
	size_t i, k;

	for (f = PICTURE_JPEG; f < PICTURE_FORMAT_COUNT; f++)
		for (i = 0; i < samples[f].len; i++)
			for (k = 0; k < ARRAY_SIZE(values); k++) {
				uint8_t *copy = malloc(samples[f].len);
				struct header h;

				assert_non_null(copy);
				memcpy(copy, samples[f].p, samples[f].len);
				copy[i] = values[k];
				if (header_read(f, copy, samples[f].len, &h) == 0)
					assert_true(h.width && h.height);
				free(copy);
			}
}

static void too_many_scans(void **state UNUSED)
{
	/* SOI, SOF0 1x1, scans without data, EOI */
	static const uint8_t head[] = {
		0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 1, 0, 1, 1, 1, 0x11, 0
	};
	static const uint8_t scan[] = { 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0 };
	uint8_t file[sizeof(head) + 101 * sizeof(scan) + 2];
	unsigned n, i;

	for (n = 0; n <= 101; n++) {
		size_t len = sizeof(head);
		struct header h;

		memcpy(file, head, len);
		for (i = 0; i < n; i++, len += sizeof(scan))
			memcpy(file + len, scan, sizeof(scan));
		file[len++] = 0xff;
		file[len++] = 0xd9;
		assert_int_equal(read_exact(PICTURE_JPEG, file, len, &h) == 0, n >= 1 && n <= 100);
	}
}

static struct picture_request request(enum picture_format f, enum picture_output output)
{
	struct picture_request r = {
		.id = 7, .format = f, .output = output, .width = 8, .height = 8, .max_bytes = 4096
	};

	r.limits = limits;
	return r;
}

static void samples_scale_to_every_output(void **state UNUSED)
{
	static const enum picture_format want[] = { PICTURE_NONE, PICTURE_JPEG, PICTURE_PNG,
						    PICTURE_WEBP };
	enum picture_output o;
	enum picture_format f;

	for (f = PICTURE_JPEG; f < PICTURE_FORMAT_COUNT; f++)
		for (o = PICTURE_OUT_AUTO; o <= PICTURE_OUT_WEBP; o++) {
			struct picture_request r = request(f, o);
			struct picture_result res;

			scale_picture(&r, samples[f].p, samples[f].len, &res);
			assert_int_equal(res.status, PICTURE_OK);
			assert_int_equal(res.width, 8);
			assert_int_equal(res.height, 4);
			assert_int_equal(res.original_width, 16);
			assert_in_range(res.thumbhash.len, PICTURE_THUMBHASH_MIN,
					PICTURE_THUMBHASH_MAX);
			if (o != PICTURE_OUT_AUTO)
				assert_int_equal(res.format, want[o]);
			assert_true(picture_is_clean(res.format, res.bytes, res.len, 8, 4));
			scale_result_fini(&res);
		}
}

static void limits_come_first(void **state UNUSED)
{
	struct picture_request r = request(PICTURE_PNG, PICTURE_OUT_AUTO);
	struct picture_result res;

	r.limits.max_pixels = 16 * 8 - 1;
	scale_picture(&r, samples[PICTURE_PNG].p, samples[PICTURE_PNG].len, &res);
	assert_int_equal(res.status, PICTURE_TOO_BIG);
	r = request(PICTURE_JPEG, PICTURE_OUT_AUTO);
	r.limits.max_side = 15;
	scale_picture(&r, samples[PICTURE_JPEG].p, samples[PICTURE_JPEG].len, &res);
	assert_int_equal(res.status, PICTURE_TOO_BIG);
	r = request(PICTURE_JPEG, PICTURE_OUT_JPEG);
	r.max_bytes = 10;
	scale_picture(&r, samples[PICTURE_JPEG].p, samples[PICTURE_JPEG].len, &res);
	assert_int_equal(res.status, PICTURE_NO_FIT);
	assert_null(res.bytes);
}

static void selftest_counts_formats(void **state UNUSED)
{
	struct picture_result good = { .status = PICTURE_OK,
				       .width = 8,
				       .height = 4,
				       .original_width = 16,
				       .original_height = 8 };
	struct picture_result bad = { .status = PICTURE_KILLED };
	struct selftest t;
	unsigned i;

	selftest_init(&t);
	assert_false(selftest_is_done(&t));
	for (i = 0; i < SELFTEST_TRIALS; i++) {
		assert_int_equal(selftest_mask(&t), 0);
		selftest_result(&t, i, &good);
	}
	assert_int_equal(selftest_mask(&t), 0x3e);
	selftest_result(&t, 2, &bad); /* PNG to JPEG */
	assert_int_equal(selftest_mask(&t), 0x3e & ~(1u << PICTURE_PNG));
	for (i = 0; i < SELFTEST_TRIALS; i++)
		selftest_result(&t, i, &bad);
	assert_int_equal(selftest_mask(&t), 0);
	assert_true(selftest_is_done(&t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_of_samples),
		cmocka_unit_test(cut_anywhere_is_refused),
		cmocka_unit_test(flipped_bytes_do_no_harm),
		cmocka_unit_test(too_many_scans),
		cmocka_unit_test(samples_scale_to_every_output),
		cmocka_unit_test(limits_come_first),
		cmocka_unit_test(selftest_counts_formats),
	};

	scale_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
