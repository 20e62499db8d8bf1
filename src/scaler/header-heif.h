/* SPDX-License-Identifier: MIT */
/*
 * header-heif - header.h's part for HEIC and AVIF: the boxes of ISO 14496-12 and 23008-12.
 */
#pragma once

#include "scaler/header.h"

/*
 * The largest picture of those in the file (tiles and previews are pictures, too), before it is
 * turned. Orientation is left 0: the decoder turns by the boxes irot and imir, and EXIF has no say.
 */
int header_heif(const uint8_t *p, size_t len, struct header *out) MUSTCHECK;
