/* SPDX-License-Identifier: MIT */
/*
 * header - what a picture file says about itself, read before any decoder sees it.
 *
 * Dimensions for the limits, and whether the file goes on to the end of its first picture:
 * decoders turn cut-off files into half-grey pictures. Not a validator: what stands between
 * the structures is the decoder's business.
 */
#pragma once

#include "base/picture.h"

/* What a PNG says of its colours. */
struct header_png {
	bool has_key; /* one of its colours is transparent: of eight bits, without palette */
	uint8_t key[3];
	uint32_t gamma;     /* in 100000ths; 0: none that counts */
	uint32_t points[8]; /* white, red, green, blue: x and y in 100000ths */
};

struct header {
	uint32_t width; /* largest that the file claims anywhere: canvas or first frame */
	uint32_t height;
	unsigned orientation; /* of EXIF, 1..8; 0: none given */
	bool has_exif;        /* a block of it, whatever it says */
	/* Of an animation: where on the canvas the first frame is, which may cover a part only. */
	bool framed;
	uint32_t left, top;
	struct header_png png;
};

/* 0; ERR_SYNTAX: not that format, damaged or cut off; ERR_UNSUPPORTED. Reads no byte beyond len. */
int header_read(enum picture_format f, const uint8_t *p, size_t len, struct header *out) MUSTCHECK;
