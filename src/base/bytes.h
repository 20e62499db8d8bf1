/* SPDX-License-Identifier: MIT */
/*
 * bytes - numbers as picture files have them: big-endian and little-endian, of 2 to 4 bytes.
 */
#pragma once

#include <stdint.h>

static inline uint32_t be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t be32(const uint8_t *p)
{
	return be16(p) << 16 | be16(p + 2);
}

static inline uint32_t le16(const uint8_t *p)
{
	return (uint32_t)p[1] << 8 | p[0];
}

static inline uint32_t le24(const uint8_t *p)
{
	return (uint32_t)p[2] << 16 | le16(p);
}

static inline uint32_t le32(const uint8_t *p)
{
	return le16(p + 2) << 16 | le16(p);
}
