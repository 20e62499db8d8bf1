/* SPDX-License-Identifier: MIT */
/*
 * err - the one list of error codes.
 *
 * A function that can fail returns 0 or a negative enum err. Codes say what kind of
 * failure it was, so that a caller can answer; details for people go to the log or, for
 * configuration, into a struct err_msg.
 */
#pragma once

#include "base/util.h"

enum err_index {
#define ERR(name, text, condition) ERR_INDEX_##name,
#include "base/err.def"
#undef ERR
	ERR_INDEX_COUNT
};

enum err {
#define ERR(name, text, condition) ERR_##name = -1 - ERR_INDEX_##name,
#include "base/err.def"
#undef ERR
};

/* Text for a code; "no error" for 0; never NULL. */
const char *err_str(int code);

/* The code's name in lower case with dashes ("well-formed"), for logs and labels; never NULL. */
const char *err_name(int code);

/* The stream error condition that the offender is told (RFC 6120 4.9.3), or NULL. */
const char *err_condition(int code);

/* A message for people, filled by the first failure; later ones do not overwrite it. */
struct err_msg {
	char text[512];
};

/* Formats into msg if it is still empty; msg may be NULL. Returns code, for "return
 * err_msg_set(...)". */
int err_msg_set(struct err_msg *msg, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
