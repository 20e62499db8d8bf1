/* SPDX-License-Identifier: MIT */
/*
 * hint - see hint.h.
 */
#include "config.h"

#include "conf/hint.h"

#include <stdio.h>
#include <string.h>

#define HINT_NAME_MAX 64

/* Levenshtein; names are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[HINT_NAME_MAX + 1], diagonal, keep;
	size_t i, k, len = strlen(b);

	if (strlen(a) > HINT_NAME_MAX || len > HINT_NAME_MAX)
		return HINT_NAME_MAX;
	for (k = 0; k <= len; k++)
		row[k] = (unsigned)k;
	for (i = 0; a[i]; i++) {
		diagonal = row[0]++;
		for (k = 0; k < len; k++) {
			keep = row[k + 1];
			row[k + 1] =
				MIN_OF(MIN_OF(row[k], row[k + 1]) + 1, diagonal + (a[i] != b[k]));
			diagonal = keep;
		}
	}
	return row[len];
}

/* The name in that section that was probably meant, or NULL. */
static const char *nearest(enum conf_section section, const char *name)
{
	unsigned best = (unsigned)MIN_OF(3, 1 + strlen(name) / 3), d;
	const char *found = NULL;
	enum conf_section s;
	size_t i;

	for (i = 0; i < conf_options_n; i++) {
		d = conf_options[i].section == section ? distance(name, conf_options[i].name)
						       : HINT_NAME_MAX;
		if (d < best) {
			best = d;
			found = conf_options[i].name;
		}
	}
	for (s = CONF_LOG; section == CONF_GLOBAL && s < CONF_SECTION_COUNT; s++) {
		d = distance(name, conf_section_name(s));
		if (d < best) {
			best = d;
			found = conf_section_name(s);
		}
	}
	return found;
}

void hint_unknown(char out[256], enum conf_section section, const char *name)
{
	const char *near = nearest(section, name);

	if (near)
		snprintf(out, 256, "no such setting; did you mean \"%s\"?", near);
	else
		snprintf(out, 256, "no such setting");
}
