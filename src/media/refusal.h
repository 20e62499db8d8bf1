/* SPDX-License-Identifier: MIT */
/*
 * refusal - tells the operator which origin was refused, once for each, and the line that would
 * allow it.
 *
 * Origins only, never a path. The table is small and forgets its oldest; the lines of all
 * together are rate-limited.
 */
#pragma once

#include "media/target.h"

void refusal_log(const struct target *t, const char *why);

/* What ails all fetches, rate-limited. */
void refusal_complain(const char *why);
