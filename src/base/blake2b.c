/* SPDX-License-Identifier: MIT */
/*
 * blake2b - see blake2b.h. Names and numbers are those of RFC 7693, 3.
 */
#include "config.h"

#include "base/blake2b.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK_LEN 128

static const uint64_t iv[8] = {
	0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
	0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL,
};

static const uint8_t sigma[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate_right(uint64_t x, int by)
{
	return x >> by | x << (64 - by);
}

static void mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
	v[a] += v[b] + x;
	v[d] = rotate_right(v[d] ^ v[a], 32);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 24);
	v[a] += v[b] + y;
	v[d] = rotate_right(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotate_right(v[b] ^ v[c], 63);
}

static uint64_t word_of(const uint8_t *p)
{
	uint64_t word = 0;
	int i;

	for (i = 7; i >= 0; i--)
		word = word << 8 | p[i];
	return word;
}

static void compress(uint64_t h[8], const uint8_t block[BLOCK_LEN], uint64_t done, bool last)
{
	uint64_t v[16], m[16];
	int i, k;

	memcpy(v, h, 8 * sizeof(*v));
	memcpy(v + 8, iv, sizeof(iv));
	v[12] ^= done;
	if (last)
		v[14] = ~v[14];
	for (i = 0; i < 16; i++)
		m[i] = word_of(block + 8 * i);
	for (i = 0; i < 12; i++) {
		const uint8_t *s = sigma[i % 10];

		for (k = 0; k < 4; k++)
			mix(v, k, 4 + k, 8 + k, 12 + k, m[s[2 * k]], m[s[2 * k + 1]]);
		for (k = 0; k < 4; k++)
			mix(v, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4,
			    m[s[8 + 2 * k]], m[s[8 + 2 * k + 1]]);
	}
	for (i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

void blake2b(const void *p, size_t len, uint8_t *out, size_t len_out)
{
	const uint8_t *at = p;
	uint8_t block[BLOCK_LEN] = { 0 };
	uint64_t h[8];
	size_t left = len, i;

	memcpy(h, iv, sizeof(h));
	h[0] ^= 0x01010000 ^ len_out;
	for (; left > BLOCK_LEN; at += BLOCK_LEN, left -= BLOCK_LEN)
		compress(h, at, len - left + BLOCK_LEN, false);
	if (left)
		memcpy(block, at, left);
	compress(h, block, len, true);
	for (i = 0; i < len_out; i++)
		out[i] = (uint8_t)(h[i / 8] >> (8 * (i % 8)));
}
