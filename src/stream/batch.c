/* SPDX-License-Identifier: MIT */
/*
 * batch - see batch.h.
 *
 * The event is activated with the first piece of a turn: libevent runs what is active in the
 * order in which it became so, and looks for news only when nothing is left.
 *
 * Invariants
 *   - pieces stand back to back in bytes
 *   - while n > 0 the event is active
 */
#include "config.h"

#include "stream/batch.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

struct batch_piece {
	struct leg *leg; /* borrowed: flushes before it goes */
	size_t len;
};

struct batch {
	struct event ev;
	batch_fn fn;
	size_t n;
	size_t len; /* of all pieces */
	struct batch_piece piece[BATCH_PIECES];
	uint8_t bytes[BATCH_BYTES];
};

static void batch_on_turn(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	batch_flush(arg);
}

struct batch *batch_new(struct event_base *base, batch_fn fn)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fn = fn;
	if (event_assign(&b->ev, base, -1, 0, batch_on_turn, b) == -1) {
		free(b);
		return NULL;
	}
	return b;
}

void batch_free(struct batch **b)
{
	if (!*b)
		return;
	BUG_ON((*b)->n);
	event_del(&(*b)->ev);
	free(*b);
	*b = NULL;
}

bool batch_add(struct batch *b, struct leg *leg, const struct iovec *v, int n, size_t len)
{
	int i;

	if (len > BATCH_SMALL)
		return false;
	if (b->n == BATCH_PIECES || len > sizeof(b->bytes) - b->len)
		batch_flush(b);
	if (!b->n)
		event_active(&b->ev, EV_TIMEOUT, 0);
	b->piece[b->n++] = (struct batch_piece){ .leg = leg, .len = len };
	for (i = 0; i < n; i++) {
		memcpy(b->bytes + b->len, v[i].iov_base, v[i].iov_len);
		b->len += v[i].iov_len;
	}
	return true;
}

void batch_flush(struct batch *b)
{
	size_t i, at = 0;

	for (i = 0; i < b->n; i++) {
		struct iovec piece = { .iov_base = b->bytes + at, .iov_len = b->piece[i].len };

		at += piece.iov_len;
		b->fn(b->piece[i].leg, &piece);
	}
	b->n = 0;
	b->len = 0;
}
