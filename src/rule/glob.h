/* SPDX-License-Identifier: MIT */
/*
 * glob - texts with * (any number of any characters) and ? (one byte).
 *
 * Matching takes time in proportion to the text for each part between stars, whatever the
 * glob: there is no going back to an earlier star.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define GLOB_MAX   1024 /* bytes */
#define GLOB_STARS 16

/* What is wrong with it, or NULL. */
const char *glob_check(const char *glob);

/* Has it a wildcard? question: ? is one. */
bool glob_is_wild(const char *glob, bool question);

bool glob_match(const char *glob, const char *text, bool question);
