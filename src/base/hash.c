/* SPDX-License-Identifier: MIT */
/*
 * hash - see hash.h. Sums from libcrypto, but for BLAKE2b; SipHash-2-4 after Aumasson and
 * Bernstein's paper.
 */
#include "config.h"

#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/blake2b.h"
#include "base/err.h"

/* Looking an algorithm up costs more than the sum of a short text: each is looked up once. */
static const EVP_MD *digest(const char *name, EVP_MD **known)
{
	if (!*known)
		*known = EVP_MD_fetch(NULL, name, NULL);
	return *known;
}

static const EVP_MD *sha256(void)
{
	static EVP_MD *known;

	return digest("SHA2-256", &known);
}

static const EVP_MD *sha1(void)
{
	static EVP_MD *known;

	return digest("SHA1", &known);
}

struct hash {
	EVP_MD_CTX *ctx; /* owned */
};

struct hash *hash_sha256_new(void)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, sha256(), NULL) != 1)
		hash_free(&h);
	return h;
}

int hash_update(struct hash *h, const void *p, size_t len)
{
	return EVP_DigestUpdate(h->ctx, p, len) == 1 ? 0 : ERR_NOMEM;
}

int hash_final(struct hash *h, uint8_t sum_out[HASH_SHA256_LEN])
{
	return EVP_DigestFinal_ex(h->ctx, sum_out, NULL) == 1 ? 0 : ERR_NOMEM;
}

void hash_free(struct hash **hp)
{
	struct hash *h = *hp;

	*hp = NULL;
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

int hash_sha256(const void *p, size_t len, uint8_t sum_out[HASH_SHA256_LEN])
{
	return EVP_Digest(p, len, sum_out, NULL, sha256(), NULL) == 1 ? 0 : ERR_NOMEM;
}

int hash_sha1(const void *p, size_t len, uint8_t sum_out[HASH_SHA1_LEN])
{
	return EVP_Digest(p, len, sum_out, NULL, sha1(), NULL) == 1 ? 0 : ERR_NOMEM;
}

static const struct {
	const char *name;
	size_t len;
} kinds[] = {
#define HASH_KIND(name, text, len, md) [HASH_##name] = { text, len },
#include "base/hash.def"
};

size_t hash_len(enum hash_kind kind)
{
	return kinds[kind].len;
}

const char *hash_name(enum hash_kind kind)
{
	return kinds[kind].name;
}

static const EVP_MD *md_of(enum hash_kind kind)
{
	switch (kind) {
#define HASH_KIND(name, text, len, md) \
	case HASH_##name:              \
		return md;
#include "base/hash.def"
	case HASH_KIND_COUNT:
		break;
	}
	BUG();
}

int hash_sum(enum hash_kind kind, const void *p, size_t len, uint8_t sum_out[HASH_LEN_MAX])
{
	const EVP_MD *md = md_of(kind);

	if (md)
		return EVP_Digest(p, len, sum_out, NULL, md, NULL) == 1 ? 0 : ERR_NOMEM;
	blake2b(p, len, sum_out, hash_len(kind));
	return 0;
}

int hash_hmac(const void *key, size_t key_len, const void *p, size_t len,
	      uint8_t mac_out[HASH_SHA256_LEN])
{
	return HMAC(EVP_sha256(), key, (int)key_len, p, len, mac_out, NULL) ? 0 : ERR_NOMEM;
}

bool hash_is_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void hash_print_hex(const void *p, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = p;
	size_t i;

	for (i = 0; i < len; i++) {
		*out++ = digits[at[i] >> 4];
		*out++ = digits[at[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hash_parse_hex(const char *text, uint8_t *out, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++, text += 2) {
		int high = hex_value(text[0]), low = high == -1 ? -1 : hex_value(text[1]);

		if (low == -1)
			return ERR_SYNTAX;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return *text ? ERR_SYNTAX : 0;
}

void hash_random(void *p, size_t len)
{
	uint8_t *at = p;

	while (len) {
		ssize_t n = getrandom(at, MIN_OF(len, (size_t)256), 0);

		BUG_ON(n <= 0);
		at += n;
		len -= (size_t)n;
	}
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t hash_with(const uint64_t key[2], const void *p, size_t len)
{
	const uint8_t *at = p;
	size_t left = len;
	uint64_t v[4], word;
	int i;

	v[0] = key[0] ^ 0x736f6d6570736575ULL;
	v[1] = key[1] ^ 0x646f72616e646f6dULL;
	v[2] = key[0] ^ 0x6c7967656e657261ULL;
	v[3] = key[1] ^ 0x7465646279746573ULL;
	for (; left >= 8; at += 8, left -= 8) {
		memcpy(&word, at, 8);
		sip_word(v, word);
	}
	word = (uint64_t)len << 56;
	for (i = 0; left; i++, left--)
		word |= (uint64_t)at[i] << (8 * i);
	sip_word(v, word);
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_keyed(const void *p, size_t len)
{
	static uint64_t key[2];
	static bool drawn;

	if (!drawn) {
		hash_random(key, sizeof(key));
		drawn = true;
	}
	return hash_with(key, p, len);
}
