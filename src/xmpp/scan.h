/* SPDX-License-Identifier: MIT */
/*
 * scan - skips bytes of content and of attribute values that mean nothing to the framer.
 *
 * Each function returns the first byte from p that is special, or end. Special is what is
 * below U+0020 or above U+007F and the two bytes a and b (and c for content); white space
 * counts as special, the framer steps over it. 16 bytes at a time with SSE2, else 8 in a
 * register; the tests hold both against each other. For framer.c only.
 */
#pragma once

#include <string.h>

#include "base/util.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline const uint8_t *scan_bytes(const uint8_t *p, const uint8_t *end, uint8_t a, uint8_t b,
					uint8_t c)
{
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != a && *p != b && *p != c)
		p++;
	return p;
}

/* The high bit of each byte of x that is zero; exact up to and including the first one. */
static inline uint64_t scan_zeros(uint64_t x)
{
	return (x - 0x0101010101010101ULL) & ~x & 0x8080808080808080ULL;
}

static inline const uint8_t *scan_portable(const uint8_t *p, const uint8_t *end, uint8_t a,
					   uint8_t b, uint8_t c)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t x, special;

	while (end - p >= 8) {
		memcpy(&x, p, 8);
		special = (x | (x - 0x2020202020202020ULL)) & 0x8080808080808080ULL;
		special |= scan_zeros(x ^ (ones * a)) | scan_zeros(x ^ (ones * b)) |
			   scan_zeros(x ^ (ones * c));
		/* A borrow can only report too much, and only behind a true hit. */
		if (special)
			return scan_bytes(p, end, a, b, c);
		p += 8;
	}
	return scan_bytes(p, end, a, b, c);
}

#ifdef __SSE2__
static inline const uint8_t *scan_sse2(const uint8_t *p, const uint8_t *end, uint8_t a, uint8_t b,
				       uint8_t c)
{
	const __m128i low = _mm_set1_epi8(0x20);
	const __m128i va = _mm_set1_epi8((char)a);
	const __m128i vb = _mm_set1_epi8((char)b);
	const __m128i vc = _mm_set1_epi8((char)c);

	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hit = _mm_or_si128(
			_mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)),
			/* signed: bytes above 0x7f are negative and thus less than 0x20 too */
			_mm_or_si128(_mm_cmpeq_epi8(v, vc), _mm_cmplt_epi8(v, low)));
		int mask = _mm_movemask_epi8(hit);

		if (mask)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
	return scan_bytes(p, end, a, b, c);
}
#endif

static inline const uint8_t *scan_special(const uint8_t *p, const uint8_t *end, uint8_t a,
					  uint8_t b, uint8_t c)
{
#ifdef __SSE2__
	return scan_sse2(p, end, a, b, c);
#else
	return scan_portable(p, end, a, b, c);
#endif
}
