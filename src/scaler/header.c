/* SPDX-License-Identifier: MIT */
/*
 * header - see header.h: one walker per format over untrusted bytes.
 *
 * Every walker keeps `at <= len` and compares what it wants with `len - at`.
 */
#include "config.h"

#include "scaler/header.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "scaler/header-heif.h"

/* The attack is tens of thousands of tiny scans; cameras and encoders write at most a few dozen. */
#define JPEG_SCANS_MAX 100

static void header_grow(struct header *h, uint32_t width, uint32_t height)
{
	h->width = MAX_OF(h->width, width);
	h->height = MAX_OF(h->height, height);
}

static uint32_t exif16(const uint8_t *p, bool big)
{
	return big ? be16(p) : le16(p);
}

static uint32_t exif32(const uint8_t *p, bool big)
{
	return big ? be32(p) : le32(p);
}

/* Orientation (tag 0x112, one SHORT) of the first directory; the first EXIF block counts, whatever
 * it says. */
static void exif_read(const uint8_t *p, size_t len, struct header *out)
{
	uint32_t at, n;
	bool big;

	if (out->has_exif)
		return;
	out->has_exif = true;
	if (len >= 6 && memcmp(p, "Exif", 5) == 0) {
		p += 6;
		len -= 6;
	}
	if (len < 8 || (memcmp(p, "II*\0", 4) != 0 && memcmp(p, "MM\0*", 4) != 0))
		return;
	big = p[0] == 'M';
	at = exif32(p + 4, big);
	if (at > len || len - at < 2)
		return;
	n = exif16(p + at, big);
	for (at += 2; n && len - at >= 12; n--, at += 12) {
		uint32_t value = exif16(p + at + 8, big);

		if (exif16(p + at, big) != 0x112)
			continue;
		if (exif16(p + at + 2, big) == 3 && exif32(p + at + 4, big) == 1 && value >= 1 &&
		    value <= 8)
			out->orientation = value;
		return;
	}
}

static bool jpeg_is_frame(uint8_t marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
	       marker != 0xcc;
}

/* Entropy-coded data ends at the first marker that is neither stuffing nor a restart. */
static size_t jpeg_skip_scan(const uint8_t *p, size_t len, size_t at)
{
	while (at < len) {
		const uint8_t *ff = memchr(p + at, 0xff, len - at);

		if (!ff)
			return len;
		at = (size_t)(ff - p);
		if (len - at < 2)
			return len;
		if (p[at + 1] == 0xff)
			at++;
		else if (p[at + 1] == 0 || (p[at + 1] >= 0xd0 && p[at + 1] <= 0xd7))
			at += 2;
		else
			return at;
	}
	return len;
}

static int jpeg_read(const uint8_t *p, size_t len, struct header *out)
{
	unsigned scans = 0;
	size_t at = 2;

	if (len < 4 || p[0] != 0xff || p[1] != 0xd8)
		return ERR_SYNTAX;
	for (;;) {
		const uint8_t *ff = memchr(p + at, 0xff, len - at);
		uint8_t marker;
		size_t size;

		/* Decoders skip stray bytes between segments, and some writers leave them. */
		at = ff ? (size_t)(ff - p) : len;
		while (at < len && p[at] == 0xff)
			at++;
		if (at == len)
			return ERR_SYNTAX;
		marker = p[at++];
		if (marker == 0xd9)
			return scans && out->width ? 0 : ERR_SYNTAX;
		if (marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8))
			continue;
		if (len - at < 2)
			return ERR_SYNTAX;
		size = be16(p + at);
		if (size < 2 || size > len - at)
			return ERR_SYNTAX;
		if (jpeg_is_frame(marker)) {
			if (size < 8)
				return ERR_SYNTAX;
			header_grow(out, be16(p + at + 5), be16(p + at + 3));
		}
		/* What stands behind the first scan browsers do not see; the byte behind Exif\0 is
		 * padding of any value. */
		if (marker == 0xe1 && !scans && size >= 8 && memcmp(p + at + 2, "Exif", 5) == 0)
			exif_read(p + at + 2, size - 2, out);
		at += size;
		if (marker == 0xda) {
			if (++scans > JPEG_SCANS_MAX)
				return ERR_SYNTAX;
			at = jpeg_skip_scan(p, len, at);
		}
	}
}

/* The first gAMA or cHRM counts; a profile, or another word on the colours, is more than either. */
struct png_colors {
	uint32_t gamma;
	bool has_points, overruled;
};

/* A chunk before the pixels. */
static void png_take(const uint8_t *name, const uint8_t *body, uint32_t size, bool plain_rgb,
		     struct png_colors *c, struct header *out)
{
	static const char *const stronger[] = { "iCCP", "sRGB", "cICP" };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(stronger); i++)
		if (memcmp(name, stronger[i], 4) == 0)
			c->overruled = true;
	if (memcmp(name, "gAMA", 4) == 0 && size == 4 && !c->gamma) {
		c->gamma = be32(body);
	} else if (memcmp(name, "cHRM", 4) == 0 && size == 32 && !c->has_points) {
		c->has_points = true;
		for (i = 0; i < 8; i++)
			out->png.points[i] = be32(body + 4 * i);
	} else if (memcmp(name, "tRNS", 4) == 0 && size == 6 && plain_rgb && !out->png.has_key) {
		out->png.has_key = true;
		for (i = 0; i < 3; i++)
			out->png.key[i] = body[2 * i + 1];
	} else if (memcmp(name, "eXIf", 4) == 0 && size >= 4 && memcmp(body, "Exif", 4) != 0) {
		exif_read(body, size, out);
	}
}

static void png_choose_colors(const struct png_colors *c, struct header_png *out)
{
	static const uint32_t srgb[8] = { 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000 };

	if (!c->overruled)
		out->gamma = c->gamma;
	if (!c->has_points)
		memcpy(out->points, srgb, sizeof(srgb));
}

static int png_read(const uint8_t *p, size_t len, struct header *out)
{
	struct png_colors colors = { 0 };
	size_t at = 8;
	bool data = false;

	if (len < 33 || memcmp(p, "\x89PNG\r\n\x1a\n", 8) != 0 || memcmp(p + 12, "IHDR", 4) != 0 ||
	    be32(p + 8) != 13)
		return ERR_SYNTAX;
	header_grow(out, be32(p + 16), be32(p + 20));
	while (len - at >= 12) {
		uint32_t size = be32(p + at);

		if (size > len - at - 12)
			return ERR_SYNTAX;
		if (memcmp(p + at + 4, "IDAT", 4) == 0)
			data = true;
		if (!data)
			png_take(p + at + 4, p + at + 8, size, p[24] == 8 && p[25] == 2, &colors,
				 out);
		if (memcmp(p + at + 4, "IEND", 4) == 0) {
			png_choose_colors(&colors, &out->png);
			return data ? 0 : ERR_SYNTAX;
		}
		at += 12 + (size_t)size;
	}
	return ERR_SYNTAX;
}

/* Behind the sub-blocks that start at `at`, or 0 when they do not end. */
static size_t gif_skip_blocks(const uint8_t *p, size_t len, size_t at)
{
	while (at < len) {
		size_t size = p[at++];

		if (size == 0)
			return at;
		if (size > len - at)
			return 0;
		at += size;
	}
	return 0;
}

static size_t gif_table(uint8_t flags)
{
	return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

static int gif_read(const uint8_t *p, size_t len, struct header *out)
{
	size_t at;

	if (len < 13 || (memcmp(p, "GIF87a", 6) != 0 && memcmp(p, "GIF89a", 6) != 0))
		return ERR_SYNTAX;
	header_grow(out, le16(p + 6), le16(p + 8));
	at = 13 + gif_table(p[10]);
	while (at < len && p[at] == '!') {
		if (len - at < 2)
			return ERR_SYNTAX;
		at = gif_skip_blocks(p, len, at + 2);
		if (at == 0)
			return ERR_SYNTAX;
	}
	if (at >= len || len - at < 11 || p[at] != ',')
		return ERR_SYNTAX;
	if (le16(p + at + 5) == 0 || le16(p + at + 7) == 0)
		return ERR_SYNTAX;
	out->framed = true;
	out->left = le16(p + at + 1);
	out->top = le16(p + at + 3);
	header_grow(out, out->left + le16(p + at + 5), out->top + le16(p + at + 7));
	at += 10 + gif_table(p[at + 9]);
	if (at >= len || gif_skip_blocks(p, len, at + 1) == 0)
		return ERR_SYNTAX;
	return 0;
}

struct webp {
	bool begun;    /* behind the first chunk: the only place where decoders look for VP8X */
	bool animated; /* stills beside the frames do not count then */
	bool data;
	struct header *header;
};

/* The chunk that starts at `at`: its size with head and padding; 0: it does not end. */
static size_t webp_chunk_size(const uint8_t *p, size_t at, size_t end)
{
	size_t size;

	if (end - at < 8)
		return 0;
	size = le32(p + at + 4);
	if (size > end - at - 8)
		return 0;
	return 8 + size + (size % 2 && size < end - at - 8);
}

/* Dimensions, when it is a coded picture; *data_out: it is one. */
static int webp_bitstream(const uint8_t *p, size_t size, bool *data_out, struct header *out)
{
	const uint8_t *body = p + 8;

	if (memcmp(p, "VP8 ", 4) == 0) {
		if (size < 10 || memcmp(body + 3, "\x9d\x01\x2a", 3) != 0)
			return ERR_SYNTAX;
		header_grow(out, le16(body + 6) & 0x3fff, le16(body + 8) & 0x3fff);
		*data_out = true;
	} else if (memcmp(p, "VP8L", 4) == 0) {
		if (size < 5 || body[0] != 0x2f)
			return ERR_SYNTAX;
		header_grow(out, (le32(body + 1) & 0x3fff) + 1,
			    (le32(body + 1) >> 14 & 0x3fff) + 1);
		*data_out = true;
	}
	return 0;
}

/* The first frame: within the canvas, and its picture as large as it says. */
static int webp_frame(const uint8_t *body, size_t size, struct webp *w)
{
	struct header *h = w->header, own = { 0 };
	size_t at = 16, step;
	uint32_t width, height;

	if (size < at)
		return ERR_SYNTAX;
	h->framed = true;
	h->left = 2 * le24(body);
	h->top = 2 * le24(body + 3);
	width = le24(body + 6) + 1;
	height = le24(body + 9) + 1;
	if (h->left + width > h->width || h->top + height > h->height)
		return ERR_SYNTAX;
	for (; at < size; at += step) {
		int rc;

		step = webp_chunk_size(body, at, size);
		if (!step)
			return ERR_SYNTAX;
		rc = webp_bitstream(body + at, le32(body + at + 4), &w->data, &own);
		if (rc)
			return rc;
	}
	return own.width == width && own.height == height ? 0 : ERR_SYNTAX;
}

static int webp_chunk(const uint8_t *p, size_t size, struct webp *w)
{
	const uint8_t *body = p + 8;

	if (memcmp(p, "VP8X", 4) == 0) {
		if (size < 10 || w->begun) /* else our first frame is not everybody's */
			return ERR_SYNTAX;
		w->animated = body[0] & 0x02;
		header_grow(w->header, le24(body + 4) + 1, le24(body + 7) + 1);
	} else if (memcmp(p, "EXIF", 4) == 0) {
		exif_read(body, size, w->header);
	} else if (w->animated) {
		if (memcmp(p, "ANMF", 4) == 0 && !w->header->framed)
			return webp_frame(body, size, w);
	} else {
		return webp_bitstream(p, size, &w->data, w->header);
	}
	return 0;
}

static int webp_read(const uint8_t *p, size_t len, struct header *out)
{
	struct webp w = { .header = out };
	size_t at = 12, end, step;
	int rc;

	if (len < 20 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WEBP", 4) != 0)
		return ERR_SYNTAX;
	end = (size_t)le32(p + 4) + 8;
	if (end < 20 || end > len)
		return ERR_SYNTAX;
	for (; end - at >= 8; at += step) {
		step = webp_chunk_size(p, at, end);
		if (!step)
			return ERR_SYNTAX;
		rc = webp_chunk(p + at, le32(p + at + 4), &w);
		if (rc)
			return rc;
		w.begun = true;
	}
	return w.data ? 0 : ERR_SYNTAX;
}

static int bmp_read(const uint8_t *p, size_t len, struct header *out)
{
	uint32_t offset, info, bits, coding = 0;
	uint64_t stride;

	if (len < 54 || p[0] != 'B' || p[1] != 'M')
		return ERR_SYNTAX;
	offset = le32(p + 10);
	info = le32(p + 14);
	if (info == 12) {
		header_grow(out, le16(p + 18), le16(p + 20));
		bits = le16(p + 24);
	} else if (info == 16 || (info >= 40 && info <= 256)) {
		uint32_t height = le32(p + 22);

		/* Negative: rows from the top. Negating the smallest number gives it again: too
		 * big. */
		header_grow(out, le32(p + 18), height & 0x80000000u ? 0u - height : height);
		bits = le16(p + 28);
		coding = info == 16 ? 0 : le32(p + 30);
	} else {
		return ERR_SYNTAX;
	}
	if (bits > 32 || offset >= len)
		return ERR_SYNTAX;
	if (coding == 1 || coding == 2) /* run lengths: only the file's own size shows a cut */
		return le32(p + 2) <= len ? 0 : ERR_SYNTAX;
	if (coding != 0 && coding != 3 && coding != 6)
		return ERR_UNSUPPORTED;
	stride = ((uint64_t)out->width * bits + 31) / 32 * 4;
	return stride * out->height <= len - offset ? 0 : ERR_SYNTAX;
}

int header_read(enum picture_format f, const uint8_t *p, size_t len, struct header *out)
{
	int rc = ERR_UNSUPPORTED;

	memset(out, 0, sizeof(*out));
	switch (f) {
	case PICTURE_JPEG:
		rc = jpeg_read(p, len, out);
		break;
	case PICTURE_PNG:
		rc = png_read(p, len, out);
		break;
	case PICTURE_GIF:
		rc = gif_read(p, len, out);
		break;
	case PICTURE_WEBP:
		rc = webp_read(p, len, out);
		break;
	case PICTURE_BMP:
		rc = bmp_read(p, len, out);
		break;
	case PICTURE_HEIC:
	case PICTURE_AVIF:
		rc = header_heif(p, len, out);
		break;
	case PICTURE_NONE:
	case PICTURE_FORMAT_COUNT:
		break;
	}
	if (!rc && (out->width == 0 || out->height == 0))
		rc = ERR_SYNTAX;
	return rc;
}
