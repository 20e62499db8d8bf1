/* SPDX-License-Identifier: MIT */
/*
 * scans - what of a progressive JPEG a decoder at an eighth of its size does not look at.
 *
 * Such a decoder makes one pixel of each block of 8x8, by the block's mean alone; but it unpacks
 * the details of all blocks first, which are most of the file. Without those scans it makes the
 * same pixels, bit for bit, in about half the time (tests/bench/progressive.py). Pure.
 */
#pragma once

#include "base/util.h"

/*
 * A file without these scans, the caller's, by free(); NULL: there is nothing to leave out, the
 * file is odd, or out of memory. p has passed header_read().
 *
 * Components of lower resolution are decoded at a quarter, and keep all they have. One scan of
 * details is left to each of the others: without any, libjpeg-turbo smooths the means as well.
 */
uint8_t *scans_thin(const uint8_t *p, size_t len, size_t *len_out) MUSTCHECK;
