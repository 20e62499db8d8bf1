/* SPDX-License-Identifier: MIT */
/*
 * scale - see scale.h. The order: header, limits, decode, shrink, colours, turn, strip, write.
 *
 * Shrinking comes first, so that everything after it works on few pixels.
 */
#include "config.h"

#include "scaler/scale.h"

#include <magick/api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "scaler/bmp.h"
#include "scaler/encode.h"
#include "scaler/header.h"
#include "scaler/heif.h"
#include "scaler/jpeg.h"
#include "scaler/loss.h"
#include "scaler/placeholder.h"
#include "scaler/png.h"
#include "scaler/reduce.h"
#include "scaler/samples.h"
#include "scaler/scans.h"
#include "scaler/webp.h"

/* Counts what decoders read over and over: at 64 MiB an honest PNG of 25 Mpx in 48 MB ended.
 * Against loops. */
#define SCALE_READ_MAX (1024L * 1024 * 1024)

/* How much larger than the thumbnail a JPEG is decoded: enough for a clean second step. */
#define SCALE_DCT_MARGIN 2

static const char *const coder[PICTURE_FORMAT_COUNT] = {
	[PICTURE_JPEG] = "JPEG",
	[PICTURE_PNG] = "PNG",
	[PICTURE_GIF] = "GIF",
	[PICTURE_WEBP] = "WEBP",
};

static MagickPassFail scale_deny(const ConfirmAccessMode mode UNUSED, const char *path UNUSED,
				 ExceptionInfo *ex UNUSED)
{
	return MagickFail;
}

static void scale_quiet(const ExceptionType severity UNUSED, const char *reason UNUSED,
			const char *description UNUSED)
{
}

void scale_init(void)
{
	ExceptionInfo ex;

	GetExceptionInfo(&ex);
	(void)InitializeMagickEx(NULL, MAGICK_OPT_NO_SIGNAL_HANDER, &ex);
	DestroyExceptionInfo(&ex);
	(void)MagickSetConfirmAccessHandler(scale_deny);
	(void)SetErrorHandler(scale_quiet);
	(void)SetWarningHandler(scale_quiet);
	(void)SetMagickResourceLimit(ThreadsResource, 1);
	(void)SetMagickResourceLimit(DiskResource, 0);
	(void)SetMagickResourceLimit(MapResource, 0);
	(void)SetMagickResourceLimit(FileResource, 32);
	(void)SetMagickResourceLimit(ReadResource, SCALE_READ_MAX);
	heif_init_library();
}

const char *scale_version(void)
{
	return GetMagickVersion(NULL);
}

/* A JPEG is decoded no smaller than this. */
struct hint {
	uint32_t width, height;
	bool shrinks; /* it is larger than that */
};

/* Pixels and sides of the header against the limits. */
static bool scale_is_small_enough(const struct picture_request *req, const struct header *h,
				  struct hint *hint)
{
	const struct picture_limits *l = &req->limits;
	uint64_t pixels = (uint64_t)h->width * h->height;
	uint32_t w, ht, w_turned, h_turned;
	uint64_t ratio;

	if (h->width > l->max_side || h->height > l->max_side)
		return false;
	if (req->format != PICTURE_JPEG)
		return pixels <= l->max_pixels;
	/* Whether it lies on its side is known only after decoding: enough for both. */
	encode_fit(h->width, h->height, req->width, req->height, &w, &ht);
	encode_fit(h->width, h->height, req->height, req->width, &w_turned, &h_turned);
	w = MAX_OF(w, w_turned) * SCALE_DCT_MARGIN;
	ht = MAX_OF(ht, h_turned) * SCALE_DCT_MARGIN;
	ratio = MIN_OF(h->width / w, h->height / ht);
	*hint = (struct hint){ .width = w, .height = ht, .shrinks = ratio > 1 };
	/* The decoder goes down to eighths, rounding up. */
	ratio = MIN_OF(MAX_OF(ratio, 1u), 8u);
	return pixels <= l->max_pixels_jpeg && pixels / (ratio * ratio) <= l->max_pixels;
}

/* What a JPEG that is decoded at an eighth does not need of its file is left out: a copy, or NULL.
 */
static uint8_t *scale_thin(const struct picture_request *req, const struct header *h,
			   const uint8_t *p, size_t *len)
{
	uint32_t w, ht, w_turned, h_turned;

	if (req->format != PICTURE_JPEG)
		return NULL;
	encode_fit(h->width, h->height, req->width, req->height, &w, &ht);
	encode_fit(h->width, h->height, req->height, req->width, &w_turned, &h_turned);
	if (h->width / 8 < MAX_OF(w, w_turned) * SCALE_DCT_MARGIN ||
	    h->height / 8 < MAX_OF(ht, h_turned) * SCALE_DCT_MARGIN ||
	    !jpeg_ends_well(h->width, 8) || !jpeg_ends_well(h->height, 8))
		return NULL;
	return scans_thin(p, *len, len);
}

static bool scale_lost_pixels(const ExceptionInfo *ex)
{
	if (ex->severity >= ErrorException)
		return true;
	if (ex->severity < WarningException)
		return false;
	return (ex->reason && loss_is_meant(ex->reason)) ||
	       (ex->description && loss_is_meant(ex->description));
}

static Image *scale_decode(const struct picture_request *req, const struct hint *hint,
			   const uint8_t *p, size_t len)
{
	char size[32];
	ImageInfo *info = CloneImageInfo(NULL);
	ExceptionInfo ex;
	Image *image;

	GetExceptionInfo(&ex);
	snprintf(info->filename, sizeof(info->filename), "%s:", coder[req->format]);
	snprintf(info->magick, sizeof(info->magick), "%s", coder[req->format]);
	info->subimage = 0;
	info->subrange = 1;
	/* A size beyond the picture's own would be a wish to have it doubled. */
	if (hint->shrinks) {
		snprintf(size, sizeof(size), "%ux%u", hint->width, hint->height);
		(void)CloneString(&info->size, size);
	}
	image = BlobToImage(info, p, len, &ex);
	if (image && (scale_lost_pixels(&ex) || scale_lost_pixels(&image->exception))) {
		DestroyImageList(image);
		image = NULL;
	}
	DestroyImageInfo(info);
	DestroyExceptionInfo(&ex);
	return image;
}

/* EXIF's: does it lie on its side? */
static bool is_turned(const struct header *h)
{
	return h->orientation >= LeftTopOrientation && h->orientation <= LeftBottomOrientation;
}

/* The thumbnail's size before it is turned upright. */
static void scale_target(const struct picture_request *req, const struct header *h, uint32_t *w_out,
			 uint32_t *h_out)
{
	uint32_t bw = is_turned(h) ? req->height : req->width;
	uint32_t bh = is_turned(h) ? req->width : req->height;

	encode_fit(h->width, h->height, bw, bh, w_out, h_out);
}

/* By GraphicsMagick; of an animated WebP it gets the first frame alone. */
static Image *scale_decode_webp(const struct picture_request *req, const struct hint *hint,
				const uint8_t *p, size_t len, const struct header *h)
{
	uint8_t *frame = h->framed ? webp_first_frame(p, len, &len) : NULL;
	Image *image = h->framed && !frame ? NULL : scale_decode(req, hint, frame ? frame : p, len);

	free(frame);
	return image;
}

/* By the decoder for it. */
static Image *scale_open(const struct picture_request *req, const struct hint *hint,
			 const uint8_t *p, size_t len, struct header *h, bool *too_big)
{
	uint32_t w, ht;
	bool not_plain;
	Image *image;

	if (req->format == PICTURE_HEIC || req->format == PICTURE_AVIF)
		return heif_decode(p, len, req->limits.max_pixels, MAX_OF(req->width, req->height),
				   h, too_big);
	scale_target(req, h, &w, &ht);
	if (req->format == PICTURE_BMP)
		return bmp_decode(p, len, w, ht);
	if (req->format == PICTURE_JPEG) {
		image = jpeg_decode(p, len, w, ht, &not_plain);
		if (!not_plain)
			return image;
	}
	if (req->format == PICTURE_WEBP)
		return scale_decode_webp(req, hint, p, len, h);
	image = scale_decode(req, hint, p, len);
	if (image && h->png.has_key && !png_apply_key(image, h->png.key)) {
		DestroyImageList(image);
		return NULL;
	}
	return image;
}

/* Replaces *image by what f made of it; false when f failed. */
static bool scale_replace(Image **image, Image *made)
{
	if (!made)
		return false;
	DestroyImage(*image);
	*image = made;
	return true;
}

/* To sRGB by the picture's own profile, or by what a PNG says without one; a profile that does not
 * work is ignored. */
static void scale_colors(Image *image, const struct header *h)
{
	size_t len = 0;
	unsigned char *profile = NULL;

	if (GetImageProfile(image, "ICM", &len) && len) {
		profile = malloc(sample_srgb_icc_len);
		if (profile) {
			memcpy(profile, sample_srgb_icc, sample_srgb_icc_len);
			(void)ProfileImage(image, "ICM", profile, sample_srgb_icc_len, MagickTrue);
			free(profile);
		}
		(void)ProfileImage(image, "ICM", NULL, 0, MagickFalse);
	} else if (h->png.gamma) {
		png_to_srgb(image, &h->png);
	}
	if (!IsRGBCompatibleColorspace(image->colorspace))
		(void)TransformColorspace(image, RGBColorspace);
}

static void put_row(const Image *image, const PixelPacket *from, uint8_t *to)
{
	unsigned long x;

	for (x = 0; x < image->columns; x++) {
		*to++ = ScaleQuantumToChar(from[x].red);
		*to++ = ScaleQuantumToChar(from[x].green);
		*to++ = ScaleQuantumToChar(from[x].blue);
		if (image->matte)
			*to++ = ScaleQuantumToChar(MaxRGB - from[x].opacity);
	}
}

static Image *scale_reduce_rgb(const Image *image, uint32_t width, uint32_t height,
			       ExceptionInfo *ex)
{
	unsigned channels = image->matte ? 4 : 3;
	uint8_t *row = malloc(image->columns * channels);
	const unsigned char *profile;
	struct reduce r = { 0 };
	Image *made = NULL;
	unsigned long y;
	size_t len = 0;

	if (row && reduce_init(&r, (uint32_t)image->columns, (uint32_t)image->rows, width, height,
			       channels) == 0) {
		for (y = 0; y < image->rows; y++) {
			const PixelPacket *p =
				AcquireImagePixels(image, 0, (long)y, image->columns, 1, ex);

			if (!p)
				break;
			put_row(image, p, row);
			reduce_add(&r, row);
		}
		made = reduce_image(&r); /* NULL, when rows are missing */
	}
	profile = GetImageProfile(image, "ICM", &len);
	if (made && profile && len)
		(void)SetImageProfile(made, "ICM", profile, len);
	reduce_fini(&r);
	free(row);
	return made;
}

/* ThumbnailImage() looks at some of many pixels only: of a screenshot's lines it loses some and
 * doubles others. ResizeImage() takes three times as long. */
static Image *scale_reduce(const Image *image, uint32_t width, uint32_t height, ExceptionInfo *ex)
{
	return IsRGBCompatibleColorspace(image->colorspace) && width <= image->columns &&
			       height <= image->rows
		       ? scale_reduce_rgb(image, width, height, ex)
		       : ThumbnailImage(image, width, height, ex);
}

/* Of what was decoded, which may be less than the header says. */
static bool scale_shrink(Image **image, const struct header *h, const struct picture_request *req,
			 ExceptionInfo *ex)
{
	struct header decoded = { .width = (uint32_t)(*image)->columns,
				  .height = (uint32_t)(*image)->rows,
				  .orientation = h->orientation };
	uint32_t w, ht;

	scale_target(req, &decoded, &w, &ht);
	if (w == decoded.width && ht == decoded.height)
		return true;
	return scale_replace(image, scale_reduce(*image, w, ht, ex));
}

/* A stretch of the canvas on the thumbnail: where it begins, and at least one pixel. */
static uint32_t scale_stretch(uint32_t from, unsigned long n, uint32_t whole, uint32_t small,
			      uint32_t *n_out)
{
	uint32_t a = (uint32_t)(((uint64_t)from * small + whole / 2) / whole);
	uint32_t b = (uint32_t)(((uint64_t)(from + n) * small + whole / 2) / whole);

	a = MIN_OF(a, small - 1);
	b = MIN_OF(b, small);
	*n_out = b > a ? b - a : 1;
	return a;
}

/* An animation's first frame may cover a part of its canvas only; what it leaves free is
 * transparent, as browsers show it. The frame is shrunk first, so that no whole canvas is ever in
 * memory. */
static bool scale_place(Image **image, const struct header *h, const struct picture_request *req,
			ExceptionInfo *ex)
{
	uint32_t w, ht, x, y, frame_w, frame_ht;
	Image *canvas;
	bool ok = true;

	scale_target(req, h, &w, &ht);
	x = scale_stretch(h->left, (*image)->columns, h->width, w, &frame_w);
	y = scale_stretch(h->top, (*image)->rows, h->height, ht, &frame_ht);
	if ((*image)->columns != frame_w || (*image)->rows != frame_ht)
		ok = scale_replace(image, scale_reduce(*image, frame_w, frame_ht, ex));
	canvas = ok ? CloneImage(*image, w, ht, MagickTrue, ex) : NULL;
	if (!canvas)
		return false;
	ok = SetImage(canvas, TransparentOpacity) &&
	     CompositeImage(canvas, CopyCompositeOp, *image, (long)x, (long)y);
	return scale_replace(image, canvas) && ok;
}

/* Of the upright picture; none is no failure. */
static void scale_placeholder(const Image *image, struct picture_thumbhash *out)
{
	uint32_t width = (uint32_t)image->columns, height = (uint32_t)image->rows, w, h, y;
	size_t i, n = (size_t)width * height * 4;
	uint8_t *rgba = malloc(n);
	struct reduce r = { 0 };
	ExceptionInfo ex;

	encode_fit(width, height, PLACEHOLDER_SIDE, PLACEHOLDER_SIDE, &w, &h);
	GetExceptionInfo(&ex);
	if (rgba && DispatchImage(image, 0, 0, width, height, "RGBA", CharPixel, rgba, &ex) &&
	    reduce_init(&r, width, height, w, h, 4) == 0) {
		for (i = 3; !image->matte && i < n; i += 4)
			rgba[i] = 255;
		for (y = 0; y < height; y++)
			reduce_add(&r, rgba + (size_t)y * width * 4);
		placeholder_make(r.pixels, w, h, out);
	}
	reduce_fini(&r);
	free(rgba);
	DestroyExceptionInfo(&ex);
}

static enum picture_status scale_image(Image **image, const struct header *h,
				       const struct picture_request *req,
				       struct picture_result *res)
{
	/* EXIF's numbers are GraphicsMagick's; it reads them of JPEG only, so ours count for all.
	 */
	OrientationType orientation = (OrientationType)h->orientation;
	bool turned = is_turned(h);
	ExceptionInfo ex;
	bool ok;

	res->original_width = turned ? h->height : h->width;
	res->original_height = turned ? h->width : h->height;
	GetExceptionInfo(&ex);
	ok = h->framed && ((*image)->columns < h->width || (*image)->rows < h->height)
		     ? scale_place(image, h, req, &ex)
		     : scale_shrink(image, h, req, &ex);
	if (ok) {
		scale_colors(*image, h);
		if (orientation > TopLeftOrientation && orientation <= LeftBottomOrientation)
			ok = scale_replace(image, AutoOrientImage(*image, orientation, &ex));
	}
	DestroyExceptionInfo(&ex);
	if (!ok)
		return PICTURE_FAILED;
	scale_placeholder(*image, &res->thumbhash);
	return encode_ladder(*image, req, res);
}

void scale_picture(const struct picture_request *req, const uint8_t *p, size_t len,
		   struct picture_result *res)
{
	struct header h;
	bool too_big = false;
	struct hint hint = { 0 };
	uint8_t *thin;
	Image *image;

	memset(res, 0, sizeof(*res));
	res->id = req->id;
	res->status = PICTURE_FAILED;
	if (header_read(req->format, p, len, &h))
		return;
	res->original_width = h.width;
	res->original_height = h.height;
	if (!scale_is_small_enough(req, &h, &hint)) {
		res->status = PICTURE_TOO_BIG;
		return;
	}
	(void)SetMagickResourceLimit(MemoryResource, (magick_int64_t)req->limits.memory);
	(void)SetMagickResourceLimit(PixelsResource,
				     (magick_int64_t)(req->format == PICTURE_JPEG
							      ? req->limits.max_pixels_jpeg
							      : req->limits.max_pixels));
	(void)SetMagickResourceLimit(WidthResource, req->limits.max_side);
	(void)SetMagickResourceLimit(HeightResource, req->limits.max_side);
	thin = scale_thin(req, &h, p, &len);
	image = scale_open(req, &hint, thin ? thin : p, len, &h, &too_big);
	free(thin);
	if (too_big)
		res->status = PICTURE_TOO_BIG;
	if (!image)
		return;
	res->status = scale_image(&image, &h, req, res);
	DestroyImage(image);
}

void scale_result_fini(struct picture_result *res)
{
	void *p = (void *)(uintptr_t)res->bytes;

	MagickFree(p);
	res->bytes = NULL;
}
