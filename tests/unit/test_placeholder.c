/* SPDX-License-Identifier: MIT */
/*
 * Covers scaler/placeholder.c: thumbhash.def has values that the reference implementation
 * (npm package thumbhash 0.1.1) gave for pixels that pixel() makes, too.
 *
 * A term of exactly 0 lies between two steps, so which of them it becomes depends on the last bit
 * of a cosine: steps may differ by one there. Of pictures without any structure only the first
 * bytes are meant, because the terms are rounding errors blown up.
 */
#include "config.h"

#include "unit.h"

#include "scaler/placeholder.h"

enum kind { GRADIENT, FLAT, BLACK, WHITE, CHECKER, NOISE, HOLE, FADE, CLEAR, ALPHA_NOISE };

static const struct {
	enum kind kind;
	unsigned width, height;
	const char *hex;
} vectors[] = {
#define THUMBHASH(kind, width, height, hex) { kind, width, height, hex },
#include "thumbhash.def"
#undef THUMBHASH
};

static uint32_t seed;

static uint8_t noise(void)
{
	seed = seed * 1103515245u + 12345u;
	return seed >> 16 & 255;
}

static uint32_t rgba(unsigned r, unsigned g, unsigned b, unsigned a)
{
	return r | g << 8 | b << 16 | a << 24;
}

static uint32_t pixel(enum kind kind, unsigned x, unsigned y, unsigned w, unsigned h)
{
	unsigned across = 255 * x / w, down = 255 * y / h, r, g, b;

	switch (kind) {
	case GRADIENT:
		return rgba(across, down, 128, 255);
	case FLAT:
		return rgba(200, 37, 90, 255);
	case BLACK:
		return rgba(0, 0, 0, 255);
	case WHITE:
		return rgba(255, 255, 255, 255);
	case CHECKER:
		return ((x >> 3) ^ (y >> 3)) & 1 ? rgba(250, 240, 10, 255) : rgba(10, 20, 200, 255);
	case HOLE:
		return rgba(40, 160, 220, 2 * x < w ? 0 : 255);
	case FADE:
		return rgba(255 - down, 60, across, across);
	case CLEAR:
		return rgba(9, 9, 9, 0);
	case NOISE:
	case ALPHA_NOISE:
		r = noise();
		g = noise();
		b = noise();
		return rgba(r, g, b, kind == NOISE ? 255 : noise());
	}
	return 0;
}

static void make(enum kind kind, unsigned w, unsigned h, struct picture_thumbhash *out)
{
	uint8_t *p = malloc((size_t)w * h * 4); /* exactly, for the sanitizer */
	unsigned x, y, c;

	assert_non_null(p);
	seed = 12345;
	for (y = 0; y < h; y++)
		for (x = 0; x < w; x++) {
			uint32_t value = pixel(kind, x, y, w, h);

			for (c = 0; c < 4; c++)
				p[((size_t)y * w + x) * 4 + c] = (uint8_t)(value >> (8 * c));
		}
	placeholder_make(p, w, h, out);
	free(p);
}

static unsigned hex_nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void the_values_of_another_implementation(void **state UNUSED)
{
	size_t i, k, near = 0, terms = 0;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		enum kind kind = vectors[i].kind;
		bool structured = kind != FLAT && kind != WHITE && kind != CLEAR;
		size_t head = vectors[i].hex[5] >= '8' ? 6 : 5;
		struct picture_thumbhash t;

		make(kind, vectors[i].width, vectors[i].height, &t);
		assert_int_equal(2 * t.len, strlen(vectors[i].hex));
		for (k = 0; k < 2 * (size_t)t.len; k++) {
			unsigned want = hex_nibble(vectors[i].hex[k]);
			unsigned got = k % 2 ? t.bytes[k / 2] & 15 : t.bytes[k / 2] >> 4;
			bool exact = k < 2 * head || kind == NOISE || kind == ALPHA_NOISE;

			if (k >= 2 * head &&
			    (!structured || MIN_OF(vectors[i].width, vectors[i].height) < 3))
				continue;
			if (exact ? got != want : got > want + 1 || want > got + 1)
				fail_msg("vector %zu, nibble %zu: %x, not %x", i, k, got, want);
			terms++;
			near += got != want;
		}
	}
	/* Nearly all are the same to the last bit. */
	assert_true(terms > 1000 && near * 10 < terms);
}

static void what_no_size_is(void **state UNUSED)
{
	static const uint8_t p[4];
	struct picture_thumbhash t = { .len = 9 };

	placeholder_make(p, 0, 1, &t);
	assert_int_equal(t.len, 0);
	placeholder_make(p, 1, 0, &t);
	assert_int_equal(t.len, 0);
	placeholder_make(p, PLACEHOLDER_SIDE + 1, 1, &t);
	assert_int_equal(t.len, 0);
}

static void every_size_keeps_its_cap(void **state UNUSED)
{
	struct picture_thumbhash t;
	unsigned w, h;

	for (w = 1; w <= PLACEHOLDER_SIDE; w += 11)
		for (h = 1; h <= PLACEHOLDER_SIDE; h += 9) {
			make(NOISE, w, h, &t);
			assert_in_range(t.len, PICTURE_THUMBHASH_MIN, PICTURE_THUMBHASH_MAX);
			assert_true(picture_thumbhash_is_sane(&t));
			make(ALPHA_NOISE, w, h, &t);
			assert_in_range(t.len, PICTURE_THUMBHASH_MIN, PICTURE_THUMBHASH_MAX);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_values_of_another_implementation),
		cmocka_unit_test(what_no_size_is),
		cmocka_unit_test(every_size_keeps_its_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
