/* SPDX-License-Identifier: MIT */
/*
 * zstream - see zstream.h.
 */
#include "config.h"

#include "stream/zstream.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/err.h"

#define WINDOW_MAX 15 /* bits: whatever a peer chose */
#define FLUSH_MARK 16 /* more than a flush adds */
#define HEAD       16 /* in front of each allocation of zlib's: its size */

struct zstream {
	z_stream in;
	z_stream out;
	struct buf waits; /* to be inflated: from waits_at on */
	size_t waits_at;
	size_t memory; /* zlib's */
	int64_t may;   /* bytes that may be inflated without more input */
	int error;     /* of inflating */
	bool more;     /* the last call filled all its room */
	bool ended;    /* the peer has said that its data end here */
};

static void *zstream_alloc(void *ctx, unsigned items, unsigned size)
{
	struct zstream *z = ctx;
	size_t len = (size_t)items * size;
	uint8_t *p = calloc(1, HEAD + len);

	if (!p)
		return NULL;
	*(size_t *)(void *)p = len;
	z->memory += len;
	return p + HEAD;
}

static void zstream_release(void *ctx, void *p)
{
	struct zstream *z = ctx;
	uint8_t *head = (uint8_t *)p - HEAD;

	z->memory -= *(size_t *)(void *)head;
	free(head);
}

struct zstream *zstream_new(size_t waits_max)
{
	struct zstream *z = calloc(1, sizeof(*z));

	if (!z)
		return NULL;
	buf_init(&z->waits, waits_max);
	z->may = ZSTREAM_START;
	z->in.zalloc = z->out.zalloc = zstream_alloc;
	z->in.zfree = z->out.zfree = zstream_release;
	z->in.opaque = z->out.opaque = z;
	if (inflateInit2(&z->in, WINDOW_MAX) != Z_OK ||
	    deflateInit2(&z->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, ZSTREAM_WINDOW, ZSTREAM_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		zstream_free(&z);
	return z;
}

void zstream_free(struct zstream **zp)
{
	struct zstream *z = *zp;

	*zp = NULL;
	if (!z)
		return;
	/* Both take what was never begun; data that end in the middle are no fault here. */
	(void)inflateEnd(&z->in);
	(void)deflateEnd(&z->out);
	buf_fini(&z->waits);
	free(z);
}

/* --- deflating ------------------------------------------------------------------------- */

static int zstream_put(struct zstream *z, const struct iovec *v, int flush, size_t room,
		       struct buf *out)
{
	z->out.next_in = v->iov_base;
	z->out.avail_in = (unsigned)v->iov_len;
	do {
		size_t left;
		int rc = buf_reserve(out, room);

		if (rc)
			return rc;
		left = MIN_OF(out->cap - out->len, (size_t)UINT32_MAX);
		z->out.next_out = out->p + out->len;
		z->out.avail_out = (unsigned)left;
		(void)deflate(&z->out, flush); /* Z_OK, or Z_BUF_ERROR: nothing to do */
		out->len += left - z->out.avail_out;
	} while (z->out.avail_out == 0);
	return 0;
}

int zstream_deflate(struct zstream *z, const struct iovec *v, int n, struct buf *out)
{
	size_t len = 0;
	int i, rc = 0;

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	BUG_ON(len > UINT32_MAX / 2);
	/* Room for all at once: a flush that runs out of it ends with two marks (zlib.h). */
	rc = buf_reserve(out, deflateBound(&z->out, len) + FLUSH_MARK);
	for (i = 0; i < n && !rc; i++)
		rc = zstream_put(z, &v[i], i == n - 1 ? Z_SYNC_FLUSH : Z_NO_FLUSH, FLUSH_MARK, out);
	return rc;
}

/* --- inflating ------------------------------------------------------------------------- */

int zstream_feed(struct zstream *z, const uint8_t *p, size_t len)
{
	BUG_ON(zstream_has_pending(z));
	z->waits.len = z->waits_at = 0;
	return buf_add(&z->waits, p, len);
}

static int zstream_fail(struct zstream *z, int error)
{
	z->error = error;
	z->more = false;
	buf_clear(&z->waits);
	z->waits_at = 0;
	return error;
}

ssize_t zstream_inflate(struct zstream *z, uint8_t *out, size_t room)
{
	size_t used, got;
	int rc;

	if (z->error)
		return z->error;
	if (!zstream_has_pending(z))
		return 0;
	if (z->ended)
		return zstream_fail(z, ERR_COMPRESSION);
	z->in.next_in = z->waits.p ? z->waits.p + z->waits_at : NULL;
	z->in.avail_in = (unsigned)(z->waits.len - z->waits_at);
	z->in.next_out = out;
	z->in.avail_out = (unsigned)room;
	rc = inflate(&z->in, Z_SYNC_FLUSH);
	used = z->waits.len - z->waits_at - z->in.avail_in;
	got = room - z->in.avail_out;
	z->may += (int64_t)used * ZSTREAM_RATIO - (int64_t)got;
	if (rc == Z_MEM_ERROR)
		return zstream_fail(z, ERR_NOMEM);
	if (rc != Z_OK && rc != Z_BUF_ERROR && rc != Z_STREAM_END)
		return zstream_fail(z, ERR_COMPRESSION);
	if (z->may < 0)
		return zstream_fail(z, ERR_RATIO);
	z->may = MIN_OF(z->may, (int64_t)ZSTREAM_BURST);
	z->ended = rc == Z_STREAM_END;
	z->waits_at += used;
	z->more = !z->ended && z->in.avail_out == 0;
	if (z->waits_at == z->waits.len) {
		buf_clear(&z->waits);
		z->waits_at = 0;
	}
	return (ssize_t)got;
}

bool zstream_has_pending(const struct zstream *z)
{
	return z->more || z->waits_at < z->waits.len;
}

bool zstream_is_dead(const struct zstream *z)
{
	return z->error != 0;
}

size_t zstream_memory(const struct zstream *z)
{
	return sizeof(*z) + z->memory + z->waits.cap;
}

const char *zstream_library(void)
{
	return zlibVersion();
}
