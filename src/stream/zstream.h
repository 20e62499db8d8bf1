/* SPDX-License-Identifier: MIT */
/*
 * zstream - both directions of one compressed leg (XEP-0138, method zlib), without a socket.
 *
 * Bytes in, bytes out. Every zstream_deflate() ends with a sync flush, so that nothing that
 * was written waits in zlib. What a peer sends is inflated piece by piece into room that the
 * caller gives; what did not fit yet stays here. Knows no legs and no units.
 *
 * Memory of a leg, by zlib's own formulas: inflating 7 KiB and, once a peer has sent more
 * than fits into one call, its window of 32 KiB (the largest that a peer may choose);
 * deflating 6 KiB + 2^(ZSTREAM_WINDOW + 2) + 2^(ZSTREAM_MEMORY + 9) = 54 KiB. That is at most
 * ZSTREAM_COST a leg and twice that a session, plus what waits here to be inflated: less than
 * one read of the leg. test_zstream measures it. It is taken only by legs that agreed.
 *
 * Invariants
 *   - out of a peer's bytes never come more than ZSTREAM_RATIO for each of them, plus
 *     ZSTREAM_BURST that low ratios earn again (ZSTREAM_START at the beginning)
 *   - once failed, it is only good for zstream_deflate()
 */
#pragma once

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"

#define ZSTREAM_RATIO  100
#define ZSTREAM_START  (64 * 1024)
#define ZSTREAM_BURST  (1024 * 1024)
#define ZSTREAM_WINDOW 13 /* bits; what we send needs no larger one */
#define ZSTREAM_MEMORY 5  /* zlib's memLevel */
#define ZSTREAM_COST   (100 * 1024)

/* The version of zlib. */
const char *zstream_library(void);

struct zstream;

/* waits_max: bytes that may wait to be inflated. NULL when out of memory. */
struct zstream *zstream_new(size_t waits_max) MUSTCHECK;
void zstream_free(struct zstream **z);

/* Appends these pieces, compressed and flushed, to out. 0, ERR_FULL or ERR_NOMEM (then the
 * direction is of no use any more). */
int zstream_deflate(struct zstream *z, const struct iovec *v, int n, struct buf *out) MUSTCHECK;

/*
 * The peer's next bytes; only while nothing is pending. They are copied. 0, ERR_FULL or
 * ERR_NOMEM.
 */
int zstream_feed(struct zstream *z, const uint8_t *p, size_t len) MUSTCHECK;
/*
 * Bytes written to out, at most room; 0: more input is needed. ERR_COMPRESSION: the data are
 * corrupt, or go on behind their end; ERR_RATIO: they unpack to too much; ERR_NOMEM.
 */
ssize_t zstream_inflate(struct zstream *z, uint8_t *out, size_t room) MUSTCHECK;
/* zstream_inflate() may have more to give. */
bool zstream_has_pending(const struct zstream *z);
/* zstream_inflate() has failed. */
bool zstream_is_dead(const struct zstream *z);

/* Bytes that it holds now, what waits included. */
size_t zstream_memory(const struct zstream *z);
