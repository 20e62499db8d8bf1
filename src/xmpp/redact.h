/* SPDX-License-Identifier: MIT */
/*
 * redact - makes what passes in one direction of a stream harmless, byte for byte.
 *
 * What comes out has the same length and the same markup as what went in; texts and attribute
 * values are masked but for those that are known to say nothing about anybody (redact.c lists
 * them). Masking is a keyed permutation of words: the same word becomes the same word
 * everywhere, different words stay different, letters stay letters and digits digits. So equal
 * addresses stay equal, an address stays an address (its domain is kept where an address is
 * expected), and a URL stays a URL: scheme, numeric host, port and a picture's suffix are kept.
 *
 * Streams: bytes of a word or address whose end has not come are kept back and come out with the
 * next. The result does not depend on where the input was split.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

#define REDACT_DEPTH 64
#define REDACT_KEEP  3072 /* bytes of an address */

struct redact {
	const uint64_t *key;         /* two words; borrowed */
	struct buf held;             /* the text or value in progress, as far as it must wait */
	char name[64];               /* local name of the tag or attribute in progress */
	uint8_t stack[REDACT_DEPTH]; /* policies of the open elements' texts */
	uint32_t depth;              /* of open elements; those below the stack are masked */
	uint8_t name_len;
	uint8_t state;  /* enum state of redact.c */
	uint8_t policy; /* enum policy of redact.c, of the value or text in progress */
	uint8_t tag;    /* policy for the text of the tag in progress */
	uint8_t quote;
	uint8_t match;
	bool in_url;       /* behind a :// */
	bool in_authority; /* ... and before the / that ends its host */
	bool end_tag;
	bool slash;  /* the tag's last byte was a / */
	bool tokens; /* the tag's attributes name a stream to resume: all are masked */
};

void redact_init(struct redact *r, const uint64_t key[2]);
void redact_fini(struct redact *r);

/* Appends what is known of the result. 0, or ERR_NOMEM or ERR_FULL from out: then it is over. */
int redact_feed(struct redact *r, const uint8_t *p, size_t len, struct buf *out) MUSTCHECK;
/* Nothing follows: what was kept back comes, masked. */
int redact_end(struct redact *r, struct buf *out) MUSTCHECK;

/* Masks one word in place; the same for the same key. For tests. */
void redact_word(const uint64_t key[2], uint8_t *p, size_t len);
