/* SPDX-License-Identifier: MIT */
/*
 * reduce - a picture made smaller while its rows come from a decoder: each new pixel is the mean
 * of the area that it covers. So the large picture need not be in memory at all.
 */
#pragma once

#include <magick/api.h>

#include "base/util.h"

struct reduce {
	uint32_t width, height;         /* of what comes */
	uint32_t new_width, new_height; /* not larger */
	unsigned channels;              /* 3: RGB, 4: RGBA */
	uint32_t width_parts;           /* what counts of width, in 256ths of a pixel */
	uint32_t height_parts;
	uint32_t *edges; /* owned: where each column begins, in 256ths of a pixel */
	uint64_t *row;   /* owned: sums of the row that came */
	uint64_t *sums;  /* owned: of the new row so far */
	uint64_t weight; /* of these */
	uint32_t y;      /* rows that came */
	uint32_t new_y;  /* new rows done */
	uint8_t *pixels; /* owned: the new picture */
};

/* 0 or ERR_NOMEM; then reduce_fini(). Sides at most 65535. */
int reduce_init(struct reduce *r, uint32_t width, uint32_t height, uint32_t new_width,
		uint32_t new_height, unsigned channels) MUSTCHECK;

/* Before the first row: of the last column and of the last row only a part counts; sides in eighths
 * of a pixel. */
void reduce_cut(struct reduce *r, uint32_t width_eighths, uint32_t height_eighths);
void reduce_fini(struct reduce *r);

/* width * channels bytes; more rows than height are left out. */
void reduce_add(struct reduce *r, const uint8_t *row);

/* When all rows came: the caller destroys it. NULL when out of memory or before. */
Image *reduce_image(const struct reduce *r);
