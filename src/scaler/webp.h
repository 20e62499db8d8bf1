/* SPDX-License-Identifier: MIT */
/*
 * webp - an animated WebP's first frame as a WebP of its own, which any decoder of stills reads.
 *
 * Not a decoder, and not a validator: header.c has seen the file before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The frame alone, without its place on the canvas, with the file's ICC profile. The caller frees
 * it. NULL: no animation, or out of memory.
 */
uint8_t *webp_first_frame(const uint8_t *p, size_t len, size_t *len_out);
