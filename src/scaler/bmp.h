/* SPDX-License-Identifier: MIT */
/*
 * bmp - bitmaps of Windows and OS/2, their rows averaged down while they are read.
 *
 * GraphicsMagick takes the unused fourth byte of a screenshot's pixels for its opacity, and shows
 * nothing or stripes of some files with masks. Here they look as in browsers: only masks give
 * opacity, and where it is 0 everywhere it is not meant.
 */
#pragma once

#include <magick/api.h>

#include "base/util.h"

/*
 * The picture, made as large as width x height (not larger than the file's, not 0). Of a file that
 * header_read() found whole. NULL: not decodable, or pixels are missing. The caller destroys it.
 */
Image *bmp_decode(const uint8_t *p, size_t len, uint32_t width, uint32_t height);
