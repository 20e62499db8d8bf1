/* SPDX-License-Identifier: MIT */
/*
 * encode - see encode.h; the ladders are those of design.md 7, with steps between a large box
 * and 96 pixels, so that a picture that just misses its size is not cut to a third.
 */
#include "config.h"

#include "scaler/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One try: how to write, in which box at most. */
struct rung {
	enum picture_format format;
	unsigned quality; /* JPEG, WebP */
	unsigned colors;  /* PNG; 0: all */
	unsigned side;    /* box; 0: the request's */
};

#define LADDER_MAX 14

/* How much smaller than png_estimate() a PNG may come out; 2 was enough in 600 pictures. */
#define PNG_GAIN_MAX     3
#define PNG_QUICK_PIXELS 4096 /* up to here nothing is worth estimating */

/* Sides that are no smaller than the box are passed over. */
/* clang-format off */
static const struct rung ladder_jpeg[] = {
	{ PICTURE_JPEG, 75, 0, 0 }, { PICTURE_JPEG, 60, 0, 0 }, { PICTURE_JPEG, 50, 0, 0 },
	{ PICTURE_JPEG, 50, 0, 192 }, { PICTURE_JPEG, 50, 0, 128 }, { PICTURE_JPEG, 50, 0, 96 },
	{ PICTURE_JPEG, 50, 0, 64 },
};
static const struct rung ladder_png[] = {
	{ PICTURE_PNG, 0, 0, 0 }, { PICTURE_PNG, 0, 256, 0 }, { PICTURE_PNG, 0, 64, 0 },
	{ PICTURE_PNG, 0, 64, 192 }, { PICTURE_PNG, 0, 64, 128 }, { PICTURE_PNG, 0, 64, 96 },
	{ PICTURE_PNG, 0, 64, 64 },
};
static const struct rung ladder_webp[] = {
	{ PICTURE_WEBP, 75, 0, 0 }, { PICTURE_WEBP, 60, 0, 0 }, { PICTURE_WEBP, 50, 0, 0 },
	{ PICTURE_WEBP, 50, 0, 192 }, { PICTURE_WEBP, 50, 0, 128 }, { PICTURE_WEBP, 50, 0, 96 },
	{ PICTURE_WEBP, 50, 0, 64 },
};
/* clang-format on */

static const char *const coder[PICTURE_FORMAT_COUNT] = {
	[PICTURE_JPEG] = "JPEG",
	[PICTURE_PNG] = "PNG",
	[PICTURE_WEBP] = "WEBP",
};

void encode_fit(uint32_t width, uint32_t height, uint32_t box_width, uint32_t box_height,
		uint32_t *w_out, uint32_t *h_out)
{
	uint64_t w = width, h = height;

	if (w > box_width) {
		h = (h * box_width + w / 2) / w;
		w = box_width;
	}
	if (h > box_height) {
		w = ((uint64_t)width * box_height + height / 2) / height;
		h = box_height;
	}
	*w_out = (uint32_t)MAX_OF(MIN_OF(w, box_width), 1u);
	*h_out = (uint32_t)MAX_OF(h, 1u);
}

/* Drops every chunk but the five that make the picture: gamma, dates, offsets. Returns the new
 * length. */
static size_t png_trim(uint8_t *p, size_t len)
{
	static const char keep[][5] = { "IHDR", "PLTE", "tRNS", "IDAT", "IEND" };
	size_t at = 8, to = 8, i;

	while (at <= len && len - at >= 12) {
		size_t size = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 |
			      (size_t)p[at + 2] << 8 | p[at + 3];

		if (size > len - at - 12)
			break;
		size += 12;
		for (i = 0; i < ARRAY_SIZE(keep); i++)
			if (memcmp(p + at + 4, keep[i], 4) == 0)
				break;
		if (i < ARRAY_SIZE(keep)) {
			memmove(p + to, p + at, size);
			to += size;
		}
		at += size;
	}
	return to;
}

/* JPEG knows no alpha: white behind it. */
static void flatten_white(Image *image)
{
	unsigned long x, y;

	for (y = 0; y < image->rows; y++) {
		PixelPacket *q = GetImagePixels(image, 0, (long)y, image->columns, 1);

		if (!q)
			return;
		for (x = 0; x < image->columns; x++, q++) {
			unsigned long a = MaxRGB - q->opacity, b = q->opacity;

			q->red = (Quantum)((q->red * a + MaxRGB * b) / MaxRGB);
			q->green = (Quantum)((q->green * a + MaxRGB * b) / MaxRGB);
			q->blue = (Quantum)((q->blue * a + MaxRGB * b) / MaxRGB);
			q->opacity = OpaqueOpacity;
		}
		(void)SyncImagePixels(image);
	}
	image->matte = MagickFalse;
}

/* The picture of this rung: scaled, flattened, quantised. The caller destroys it. */
static Image *rung_image(const Image *image, const struct rung *r,
			 const struct picture_request *req, ExceptionInfo *ex)
{
	uint32_t bw = r->side ? MIN_OF(r->side, req->width) : req->width;
	uint32_t bh = r->side ? MIN_OF(r->side, req->height) : req->height;
	uint32_t w, h;
	Image *out;

	encode_fit((uint32_t)image->columns, (uint32_t)image->rows, bw, bh, &w, &h);
	if (w == image->columns && h == image->rows)
		out = CloneImage(image, 0, 0, MagickTrue, ex);
	else
		out = ThumbnailImage(image, w, h, ex);
	if (!out)
		return NULL;
	(void)SetImageType(out, out->matte ? TrueColorMatteType : TrueColorType);
	if (out->matte && r->format == PICTURE_JPEG)
		flatten_white(out);
	if (r->colors) {
		QuantizeInfo q;

		GetQuantizeInfo(&q);
		q.number_colors = r->colors;
		q.dither = MagickTrue;
		(void)QuantizeImage(&q, out);
	}
	(void)StripImage(out);
	out->depth = 8;
	out->page.x = 0;
	out->page.y = 0;
	out->page.width = 0;
	out->page.height = 0;
	return out;
}

/* The file of one rung; NULL: the encoder failed. The caller frees it. */
static uint8_t *rung_write(const Image *image, const struct rung *r,
			   const struct picture_request *req, struct picture_result *res)
{
	ImageInfo *info = CloneImageInfo(NULL);
	ExceptionInfo ex;
	Image *out;
	uint8_t *p = NULL;

	GetExceptionInfo(&ex);
	out = rung_image(image, r, req, &ex);
	if (out) {
		snprintf(info->filename, sizeof(info->filename), "%s:", coder[r->format]);
		snprintf(out->filename, sizeof(out->filename), "%s:", coder[r->format]);
		snprintf(out->magick, sizeof(out->magick), "%s", coder[r->format]);
		info->quality = r->format == PICTURE_PNG
					? 95
					: r->quality; /* PNG: level 9, adaptive filters */
		info->depth = 8;
		p = ImageToBlob(info, out, &res->len, &ex);
		res->format = r->format;
		res->width = (uint16_t)out->columns;
		res->height = (uint16_t)out->rows;
		DestroyImage(out);
	}
	if (p && r->format == PICTURE_PNG)
		res->len = png_trim(p, res->len);
	DestroyImageInfo(info);
	DestroyExceptionInfo(&ex);
	return p;
}

/* Bits of n values, each as often as counts[] says, by their entropy. */
static double entropy_bits(const uint32_t counts[256], uint32_t n)
{
	double bits = 0;
	unsigned i;

	for (i = 0; i < 256; i++)
		if (counts[i])
			bits += counts[i] * log2((double)n / counts[i]);
	return bits;
}

/* What a PNG's rows hold, roughly as deflate sees it. */
struct rows {
	uint32_t counts[256]; /* differences from the pixel before or above */
	uint32_t n;
	uint32_t fresh; /* of two pixels in a row that were not there yet */
	uint8_t seen[1 << 14];
};

static uint32_t pixel_bytes(const PixelPacket *q)
{
	return (uint32_t)ScaleQuantumToChar(q->red) << 16 |
	       (uint32_t)ScaleQuantumToChar(q->green) << 8 | ScaleQuantumToChar(q->blue);
}

static void rows_add(struct rows *r, const PixelPacket *row, const PixelPacket *above,
		     unsigned long width)
{
	uint32_t across = 0, down = 0, last = 0;
	unsigned long x;

	for (x = 1; x < width; x++) {
		uint8_t green = ScaleQuantumToChar(row[x].green);

		across += (uint32_t)abs((int8_t)(green - ScaleQuantumToChar(row[x - 1].green)));
		down += (uint32_t)abs((int8_t)(green - ScaleQuantumToChar(above[x].green)));
	}
	for (x = 1; x < width; x++) {
		uint32_t now = pixel_bytes(&row[x]);
		uint32_t from = pixel_bytes(down < across ? &above[x] : &row[x - 1]);
		uint32_t red = ((now >> 16) - (from >> 16)) & 255;
		uint32_t green = ((now >> 8) - (from >> 8)) & 255;
		uint32_t blue = (now - from) & 255, delta = red << 16 | green << 8 | blue;
		uint32_t at = (delta * 0x9e3779b1u ^ last * 0x85ebca6bu) >> 15;

		r->counts[red]++;
		r->counts[green]++;
		r->counts[blue]++;
		r->fresh += !(r->seen[at / 8] & 1u << at % 8);
		r->seen[at / 8] |= (uint8_t)(1u << at % 8);
		last = delta;
	}
	r->n += (uint32_t)width - 1;
}

/* Bytes that a PNG of it takes at least: the entropy of what does not repeat. */
static uint64_t png_estimate(const Image *image)
{
	struct rows r = { .n = 0 };
	unsigned long y;
	ExceptionInfo ex;

	GetExceptionInfo(&ex);
	for (y = 1; y < image->rows; y++) {
		const PixelPacket *q =
			AcquireImagePixels(image, 0, (long)y - 1, image->columns, 2, &ex);

		if (!q)
			break;
		rows_add(&r, q + image->columns, q, image->columns);
	}
	DestroyExceptionInfo(&ex);
	return r.n ? (uint64_t)(entropy_bits(r.counts, 3 * r.n) / 8 * r.fresh / r.n) : 0;
}

/* For AUTO without alpha: flat graphics are smaller as PNG, and sharper. */
static uint8_t *png_if_smaller(const Image *image, const struct rung *beside,
			       const struct picture_request *req, uint8_t *jpeg,
			       struct picture_result *res)
{
	static const struct rung full = { PICTURE_PNG, 0, 0, 0 };
	struct picture_result other = *res;
	struct rung r = full;
	uint64_t pixels;
	uint8_t *png;

	/* Deflating a photo at level 9 takes half as long as decoding it. */
	pixels = (uint64_t)image->columns * image->rows;
	if (pixels > PNG_QUICK_PIXELS &&
	    png_estimate(image) * ((uint64_t)res->width * res->height) / pixels >
		    PNG_GAIN_MAX * res->len)
		return jpeg;
	r.side = beside->side;
	png = rung_write(image, &r, req, &other);
	if (png && other.len < res->len) {
		MagickFree(jpeg);
		*res = other;
		return png;
	}
	MagickFree(png);
	return jpeg;
}

static size_t ladder_choose(const Image *image, enum picture_output output, struct rung *rungs,
			    bool *compare_out)
{
	ExceptionInfo ex;
	bool alpha;
	size_t n = 0;

	*compare_out = false;
	switch (output) {
	case PICTURE_OUT_JPEG:
		memcpy(rungs, ladder_jpeg, sizeof(ladder_jpeg));
		return ARRAY_SIZE(ladder_jpeg);
	case PICTURE_OUT_PNG:
		memcpy(rungs, ladder_png, sizeof(ladder_png));
		return ARRAY_SIZE(ladder_png);
	case PICTURE_OUT_WEBP:
		memcpy(rungs, ladder_webp, sizeof(ladder_webp));
		return ARRAY_SIZE(ladder_webp);
	case PICTURE_OUT_AUTO:
		break;
	}
	GetExceptionInfo(&ex);
	alpha = image->matte && !IsOpaqueImage(image, &ex);
	DestroyExceptionInfo(&ex);
	/* Where no PNG fits, a thumbnail on white is better than none. */
	if (alpha) {
		memcpy(rungs, ladder_png, sizeof(ladder_png));
		n = ARRAY_SIZE(ladder_png);
	}
	memcpy(rungs + n, ladder_jpeg, sizeof(ladder_jpeg));
	*compare_out = !alpha;
	return n + ARRAY_SIZE(ladder_jpeg);
}

enum picture_status encode_ladder(const Image *image, const struct picture_request *req,
				  struct picture_result *res)
{
	struct rung rungs[LADDER_MAX];
	bool compare, written = false;
	size_t n = ladder_choose(image, req->output, rungs, &compare);
	size_t i;

	for (i = 0; i < n; i++) {
		uint8_t *p;

		if (rungs[i].side && rungs[i].side >= MAX_OF(req->width, req->height))
			continue;
		p = rung_write(image, &rungs[i], req, res);
		if (!p)
			continue;
		written = true;
		if (compare && (i == 0 || rungs[i].side))
			p = png_if_smaller(image, &rungs[i], req, p, res);
		if (res->len <= req->max_bytes) {
			res->bytes = p;
			res->step = (uint8_t)i;
			return PICTURE_OK;
		}
		MagickFree(p);
	}
	res->len = 0;
	return written ? PICTURE_NO_FIT : PICTURE_FAILED;
}
