/* SPDX-License-Identifier: MIT */
/*
 * overlong - see overlong.h.
 */
#include "config.h"

#include "conf/overlong.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan {
	FILE *f;
	unsigned line;
};

static int next(struct scan *s)
{
	int c = getc(s->f);

	s->line += c == '\n';
	return c;
}

static int peek(struct scan *s)
{
	int c = getc(s->f);

	if (c != EOF)
		ungetc(c, s->f);
	return c;
}

static void skip_string(struct scan *s)
{
	int c;

	while ((c = next(s)) != EOF && c != '"')
		if (c == '\\')
			(void)next(s);
}

/* Behind '#' or "//": to the end of the line; behind "/" and '*': to its end. */
static void skip_comment(struct scan *s, bool block)
{
	int c, before = 0;

	while ((c = next(s)) != EOF) {
		if (block ? before == '*' && c == '/' : c == '\n')
			return;
		before = c;
	}
}

/* A word that begins with first: an integer over what atoi() can hold? */
static bool word_is_overlong(struct scan *s, int first)
{
	char word[64], *end;
	size_t n = 0;
	long long v;
	int c;

	for (c = first; n < sizeof(word) - 1; c = next(s)) {
		word[n++] = (char)c;
		c = peek(s);
		if (c == EOF || !(isalnum(c) || c == '_' || c == '-' || c == '.' || c == '*'))
			break;
	}
	word[n] = '\0';
	if (!isdigit((unsigned char)word[0]))
		return false;
	errno = 0;
	v = strtoll(word, &end, 0);
	/* Names may hold digits, floats are refused elsewhere, and L makes it 64 bits. */
	return *end == '\0' && (errno || v > INT32_MAX);
}

unsigned overlong_line(const char *file, unsigned after)
{
	struct scan s = { .f = fopen(file, "re"), .line = 1 };
	unsigned found = 0;
	int c;

	if (!s.f)
		return 0;
	while (!found && (c = next(&s)) != EOF) {
		if (c == '"')
			skip_string(&s);
		else if (c == '#' || (c == '/' && peek(&s) == '/'))
			skip_comment(&s, false);
		else if (c == '/' && peek(&s) == '*')
			skip_comment(&s, true);
		else if ((isalnum(c) || c == '*') && word_is_overlong(&s, c) && s.line > after)
			found = s.line;
	}
	fclose(s.f);
	return found;
}
