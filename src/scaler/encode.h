/* SPDX-License-Identifier: MIT */
/*
 * encode - the ladder: ever smaller files of one upright sRGB picture until one fits.
 *
 * Private to the scaler.
 */
#pragma once

#include <magick/api.h>

#include "base/picture.h"

/* Fits width x height into the box, never enlarged, never 0. */
void encode_fit(uint32_t width, uint32_t height, uint32_t box_width, uint32_t box_height,
		uint32_t *w_out, uint32_t *h_out);

/*
 * Writes `image` (already within the request's box) into res: status, format, width, height,
 * step, bytes (heap), len. PICTURE_OK, PICTURE_NO_FIT or PICTURE_FAILED.
 */
enum picture_status encode_ladder(const Image *image, const struct picture_request *req,
				  struct picture_result *res);
