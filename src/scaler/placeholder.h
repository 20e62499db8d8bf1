/* SPDX-License-Identifier: MIT */
/*
 * placeholder - the ThumbHash of a picture: about 25 bytes that show its colours and shapes.
 *
 * Written from the description of the algorithm by Evan Wallace
 * (https://evanw.github.io/thumbhash/); tests compare it with values of his implementation.
 * Pure arithmetic on pixels that the caller has made small; decoding is not its business.
 */
#pragma once

#include "base/picture.h"

#define PLACEHOLDER_SIDE 100 /* longest side of the pixels that a thumbhash is made of */

/*
 * rgba: width * height pixels of four bytes, row by row, colour not multiplied by alpha; each
 * side 1..PLACEHOLDER_SIDE. out->len is 0 when a side is not, or for want of memory.
 */
void placeholder_make(const uint8_t *rgba, unsigned width, unsigned height,
		      struct picture_thumbhash *out);
