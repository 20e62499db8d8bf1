/* SPDX-License-Identifier: MIT */
/*
 * token - leave to upload one file to the box, signed, as a part of its address.
 *
 * The proxies make them, the box checks them; both know the key (conf_upload.key). A token
 * says for whom, which size and types at most, and until when; its id is the upload's, so
 * that no token makes two files. Not encrypted: the user is in it as a keyed digest only.
 */
#pragma once

#include <stdbool.h>

#include "base/hash.h"

#define TOKEN_ID_LEN    16
#define TOKEN_USER_LEN  16
#define TOKEN_TYPES_MAX 1024
#define TOKEN_TEXT_MAX  1536 /* characters of a printed token, with its NUL */

struct token {
	bool slot;        /* for XEP-0363: max_bytes is the exact size, the answer 201 */
	uint64_t expires; /* seconds since 1970 */
	uint64_t max_bytes;
	uint8_t id[TOKEN_ID_LEN];        /* random */
	uint8_t user[TOKEN_USER_LEN];    /* token_user() */
	char types[TOKEN_TYPES_MAX + 1]; /* patterns as in token_type_matches(), with commas */
};

/* Who somebody is to the store: 0 or ERR_NOMEM. */
int token_user(const char *key, const char *jid, size_t len, uint8_t out[TOKEN_USER_LEN]) MUSTCHECK;

/* Letters, digits, - and _ only. 0 or ERR_NOMEM. */
int token_print(const struct token *t, const char *key, char out[TOKEN_TEXT_MAX]) MUSTCHECK;

/* 0; ERR_SYNTAX: not made with this key, or changed since; ERR_TIMEOUT: too late; ERR_NOMEM. */
int token_parse(struct token *t, const char *key, const char *text, uint64_t now) MUSTCHECK;

/*
 * Does a type match one of the patterns, "image/png", "image" "/" "*" or "*" "/" "*", with commas
 * between them? Case and parameters of the type do not count, image/jpg is image/jpeg.
 */
bool token_type_matches(const char *patterns, const char *type);
