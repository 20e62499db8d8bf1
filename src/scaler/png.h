/* SPDX-License-Identifier: MIT */
/*
 * png - what a PNG says of its colours and GraphicsMagick leaves out.
 *
 * Its decoder sees the transparent colour (tRNS) of all but eight bits a channel, and neither gAMA
 * nor cHRM. header.c reads them.
 */
#pragma once

#include <magick/api.h>
#include <stdbool.h>

#include "scaler/header.h"

/* Makes all pixels of that colour transparent, and no others. False: out of memory. */
bool png_apply_key(Image *image, const uint8_t key[3]) MUSTCHECK;

/* By gAMA and cHRM; the picture stays as it is where these make no sense or say sRGB. */
void png_to_srgb(Image *image, const struct header_png *png);
