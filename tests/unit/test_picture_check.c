/* SPDX-License-Identifier: MIT */
/*
 * test_picture_check - picture_is_clean() on the scaler's own output, on the same with something
 * added, cut or changed, and on noise. Covers base/picture-check.c.
 */
#include "config.h"

#include "unit.h"

#include "base/util.h"
#include "scaler/samples.h"
#include "scaler/scale.h"

static const enum picture_format formats[] = { PICTURE_JPEG, PICTURE_PNG, PICTURE_WEBP };
static const enum picture_output outputs[] = { PICTURE_OUT_JPEG, PICTURE_OUT_PNG,
					       PICTURE_OUT_WEBP };

struct file {
	uint8_t *p;
	size_t len;
};
static struct file files[ARRAY_SIZE(formats)];

static int make_files(void **state UNUSED)
{
	size_t i;

	scale_init();
	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		struct picture_request r = { .format = PICTURE_BMP,
					     .output = outputs[i],
					     .width = 8,
					     .height = 4,
					     .max_bytes = 4096,
					     .limits = { 1000, 1000, 100, 64 << 20, 1000, 1000 } };
		struct picture_result res;

		scale_picture(&r, samples[PICTURE_BMP].p, samples[PICTURE_BMP].len, &res);
		files[i].p = malloc(res.len);
		if (res.status != PICTURE_OK || !files[i].p)
			return -1;
		memcpy(files[i].p, res.bytes, res.len);
		files[i].len = res.len;
		scale_result_fini(&res);
	}
	return 0;
}

static int drop_files(void **state UNUSED)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++)
		free(files[i].p);
	return 0;
}

/* With `add` spliced in at `at`, on the heap and exactly as long. */
static bool check_spliced(size_t i, size_t at, const void *add, size_t add_len)
{
	size_t len = files[i].len + add_len;
	uint8_t *copy = malloc(len);
	bool clean;

	assert_non_null(copy);
	memcpy(copy, files[i].p, at);
	memcpy(copy + at, add, add_len);
	memcpy(copy + at + add_len, files[i].p + at, files[i].len - at);
	if (formats[i] == PICTURE_WEBP)
		copy[4] = (uint8_t)(copy[4] + add_len);
	clean = picture_is_clean(formats[i], copy, len, 8, 4);
	free(copy);
	return clean;
}

static void own_files_are_clean(void **state UNUSED)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		assert_true(picture_is_clean(formats[i], files[i].p, files[i].len, 8, 4));
		assert_false(picture_is_clean(formats[i], files[i].p, files[i].len, 4, 8));
		assert_false(picture_is_clean(formats[i], files[i].p, files[i].len, 8, 5));
		assert_false(
			picture_is_clean(formats[(i + 1) % 3], files[i].p, files[i].len, 8, 4));
	}
	assert_false(picture_is_clean(PICTURE_GIF, samples[PICTURE_GIF].p, samples[PICTURE_GIF].len,
				      16, 8));
	assert_false(picture_is_clean(PICTURE_BMP, samples[PICTURE_BMP].p, samples[PICTURE_BMP].len,
				      16, 8));
	assert_false(picture_is_clean(PICTURE_NONE, files[0].p, files[0].len, 8, 4));
}

static void cut_or_longer_is_not(void **state UNUSED)
{
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		for (len = 0; len < files[i].len; len++) {
			uint8_t *copy = malloc(len ? len : 1);

			assert_non_null(copy);
			memcpy(copy, files[i].p, len);
			assert_false(picture_is_clean(formats[i], copy, len, 8, 4));
			free(copy);
		}
		assert_false(check_spliced(i, files[i].len, "", 1));
		assert_false(check_spliced(i, files[i].len, "\0\0\0\0", 4));
	}
}

static void metadata_is_refused(void **state UNUSED)
{
	static const char jpeg_com[] = "\xff\xfe\0\4ab", jpeg_app1[] = "\xff\xe1\0\10Exif\0\0";
	static const char jpeg_app14[] = "\xff\xee\0\4ab";
	static const char png_text[] = "\0\0\0\3tEXta\0bcrcx", png_exif[] = "\0\0\0\0eXIfcrcx";
	static const char webp_exif[] = "EXIF\4\0\0\0abcd", webp_xmp[] = "XMP \4\0\0\0abcd";
	/* tEXt with its right CRC. */
	static const uint8_t png_good[] = {
		0, 0, 0, 0, 't', 'E', 'X', 't', 0x96, 0x42, 0xc5, 0x85
	};

	assert_false(check_spliced(0, 2, jpeg_com, sizeof(jpeg_com) - 1));
	assert_false(check_spliced(0, 2, jpeg_app1, sizeof(jpeg_app1) - 1));
	assert_false(check_spliced(0, 20, jpeg_app1, sizeof(jpeg_app1) - 1));
	assert_false(check_spliced(0, 2, jpeg_app14, sizeof(jpeg_app14) - 1));
	assert_false(check_spliced(1, 33, png_text, sizeof(png_text) - 1));
	assert_false(check_spliced(1, 33, png_exif, 12));
	assert_false(check_spliced(1, 33, png_good, sizeof(png_good)));
	assert_false(check_spliced(2, files[2].len, webp_exif, 12));
	assert_false(check_spliced(2, files[2].len, webp_xmp, 12));
	assert_false(check_spliced(2, 12, webp_exif, 12));
}

/* Every byte of a PNG is covered by a CRC or by the structure. */
static void changed_png_is_refused(void **state UNUSED)
{
	size_t at;

	for (at = 0; at < files[1].len; at++) {
		files[1].p[at] ^= 0x10;
		assert_false(picture_is_clean(PICTURE_PNG, files[1].p, files[1].len, 8, 4));
		files[1].p[at] ^= 0x10;
	}
}

/* For the sanitizers: changed copies never lead past the end. */
static void noise_does_no_harm(void **state UNUSED)
{
	unsigned round, k;

	srand(42);
	for (round = 0; round < 60000; round++) {
		const struct file *f = &files[round % 3];
		size_t len = 1 + (size_t)rand() % f->len;
		uint8_t *copy = malloc(len);

		assert_non_null(copy);
		memcpy(copy, f->p, len);
		for (k = 0; k < 1u + round % 5; k++)
			copy[(size_t)rand() % len] = (uint8_t)rand();
		(void)picture_is_clean(formats[round % 3], copy, len, 8, 4);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_files_are_clean), cmocka_unit_test(cut_or_longer_is_not),
		cmocka_unit_test(metadata_is_refused), cmocka_unit_test(changed_png_is_refused),
		cmocka_unit_test(noise_does_no_harm),
	};

	return cmocka_run_group_tests(tests, make_files, drop_files);
}
