/* SPDX-License-Identifier: MIT */
/*
 * crash - what killed decoders: pictures that are not tried again for a while, and formats that are
 * off for a while because their decoders crash one after the other.
 *
 * A decoder that survives its picture, with a thumbnail or without, ends its format's row of
 * crashes. Only the clock of base/clock.h; no events.
 */
#pragma once

#include <stdbool.h>

#include "base/hash.h"
#include "base/picture.h"

#define CRASH_PICTURES     64
#define CRASH_PICTURE_MS   600000
#define CRASH_ROW          10 /* crashes in a row that turn a format off */
#define CRASH_PAUSE_MS     60000
#define CRASH_PAUSE_MAX_MS 600000 /* doubling until a decoder survives */

struct crash {
	struct {
		int64_t until;
		uint8_t sha256[HASH_SHA256_LEN];
	} pictures[CRASH_PICTURES]; /* ring */
	size_t next;
	struct {
		unsigned row;
		uint32_t pause_ms; /* the last one; 0: none since a decoder survived */
		int64_t until;     /* 0: not off */
	} formats[PICTURE_FORMAT_COUNT];
};

/* The decoder of a picture was killed. True: now its format is off, for *pause_ms_out. */
bool crash_add(struct crash *c, enum picture_format f, const uint8_t sha256[HASH_SHA256_LEN],
	       uint32_t *pause_ms_out);

/* A decoder survived. */
void crash_survived(struct crash *c, enum picture_format f);

bool crash_has_picture(const struct crash *c, const uint8_t sha256[HASH_SHA256_LEN]);
bool crash_is_off(const struct crash *c, enum picture_format f);

/* How many are off now, and when (clock_now() ms) the first comes back; 0: none is off. */
unsigned crash_count(const struct crash *c, int64_t *first_out);
