/* SPDX-License-Identifier: MIT */
/*
 * info - what captures hold, and whether they are sound.
 */
#pragma once

#include <stdio.h>

#include "replay/checker.h"
#include "replay/trace.h"

/* Sessions, units, bytes, candidates, duration: for people, or as one JSON object. */
void info_print(const struct trace *t, bool json, FILE *f);

/*
 * Are all streams well-formed and whole? And where a session was recorded both before and behind
 * the filters: is the one the other, but for known edits? Each fault is a line on f. Returns how
 * many there are.
 */
unsigned info_check(const struct trace *t, FILE *f);
