/* SPDX-License-Identifier: MIT */
/*
 * loss - see loss.h.
 */
#include "config.h"

#include "scaler/loss.h"

#include <string.h>

#include "base/util.h"

bool loss_is_meant(const char *warning)
{
	static const char *const words[] = { "premature",   "unexpected",   "truncated",
					     "EOF",         "insufficient", "not enough",
					     "end-of-file", "end of file" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasestr(warning, words[i]))
			return true;
	return false;
}
