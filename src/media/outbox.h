/* SPDX-License-Identifier: MIT */
/*
 * outbox - messages to one peer that its channel did not take at once.
 *
 * A flight that a thousand messages wait for answers them all in one turn, more than a channel
 * holds; lost answers would hold each of them until its deadline. What does not fit waits here, up
 * to a cap, and leaves when there is room. Messages with a descriptor never wait.
 */
#pragma once

#include <event2/event.h>

#include "base/ipc.h"
#include "base/list.h"

#define OUTBOX_MAX (8u * 1024 * 1024) /* bytes that may wait, their book-keeping included */

struct outbox {
	struct list waiting;
	size_t bytes;
	struct event *writable; /* owned; NULL: nothing may wait */
	int fd;                 /* borrowed */
};

/* Nothing waits, nothing may; also for one that was never opened. */
void outbox_init(struct outbox *o);
/* fd stays the caller's. 0 or ERR_NOMEM. */
int outbox_open(struct outbox *o, struct event_base *base, int fd) MUSTCHECK;
/* What waits is lost. */
void outbox_close(struct outbox *o);

/* 0: sent, or waits; else it is lost: as ipc_send(), ERR_FULL over the cap, ERR_NOMEM. */
int outbox_send(struct outbox *o, struct ipc_out *out) MUSTCHECK;
