/* SPDX-License-Identifier: MIT */
/*
 * checker - the verdict: did every unit arrive once, in order, unchanged but for known edits?
 *
 * For one direction of one session. It is told what was sent, unit by unit, and what arrived;
 * it never looks at sockets or clocks. Edits are those of edits.def; anything else is a
 * difference. It never stops at one: it finds its place again and counts what follows.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "replay/edits.h"
#include "xmpp/unit.h"

enum checker_result {
#define CHECKER(name, text, help) CHECKER_##name,
#include "replay/checker.def"
#undef CHECKER
	CHECKER_RESULT_COUNT
};

#define CHECKER_LOOK 64 /* units that are looked through to find the place again */

/* Sums over all directions of a run. */
struct checker_sums {
	uint64_t n[CHECKER_RESULT_COUNT];
	uint64_t edits[EDITS_COUNT]; /* units with such an edit */
	uint64_t expected;           /* thumbnails */
	uint64_t present;
	struct buf first; /* owned; the first difference, for people */
};

struct checker {
	struct checker_sums *sums; /* borrowed */
	uint64_t sent;             /* units that were */
	uint64_t at;               /* the one that is due next */
	/* What the units were, by number; valid until the next call. NULL: not sent yet. */
	const uint8_t *(*unit)(void *ctx, uint64_t number, size_t *len_out,
			       enum unit_kind *kind_out);
	void *ctx;
	uint64_t missed[CHECKER_LOOK]; /* units that were passed over */
	unsigned missed_n;
	char name[80]; /* of the direction, for the report */
};

/* A unit has arrived. Returns the number of the unit that it is, or UINT64_MAX. */
uint64_t checker_arrived(struct checker *c, const uint8_t *p, size_t len,
			 enum checker_result *result_out);
/* Nothing more will: what is due is lost. */
void checker_end(struct checker *c);

const char *checker_result_name(enum checker_result result);
/* Has nothing but known edits been seen? */
bool checker_is_clean(const struct checker_sums *s);
void checker_sums_fini(struct checker_sums *s);
