/* SPDX-License-Identifier: MIT */
/*
 * crash - see crash.h.
 */
#include "config.h"

#include "media/crash.h"

#include <string.h>

#include "base/clock.h"

bool crash_add(struct crash *c, enum picture_format f, const uint8_t sha256[HASH_SHA256_LEN],
	       uint32_t *pause_ms_out)
{
	uint32_t pause;

	if (!crash_has_picture(c, sha256)) {
		c->pictures[c->next].until = clock_now() + CRASH_PICTURE_MS;
		memcpy(c->pictures[c->next].sha256, sha256, HASH_SHA256_LEN);
		c->next = (c->next + 1) % CRASH_PICTURES;
	}
	/* Those that were under way when it went off say nothing new. */
	if (crash_is_off(c, f) || ++c->formats[f].row < CRASH_ROW)
		return false;
	pause = c->formats[f].pause_ms ? 2 * c->formats[f].pause_ms : CRASH_PAUSE_MS;
	pause = MIN_OF(pause, (uint32_t)CRASH_PAUSE_MAX_MS);
	c->formats[f].pause_ms = *pause_ms_out = pause;
	c->formats[f].until = clock_now() + pause;
	/* The next crash after the pause is enough. */
	c->formats[f].row = CRASH_ROW - 1;
	return true;
}

void crash_survived(struct crash *c, enum picture_format f)
{
	if (crash_is_off(c, f))
		return; /* was under way as well */
	memset(&c->formats[f], 0, sizeof(c->formats[f]));
}

bool crash_has_picture(const struct crash *c, const uint8_t sha256[HASH_SHA256_LEN])
{
	size_t i;

	for (i = 0; i < CRASH_PICTURES; i++)
		if (c->pictures[i].until > clock_now() &&
		    memcmp(c->pictures[i].sha256, sha256, HASH_SHA256_LEN) == 0)
			return true;
	return false;
}

bool crash_is_off(const struct crash *c, enum picture_format f)
{
	return c->formats[f].until > clock_now();
}

unsigned crash_count(const struct crash *c, int64_t *first_out)
{
	unsigned n = 0;
	size_t i;

	*first_out = 0;
	for (i = 0; i < PICTURE_FORMAT_COUNT; i++) {
		if (!crash_is_off(c, (enum picture_format)i))
			continue;
		n++;
		if (*first_out == 0 || c->formats[i].until < *first_out)
			*first_out = c->formats[i].until;
	}
	return n;
}
