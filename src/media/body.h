/* SPDX-License-Identifier: MIT */
/*
 * body - the bytes of a media file as they arrive: counted, summed, sniffed, kept in a memfd.
 */
#pragma once

#include "base/hash.h"
#include "base/picture.h"

struct body {
	uint64_t max;
	uint64_t size;
	struct hash *hash; /* owned */
	int fd;            /* owned; -1 until the first byte */
	uint8_t head[16];
	enum picture_format format;      /* valid from 16 bytes on */
	uint8_t sha256[HASH_SHA256_LEN]; /* valid after body_seal() */
};

void body_init(struct body *b, uint64_t max);
void body_fini(struct body *b);

/* 0; ERR_TOO_BIG; ERR_UNSUPPORTED: no picture; ERR_NOMEM, ERR_IO. */
int body_add(struct body *b, const uint8_t *p, size_t n) MUSTCHECK;

/* The end: no change from now on. Errors as above. */
int body_seal(struct body *b) MUSTCHECK;

/* The sealed memfd becomes the caller's. */
int body_take(struct body *b);
