/* SPDX-License-Identifier: MIT */
/*
 * edits - how one unit became another: by edits that inset's filters make, or otherwise.
 *
 * Holds what each filter may write or take out, as its documentation says, and shares no code with
 * the filters: it is to find their mistakes. Not for order (checker.h), nor for whether a
 * thumbnail shows the right picture.
 */
#pragma once

#include <stdbool.h>

#include "xmpp/unit.h"

/* Rows: what makes an edit, and of which kind it is. */
enum edits_row {
#define EDITS(id, filter, kind) EDITS_##id,
#include "replay/edits.def"
#undef EDITS
	EDITS_COUNT
};

/* Filter and kind of edit of a row; NULL behind the last. */
const char *edits_name(unsigned row, const char **kind_out);

/* The one place where two texts differ, or all between the first and the last such place. */
struct edits_difference {
	const uint8_t *old;
	const uint8_t *new;
	size_t old_len;
	size_t new_len;
};
void edits_difference(struct edits_difference *d, const uint8_t *a, size_t a_len, const uint8_t *b,
		      size_t b_len);

/*
 * Is got what was sent, with known edits? Then bits of enum edits_row, else 0 (also where both
 * are equal). *thumbnail_out: it got a thumbnail.
 */
uint32_t edits_find(enum unit_kind kind, const uint8_t *sent, size_t sent_len, const uint8_t *got,
		    size_t got_len, bool *thumbnail_out);
