/* SPDX-License-Identifier: MIT */
/*
 * test_scans - progressive JPEGs without what a decoder at an eighth does not look at: the same
 * thumbnail, from less. Covers scaler/scans.c.
 */
#include "config.h"

#include <magick/api.h>

#include "unit.h"

#include "scaler/header.h"
#include "scaler/scale.h"
#include "scaler/scans.h"

#define SIDE 1600

static const struct picture_request request = {
	.format = PICTURE_JPEG,
	.output = PICTURE_OUT_PNG,
	.width = 96,
	.height = 96,
	.max_bytes = 65535,
	.limits = { 28000000, 28000000, 10000, 256 << 20, 5000, 3000 },
};

/* A file of the same picture; owned by the caller. */
static uint8_t *picture(const char *what, const char *sampling, bool progressive, size_t *len)
{
	ImageInfo *info = CloneImageInfo(NULL);
	ExceptionInfo ex;
	Image *image;
	uint8_t *out;

	GetExceptionInfo(&ex);
	/* Without the scaler's own limits, which forbid what reads no file. */
	image = ConstituteImage(SIDE, SIDE, "RGB", CharPixel, what, &ex);
	assert_non_null(image);
	(void)CloneString(&info->sampling_factor, sampling);
	info->quality = 85;
	info->interlace = progressive ? LineInterlace : NoInterlace;
	(void)strcpy(image->magick, "JPEG");
	out = ImageToBlob(info, image, len, &ex);
	assert_non_null(out);
	DestroyImage(image);
	DestroyImageInfo(info);
	DestroyExceptionInfo(&ex);
	return out;
}

/* Slopes, edges and noise of a fixed seed. */
static char *pixels(void)
{
	uint8_t *p = malloc((size_t)SIDE * SIDE * 3);
	uint32_t seed = 1;
	size_t i;

	assert_non_null(p);
	for (i = 0; i < (size_t)SIDE * SIDE * 3; i++) {
		size_t x = i / 3 % SIDE, y = i / 3 / SIDE;

		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(x * (1 + i % 3) / 9 + y / 13 + (x / 37 % 2 ? 60 : 0) +
				 (seed >> 27));
	}
	return (char *)p;
}

static void same_thumbnail_from_less(void **state UNUSED)
{
	static const char *const samplings[] = { "2x2,1x1,1x1", "2x1,1x1,1x1", "1x1,1x1,1x1" };
	char *what = pixels();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(samplings); i++) {
		size_t len, plain_len, thin_len = 0;
		uint8_t *file = picture(what, samplings[i], true, &len);
		uint8_t *plain = picture(what, samplings[i], false, &plain_len);
		uint8_t *thin = scans_thin(file, len, &thin_len);
		struct picture_result got, want, thinner;
		struct header h;

		assert_non_null(thin);
		assert_true(thin_len < len * 2 / 3);
		assert_int_equal(header_read(PICTURE_JPEG, thin, thin_len, &h), 0);
		assert_null(scans_thin(plain, plain_len, &plain_len));
		/* The same coefficients, written as one scan. */
		scale_picture(&request, plain, plain_len, &want);
		scale_picture(&request, file, len, &got);
		scale_picture(&request, thin, thin_len, &thinner);
		assert_int_equal(want.status, PICTURE_OK);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.bytes, want.bytes, want.len);
		assert_int_equal(thinner.len, want.len);
		assert_memory_equal(thinner.bytes, want.bytes, want.len);
		scale_result_fini(&want);
		scale_result_fini(&got);
		scale_result_fini(&thinner);
		free(thin);
		MagickFree(file);
		MagickFree(plain);
	}
	free(what);
}

/* Whatever is cut or damaged: no byte too far, and never more than there was. */
static void odd_files(void **state UNUSED)
{
	char *what = pixels();
	size_t len, thin_len, n, i;
	uint8_t *file = picture(what, "2x2,1x1,1x1", true, &len), *copy, *thin;
	uint32_t seed = 7;

	for (n = 0; n < 800; n++) {
		copy = malloc(n ? n : 1);
		assert_non_null(copy);
		memcpy(copy, file, n);
		thin = scans_thin(copy, n, &thin_len);
		assert_null(thin);
		free(copy);
	}
	copy = malloc(len);
	assert_non_null(copy);
	for (n = 0; n < 300; n++) {
		memcpy(copy, file, len);
		for (i = 0; i < 3; i++) {
			seed = seed * 1664525 + 1013904223;
			copy[seed % (i ? 700 : len)] = (uint8_t)(seed >> 24);
		}
		thin = scans_thin(copy, len, &thin_len);
		assert_true(!thin || thin_len < len);
		free(thin);
	}
	free(copy);
	MagickFree(file);
	free(what);
}

static int setup(void **state UNUSED)
{
	scale_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_thumbnail_from_less),
		cmocka_unit_test(odd_files),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
