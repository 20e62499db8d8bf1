/* SPDX-License-Identifier: MIT */
/*
 * redact-mask - what a text, a value or an address becomes: its words permuted, the rest as it is.
 * See redact.h.
 *
 * Knows nothing of markup: redact.c finds what is to be masked, and gives it whole, or cut at a
 * place that depends on its own bytes alone.
 *
 * Invariants
 *   - as many bytes come out as went in, and characters of XML stay characters of XML
 *   - the same word becomes the same word, wherever it stands and whatever stands around it
 */
#include "config.h"

#include <ctype.h>
#include <string.h>

#include "base/hash.h"
#include "xmpp/redact-inside.h"

#define WORD_MAX 64 /* longer words are masked in pieces */
#define ROUNDS   8

/* Of a URL these stay. */
static const char *const url_schemes[] = { "aesgcm", "ftp", "http", "https" };
static const char *const url_suffixes[] = { "avif", "bmp", "gif",  "heic", "jpeg", "jpg",
					    "jxl",  "mp3", "mp4",  "ogg",  "pdf",  "png",
					    "svg",  "tif", "tiff", "webm", "webp" };

/* --- words ------------------------------------------------------------------------------- */

static bool is_word_byte(uint8_t b)
{
	return b >= 0x80 || isalnum(b);
}

/* One place of a word: value v of m, counted from base; m is 1 for what stays. */
struct place {
	uint8_t v;
	uint8_t m;
	uint8_t base;
};

/*
 * The range of the second byte of a character (and of the third behind EF BF), so that what comes
 * out is a character of XML as well.
 */
static struct place place_of_second(uint8_t lead, uint8_t b)
{
	uint8_t low = 0x80, high = 0xbf;

	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	else if (lead == 0xef)
		high = 0xbe;
	if (b < low || b > high) /* EF BF: no other stays apart from U+FFFE and U+FFFF */
		return (struct place){ .m = 1, .base = b };
	return (struct place){ (uint8_t)(b - low), (uint8_t)(high - low + 1), low };
}

static struct place place_of_lead(uint8_t b)
{
	if (b >= 0xc3 && b <= 0xdf)
		return (struct place){ (uint8_t)(b - 0xc3), 0xdf - 0xc3 + 1, 0xc3 };
	if (b >= 0xe1 && b <= 0xec)
		return (struct place){ (uint8_t)(b - 0xe1), 0xec - 0xe1 + 1, 0xe1 };
	return (struct place){ .m = 1, .base = b };
}

/* Reads one character: its places, and its length. */
static size_t places_of(const uint8_t *p, size_t len, struct place *out)
{
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2, i;

	if (p[0] < 0x80) {
		uint8_t base = isdigit(p[0]) ? '0' : islower(p[0]) ? 'a' : 'A';

		out[0] = (struct place){ (uint8_t)(p[0] - base), isdigit(p[0]) ? 10 : 26, base };
		return 1;
	}
	for (i = 1; i < n && i < len && (p[i] & 0xc0) == 0x80; i++)
		out[i] = (struct place){ p[i] & 0x3f, 64, 0x80 };
	if (p[0] < 0xc2 || p[0] > 0xf4 || i < n) { /* no character: nothing worth keeping */
		out[0] = (struct place){ .m = 1, .base = 'x' };
		return 1;
	}
	out[0] = place_of_lead(p[0]);
	out[1] = place_of_second(p[0], p[1]);
	if (p[0] == 0xef && p[1] == 0xbf && p[2] > 0xbd)
		out[2] = (struct place){ .m = 1, .base = 0xbd };
	else if (p[0] == 0xef && p[1] == 0xbf)
		out[2] = (struct place){ p[2] & 0x3f, 62, 0x80 };
	return n;
}

/* A Feistel network whose halves are added to, each place modulo its own range. */
static void permute(const uint64_t key[2], struct place *v, size_t n)
{
	uint8_t in[3 + 2 * WORD_MAX];
	size_t half = n / 2, i;
	unsigned round;

	for (round = 0; round < ROUNDS; round++) {
		size_t from = round % 2 ? 0 : half, to = round % 2 ? half : n;
		size_t other = round % 2 ? half : 0, end = round % 2 ? n : half;
		struct {
			uint64_t h;
			uint64_t i;
		} block;
		uint64_t bits = 0;
		size_t k = 0;

		in[k++] = (uint8_t)round;
		in[k++] = (uint8_t)n;
		for (i = 0; i < n; i++)
			in[k++] = v[i].m;
		for (i = other; i < end; i++)
			in[k++] = v[i].v;
		block.h = hash_with(key, in, k);
		for (i = from; i < to; i++) {
			block.i = (i - from) / 4;
			if ((i - from) % 4 == 0)
				bits = hash_with(key, &block, sizeof(block));
			v[i].v = (uint8_t)((v[i].v + (bits & 0xffff)) % v[i].m);
			bits >>= 16;
		}
	}
}

void redact_word(const uint64_t key[2], uint8_t *p, size_t len)
{
	struct place v[WORD_MAX + 4];
	size_t n, i;

	for (; len; p += n, len -= n) {
		for (n = 0; n < len && n < WORD_MAX - 3;)
			n += places_of(p + n, len - n, v + n);
		permute(key, v, n);
		for (i = 0; i < n; i++)
			p[i] = (uint8_t)(v[i].base + v[i].v);
	}
}

/* --- texts ------------------------------------------------------------------------------- */

/* A reference at p: its length, 0 if it is none. Names stay, numbers become that of an X. */
static size_t mask_reference(uint8_t *p, size_t len)
{
	size_t n = 1, digits;

	while (n < len && n < REDACT_REFERENCE_MAX && (isalnum(p[n]) || (n == 1 && p[n] == '#')))
		n++;
	if (n >= len || p[n] != ';')
		return 0;
	if (p[1] != '#')
		return n <= 5 ? n + 1 : 0;
	if (n > 2) {
		bool hex = p[2] == 'x';

		digits = n - 2 - hex;
		if (digits >= 2) {
			memset(p + 2 + hex, '0', digits);
			memcpy(p + n - 2, hex ? "58" : "88", 2);
		}
	}
	return n + 1;
}

static bool is_kept_in_url(const struct redact *r, const uint8_t *p, size_t len, bool dot)
{
	size_t i;

	if (!r->in_authority)
		return dot && REDACT_AMONG(url_suffixes, p, len);
	for (i = 0; i < len; i++)
		if (!isdigit(p[i]))
			return false;
	return true; /* of an address or port */
}

/* Masks a word; in a URL nothing comes out as what would have been kept. */
static void mask_word(struct redact *r, uint8_t *p, size_t len, bool dot)
{
	if (r->in_url && is_kept_in_url(r, p, len, dot))
		return;
	do
		redact_word(r->key, p, len);
	while (r->in_url && is_kept_in_url(r, p, len, dot));
}

void redact_mask(struct redact *r, uint8_t *p, size_t len)
{
	size_t i = 0, n;

	while (i < len) {
		if (p[i] == '&' && (n = mask_reference(p + i, len - i)) > 0) {
			i += n;
			continue;
		}
		if (!is_word_byte(p[i])) {
			if (p[i] == '/' || p[i] == '?' || p[i] == '#')
				r->in_authority = false;
			if (isspace(p[i]) || p[i] == '"')
				r->in_url = r->in_authority = false;
			i++;
			continue;
		}
		for (n = 1; i + n < len && is_word_byte(p[i + n]); n++)
			;
		if (i + n + 3 <= len && memcmp(p + i + n, "://", 3) == 0 &&
		    REDACT_AMONG(url_schemes, p + i, n)) {
			r->in_url = r->in_authority = true;
			n += 3;
		} else {
			mask_word(r, p + i, n, i > 0 && p[i - 1] == '.');
		}
		i += n;
	}
}

void redact_mask_address(struct redact *r, uint8_t *p, size_t len)
{
	const uint8_t *slash = memchr(p, '/', len);
	size_t bare = slash ? (size_t)(slash - p) : len;
	const uint8_t *at = memchr(p, '@', bare);

	if (memmem(p, len, "://", 3)) {
		redact_mask(r, p, len);
		return;
	}
	if (at)
		redact_mask(r, p, (size_t)(at - p));
	redact_mask(r, p + bare, len - bare);
}
