/* SPDX-License-Identifier: MIT */
/*
 * leg-inside - what leg.c, leg-open.c and leg-wrap.c call of each other. Not for anybody else.
 */
#pragma once

#include "stream/leg.h"

/* Of what waits. A lane stops long before: it reads no more while a leg is full. */
#define LEG_OUT_MAX (256u * 1024 * 1024)

/* --- leg.c ----------------------------------------------------------------------------- */

/* Registers for exactly what is wanted now. A failed write is told from the loop at once. */
void leg_register(struct leg *leg);
/* What no event of the socket will tell of comes at the next turn, if it is wanted. */
void leg_wake(struct leg *leg);
/* What is in the batch leaves. */
void leg_flush(struct leg *leg);

/* --- leg-wrap.c ------------------------------------------------------------------------ */

/* As recv(), by TLS. */
ssize_t leg_receive_tls(struct leg *leg, uint8_t *p, size_t room);
/*
 * As recv() into the shared buffer, unpacked, but -1 also for a negative enum err, which goes to
 * *bad. At most LEG_READ_MAX bytes are inflated a turn; the rest comes again at once.
 */
ssize_t leg_receive_zip(struct leg *leg, int *bad);
/* As send(), by TLS, but takes all that the socket takes. */
ssize_t leg_send_tls(struct leg *leg, const uint8_t *p, size_t len);
ssize_t leg_sendv_tls(struct leg *leg, const struct iovec *v, int n);

/* As recv(), in the clear or by TLS. */
static inline ssize_t leg_receive_plain(struct leg *leg, uint8_t *p, size_t room)
{
	if (LIKELY(!leg->tls))
		return recv(leg->fd, p, room, UNLIKELY(leg->peeks) ? MSG_PEEK : 0);
	return leg_receive_tls(leg, p, room);
}
