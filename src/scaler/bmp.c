/* SPDX-License-Identifier: MIT */
/*
 * bmp - see bmp.h. Rows are taken in the file's order, mostly from the bottom; the small picture is
 * turned over at the end.
 */
#include "config.h"

#include "scaler/bmp.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "scaler/reduce.h"

#define FILE_HEAD  14
#define OS2_INFO   12  /* the oldest header: short sides, palette without padding */
#define PLAIN_INFO 40  /* what has masks in its header is larger */
#define ALPHA_INFO 56  /* from here on there is one for the opacity, too */
#define V4_INFO    108 /* where it counts even if the others are not used */
#define MASKS_AT   (FILE_HEAD + PLAIN_INFO) /* in the header or behind it: the same place */

enum coding { CODING_PLAIN, CODING_RLE8, CODING_RLE4, CODING_MASKS, CODING_ALPHA_MASKS = 6 };

struct mask {
	uint32_t bits;
	unsigned shift;
	uint32_t most;
};

struct bmp {
	const uint8_t *p;
	size_t len;
	uint32_t offset; /* of the pixels */
	uint32_t info;   /* the header's size */
	uint32_t width, height;
	uint32_t bits, coding;
	bool from_top;
	struct mask masks[4]; /* red, green, blue, opacity; no bits: opaque */
	uint8_t palette[256][3];
	struct reduce reduce;
	uint8_t *row; /* owned: RGB, or RGBA where reduce has that */
};

static struct mask mask_of(uint32_t bits)
{
	struct mask m = { .bits = bits };

	if (bits) {
		m.shift = (unsigned)__builtin_ctz(bits);
		m.most = bits >> m.shift;
	}
	return m;
}

static uint8_t mask_take(const struct mask *m, uint32_t pixel)
{
	uint64_t v = (pixel & m->bits) >> m->shift;

	return m->bits ? (uint8_t)((v * 255 + m->most / 2) / m->most) : 0;
}

static int read_masks(struct bmp *b)
{
	bool given = b->coding == CODING_MASKS || b->coding == CODING_ALPHA_MASKS;
	bool with_alpha = b->info >= V4_INFO || (given && b->info >= ALPHA_INFO) ||
			  b->coding == CODING_ALPHA_MASKS;
	unsigned i;

	if ((given || with_alpha) && b->len < MASKS_AT + 16)
		return ERR_SYNTAX;
	for (i = 0; i < 3; i++)
		if (given)
			b->masks[i] = mask_of(le32(b->p + MASKS_AT + 4 * i));
		else if (b->bits == 16)
			b->masks[i] = mask_of(0x7c00u >> 5 * i);
		else
			b->masks[i] = mask_of(0xff0000u >> 8 * i);
	if (with_alpha)
		b->masks[3] = mask_of(le32(b->p + MASKS_AT + 12));
	return 0;
}

static void read_palette(struct bmp *b)
{
	bool given = b->coding == CODING_MASKS || b->coding == CODING_ALPHA_MASKS;
	size_t at = FILE_HEAD + (size_t)b->info + (given && b->info == PLAIN_INFO ? 12 : 0);
	size_t size = b->info == OS2_INFO ? 3 : 4, n = (size_t)1 << b->bits, i;

	for (i = 0; i < n && at + size <= b->offset && at + size <= b->len; i++, at += size) {
		b->palette[i][0] = b->p[at + 2];
		b->palette[i][1] = b->p[at + 1];
		b->palette[i][2] = b->p[at];
	}
}

static int read_header(struct bmp *b)
{
	const uint8_t *p = b->p;
	uint32_t height;
	int rc = 0;

	if (b->len < FILE_HEAD + PLAIN_INFO)
		return ERR_SYNTAX;
	b->offset = le32(p + 10);
	b->info = le32(p + 14);
	if (b->info == OS2_INFO) {
		b->width = le16(p + 18);
		b->height = le16(p + 20);
		b->bits = le16(p + 24);
	} else {
		height = le32(p + 22);
		b->from_top = height & 0x80000000u;
		b->width = le32(p + 18);
		b->height = b->from_top ? 0u - height : height;
		b->bits = le16(p + 28);
		b->coding = b->info < PLAIN_INFO ? CODING_PLAIN : le32(p + 30);
	}
	if (b->width == 0 || b->width > UINT16_MAX || b->height == 0 || b->height > UINT16_MAX ||
	    b->offset > b->len)
		return ERR_SYNTAX;
	switch (b->bits) {
	case 1:
	case 2:
	case 4:
	case 8:
		read_palette(b);
		break;
	case 16:
	case 32:
		rc = read_masks(b);
		break;
	case 24:
		break;
	default:
		return ERR_UNSUPPORTED;
	}
	if (b->coding == CODING_RLE8)
		return b->bits == 8 ? rc : ERR_SYNTAX;
	if (b->coding == CODING_RLE4)
		return b->bits == 4 ? rc : ERR_SYNTAX;
	if (b->coding != CODING_PLAIN && b->bits != 16 && b->bits != 32)
		return ERR_UNSUPPORTED; /* OS/2 has others by the same numbers */
	return rc;
}

static size_t row_size(const struct bmp *b)
{
	return ((size_t)b->width * b->bits + 31) / 32 * 4;
}

static uint32_t pixel_at(const struct bmp *b, const uint8_t *from, uint32_t x)
{
	return b->bits == 16 ? le16(from + 2 * (size_t)x) : le32(from + 4 * (size_t)x);
}

/* Is any pixel's opacity more than 0? */
static bool has_alpha(const struct bmp *b)
{
	uint32_t x, y;

	if (!b->masks[3].bits)
		return false;
	for (y = 0; y < b->height; y++)
		for (x = 0; x < b->width; x++)
			if (pixel_at(b, b->p + b->offset + y * row_size(b), x) & b->masks[3].bits)
				return true;
	return false;
}

static void put_index(struct bmp *b, uint32_t x, uint8_t index)
{
	uint8_t *to = b->row + (size_t)x * b->reduce.channels;

	memcpy(to, b->palette[index], 3);
	if (b->reduce.channels == 4)
		to[3] = 255;
}

static void put_row(struct bmp *b, const uint8_t *from)
{
	unsigned channels = b->reduce.channels, c;
	uint32_t x;

	for (x = 0; x < b->width; x++) {
		uint8_t *to = b->row + (size_t)x * channels;

		if (b->bits <= 8) {
			unsigned at = x * b->bits % 8;

			put_index(b, x,
				  (uint8_t)(from[x * b->bits / 8] >> (8 - at - b->bits) &
					    ((1u << b->bits) - 1)));
		} else if (b->bits == 24) {
			to[0] = from[3 * (size_t)x + 2];
			to[1] = from[3 * (size_t)x + 1];
			to[2] = from[3 * (size_t)x];
		} else {
			for (c = 0; c < channels; c++)
				to[c] = mask_take(&b->masks[c], pixel_at(b, from, x));
		}
	}
	reduce_add(&b->reduce, b->row);
}

static int read_plain(struct bmp *b)
{
	size_t size = row_size(b);
	uint32_t y;

	for (y = 0; y < b->height; y++)
		put_row(b, b->p + b->offset + y * size);
	return 0;
}

/* What run lengths jump over is transparent. */
static void end_row(struct bmp *b)
{
	reduce_add(&b->reduce, b->row);
	memset(b->row, 0, (size_t)b->width * b->reduce.channels);
}

static uint8_t nibble(const uint8_t *p, unsigned i, bool rle4)
{
	if (!rle4)
		return p[i];
	return i % 2 ? p[i / 2] & 15 : p[i / 2] >> 4;
}

/* n pixels that stand as they are; how many bytes they take, 0: more than there are. */
static size_t read_literal(struct bmp *b, size_t at, unsigned n, uint32_t x)
{
	bool rle4 = b->coding == CODING_RLE4;
	size_t size = rle4 ? (n + 1) / 2 : n;
	unsigned i;

	if (size > b->len - at)
		return 0;
	for (i = 0; i < n && x + i < b->width; i++)
		put_index(b, x + i, nibble(b->p + at, i, rle4));
	return size % 2 && size < b->len - at ? size + 1 : size;
}

static int read_runs(struct bmp *b)
{
	bool rle4 = b->coding == CODING_RLE4;
	size_t at = b->offset, size;
	uint32_t x = 0, y = 0, i;

	while (y < b->height && b->len - at >= 2) {
		uint8_t n = b->p[at], what = b->p[at + 1];
		uint8_t both[2] = { what, what };

		at += 2;
		if (n) {
			for (i = 0; i < n && x < b->width; i++, x++)
				put_index(b, x, nibble(both, i % 2, rle4));
		} else if (what == 0) { /* the row ends */
			end_row(b);
			x = 0;
			y++;
		} else if (what == 1) { /* the picture does */
			for (; y < b->height; y++)
				end_row(b);
		} else if (what == 2) { /* a jump */
			if (b->len - at < 2)
				return ERR_SYNTAX;
			x = MIN_OF(x + b->p[at], b->width);
			for (i = b->p[at + 1]; i && y < b->height; i--, y++)
				end_row(b);
			at += 2;
		} else {
			size = read_literal(b, at, what, x);
			if (!size)
				return ERR_SYNTAX;
			x = MIN_OF(x + what, b->width);
			at += size;
		}
	}
	/* Some writers leave out the last row's end, but no row. */
	if (y + 1 == b->height)
		end_row(b);
	return y + 1 < b->height ? ERR_SYNTAX : 0;
}

static Image *turned_over(Image *image)
{
	ExceptionInfo ex;
	Image *out;

	GetExceptionInfo(&ex);
	out = FlipImage(image, &ex);
	DestroyExceptionInfo(&ex);
	DestroyImage(image);
	return out;
}

Image *bmp_decode(const uint8_t *p, size_t len, uint32_t width, uint32_t height)
{
	struct bmp *b = calloc(1, sizeof(*b));
	bool runs, alpha;
	Image *image = NULL;

	if (!b)
		return NULL;
	b->p = p;
	b->len = len;
	if (read_header(b))
		goto out;
	runs = b->coding == CODING_RLE8 || b->coding == CODING_RLE4;
	if (!runs && row_size(b) * b->height > len - b->offset)
		goto out;
	alpha = runs || has_alpha(b);
	b->row = calloc(b->width, 4);
	if (!b->row || reduce_init(&b->reduce, b->width, b->height, MIN_OF(width, b->width),
				   MIN_OF(height, b->height), alpha ? 4 : 3))
		goto out;
	if ((runs ? read_runs(b) : read_plain(b)) == 0)
		image = reduce_image(&b->reduce);
	if (image && !b->from_top)
		image = turned_over(image);
out:
	reduce_fini(&b->reduce);
	free(b->row);
	free(b);
	return image;
}
