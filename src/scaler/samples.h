/* SPDX-License-Identifier: MIT */
/*
 * samples - tiny pictures for the self-test, one per format, and the sRGB profile. Our own work.
 */
#pragma once

#include "base/picture.h"

struct sample {
	const uint8_t *p;
	size_t len;
};

/* By enum picture_format; PICTURE_NONE is empty. All are 16x8: half red, half blue. */
extern const struct sample samples[PICTURE_FORMAT_COUNT];

extern const uint8_t sample_srgb_icc[];
extern const size_t sample_srgb_icc_len;
