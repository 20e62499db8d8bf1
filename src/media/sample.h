/* SPDX-License-Identifier: MIT */
/*
 * sample - built-in pictures, for finding out whether thumbnails can be made.
 *
 * The scaler tests itself with its own (scaler/samples.h); these go the way of everybody's.
 */
#pragma once

#include "base/picture.h"

/* *out lives for ever; 0 and nothing where there is no picture of that format. */
size_t sample_picture(enum picture_format format, const uint8_t **out);
