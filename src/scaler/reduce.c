/* SPDX-License-Identifier: MIT */
/*
 * reduce - see reduce.h.
 *
 * Positions are in 256ths of a pixel: a column or row of the new picture begins and ends anywhere,
 * and the pixels at its edges count in part.
 */
#include "config.h"

#include "scaler/reduce.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define PART 256u

static uint32_t edge(uint32_t i, uint32_t parts, uint32_t new_size)
{
	return (uint32_t)((uint64_t)i * parts / new_size);
}

static void set_edges(struct reduce *r)
{
	uint32_t i;

	for (i = 0; i <= r->new_width; i++)
		r->edges[i] = edge(i, r->width_parts, r->new_width);
}

int reduce_init(struct reduce *r, uint32_t width, uint32_t height, uint32_t new_width,
		uint32_t new_height, unsigned channels)
{
	BUG_ON(new_width > width || new_height > height || !new_width || !new_height);
	*r = (struct reduce){ .width = width,
			      .height = height,
			      .new_width = new_width,
			      .new_height = new_height,
			      .channels = channels,
			      .width_parts = width * PART,
			      .height_parts = height * PART };
	r->edges = calloc((size_t)new_width + 1, sizeof(*r->edges));
	r->row = calloc((size_t)new_width * channels, sizeof(*r->row));
	r->sums = calloc((size_t)new_width * channels, sizeof(*r->sums));
	r->pixels = calloc((size_t)new_width * new_height, channels);
	if (!r->edges || !r->row || !r->sums || !r->pixels) {
		reduce_fini(r);
		return ERR_NOMEM;
	}
	set_edges(r);
	return 0;
}

void reduce_cut(struct reduce *r, uint32_t width_eighths, uint32_t height_eighths)
{
	uint32_t w = width_eighths * (PART / 8), h = height_eighths * (PART / 8);

	BUG_ON(r->y || w > r->width * PART || w <= (r->width - 1) * PART || h > r->height * PART ||
	       h <= (r->height - 1) * PART);
	r->width_parts = w;
	r->height_parts = h;
	set_edges(r);
}

void reduce_fini(struct reduce *r)
{
	free(r->edges);
	free(r->row);
	free(r->sums);
	free(r->pixels);
	*r = (struct reduce){ 0 };
}

/* One pixel that counts weight / PART; colours of RGBA count as much as they are seen. */
static inline void add_pixel(uint64_t *to, const uint8_t *p, unsigned channels, uint64_t weight)
{
	if (channels == 4) {
		weight *= p[3];
		to[3] += weight;
	}
	to[0] += weight * p[0];
	to[1] += weight * p[1];
	to[2] += weight * p[2];
}

/* n whole pixels, of a picture of 65535 columns at most: 32 bits hold the sums of plain ones. */
static inline void add_pixels(uint64_t *to, const uint8_t *p, unsigned channels, uint32_t n)
{
	uint32_t red = 0, green = 0, blue = 0;
	const uint8_t *end = p + (size_t)n * channels;

	if (channels == 4) {
		for (; p < end; p += 4)
			add_pixel(to, p, 4, 1);
		return;
	}
	for (; p < end; p += 3) {
		red += p[0];
		green += p[1];
		blue += p[2];
	}
	to[0] += red;
	to[1] += green;
	to[2] += blue;
}

static void reduce_across(struct reduce *r, const uint8_t *row)
{
	unsigned channels = r->channels;
	uint32_t i;

	memset(r->row, 0, (size_t)r->new_width * channels * sizeof(*r->row));
	for (i = 0; i < r->new_width; i++) {
		uint32_t from = r->edges[i], to = r->edges[i + 1];
		uint32_t x = from / PART, last = to / PART;
		uint64_t *sums = r->row + (size_t)i * channels;
		uint64_t whole[4] = { 0 };
		unsigned c;

		if (x == last) { /* only where nothing is made smaller across */
			add_pixel(sums, row + (size_t)x * channels, channels, to - from);
			continue;
		}
		if (from % PART) {
			add_pixel(sums, row + (size_t)x * channels, channels, PART - from % PART);
			x++;
		}
		if (x < last)
			add_pixels(whole, row + (size_t)x * channels, channels, last - x);
		for (c = 0; c < channels; c++)
			sums[c] += whole[c] * PART;
		if (to % PART)
			add_pixel(sums, row + (size_t)last * channels, channels, to % PART);
	}
}

static void reduce_finish_row(struct reduce *r)
{
	uint8_t *out = r->pixels + (size_t)r->new_y * r->new_width * r->channels;
	uint32_t i;
	unsigned c;

	for (i = 0; i < r->new_width; i++, out += r->channels) {
		const uint64_t *sums = r->sums + (size_t)i * r->channels;
		uint64_t area = r->weight * (r->edges[i + 1] - r->edges[i]);
		uint64_t seen = r->channels == 4 ? sums[3] : area;

		for (c = 0; c < 3; c++)
			out[c] = seen ? (uint8_t)((sums[c] + seen / 2) / seen) : 0;
		if (r->channels == 4)
			out[3] = (uint8_t)((sums[3] + area / 2) / area);
	}
	memset(r->sums, 0, (size_t)r->new_width * r->channels * sizeof(*r->sums));
	r->weight = 0;
	r->new_y++;
}

static void reduce_down(struct reduce *r, uint64_t weight)
{
	size_t i, n = (size_t)r->new_width * r->channels;

	for (i = 0; i < n; i++)
		r->sums[i] += weight * r->row[i];
	r->weight += weight;
}

void reduce_add(struct reduce *r, const uint8_t *row)
{
	uint32_t top = r->y * PART, bottom = top + PART;

	if (r->y == r->height)
		return;
	r->y++;
	reduce_across(r, row);
	while (r->new_y < r->new_height) {
		uint32_t end = edge(r->new_y + 1, r->height_parts, r->new_height);

		if (end > bottom) {
			reduce_down(r, bottom - top);
			return;
		}
		reduce_down(r, end - top);
		reduce_finish_row(r);
		if (end == bottom)
			return;
		top = end;
	}
}

Image *reduce_image(const struct reduce *r)
{
	ExceptionInfo ex;
	Image *image;

	if (r->new_y < r->new_height)
		return NULL;
	GetExceptionInfo(&ex);
	image = ConstituteImage(r->new_width, r->new_height, r->channels == 4 ? "RGBA" : "RGB",
				CharPixel, r->pixels, &ex);
	DestroyExceptionInfo(&ex);
	return image;
}
