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
#include "scaler/heif.h"
#include "scaler/reduce.h"
#include "scaler/samples.h"
#include "scaler/scale.h"
#include "scaler/selftest.h"

static const struct picture_limits limits = { 1000000, 1000000, 10000, 64 << 20, 5000, 3000 };

/* How much of a pixel at `at` lies between from and from + size. */
static double overlap(double at, double from, double size)
{
	double low = MAX_OF(at, from), high = MIN_OF(at + 1, from + size);

	return high > low ? high - low : 0;
}

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
		/* The HEIC is a grid with one tile. */
		assert_int_equal(h.width, f == PICTURE_HEIC ? 64 : 16);
		assert_int_equal(h.height, f == PICTURE_HEIC ? 64 : 8);
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

/* Each new pixel is the mean of its area: against sums by hand, for every pair of sizes. */
static void reduced_pixels_are_means(void **state UNUSED)
{
	static const uint32_t sizes[] = { 1, 2, 3, 5, 7, 8, 16, 31 };
	uint8_t rgb[31 * 31 * 3];
	size_t a, b, i, x, y;

	for (i = 0; i < sizeof(rgb); i++)
		rgb[i] = (uint8_t)(i * 37 % 256);
	for (a = 0; a < ARRAY_SIZE(sizes); a++)
		for (b = 0; b <= a; b++) {
			uint32_t from = sizes[a], to = sizes[b];
			double step = (double)from / to;
			struct reduce r;

			assert_int_equal(reduce_init(&r, from, from, to, to, 3), 0);
			for (y = 0; y < from; y++)
				reduce_add(&r, rgb + y * from * 3);
			reduce_add(&r, rgb); /* one too many */
			assert_int_equal(r.new_y, to);
			for (i = 0; i < (size_t)to * to; i++) {
				double x0 = (double)(i % to) * step, y0 = (double)(i / to) * step;
				double sum = 0;

				for (y = 0; y < from; y++)
					for (x = 0; x < from; x++)
						sum += rgb[(y * from + x) * 3] *
						       overlap((double)x, x0, step) *
						       overlap((double)y, y0, step);
				assert_in_range(r.pixels[i * 3] + 2,
						(unsigned)(sum / (step * step) + 0.5),
						(unsigned)(sum / (step * step) + 0.5) + 4);
			}
			reduce_fini(&r);
		}
}

/* Of 2.5 by 1.25 pixels the last ones count as much as they are there. */
static void reduced_pixels_are_cut(void **state UNUSED)
{
	static const uint8_t rows[2][9] = { { 100, 0, 0, 50, 0, 0, 200, 0, 0 },
					    { 0, 100, 0, 0, 50, 0, 0, 200, 0 } };
	struct reduce r;

	assert_int_equal(reduce_init(&r, 3, 2, 1, 1, 3), 0);
	reduce_cut(&r, 20, 10);
	reduce_add(&r, rows[0]);
	reduce_add(&r, rows[1]);
	assert_memory_equal(r.pixels, ((uint8_t[]){ 80, 20, 0 }), 3);
	reduce_fini(&r);
	assert_int_equal(reduce_init(&r, 3, 2, 3, 2, 3), 0);
	reduce_cut(&r, 17, 9);
	reduce_add(&r, rows[0]);
	reduce_add(&r, rows[1]);
	assert_int_equal(r.new_y, 2);
	assert_in_range(r.pixels[6], 50, 200);
	reduce_fini(&r);
}

/* What is not seen has no colour. */
static void reduced_alpha(void **state UNUSED)
{
	static const uint8_t rows[2][8] = { { 200, 10, 20, 255, 9, 9, 9, 0 },
					    { 100, 30, 40, 255, 9, 9, 9, 0 } };
	struct reduce r;

	assert_int_equal(reduce_init(&r, 2, 2, 1, 1, 4), 0);
	reduce_add(&r, rows[0]);
	assert_null(reduce_image(&r));
	reduce_add(&r, rows[1]);
	assert_memory_equal(r.pixels, ((uint8_t[]){ 150, 20, 30, 128 }), 4);
	reduce_fini(&r);
}

static void heif_sizes_are_the_largest(void **state UNUSED)
{
	const struct sample *s = &samples[PICTURE_HEIC];
	uint8_t *copy = malloc(s->len), *ispe;
	struct header h;

	assert_non_null(copy);
	memcpy(copy, s->p, s->len);
	ispe = memmem(copy, s->len, "ispe", 4);
	assert_non_null(ispe);
	memset(ispe + 8, 0xff, 4);
	assert_int_equal(read_exact(PICTURE_HEIC, copy, s->len, &h), 0);
	assert_int_equal(h.width, UINT32_MAX);
	assert_int_equal(h.height, 64);
	memcpy(ispe - 4, (uint8_t[]){ 0, 0, 0, 19 }, 4); /* one byte short */
	assert_int_not_equal(read_exact(PICTURE_HEIC, copy, s->len, &h), 0);
	memcpy(ispe - 4, (uint8_t[]){ 0, 0, 0, 7 }, 4); /* shorter than its own head */
	assert_int_not_equal(read_exact(PICTURE_HEIC, copy, s->len, &h), 0);
	free(copy);
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
		for (o = PICTURE_OUT_AUTO; selftest_has(f) && o <= PICTURE_OUT_WEBP; o++) {
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
	const uint32_t all = heif_is_there() ? 0xfe : 0x3e;
	struct selftest t;
	unsigned i;

	selftest_init(&t);
	assert_false(selftest_is_done(&t));
	for (i = 0; i < SELFTEST_TRIALS; i++) {
		if (t.trials[i] == TRIAL_ABSENT)
			continue;
		assert_int_equal(selftest_mask(&t), 0);
		selftest_result(&t, i, &good);
	}
	assert_int_equal(selftest_mask(&t), all);
	selftest_result(&t, 2, &bad); /* PNG to JPEG */
	assert_int_equal(selftest_mask(&t), all & ~(1u << PICTURE_PNG));
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
		cmocka_unit_test(reduced_pixels_are_means),
		cmocka_unit_test(reduced_pixels_are_cut),
		cmocka_unit_test(reduced_alpha),
		cmocka_unit_test(heif_sizes_are_the_largest),
		cmocka_unit_test(samples_scale_to_every_output),
		cmocka_unit_test(limits_come_first),
		cmocka_unit_test(selftest_counts_formats),
	};

	scale_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
