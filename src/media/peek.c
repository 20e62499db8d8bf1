/* SPDX-License-Identifier: MIT */
/*
 * peek - see peek.h.
 *
 * A step needs so many bytes and looks at them once they are there; only JPEG has more than one.
 */
#include "config.h"

#include "media/peek.h"

#include <string.h>

#include "base/bytes.h"

/* Steps of a JPEG. */
enum { JPEG_START, JPEG_FF, JPEG_MARKER, JPEG_LENGTH, JPEG_FRAME };

static void peek_end(struct peek *p, uint32_t width, uint32_t height)
{
	p->done = true;
	p->width = width;
	p->height = height;
}

static void peek_next(struct peek *p, unsigned step, unsigned want)
{
	p->step = step;
	p->want = want;
}

static bool jpeg_is_frame(uint8_t marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
	       marker != 0xcc;
}

static void jpeg_on_marker(struct peek *p)
{
	uint8_t marker = p->room[0];

	if (marker == 0xff) /* fill bytes */
		return;
	p->marker = marker;
	/* Scan data, or the end: decoders want the frame's header before. */
	if (marker == 0xda || marker == 0xd9)
		peek_end(p, 0, 0);
	else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8))
		peek_next(p, JPEG_FF, 1);
	else
		peek_next(p, JPEG_LENGTH, 2);
}

static void jpeg_on_length(struct peek *p)
{
	uint32_t size = be16(p->room);
	bool frame = jpeg_is_frame(p->marker);

	if (size < 2 || (frame && size < 8)) {
		peek_end(p, 0, 0);
	} else if (frame) {
		peek_next(p, JPEG_FRAME, 5);
	} else {
		p->skip = size - 2;
		peek_next(p, JPEG_FF, 1);
	}
}

static void jpeg_step(struct peek *p)
{
	switch (p->step) {
	case JPEG_START:
		peek_next(p, JPEG_FF, 1);
		break;
	case JPEG_FF: /* decoders pass over stray bytes between segments */
		if (p->room[0] == 0xff)
			peek_next(p, JPEG_MARKER, 1);
		break;
	case JPEG_MARKER:
		jpeg_on_marker(p);
		break;
	case JPEG_LENGTH:
		jpeg_on_length(p);
		break;
	case JPEG_FRAME:
		peek_end(p, be16(p->room + 3), be16(p->room + 1));
		break;
	}
}

static void webp_step(struct peek *p)
{
	const uint8_t *chunk = p->room + 12, *body = chunk + 8;

	if (memcmp(chunk, "VP8X", 4) == 0)
		peek_end(p, le24(body + 4) + 1, le24(body + 7) + 1);
	else if (memcmp(chunk, "VP8 ", 4) == 0 && memcmp(body + 3, "\x9d\x01\x2a", 3) == 0)
		peek_end(p, le16(body + 6) & 0x3fff, le16(body + 8) & 0x3fff);
	else if (memcmp(chunk, "VP8L", 4) == 0)
		peek_end(p, (le32(body + 1) & 0x3fff) + 1, (le32(body + 1) >> 14 & 0x3fff) + 1);
	else
		peek_end(p, 0, 0);
}

static void bmp_step(struct peek *p)
{
	uint32_t height = le32(p->room + 22);

	if (le32(p->room + 14) == 12)
		peek_end(p, le16(p->room + 18), le16(p->room + 20));
	else /* negative: rows from the top */
		peek_end(p, le32(p->room + 18), height & 0x80000000u ? 0u - height : height);
}

static void png_step(struct peek *p)
{
	peek_end(p, be32(p->room + 16), be32(p->room + 20));
}

static void gif_step(struct peek *p)
{
	peek_end(p, le16(p->room + 6), le16(p->room + 8));
}

/* How much of the file a format's first step needs. A format without a row tells nothing. */
static const struct {
	unsigned want;
	void (*step)(struct peek *p);
} formats[PICTURE_FORMAT_COUNT] = {
	[PICTURE_JPEG] = { 2, jpeg_step }, [PICTURE_PNG] = { 24, png_step },
	[PICTURE_GIF] = { 10, gif_step },  [PICTURE_WEBP] = { 30, webp_step },
	[PICTURE_BMP] = { 26, bmp_step },
};

void peek_init(struct peek *p, enum picture_format format)
{
	*p = (struct peek){ .format = format, .want = formats[format].want };
	p->done = p->want == 0;
}

void peek_add(struct peek *p, const uint8_t *bytes, size_t len)
{
	size_t n;

	while (len && !p->done) {
		n = MIN_OF(len, (size_t)(p->skip ? p->skip : p->want - p->have));
		if (p->skip) {
			p->skip -= (uint32_t)n;
		} else {
			memcpy(p->room + p->have, bytes, n);
			p->have += (unsigned)n;
		}
		bytes += n;
		len -= n;
		if (p->have == p->want) {
			p->have = 0;
			formats[p->format].step(p);
		}
	}
}

bool peek_is_too_big(const struct peek *p, uint32_t max_side, uint64_t max_pixels,
		     uint64_t max_pixels_jpeg)
{
	uint64_t max = p->format == PICTURE_JPEG ? max_pixels_jpeg : max_pixels;

	if (p->width == 0 || p->height == 0)
		return false;
	return p->width > max_side || p->height > max_side || (uint64_t)p->width * p->height > max;
}
