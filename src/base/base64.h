/* SPDX-License-Identifier: MIT */
/*
 * base64 - RFC 4648 section 4: padded, no line breaks.
 */
#pragma once

#include "base/util.h"

/* Characters that len bytes become, without a NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* Writes BASE64_LEN(len) characters, no NUL; returns their number. */
size_t base64_print(char *out, const void *p, size_t len);

/*
 * Decodes len characters, white space allowed between them, into out (room for
 * len / 4 * 3 + 3 bytes). 0 and *len_out, or ERR_SYNTAX.
 */
int base64_parse(uint8_t *out, size_t *len_out, const char *text, size_t len) MUSTCHECK;
