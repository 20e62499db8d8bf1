/* SPDX-License-Identifier: MIT */
/*
 * leg-wrap - what goes between a leg and its socket where that is not in the clear: TLS, zlib.
 *
 * leg.c calls it as it would recv() and send(); it decides nothing of when. The libraries are
 * tls.c's and zstream.c's.
 */
#include "config.h"

#include "stream/leg-inside.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

/* Compressed bytes that are read at a time. */
#define ZIP_READ (16 * 1024)

/* Bytes that one TLS record carries. */
#define TLS_RECORD (16 * 1024)

ssize_t leg_receive_tls(struct leg *leg, uint8_t *p, size_t room)
{
	size_t got = 0;
	ssize_t n;

	do {
		n = tls_read(leg->tls, p + got, room - got);
		if (n > 0)
			got += (size_t)n;
	} while (n > 0 && got < room);
	leg->read_wants_write = n == ERR_AGAIN && tls_wants_write(leg->tls);
	if (got) {
		leg->again |= n != ERR_AGAIN && (n <= 0 || tls_has_pending(leg->tls));
		return (ssize_t)got;
	}
	if (n < 0)
		errno = n == ERR_AGAIN ? EAGAIN : 0;
	return n < 0 ? -1 : 0;
}

ssize_t leg_receive_zip(struct leg *leg, int *bad)
{
	bool waited = zstream_has_pending(leg->zip);
	uint8_t *p = leg->env->read_buffer;
	ssize_t n;

	if (zstream_is_dead(leg->zip)) /* last words, which nobody reads */
		return leg_receive_plain(leg, p, LEG_READ_MAX);
	if (!waited) {
		n = leg_receive_plain(leg, p, ZIP_READ);
		if (n <= 0)
			return n;
		*bad = zstream_feed(leg->zip, p, (size_t)n);
		if (*bad)
			return -1;
	}
	n = zstream_inflate(leg->zip, p, LEG_READ_MAX);
	if (n < 0)
		*bad = (int)n;
	leg->again |= waited || zstream_has_pending(leg->zip); /* TLS may have asked before */
	errno = EAGAIN;
	return n > 0 ? n : -1;
}

ssize_t leg_send_tls(struct leg *leg, const uint8_t *p, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < len && (n = tls_write(leg->tls, p + done, len - done)) > 0)
		done += (size_t)n;
	leg->write_wants_read = n == ERR_AGAIN && !tls_wants_write(leg->tls);
	if (done || n >= 0)
		return (ssize_t)done;
	errno = n == ERR_AGAIN ? EAGAIN : EPIPE;
	return -1;
}

/* Pieces that fit go into one record. */
ssize_t leg_sendv_tls(struct leg *leg, const struct iovec *v, int n)
{
	static uint8_t together[TLS_RECORD];
	ssize_t sum = 0, done;
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	if (len <= sizeof(together)) {
		len = 0;
		for (i = 0; i < n; i++) {
			memcpy(together + len, v[i].iov_base, v[i].iov_len);
			len += v[i].iov_len;
		}
		return leg_send_tls(leg, together, len);
	}
	for (i = 0; i < n; i++) {
		done = leg_send_tls(leg, v[i].iov_base, v[i].iov_len);
		if (done == -1)
			return sum ? sum : -1;
		sum += done;
		if ((size_t)done < v[i].iov_len)
			break;
	}
	return sum;
}
