/* SPDX-License-Identifier: MIT */
/*
 * buf - a byte buffer that grows up to a cap given at its creation.
 *
 * Bytes in use are p[0..len). Memory is allocated at the first byte and given back by
 * buf_fini() or buf_clear(), so an idle owner holds none. Not for text formatting beyond
 * buf_printf().
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

struct buf {
	uint8_t *p; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	size_t max;
};

/* No memory yet; len will never exceed max. */
void buf_init(struct buf *b, size_t max);

/* Gives the memory back; the buffer may be used again. */
void buf_clear(struct buf *b);
#define buf_fini buf_clear

/* Room for n more bytes behind len: 0, ERR_FULL (over the cap) or ERR_NOMEM. */
int buf_reserve(struct buf *b, size_t n) MUSTCHECK;

/* Appends: 0, ERR_FULL or ERR_NOMEM; on failure nothing was appended. */
int buf_add(struct buf *b, const void *p, size_t n) MUSTCHECK;
int buf_add_str(struct buf *b, const char *s) MUSTCHECK;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUSTCHECK;

/* Removes n <= len bytes from the front. */
void buf_drop(struct buf *b, size_t n);
