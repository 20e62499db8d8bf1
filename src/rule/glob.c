/* SPDX-License-Identifier: MIT */
/*
 * glob - see glob.h.
 */
#include "config.h"

#include "rule/glob.h"

#include <string.h>

const char *glob_check(const char *glob)
{
	unsigned stars = 0;
	size_t i;

	for (i = 0; glob[i]; i++)
		stars += glob[i] == '*';
	if (i == 0)
		return "an entry is empty";
	if (i > GLOB_MAX)
		return "entry of more than 1024 bytes";
	if (stars > GLOB_STARS)
		return "entry with more than 16 stars";
	return NULL;
}

bool glob_is_wild(const char *glob, bool question)
{
	return strpbrk(glob, question ? "*?" : "*") != NULL;
}

static bool part_is_at(const char *part, size_t len, const char *text, bool question)
{
	size_t i;

	if (!question || !memchr(part, '?', len))
		return memcmp(part, text, len) == 0;
	for (i = 0; i < len; i++)
		if (part[i] != text[i] && part[i] != '?')
			return false;
	return true;
}

/* The first place of the part in the text, or NULL. */
static const char *part_find(const char *part, size_t len, const char *text, size_t text_len,
			     bool question)
{
	size_t i;

	if (!question || !memchr(part, '?', len))
		return memmem(text, text_len, part, len);
	for (i = 0; i + len <= text_len; i++)
		if (part_is_at(part, len, text + i, true))
			return text + i;
	return NULL;
}

bool glob_match(const char *glob, const char *text, bool question)
{
	size_t left = strlen(text), len = strcspn(glob, "*");

	if (len > left || !part_is_at(glob, len, text, question))
		return false;
	if (!glob[len])
		return len == left;
	for (;;) {
		text += len;
		left -= len;
		glob += len + 1;
		len = strcspn(glob, "*");
		if (!glob[len]) /* the last part must be the end */
			return len <= left && part_is_at(glob, len, text + left - len, question);
		const char *at = part_find(glob, len, text, left, question);

		if (!at)
			return false;
		left -= (size_t)(at - text);
		text = at;
	}
}
