/* SPDX-License-Identifier: MIT */
/*
 * err - see err.h. Also the end of every programmer's error.
 */
#include "config.h"

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	const char *text;
	const char *condition;
} errs[] = {
#define ERR(n, t, c) [ERR_INDEX_##n] = { #n, t, c },
#include "base/err.def"
#undef ERR
};

static int err_to_index(int code)
{
	int i = -1 - code;

	return i >= 0 && i < ERR_INDEX_COUNT ? i : -1;
}

const char *err_str(int code)
{
	int i = err_to_index(code);

	if (code == 0)
		return "no error";
	return i == -1 ? "unknown error" : errs[i].text;
}

const char *err_name(int code)
{
	static char names[ERR_INDEX_COUNT][24];
	int i = err_to_index(code);

	if (code == 0)
		return "ok";
	if (i == -1)
		return "unknown";
	if (!names[i][0]) {
		size_t k;

		for (k = 0; errs[i].name[k] && k + 1 < sizeof(names[i]); k++) {
			char c = errs[i].name[k];

			names[i][k] = (char)(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
	}
	return names[i];
}

const char *err_condition(int code)
{
	int i = err_to_index(code);

	return i == -1 ? NULL : errs[i].condition;
}

int err_msg_set(struct err_msg *msg, int code, const char *fmt, ...)
{
	va_list ap;

	if (!msg || msg->text[0])
		return code;
	va_start(ap, fmt);
	vsnprintf(msg->text, sizeof(msg->text), fmt, ap);
	va_end(ap);
	return code;
}

void bug_at(const char *file, int line, const char *what)
{
	fprintf(stderr, "inset: bug at %s:%d: %s\n", file, line, what);
	abort();
}
