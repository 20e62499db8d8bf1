/* SPDX-License-Identifier: MIT */
/*
 * heif - HEIC and AVIF through libheif, in the sandboxed child. Without libheif: never.
 *
 * GraphicsMagick could do it as well, but it leaves threads and limits to libheif's defaults and
 * needs eight bytes a pixel for the whole picture.
 */
#pragma once

#include <magick/api.h>

#include "scaler/header.h"

/* Is this build able to? */
bool heif_is_there(void);

/* Once per process: libheif looks for its codecs. */
void heif_init_library(void);

/*
 * The picture, upright, at most max_pixels before it is made smaller, and no larger than it takes
 * to be scaled to `side` twice over. h gets its size as shown. NULL: not decodable; *too_big: for
 * its pixels. The caller destroys it.
 */
Image *heif_decode(const uint8_t *p, size_t len, uint64_t max_pixels, uint32_t side,
		   struct header *h, bool *too_big);
