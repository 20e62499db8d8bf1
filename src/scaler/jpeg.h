/* SPDX-License-Identifier: MIT */
/*
 * jpeg - plain JPEGs straight through libjpeg, their rows averaged down while they are decoded.
 *
 * GraphicsMagick would hold eight bytes for each pixel of a picture that is several times as large
 * as needed, and scale that down: a third of all the time that a photo takes. What is not plain
 * (CMYK, other numbers of components) is left to it.
 */
#pragma once

#include <magick/api.h>
#include <stdbool.h>

#include "base/util.h"

/* Can a side be decoded to that part of it? The last pixel then stands for what the picture has
 * there and for padding; among few it would be seen. */
bool jpeg_ends_well(uint32_t side, unsigned by);

/*
 * Grey, YCbCr or RGB, made as large as width x height (not larger than the file's, not 0), with its
 * ICC profile. NULL: not decodable, pixels are missing, or *not_plain_out. The caller destroys it.
 */
Image *jpeg_decode(const uint8_t *p, size_t len, uint32_t width, uint32_t height,
		   bool *not_plain_out);
