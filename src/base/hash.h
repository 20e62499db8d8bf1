/* SPDX-License-Identifier: MIT */
/*
 * hash - sums, random bytes and a keyed hash for tables.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define HASH_SHA256_LEN 32
#define HASH_SHA1_LEN   20

/* A running SHA-256; new returns NULL when out of memory. */
struct hash;
struct hash *hash_sha256_new(void) MUSTCHECK;
int hash_update(struct hash *h, const void *p, size_t len) MUSTCHECK;
/* Writes the sum; the object may only be freed afterwards. */
int hash_final(struct hash *h, uint8_t sum_out[HASH_SHA256_LEN]) MUSTCHECK;
void hash_free(struct hash **h);

/* Whole buffers at once: 0 or ERR_NOMEM. */
int hash_sha256(const void *p, size_t len, uint8_t sum_out[HASH_SHA256_LEN]) MUSTCHECK;
int hash_sha1(const void *p, size_t len, uint8_t sum_out[HASH_SHA1_LEN]) MUSTCHECK;

/* Functions that others may name. */
#define HASH_LEN_MAX 64
enum hash_kind {
#define HASH_KIND(name, text, len, md) HASH_##name,
#include "base/hash.def"
	HASH_KIND_COUNT
};
size_t hash_len(enum hash_kind kind);
/* As XEP-0300 spells it. */
const char *hash_name(enum hash_kind kind);
int hash_sum(enum hash_kind kind, const void *p, size_t len,
	     uint8_t sum_out[HASH_LEN_MAX]) MUSTCHECK;

/* HMAC-SHA-256 (RFC 2104): 0 or ERR_NOMEM. */
int hash_hmac(const void *key, size_t key_len, const void *p, size_t len,
	      uint8_t mac_out[HASH_SHA256_LEN]) MUSTCHECK;
/* Same bytes? Takes as long whatever they are: for what must not be guessed bit by bit. */
bool hash_is_equal(const void *a, const void *b, size_t len);

/* Twice as many hexadecimal digits, and a NUL. */
void hash_print_hex(const void *p, size_t len, char *out);
/* Exactly 2 * len digits in small letters: 0 or ERR_SYNTAX. */
int hash_parse_hex(const char *text, uint8_t *out, size_t len) MUSTCHECK;

/* len random bytes from the kernel; cannot fail once the kernel is up (else it is a bug). */
void hash_random(void *p, size_t len);

/*
 * SipHash-2-4 under a key drawn once per process: for tables that peers fill. Different
 * in every process and run.
 */
uint64_t hash_keyed(const void *p, size_t len);
/* The same under a key of the caller's. */
uint64_t hash_with(const uint64_t key[2], const void *p, size_t len);
