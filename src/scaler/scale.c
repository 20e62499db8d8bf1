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
#include "scaler/encode.h"
#include "scaler/header.h"
#include "scaler/heif.h"
#include "scaler/placeholder.h"
#include "scaler/samples.h"

/* Counts what decoders read over and over: at 64 MiB an honest PNG of 25 Mpx in 48 MB ended.
 * Against loops. */
#define SCALE_READ_MAX (1024L * 1024 * 1024)

/* How much larger than the thumbnail a JPEG is decoded: enough for a clean second step. */
#define SCALE_DCT_MARGIN 2

static const char *const coder[PICTURE_FORMAT_COUNT] = {
	[PICTURE_JPEG] = "JPEG", [PICTURE_PNG] = "PNG", [PICTURE_GIF] = "GIF",
	[PICTURE_WEBP] = "WEBP", [PICTURE_BMP] = "BMP",
};

/* Decoders warn of much that does no harm; these words mean that pixels are missing. */
static const char *const missing[] = { "premature",  "unexpected", "truncated",   "insufficient",
				       "not enough", "EOF",        "end of file", "end-of-file" };

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

/* Pixels and sides of the header against the limits; hint_out: "WxH" where a JPEG is to be decoded
 * smaller, else "". */
static bool scale_is_small_enough(const struct picture_request *req, const struct header *h,
				  char *hint_out, size_t size)
{
	const struct picture_limits *l = &req->limits;
	uint64_t pixels = (uint64_t)h->width * h->height;
	uint32_t w, ht, w_turned, h_turned;
	uint64_t ratio;

	hint_out[0] = '\0';
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
	/* GraphicsMagick takes a size beyond the picture's own for a wish to have it doubled. */
	if (ratio > 1)
		snprintf(hint_out, size, "%ux%u", w, ht);
	/* The decoder goes down to eighths, rounding up. */
	ratio = MIN_OF(MAX_OF(ratio, 1u), 8u);
	return pixels <= l->max_pixels_jpeg && pixels / (ratio * ratio) <= l->max_pixels;
}

static bool scale_lost_pixels(const ExceptionInfo *ex)
{
	size_t i;

	if (ex->severity >= ErrorException)
		return true;
	if (ex->severity < WarningException)
		return false;
	for (i = 0; i < ARRAY_SIZE(missing); i++)
		if ((ex->reason && strcasestr(ex->reason, missing[i])) ||
		    (ex->description && strcasestr(ex->description, missing[i])))
			return true;
	return false;
}

static Image *scale_decode(const struct picture_request *req, const char *hint, const uint8_t *p,
			   size_t len)
{
	ImageInfo *info = CloneImageInfo(NULL);
	ExceptionInfo ex;
	Image *image;

	GetExceptionInfo(&ex);
	snprintf(info->filename, sizeof(info->filename), "%s:", coder[req->format]);
	snprintf(info->magick, sizeof(info->magick), "%s", coder[req->format]);
	info->subimage = 0;
	info->subrange = 1;
	if (hint[0])
		(void)CloneString(&info->size, hint);
	image = BlobToImage(info, p, len, &ex);
	if (image && (scale_lost_pixels(&ex) || scale_lost_pixels(&image->exception))) {
		DestroyImageList(image);
		image = NULL;
	}
	DestroyImageInfo(info);
	DestroyExceptionInfo(&ex);
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

/* To sRGB by the picture's own profile; a profile that does not work is ignored. */
static void scale_colors(Image *image)
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
	}
	if (!IsRGBCompatibleColorspace(image->colorspace))
		(void)TransformColorspace(image, RGBColorspace);
}

static bool scale_shrink(Image **image, const struct picture_request *req, bool turned,
			 ExceptionInfo *ex)
{
	uint32_t bw = turned ? req->height : req->width;
	uint32_t bh = turned ? req->width : req->height;
	uint32_t w, h;

	encode_fit((uint32_t)(*image)->columns, (uint32_t)(*image)->rows, bw, bh, &w, &h);
	if (w == (*image)->columns && h == (*image)->rows)
		return true;
	return scale_replace(image, ThumbnailImage(*image, w, h, ex));
}

/* Of the upright picture; none is no failure. */
static void scale_placeholder(const Image *image, struct picture_thumbhash *out)
{
	uint32_t w, h;
	uint8_t *rgba;
	ExceptionInfo ex;
	Image *small;
	size_t i;

	encode_fit((uint32_t)image->columns, (uint32_t)image->rows, PLACEHOLDER_SIDE,
		   PLACEHOLDER_SIDE, &w, &h);
	GetExceptionInfo(&ex);
	small = w == image->columns && h == image->rows ? CloneImage(image, 0, 0, MagickTrue, &ex)
							: ThumbnailImage(image, w, h, &ex);
	rgba = small ? malloc((size_t)w * h * 4) : NULL;
	if (rgba && DispatchImage(small, 0, 0, w, h, "RGBA", CharPixel, rgba, &ex)) {
		for (i = 3; !small->matte && i < (size_t)w * h * 4; i += 4)
			rgba[i] = 255;
		placeholder_make(rgba, w, h, out);
	}
	free(rgba);
	if (small)
		DestroyImage(small);
	DestroyExceptionInfo(&ex);
}

static enum picture_status scale_image(Image **image, const struct header *h,
				       const struct picture_request *req,
				       struct picture_result *res)
{
	/* EXIF's numbers are GraphicsMagick's; it reads them of JPEG only, so ours count for all.
	 */
	OrientationType orientation = (OrientationType)h->orientation;
	bool turned = orientation >= LeftTopOrientation && orientation <= LeftBottomOrientation;
	ExceptionInfo ex;
	bool ok;

	res->original_width = turned ? h->height : h->width;
	res->original_height = turned ? h->width : h->height;
	GetExceptionInfo(&ex);
	ok = scale_shrink(image, req, turned, &ex);
	if (ok) {
		scale_colors(*image);
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
	char hint[32];
	Image *image;

	memset(res, 0, sizeof(*res));
	res->id = req->id;
	res->status = PICTURE_FAILED;
	if (header_read(req->format, p, len, &h))
		return;
	res->original_width = h.width;
	res->original_height = h.height;
	if (!scale_is_small_enough(req, &h, hint, sizeof(hint))) {
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
	if (req->format == PICTURE_HEIC || req->format == PICTURE_AVIF)
		image = heif_decode(p, len, req->limits.max_pixels, MAX_OF(req->width, req->height),
				    &h, &too_big);
	else
		image = scale_decode(req, hint, p, len);
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
