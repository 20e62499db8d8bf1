/* SPDX-License-Identifier: MIT */
/*
 * scans - see scans.h. Keeps `at <= len`, and never writes more than it has read.
 */
#include "config.h"

#include "scaler/scans.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COMPONENTS_MAX 4

struct scans {
	const uint8_t *p;
	size_t len;
	size_t at;
	uint8_t *out; /* owned; has room for len */
	size_t out_len;
	unsigned dropped;
	unsigned components; /* 0: no frame so far */
	uint8_t id[COMPONENTS_MAX];
	bool full[COMPONENTS_MAX];   /* of the highest resolution */
	bool detail[COMPONENTS_MAX]; /* has its scan of details */
};

static void keep(struct scans *s, size_t from)
{
	memcpy(s->out + s->out_len, s->p + from, s->at - from);
	s->out_len += s->at - from;
}

/* Of the segment at `seg`, whose size bytes from its length on are there. */
static bool read_frame(struct scans *s, const uint8_t *seg, size_t size)
{
	unsigned i, h = 0, v = 0;

	if (s->components || size < 8)
		return false;
	s->components = seg[7];
	if (s->components == 0 || s->components > COMPONENTS_MAX || size < 8 + 3u * s->components)
		return false;
	for (i = 0; i < s->components; i++) {
		h = MAX_OF(h, seg[9 + 3 * i] & 0xf0u);
		v = MAX_OF(v, seg[9 + 3 * i] & 0x0fu);
	}
	for (i = 0; i < s->components; i++) {
		s->id[i] = seg[8 + 3 * i];
		s->full[i] = seg[9 + 3 * i] == (h | v);
	}
	return true;
}

/* Details of a component that is decoded to means, and not the first of them? */
static bool may_go(struct scans *s, const uint8_t *seg, size_t size)
{
	unsigned i, start, before;

	if (size < 8 || seg[2] != 1)
		return false;
	start = seg[5];
	before = seg[7] >> 4; /* bits that earlier scans gave */
	for (i = 0; i < s->components; i++) {
		if (s->id[i] != seg[3])
			continue;
		if (!s->full[i] || start == 0)
			return false;
		if (start == 1 && before == 0 && !s->detail[i]) {
			s->detail[i] = true;
			return false;
		}
		return true;
	}
	return false;
}

/* Entropy-coded data end at the first marker that is neither stuffing nor a restart. */
static void skip_data(struct scans *s)
{
	while (s->at < s->len) {
		const uint8_t *ff = memchr(s->p + s->at, 0xff, s->len - s->at);

		s->at = ff ? (size_t)(ff - s->p) : s->len;
		if (s->len - s->at < 2)
			return;
		if (ff[1] != 0 && (ff[1] < 0xd0 || ff[1] > 0xd7))
			return;
		s->at += 2;
	}
}

/* One segment, with its data if it is a scan. False: that was the end, or it is odd. */
static bool next(struct scans *s, bool *good)
{
	const uint8_t *seg = s->p + s->at + 2;
	size_t from = s->at, size;
	uint8_t marker;

	*good = false;
	if (s->len - s->at < 4 || s->p[s->at] != 0xff)
		return false;
	marker = s->p[s->at + 1];
	size = (size_t)seg[0] << 8 | seg[1];
	/* A marker without a length, or a frame that is not progressive. */
	if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9) || size < 2 ||
	    size > s->len - s->at - 2)
		return false;
	if (marker <= 0xcf && marker != 0xc2 && marker != 0xc4 && marker != 0xcc)
		return false;
	if (marker == 0xc2 && !read_frame(s, seg, size))
		return false;
	s->at += 2 + size;
	if (marker == 0xda) {
		if (!s->components)
			return false;
		skip_data(s);
	}
	if (marker == 0xda && may_go(s, seg, size))
		s->dropped++;
	else
		keep(s, from);
	*good = true;
	/* The end of the picture is a marker alone. */
	return s->len - s->at < 2 || s->p[s->at + 1] != 0xd9;
}

uint8_t *scans_thin(const uint8_t *p, size_t len, size_t *len_out)
{
	struct scans s = { .p = p, .len = len, .at = 2 };
	bool good;

	if (len < 4 || p[0] != 0xff || p[1] != 0xd8)
		return NULL;
	s.out = malloc(len);
	if (!s.out)
		return NULL;
	keep(&s, 0);
	while (next(&s, &good))
		;
	if (good && s.dropped && s.p[s.at] == 0xff) {
		s.at += 2;
		keep(&s, s.at - 2);
		*len_out = s.out_len;
		return s.out;
	}
	free(s.out);
	return NULL;
}
