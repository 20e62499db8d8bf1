/* SPDX-License-Identifier: MIT */
/*
 * heif - see heif.h. Colours are RGB with eight bits here; a profile goes on to scale.c.
 */
#include "config.h"

#include "scaler/heif.h"

#include "base/err.h"

#ifdef HAVE_HEIF

#include <libheif/heif.h>
#include <stdlib.h>

#include "scaler/encode.h"
#include "scaler/reduce.h"

#define PROFILE_MAX (1024 * 1024)

bool heif_is_there(void)
{
	return true;
}

void heif_init_library(void)
{
#if LIBHEIF_HAVE_VERSION(1, 13, 0)
	(void)heif_init(NULL);
#endif
}

/* Sums up the decoder's rows to a picture that is no larger than scaling needs. */
static Image *heif_reduce(const struct heif_image *from, bool alpha, uint32_t side)
{
	int stride, w = heif_image_get_width(from, heif_channel_interleaved);
	int h = heif_image_get_height(from, heif_channel_interleaved), y;
	const uint8_t *p = heif_image_get_plane_readonly(from, heif_channel_interleaved, &stride);
	uint32_t new_w, new_h;
	struct reduce r;
	Image *image;

	if (!p || w < 1 || h < 1 || w > UINT16_MAX || h > UINT16_MAX)
		return NULL;
	encode_fit((uint32_t)w, (uint32_t)h, 2 * side, 2 * side, &new_w, &new_h);
	if (reduce_init(&r, (uint32_t)w, (uint32_t)h, new_w, new_h, alpha ? 4 : 3))
		return NULL;
	for (y = 0; y < h; y++)
		reduce_add(&r, p + (size_t)y * (size_t)stride);
	image = reduce_image(&r);
	reduce_fini(&r);
	return image;
}

/* An ICC profile is put to the picture; other notes about colours libheif has applied. */
static void heif_take_profile(const struct heif_image_handle *from, Image *image)
{
	size_t len = heif_image_handle_get_raw_color_profile_size(from);
	enum heif_color_profile_type type = heif_image_handle_get_color_profile_type(from);
	uint8_t *profile;

	if ((type != heif_color_profile_type_prof && type != heif_color_profile_type_rICC) ||
	    len < 128 || len > PROFILE_MAX)
		return;
	profile = malloc(len);
	if (profile && heif_image_handle_get_raw_color_profile(from, profile).code == heif_error_Ok)
		(void)SetImageProfile(image, "ICM", profile, len);
	free(profile);
}

static Image *heif_decode_primary(const struct heif_image_handle *from, uint32_t side)
{
	struct heif_decoding_options *options = heif_decoding_options_alloc();
	bool alpha = heif_image_handle_has_alpha_channel(from);
	struct heif_image *whole = NULL;
	Image *image = NULL;

	if (!options)
		return NULL;
	options->convert_hdr_to_8bit = 1;
	if (heif_decode_image(from, &whole, heif_colorspace_RGB,
			      alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB,
			      options)
		    .code == heif_error_Ok)
		image = heif_reduce(whole, alpha, side);
	if (image)
		heif_take_profile(from, image);
	if (whole)
		heif_image_release(whole);
	heif_decoding_options_free(options);
	return image;
}

Image *heif_decode(const uint8_t *p, size_t len, uint64_t max_pixels, uint32_t side,
		   struct header *h, bool *too_big)
{
	struct heif_context *ctx = heif_context_alloc();
	struct heif_image_handle *primary = NULL;
	Image *image = NULL;
	int width, height;

	*too_big = false;
	if (!ctx)
		return NULL;
	heif_context_set_max_decoding_threads(ctx, 0);
	if (heif_context_read_from_memory_without_copy(ctx, p, len, NULL).code != heif_error_Ok ||
	    heif_context_get_primary_image_handle(ctx, &primary).code != heif_error_Ok)
		goto out;
	width = heif_image_handle_get_width(primary);
	height = heif_image_handle_get_height(primary);
	if (width < 1 || height < 1)
		goto out;
	h->width = (uint32_t)width;
	h->height = (uint32_t)height;
	*too_big = (uint64_t)h->width * h->height > max_pixels;
	if (!*too_big)
		image = heif_decode_primary(primary, side);
out:
	if (primary)
		heif_image_handle_release(primary);
	heif_context_free(ctx);
	return image;
}

#else

bool heif_is_there(void)
{
	return false;
}

void heif_init_library(void)
{
}

Image *heif_decode(const uint8_t *p UNUSED, size_t len UNUSED, uint64_t max_pixels UNUSED,
		   uint32_t side UNUSED, struct header *h UNUSED, bool *too_big)
{
	*too_big = false;
	return NULL;
}

#endif
