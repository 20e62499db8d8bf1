/* SPDX-License-Identifier: MIT */
/*
 * base64 - see base64.h. Strict about alphabet, padding and the zero bits before it;
 * lenient about white space, which both source documents print.
 */
#include "config.h"

#include "base/base64.h"

#include <string.h>

#include "base/err.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_print(char *out, const void *p, size_t len)
{
	const uint8_t *in = p;
	char *at = out;

	for (; len >= 3; in += 3, len -= 3) {
		*at++ = alphabet[in[0] >> 2];
		*at++ = alphabet[(in[0] & 3) << 4 | in[1] >> 4];
		*at++ = alphabet[(in[1] & 15) << 2 | in[2] >> 6];
		*at++ = alphabet[in[2] & 63];
	}
	if (len) {
		uint8_t second = len == 2 ? in[1] : 0;

		*at++ = alphabet[in[0] >> 2];
		*at++ = alphabet[(in[0] & 3) << 4 | second >> 4];
		*at++ = len == 2 ? alphabet[(second & 15) << 2] : '=';
		*at++ = '=';
	}
	return (size_t)(at - out);
}

static int base64_value(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

int base64_parse(uint8_t *out, size_t *len_out, const char *text, size_t len)
{
	uint32_t word = 0;
	unsigned have = 0, pads = 0;
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		int v = base64_value(text[i]);

		if (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n')
			continue;
		if (text[i] == '=') {
			if (have < 2 || ++pads > 4 - have)
				return ERR_SYNTAX;
			continue;
		}
		if (v == -1 || pads)
			return ERR_SYNTAX;
		word = word << 6 | (uint32_t)v;
		if (++have == 4) {
			out[n++] = (uint8_t)(word >> 16);
			out[n++] = (uint8_t)(word >> 8);
			out[n++] = (uint8_t)word;
			have = 0;
			word = 0;
		}
	}
	if ((have == 0 && pads) || have == 1 || (have && pads != 4 - have))
		return ERR_SYNTAX;
	if ((have == 2 && (word & 15)) || (have == 3 && (word & 3)))
		return ERR_SYNTAX;
	if (have >= 2)
		out[n++] = (uint8_t)(have == 2 ? word >> 4 : word >> 10);
	if (have == 3)
		out[n++] = (uint8_t)(word >> 2);
	*len_out = n;
	return 0;
}
