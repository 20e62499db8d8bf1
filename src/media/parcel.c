/* SPDX-License-Identifier: MIT */
/*
 * parcel - see parcel.h.
 */
#include "config.h"

#include "media/parcel.h"

#include <string.h>

#include "base/err.h"

#define FORMAT_VERSION 1
/* version, status, format of the media, sides, size, sum, whole, thumbhash, format, sides, length
 */
#define HEAD \
	(1 + 1 + 1 + 4 + 4 + 8 + HASH_SHA256_LEN + 1 + 1 + PICTURE_THUMBHASH_MAX + 1 + 2 + 2 + 4)

struct cursor {
	const uint8_t *p;
};

static void put(uint8_t **out, uint64_t v, size_t n)
{
	while (n--)
		*(*out)++ = (uint8_t)(v >> (8 * n));
}

static uint64_t get(struct cursor *c, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *c->p++;
	return v;
}

static int parcel_sum(const struct cache_key *key, const uint8_t *p, size_t len,
		      uint8_t sum[HASH_SHA256_LEN])
{
	struct hash *h = hash_sha256_new();
	int rc = ERR_NOMEM;

	if (h && hash_update(h, key->sum, sizeof(key->sum)) == 0 && hash_update(h, p, len) == 0)
		rc = hash_final(h, sum);
	hash_free(&h);
	return rc;
}

bool parcel_may_hold(const struct job_result *r)
{
	switch (r->status) {
	case JOB_OK:
	case JOB_HTTP:
	case JOB_NOT_PICTURE:
	case JOB_SCALER:
	case JOB_TOO_BIG:
		return true;
	case JOB_ADDRESS:
	case JOB_BREAKER:
	case JOB_CACHED_ONLY:
	case JOB_CONNECT:
	case JOB_DEADLINE:
	case JOB_OVERLOAD:
	case JOB_RATE:
	case JOB_TIMEOUT:
	case JOB_UNAVAILABLE:
	case JOB_STATUS_COUNT:
		return false;
	}
	return false; /* a number that came from outside */
}

size_t parcel_put(uint8_t *out, const struct cache_key *key, const struct job_result *r)
{
	uint8_t *p = out;

	if (!parcel_may_hold(r) || r->len > 65535)
		return 0;
	put(&p, FORMAT_VERSION, 1);
	put(&p, r->status, 1);
	put(&p, r->media_format, 1);
	put(&p, r->media_width, 4);
	put(&p, r->media_height, 4);
	put(&p, r->media_size, 8);
	memcpy(p, r->media_sha256, HASH_SHA256_LEN);
	p += HASH_SHA256_LEN;
	put(&p, r->media_whole, 1);
	put(&p, r->thumbhash.len, 1);
	memcpy(p, r->thumbhash.bytes, PICTURE_THUMBHASH_MAX);
	p += PICTURE_THUMBHASH_MAX;
	put(&p, r->format, 1);
	put(&p, r->width, 2);
	put(&p, r->height, 2);
	put(&p, r->len, 4);
	if (r->len)
		memcpy(p, r->bytes, r->len);
	p += r->len;
	if (parcel_sum(key, out, (size_t)(p - out), p))
		return 0;
	return (size_t)(p - out) + HASH_SHA256_LEN;
}

static bool format_fits(enum picture_output output, enum picture_format f)
{
	switch (output) {
	case PICTURE_OUT_AUTO:
		return f == PICTURE_JPEG || f == PICTURE_PNG;
	case PICTURE_OUT_JPEG:
		return f == PICTURE_JPEG;
	case PICTURE_OUT_PNG:
		return f == PICTURE_PNG;
	case PICTURE_OUT_WEBP:
		return f == PICTURE_WEBP;
	}
	return false;
}

static bool result_is_sane(const struct job_result *r, const struct job *j)
{
	if (!parcel_may_hold(r))
		return false;
	if (r->status != JOB_OK)
		return r->len == 0;
	return r->media_format > PICTURE_NONE && r->media_format < PICTURE_FORMAT_COUNT &&
	       r->media_width && r->media_height && r->media_size &&
	       picture_thumbhash_is_sane(&r->thumbhash) && format_fits(j->output, r->format) &&
	       r->width <= j->width && r->height <= j->height && r->len <= j->max_bytes &&
	       picture_is_clean(r->format, r->bytes, r->len, r->width, r->height);
}

int parcel_get(const uint8_t *p, size_t len, const struct cache_key *key, const struct job *j,
	       struct job_result *r)
{
	struct cursor c = { p };
	uint8_t sum[HASH_SHA256_LEN];
	uint64_t whole;

	*r = (struct job_result){ .status = JOB_STATUS_COUNT };
	if (len < HEAD + HASH_SHA256_LEN || len > PARCEL_MAX || get(&c, 1) != FORMAT_VERSION)
		return ERR_BAD_MESSAGE;
	len -= HASH_SHA256_LEN;
	if (parcel_sum(key, p, len, sum) || memcmp(sum, p + len, sizeof(sum)) != 0)
		return ERR_BAD_MESSAGE;
	r->status = (enum job_status)get(&c, 1);
	r->media_format = (enum picture_format)get(&c, 1);
	r->media_width = (uint32_t)get(&c, 4);
	r->media_height = (uint32_t)get(&c, 4);
	r->media_size = get(&c, 8);
	memcpy(r->media_sha256, c.p, HASH_SHA256_LEN);
	c.p += HASH_SHA256_LEN;
	whole = get(&c, 1);
	r->media_whole = whole == 1;
	r->thumbhash.len = (uint8_t)get(&c, 1);
	memcpy(r->thumbhash.bytes, c.p, PICTURE_THUMBHASH_MAX);
	c.p += PICTURE_THUMBHASH_MAX;
	r->format = (enum picture_format)get(&c, 1);
	r->width = (uint16_t)get(&c, 2);
	r->height = (uint16_t)get(&c, 2);
	r->len = get(&c, 4);
	r->bytes = c.p;
	if (r->len != len - HEAD || whole > 1 || !result_is_sane(r, j))
		return ERR_BAD_MESSAGE;
	return 0;
}
