/* SPDX-License-Identifier: MIT */
/*
 * webp - see webp.h. Chunks are copied, nothing in them is changed.
 */
#include "config.h"

#include "scaler/webp.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"

#define RIFF_HEAD 12
#define VP8X_SIZE 10
#define ANMF_HEAD 16 /* place, size, time and flags, before the frame's own chunks */

#define FLAG_ICC   0x20
#define FLAG_ALPHA 0x10

/* The body of the first chunk of that name, or NULL. */
static const uint8_t *find_chunk(const uint8_t *p, size_t len, const char *name, size_t *size_out)
{
	size_t at = RIFF_HEAD;

	while (at <= len && len - at >= 8) {
		size_t size = le32(p + at + 4);

		if (size > len - at - 8)
			return NULL;
		if (memcmp(p + at, name, 4) == 0) {
			*size_out = size;
			return p + at + 8;
		}
		at += 8 + size + size % 2;
	}
	return NULL;
}

static void put_le32(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

/* Returns where the next chunk goes. */
static uint8_t *put_chunk(uint8_t *to, const char *name, const uint8_t *body, size_t size)
{
	memcpy(to, name, 4);
	put_le32(to + 4, size);
	memcpy(to + 8, body, size);
	to += 8 + size;
	if (size % 2)
		*to++ = 0;
	return to;
}

uint8_t *webp_first_frame(const uint8_t *p, size_t len, size_t *len_out)
{
	size_t whole_size, frame_size, icc_size = 0;
	const uint8_t *whole = find_chunk(p, len, "VP8X", &whole_size);
	const uint8_t *frame = find_chunk(p, len, "ANMF", &frame_size);
	const uint8_t *icc = find_chunk(p, len, "ICCP", &icc_size);
	uint8_t vp8x[VP8X_SIZE] = { 0 };
	uint8_t *out, *to;

	if (!whole || whole_size < VP8X_SIZE || !frame || frame_size < ANMF_HEAD)
		return NULL;
	out = malloc(RIFF_HEAD + 8 + VP8X_SIZE + 8 + icc_size + 1 + frame_size);
	if (!out)
		return NULL;
	vp8x[0] = (whole[0] & FLAG_ALPHA) | (icc ? FLAG_ICC : 0);
	memcpy(vp8x + 4, frame + 6, 6); /* width and height are written in the same manner */
	memcpy(out, "RIFF\0\0\0\0WEBP", RIFF_HEAD);
	to = put_chunk(out + RIFF_HEAD, "VP8X", vp8x, VP8X_SIZE);
	if (icc)
		to = put_chunk(to, "ICCP", icc, icc_size);
	memcpy(to, frame + ANMF_HEAD, frame_size - ANMF_HEAD);
	to += frame_size - ANMF_HEAD;
	*len_out = (size_t)(to - out);
	put_le32(out + 4, *len_out - 8);
	return out;
}
