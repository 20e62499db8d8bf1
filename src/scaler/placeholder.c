/* SPDX-License-Identifier: MIT */
/*
 * placeholder - see placeholder.h.
 *
 * The picture is laid over its average colour and taken apart into luminance and two colour
 * differences (and alpha, if some pixel is not opaque). Of each a few low frequencies of a
 * cosine transform are kept: the constant one in the header, the others as four bits each,
 * scaled by the largest of them.
 */
#include "config.h"

#include "scaler/placeholder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TERMS_MAX 27 /* of 7 x 7, a triangle without the constant */

enum { LUMA, YELLOW_BLUE, RED_GREEN, ALPHA, CHANNELS };

struct channel {
	double constant;
	double scale;            /* largest of the terms, by amount */
	double terms[TERMS_MAX]; /* 0..1 */
	unsigned terms_n;
};

/* Halves go up, and what leaves the range by a rounding error stays in it. */
static uint32_t quantized(double value, uint32_t max)
{
	double rounded = floor(value * max + 0.5);

	return rounded < 0 ? 0 : rounded > max ? max : (uint32_t)rounded;
}

/* Colour by alpha, alpha itself: false if every pixel is opaque. */
static bool average(const uint8_t *rgba, size_t n, double mean[4])
{
	size_t i, c;

	memset(mean, 0, 4 * sizeof(mean[0]));
	for (i = 0; i < n; i++) {
		double alpha = rgba[4 * i + 3] / 255.0;

		for (c = 0; c < 3; c++)
			mean[c] += alpha / 255.0 * rgba[4 * i + c];
		mean[3] += alpha;
	}
	for (c = 0; c < 3 && mean[3] > 0; c++)
		mean[c] /= mean[3];
	return mean[3] < (double)n;
}

/* Fills CHANNELS planes of n values each. */
static void split(const uint8_t *rgba, size_t n, const double mean[4], double *planes)
{
	size_t i, c;

	for (i = 0; i < n; i++) {
		double alpha = rgba[4 * i + 3] / 255.0, color[3];

		for (c = 0; c < 3; c++)
			color[c] = mean[c] * (1 - alpha) + alpha / 255.0 * rgba[4 * i + c];
		planes[LUMA * n + i] = (color[0] + color[1] + color[2]) / 3;
		planes[YELLOW_BLUE * n + i] = (color[0] + color[1]) / 2 - color[2];
		planes[RED_GREEN * n + i] = color[0] - color[1];
		planes[ALPHA * n + i] = alpha;
	}
}

static double cosine(unsigned size, unsigned frequency, unsigned at)
{
	return cos(M_PI / size * frequency * (at + 0.5));
}

/* The part that one frequency across and one down have in a plane. */
static double frequency_part(const double *plane, unsigned width, unsigned height, unsigned cx,
			     unsigned cy)
{
	double fx[PLACEHOLDER_SIDE], sum = 0;
	unsigned x, y;

	for (x = 0; x < width; x++)
		fx[x] = cosine(width, cx, x);
	for (y = 0; y < height; y++) {
		double fy = cosine(height, cy, y);

		for (x = 0; x < width; x++)
			sum += plane[x + (size_t)y * width] * fx[x] * fy;
	}
	return sum / width / height;
}

/* nx x ny frequencies, of which only those above the diagonal are kept. */
static void transform(const double *plane, unsigned width, unsigned height, unsigned nx,
		      unsigned ny, struct channel *out)
{
	unsigned cx, cy, i;

	memset(out, 0, sizeof(*out));
	for (cy = 0; cy < ny; cy++)
		for (cx = 0; cx * ny < nx * (ny - cy); cx++) {
			double part = frequency_part(plane, width, height, cx, cy);

			if (cx == 0 && cy == 0) {
				out->constant = part;
				continue;
			}
			out->terms[out->terms_n++] = part;
			out->scale = fmax(out->scale, fabs(part));
		}
	for (i = 0; i < out->terms_n; i++)
		out->terms[i] = out->scale > 0 ? 0.5 + 0.5 / out->scale * out->terms[i] : 0;
}

static void put_terms(struct picture_thumbhash *out, const struct channel *c, bool *half)
{
	unsigned i;

	for (i = 0; i < c->terms_n; i++) {
		uint32_t nibble = quantized(c->terms[i], 15);

		if (*half)
			out->bytes[out->len - 1] |= (uint8_t)(nibble << 4);
		else
			out->bytes[out->len++] = (uint8_t)nibble;
		*half = !*half;
	}
}

static void put(struct picture_thumbhash *out, const struct channel *c, unsigned short_side,
		bool wide, bool alpha)
{
	/* Colour differences are -1..1, luminance and alpha 0..1. */
	uint32_t first = quantized(c[LUMA].constant, 63) |
			 quantized(0.5 + 0.5 * c[YELLOW_BLUE].constant, 63) << 6 |
			 quantized(0.5 + 0.5 * c[RED_GREEN].constant, 63) << 12 |
			 quantized(c[LUMA].scale, 31) << 18 | (alpha ? 1u << 23 : 0);
	uint32_t second = short_side | quantized(c[YELLOW_BLUE].scale, 63) << 3 |
			  quantized(c[RED_GREEN].scale, 63) << 9 | (wide ? 1u << 15 : 0);
	bool half = false;
	size_t i;

	for (i = 0; i < 3; i++)
		out->bytes[out->len++] = (uint8_t)(first >> (8 * i));
	for (i = 0; i < 2; i++)
		out->bytes[out->len++] = (uint8_t)(second >> (8 * i));
	if (alpha)
		out->bytes[out->len++] = (uint8_t)(quantized(c[ALPHA].constant, 15) |
						   quantized(c[ALPHA].scale, 15) << 4);
	for (i = 0; i < (alpha ? CHANNELS : ALPHA); i++)
		put_terms(out, &c[i], &half);
}

/* Frequencies along a side: as the sides are to each other. */
static unsigned frequencies(unsigned most, unsigned side, unsigned longest)
{
	unsigned n = (unsigned)floor((double)(most * side) / longest + 0.5);

	return MAX_OF(n, 1u);
}

void placeholder_make(const uint8_t *rgba, unsigned width, unsigned height,
		      struct picture_thumbhash *out)
{
	unsigned longest = MAX_OF(width, height), most, lx, ly;
	size_t n = (size_t)width * height;
	struct channel channels[CHANNELS] = { 0 };
	double mean[4], *planes;
	bool alpha;

	memset(out, 0, sizeof(*out));
	if (!width || !height || longest > PLACEHOLDER_SIDE)
		return;
	planes = calloc(CHANNELS * n, sizeof(*planes));
	if (!planes)
		return;
	alpha = average(rgba, n, mean);
	split(rgba, n, mean, planes);
	most = alpha ? 5 : 7;
	lx = frequencies(most, width, longest);
	ly = frequencies(most, height, longest);
	transform(planes + LUMA * n, width, height, MAX_OF(lx, 3u), MAX_OF(ly, 3u),
		  &channels[LUMA]);
	transform(planes + YELLOW_BLUE * n, width, height, 3, 3, &channels[YELLOW_BLUE]);
	transform(planes + RED_GREEN * n, width, height, 3, 3, &channels[RED_GREEN]);
	if (alpha)
		transform(planes + ALPHA * n, width, height, 5, 5, &channels[ALPHA]);
	put(out, channels, width > height ? ly : lx, width > height, alpha);
	free(planes);
}
