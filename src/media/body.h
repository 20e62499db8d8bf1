/* SPDX-License-Identifier: MIT */
/*
 * body - the bytes of a media file as they arrive: counted, summed, sniffed, kept in a memfd.
 */
#pragma once

#include "base/hash.h"
#include "base/picture.h"
#include "media/peek.h"

struct body_limits {
	uint64_t max_pixels; /* that the header may claim, as for the scaler */
	uint64_t max_pixels_jpeg;
	uint32_t max_side;
};

struct body {
	uint64_t max;
	struct body_limits limits;
	uint64_t size;
	struct hash *hash; /* owned */
	int fd;            /* owned; -1 until the first byte */
	uint8_t head[16];
	enum picture_format format;      /* valid from 16 bytes on */
	struct peek peek;                /* the same */
	uint8_t sha256[HASH_SHA256_LEN]; /* valid after body_seal() */
};

void body_init(struct body *b, uint64_t max, const struct body_limits *limits);
void body_fini(struct body *b);

/* 0; ERR_TOO_BIG: bytes, or pixels by its header; ERR_UNSUPPORTED: no picture; ERR_NOMEM, ERR_IO.
 */
int body_add(struct body *b, const uint8_t *p, size_t n) MUSTCHECK;

/* The end: no change from now on. Errors as above. */
int body_seal(struct body *b) MUSTCHECK;

/* The sealed memfd becomes the caller's. */
int body_take(struct body *b);
