/* SPDX-License-Identifier: MIT */
/*
 * token - see token.h.
 *
 *   u8 version | u8 slot | u64 expires | u64 max | id | user | types to the end | HMAC-SHA-256
 *
 * in base64url without padding; numbers with the most significant byte first.
 */
#include "config.h"

#include "base/token.h"

#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/err.h"

#define TOKEN_VERSION 1
#define HEAD_LEN      (2 + 8 + 8 + TOKEN_ID_LEN + TOKEN_USER_LEN)
#define BODY_MAX      (HEAD_LEN + TOKEN_TYPES_MAX)

_Static_assert(BASE64_LEN(BODY_MAX + HASH_SHA256_LEN) < TOKEN_TEXT_MAX, "a token fits its room");

/* Keys are used for two things, which must never be taken for each other. */
static int sign(const char *key, char use, const void *p, size_t len, uint8_t mac[HASH_SHA256_LEN])
{
	uint8_t text[1 + BODY_MAX + 4096];

	if (len > sizeof(text) - 1)
		return ERR_TOO_BIG;
	text[0] = (uint8_t)use;
	memcpy(text + 1, p, len);
	return hash_hmac(key, strlen(key), text, len + 1, mac);
}

int token_user(const char *key, const char *jid, size_t len, uint8_t out[TOKEN_USER_LEN])
{
	uint8_t mac[HASH_SHA256_LEN];
	int rc = sign(key, 'u', jid, len, mac);

	if (!rc)
		memcpy(out, mac, TOKEN_USER_LEN);
	return rc;
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
	return p + 8;
}

static const uint8_t *get_u64(const uint8_t *p, uint64_t *out)
{
	int i;

	for (*out = 0, i = 0; i < 8; i++)
		*out = *out << 8 | p[i];
	return p + 8;
}

int token_print(const struct token *t, const char *key, char out[TOKEN_TEXT_MAX])
{
	uint8_t body[BODY_MAX + HASH_SHA256_LEN], *p = body;
	size_t types = strlen(t->types), n, i;
	int rc;

	*p++ = TOKEN_VERSION;
	*p++ = t->slot;
	p = put_u64(p, t->expires);
	p = put_u64(p, t->max_bytes);
	memcpy(p, t->id, TOKEN_ID_LEN);
	memcpy(p + TOKEN_ID_LEN, t->user, TOKEN_USER_LEN);
	memcpy(body + HEAD_LEN, t->types, types);
	rc = sign(key, 't', body, HEAD_LEN + types, body + HEAD_LEN + types);
	if (rc)
		return rc;
	n = base64_print(out, body, HEAD_LEN + types + HASH_SHA256_LEN);
	while (n && out[n - 1] == '=')
		n--;
	out[n] = '\0';
	for (i = 0; i < n; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	return 0;
}

/* base64url without padding; one spelling only for each run of bytes is not needed: they are
 * signed. */
static int decode(const char *text, uint8_t *out, size_t *len_out)
{
	char copy[TOKEN_TEXT_MAX + 4];
	size_t n = strlen(text), i;

	if (n >= TOKEN_TEXT_MAX || n % 4 == 1)
		return ERR_SYNTAX;
	for (i = 0; i < n; i++) {
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
			    text[i]))
			return ERR_SYNTAX;
		copy[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	while (n % 4)
		copy[n++] = '=';
	return base64_parse(out, len_out, copy, n);
}

int token_parse(struct token *t, const char *key, const char *text, uint64_t now)
{
	uint8_t body[TOKEN_TEXT_MAX], mac[HASH_SHA256_LEN];
	const uint8_t *p = body + 2;
	size_t len;
	int rc = decode(text, body, &len);

	if (rc)
		return ERR_SYNTAX;
	if (len < HEAD_LEN + HASH_SHA256_LEN || len > BODY_MAX + HASH_SHA256_LEN)
		return ERR_SYNTAX;
	len -= HASH_SHA256_LEN;
	rc = sign(key, 't', body, len, mac);
	if (rc)
		return rc;
	if (!hash_is_equal(mac, body + len, sizeof(mac)) || body[0] != TOKEN_VERSION || body[1] > 1)
		return ERR_SYNTAX;
	memset(t, 0, sizeof(*t));
	t->slot = body[1] == 1;
	p = get_u64(p, &t->expires);
	p = get_u64(p, &t->max_bytes);
	memcpy(t->id, p, TOKEN_ID_LEN);
	memcpy(t->user, p + TOKEN_ID_LEN, TOKEN_USER_LEN);
	memcpy(t->types, body + HEAD_LEN, len - HEAD_LEN);
	return now <= t->expires ? 0 : ERR_TIMEOUT;
}

static bool pattern_matches(const char *pattern, size_t len, const char *type, size_t type_len)
{
	if (len == 3 && memcmp(pattern, "*/*", 3) == 0)
		return true;
	if (len > 2 && memcmp(pattern + len - 2, "/*", 2) == 0)
		return type_len > len - 1 && strncasecmp(pattern, type, len - 1) == 0;
	return len == type_len && strncasecmp(pattern, type, len) == 0;
}

bool token_type_matches(const char *patterns, const char *type)
{
	size_t len = strcspn(type, "; \t");
	bool jpg = len == 9 && strncasecmp(type, "image/jpg", 9) == 0;

	for (; *patterns; patterns += strspn(patterns, ",")) {
		size_t n = strcspn(patterns, ",");

		if (pattern_matches(patterns, n, type, len) ||
		    (jpg && pattern_matches(patterns, n, "image/jpeg", 10)))
			return true;
		patterns += n;
	}
	return false;
}
