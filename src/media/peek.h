/* SPDX-License-Identifier: MIT */
/*
 * peek - the size that a picture claims in its first bytes, while they still arrive.
 *
 * So that a transfer ends when the header shows that the picture is too big. Not a judge of
 * files: what is odd, late or missing is left to the scaler, which looks at the whole.
 *
 * Invariant: the result does not depend on how the bytes are cut, and no more than
 * PEEK_ROOM of them are kept.
 */
#pragma once

#include "base/picture.h"

#define PEEK_ROOM 40

struct peek {
	enum picture_format format;
	uint32_t width; /* 0: not known */
	uint32_t height;
	bool done;     /* nothing more will be known */
	unsigned want; /* bytes that the next step needs */
	unsigned have;
	unsigned step;
	uint32_t skip; /* bytes that are of no interest */
	uint8_t marker;
	uint8_t room[PEEK_ROOM];
};

void peek_init(struct peek *p, enum picture_format format);
void peek_add(struct peek *p, const uint8_t *bytes, size_t len);

/* Is it known to be over a limit? As the scaler counts. */
bool peek_is_too_big(const struct peek *p, uint32_t max_side, uint64_t max_pixels,
		     uint64_t max_pixels_jpeg);
