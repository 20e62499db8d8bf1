/* SPDX-License-Identifier: MIT */
/*
 * picture-check - picture_is_clean(): strict walkers over what a decoder child returned.
 *
 * They accept only what our own encoders write: a chunk or marker that is not on the list
 * fails, and so does a byte behind the end. Every walker keeps `at <= len`.
 */
#include "config.h"

#include <string.h>

#include "base/bytes.h"
#include "base/picture.h"

struct size {
	uint32_t width;
	uint32_t height;
};

/* --- JPEG ------------------------------------------------------------------------------ */

/* At the marker behind the entropy-coded data, or len. */
static size_t jpeg_scan_end(const uint8_t *p, size_t len, size_t at)
{
	while (len - at >= 2) {
		if (p[at] == 0xff && p[at + 1] != 0 && (p[at + 1] < 0xd0 || p[at + 1] > 0xd7))
			return at;
		at += p[at] == 0xff ? 2 : 1;
	}
	return len;
}

/* A segment between SOI and EOI; size counts its length field. */
static bool jpeg_segment_is_clean(uint8_t marker, const uint8_t *p, size_t size, struct size want,
				  unsigned *frames)
{
	switch (marker) {
	case 0xe0: /* JFIF without a thumbnail in it */
		return size == 16 && memcmp(p + 2, "JFIF", 5) == 0 && p[14] == 0 && p[15] == 0;
	case 0xc0:
	case 0xc1:
	case 0xc2:
		(*frames)++;
		return size >= 8 && p[2] == 8 && be16(p + 3) == want.height &&
		       be16(p + 5) == want.width && (p[7] == 1 || p[7] == 3) &&
		       size == 8 + 3u * p[7];
	case 0xda:
		return *frames == 1 && size >= 6 && p[2] >= 1 && p[2] <= 4 && size == 6 + 2u * p[2];
	case 0xdd:
		return size == 4;
	default: /* markers are bytes of the file, not an enum */
		return marker == 0xdb || marker == 0xc4;
	}
}

static bool jpeg_is_clean(const uint8_t *p, size_t len, struct size want)
{
	unsigned frames = 0, scans = 0;
	size_t at = 2;

	if (len < 4 || p[0] != 0xff || p[1] != 0xd8)
		return false;
	while (len - at >= 2) {
		uint8_t marker = p[at + 1];
		size_t size;

		if (p[at] != 0xff)
			return false;
		at += 2;
		if (marker == 0xd9)
			return frames == 1 && scans && at == len;
		if (len - at < 2)
			return false;
		size = be16(p + at);
		if (size < 2 || size > len - at ||
		    !jpeg_segment_is_clean(marker, p + at, size, want, &frames))
			return false;
		at += size;
		if (marker == 0xda) {
			scans++;
			at = jpeg_scan_end(p, len, at);
		}
	}
	return false;
}

/* --- PNG ------------------------------------------------------------------------------- */

static uint32_t png_crc(const uint8_t *p, size_t len)
{
	uint32_t crc = 0xffffffffu;
	size_t i;
	int bit;

	for (i = 0; i < len; i++) {
		crc ^= p[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}

/* Chunks in the only order that our encoder writes: IHDR PLTE? tRNS? IDAT... IEND. */
enum png_place { PNG_START, PNG_HEADER, PNG_PALETTE, PNG_ALPHA, PNG_DATA, PNG_END };

static bool png_step(enum png_place *place, const uint8_t *type, size_t size)
{
	static const struct {
		const char *type;
		enum png_place first, last, next;
	} steps[] = {
		{ "IHDR", PNG_START, PNG_START, PNG_HEADER },
		{ "PLTE", PNG_HEADER, PNG_HEADER, PNG_PALETTE },
		{ "tRNS", PNG_HEADER, PNG_PALETTE, PNG_ALPHA },
		{ "IDAT", PNG_HEADER, PNG_DATA, PNG_DATA },
		{ "IEND", PNG_DATA, PNG_DATA, PNG_END },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (memcmp(type, steps[i].type, 4) != 0)
			continue;
		if (*place < steps[i].first || *place > steps[i].last)
			return false;
		*place = steps[i].next;
		if (*place == PNG_HEADER)
			return size == 13;
		if (*place == PNG_PALETTE)
			return size >= 3 && size <= 768 && size % 3 == 0;
		if (*place == PNG_ALPHA)
			return size >= 1 && size <= 256;
		return *place == PNG_DATA || size == 0;
	}
	return false;
}

static bool png_is_clean(const uint8_t *p, size_t len, struct size want)
{
	enum png_place place = PNG_START;
	size_t at = 8;

	if (len < 8 || memcmp(p, "\x89PNG\r\n\x1a\n", 8) != 0)
		return false;
	while (place != PNG_END && len - at >= 12) {
		const uint8_t *chunk = p + at;
		uint32_t size = be32(chunk);

		if (size > len - at - 12 || !png_step(&place, chunk + 4, size))
			return false;
		if (png_crc(chunk + 4, (size_t)size + 4) != be32(chunk + 8 + size))
			return false;
		if (place == PNG_HEADER &&
		    (be32(chunk + 8) != want.width || be32(chunk + 12) != want.height))
			return false;
		at += 12 + (size_t)size;
	}
	return place == PNG_END && at == len;
}

/* --- WebP ------------------------------------------------------------------------------ */

#define VP8X_ALPHA 0x10

/* Chunks of one still picture: VP8, VP8L, or VP8X ALPH? VP8, or VP8X VP8L. */
struct webp_seen {
	bool canvas;
	bool alpha;
	bool data;
};

static bool webp_chunk_is_clean(const uint8_t *p, size_t size, struct size want,
				struct webp_seen *seen)
{
	const uint8_t *body = p + 8;

	if (seen->data)
		return false;
	if (memcmp(p, "VP8X", 4) == 0) {
		bool first = !seen->canvas && !seen->alpha;

		seen->canvas = true;
		return first && size == 10 && (body[0] & ~VP8X_ALPHA) == 0 &&
		       le24(body + 4) + 1 == want.width && le24(body + 7) + 1 == want.height;
	}
	if (memcmp(p, "ALPH", 4) == 0) {
		bool first = seen->canvas && !seen->alpha;

		seen->alpha = true;
		return first && size >= 2;
	}
	seen->data = true;
	if (memcmp(p, "VP8 ", 4) == 0)
		return size >= 10 && memcmp(body + 3, "\x9d\x01\x2a", 3) == 0 &&
		       le16(body + 6) == want.width && le16(body + 8) == want.height;
	return memcmp(p, "VP8L", 4) == 0 && !seen->alpha && size >= 5 && body[0] == 0x2f &&
	       (le32(body + 1) & 0x3fff) + 1 == want.width &&
	       (le32(body + 1) >> 14 & 0x3fff) + 1 == want.height;
}

static bool webp_is_clean(const uint8_t *p, size_t len, struct size want)
{
	struct webp_seen seen = { false, false, false };
	size_t at = 12;

	if (len < 20 || len % 2 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WEBP", 4) != 0 ||
	    le32(p + 4) != len - 8)
		return false;
	while (len - at >= 8) {
		size_t size = le32(p + at + 4);

		if (size > len - at - 8 || !webp_chunk_is_clean(p + at, size, want, &seen))
			return false;
		at += 8 + size;
		if (size % 2) { /* len is even, so the padding byte is there */
			if (p[at] != 0)
				return false;
			at++;
		}
	}
	return seen.data && at == len;
}

bool picture_is_clean(enum picture_format f, const uint8_t *p, size_t len, uint32_t width,
		      uint32_t height)
{
	struct size want = { width, height };

	switch (f) {
	case PICTURE_JPEG:
		return jpeg_is_clean(p, len, want);
	case PICTURE_PNG:
		return png_is_clean(p, len, want);
	case PICTURE_WEBP:
		return webp_is_clean(p, len, want);
	case PICTURE_NONE:
	case PICTURE_GIF:
	case PICTURE_BMP:
	case PICTURE_HEIC:
	case PICTURE_AVIF:
	case PICTURE_FORMAT_COUNT:
		break; /* never written by us */
	}
	return false;
}
