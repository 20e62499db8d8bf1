/* SPDX-License-Identifier: MIT */
/*
 * What a peer says is compressed, against plain zlib: whatever the pieces and the room, the
 * same bytes come out, and never more than the ratio allows. Then it is packed again and
 * must unpack to itself. The first byte chooses the pieces, the second one the room.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/err.h"
#include "fuzz.h"
#include "stream/zstream.h"

#define OUT_MAX (4u << 20)

static uint8_t want[OUT_MAX], got[OUT_MAX];

/* Bytes that zlib makes of it, up to OUT_MAX; *rc: its last word. */
static size_t reference(const uint8_t *p, size_t len, int *rc)
{
	z_stream z = { 0 };

	BUG_ON(inflateInit(&z) != Z_OK);
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = (unsigned)len;
	z.next_out = want;
	z.avail_out = OUT_MAX;
	*rc = inflate(&z, Z_SYNC_FLUSH);
	if (*rc == Z_STREAM_END && z.avail_in)
		*rc = Z_DATA_ERROR;
	inflateEnd(&z);
	return OUT_MAX - z.avail_out;
}

static int unpack(const uint8_t *p, size_t len, size_t piece, size_t room, size_t *n_out)
{
	struct zstream *z = zstream_new(len + 1);
	size_t at = 0, n = 0, step;
	ssize_t r = 0;

	BUG_ON(!z);
	while (r >= 0) {
		if (!zstream_has_pending(z)) {
			step = MIN_OF(piece, len - at);
			if (!step)
				break;
			BUG_ON(zstream_feed(z, p + at, step));
			at += step;
		}
		BUG_ON(n + room > OUT_MAX);
		r = zstream_inflate(z, got + n, room);
		if (r > 0)
			n += (size_t)r;
		BUG_ON(n > ZSTREAM_START + ZSTREAM_RATIO * at);
	}
	BUG_ON((r < 0) != zstream_is_dead(z));
	zstream_free(&z);
	*n_out = n;
	return r < 0 ? (int)r : 0;
}

static void repack(size_t len, size_t piece)
{
	struct zstream *a = zstream_new(16);
	struct iovec v[2];
	struct buf b;
	size_t n;
	int rc;

	piece = MIN_OF(piece, len);
	buf_init(&b, 2u * OUT_MAX);
	v[0] = (struct iovec){ .iov_base = want, .iov_len = piece };
	v[1] = (struct iovec){ .iov_base = want + piece, .iov_len = len - piece };
	BUG_ON(!a || zstream_deflate(a, v, 2, &b));
	rc = unpack(b.p, b.len, b.len, 32768, &n);
	BUG_ON(rc != ERR_RATIO && (rc || n != len || memcmp(want, got, n) != 0));
	buf_fini(&b);
	zstream_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t piece, room, n, all;
	int rc, word;

	/* So few bytes that what they may unpack to fits. */
	if (len < 2 || len > 20000)
		return 0;
	piece = 1 + bytes[0];
	room = 1 + (size_t)bytes[1] * 64;
	bytes += 2;
	len -= 2;
	all = reference(bytes, len, &word);
	rc = unpack(bytes, len, piece, room, &n);
	BUG_ON(n > all || memcmp(want, got, n) != 0);
	BUG_ON(rc && rc != ERR_COMPRESSION && rc != ERR_RATIO);
	if (rc != ERR_RATIO && all < OUT_MAX) {
		BUG_ON((word == Z_DATA_ERROR || word == Z_NEED_DICT) != (rc == ERR_COMPRESSION));
		BUG_ON(!rc && n != all);
	}
	if (!rc)
		repack(n, piece);
	return 0;
}
