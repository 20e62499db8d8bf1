/* SPDX-License-Identifier: MIT */
/*
 * entries - of a condition, as given and from files: plain texts hashed, globs in order.
 *
 * A list holds for a subject when an entry does and no entry behind ! does; if all entries are
 * behind !, the first is not needed. How entries and subjects are folded is the caller's.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define ENTRIES_GLOBS_MAX 1000 /* entries with wildcards of one list: each is tried in turn */

struct entries_set {
	const char **v; /* hash table, borrowed texts; a power of 2 of places */
	size_t room;
	size_t n;
};

struct entries_globs {
	const char **v;
	size_t n;
};

/* [1]: behind !. */
struct entries {
	char **texts; /* owned: what the entries point into */
	size_t texts_n;
	struct entries_set plain[2];
	struct entries_globs globs[2];
	bool question; /* ? is a wildcard */
};

/*
 * One entry, folded, in a text that entries_keep() has or gets: 0; ERR_SYNTAX and *why; ERR_NOMEM.
 */
int entries_add(struct entries *l, const char *entry, bool excluded, const char **why) MUSTCHECK;
/* The list owns text from now on; without memory it is freed at once. */
int entries_keep(struct entries *l, char *text) MUSTCHECK;

bool entries_holds(const struct entries *l, const char *const *subjects, size_t n);
/* Could any subject at all satisfy it? */
bool entries_can_hold(const struct entries *l);
void entries_fini(struct entries *l);
