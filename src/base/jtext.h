/* SPDX-License-Identifier: MIT */
/*
 * jtext - writes JSON into a buffer, for processes that have no need of a library for it.
 *
 * Commas come by themselves. Whatever a text holds, what is written is valid: bytes that are
 * not UTF-8 become '?'. The error is sticky: look at it once, at the end. Reads nothing.
 */
#pragma once

#include "base/buf.h"

struct jtext {
	struct buf b;
	int error; /* ERR_FULL, ERR_NOMEM; 0 */
};

void jtext_init(struct jtext *j, size_t max);
void jtext_fini(struct jtext *j);

/* A member of an object (key), or of an array or the whole (key NULL). */
void jtext_open(struct jtext *j, const char *key, char bracket);     /* '{' or '[' */
void jtext_close(struct jtext *j, char bracket);                     /* '}' or ']' */
void jtext_str(struct jtext *j, const char *key, const char *value); /* NULL: null */
void jtext_strn(struct jtext *j, const char *key, const char *value, size_t len);
void jtext_int(struct jtext *j, const char *key, int64_t value);
void jtext_bool(struct jtext *j, const char *key, bool value);
