/* SPDX-License-Identifier: MIT */
/*
 * leg - one side of a session: a socket, its TLS and compression, and what it has not taken yet.
 *
 * Reads into the one buffer that all legs of a process share, writes straight on and keeps
 * only the rest. Knows nothing of units or of the other leg; session.c joins two legs.
 *
 * Invariants
 *   - leg_is_full() from write-high waiting bytes down to write-low; the session does not
 *     read the other leg meanwhile
 *   - what a leg has in the batch leaves before anything else that it writes, before the end of
 *     its direction, and before it is closed
 *   - an idle leg owns no buffer (but what its TLS and its zlib keep)
 *   - after leg_close() no callback of this leg fires again; leg_* calls do nothing
 *   - socket -> TLS -> inflate -> LEG_DATA; out holds bytes that are deflated already
 *   - callbacks come from the event loop only, never from inside a leg_* call
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/list.h"
#include "stream/batch.h"
#include "stream/tls.h"
#include "stream/zstream.h"

#define LEG_READ_MAX (32 * 1024)

enum leg_event {
	LEG_CONNECTED,
	LEG_SECURED, /* the handshake that leg_secure() began is done */
	LEG_DATA,    /* bytes, valid during the call */
	LEG_DRAINED, /* room again after leg_is_full(), or all has been taken */
	LEG_EOF,
	LEG_CORRUPT, /* what the peer compressed cannot be used; err is an enum err. Told once */
	LEG_ERROR    /* connection broken or never made; err is the errno */
};

struct leg;
struct leg_news {
	enum leg_event event;
	const uint8_t *p;
	size_t len;
	int err;
	const char *why; /* LEG_ERROR: what TLS says; NULL: see err */
};
typedef void (*leg_fn)(struct leg *leg, const struct leg_news *news);

/* What the legs of a process share. */
struct leg_env {
	struct event_base *base;
	uint8_t *read_buffer; /* LEG_READ_MAX */
	struct batch *batch;  /* owned by the pool, as is the buffer; made with leg_write_batched */
	leg_fn fn;
	struct list waiting; /* legs with bytes to take, the one longest without progress first */
};

struct leg {
	struct event ev;
	struct leg_env *env; /* borrowed */
	void *owner;         /* the session; borrowed */
	struct tls *tls;     /* owned; NULL: in the clear */
	struct zstream *zip; /* owned; NULL: not compressed */
	struct list waiting;
	int64_t progress; /* when the peer last took something, or had nothing to take */
	struct buf out;   /* not taken yet: from out_at on */
	size_t out_at;
	uint64_t received;
	uint32_t high;
	uint32_t low;
	int fd;       /* owned; -1: none */
	int error;    /* errno of a failed write, to be told from the loop */
	short events; /* EV_READ | EV_WRITE as registered; 0: not registered */
	uint8_t side; /* which of the session's legs */
	bool batched; /* a piece of it is in env->batch: bytes behind it must not pass it */
	bool peeks;   /* LEG_DATA leaves its bytes in the socket; leg_take() takes them out */
	bool connecting;
	bool securing;         /* in the handshake */
	bool write_wants_read; /* TLS must read before it can write */
	bool read_wants_write;
	bool again; /* something is to be read that no event of the socket will tell of */
	bool wants_read;
	bool full;
	bool shut_due; /* shut down for writing as soon as all is taken */
	bool shut;
	bool eof;
};

/* No socket yet. */
void leg_init(struct leg *leg, struct leg_env *env, size_t high, size_t low);
/* Takes a connected socket. 0 or ERR_NOMEM (then fd is closed). */
int leg_open(struct leg *leg, int fd) MUSTCHECK;
/* Starts to connect; LEG_CONNECTED or LEG_ERROR follows from the loop. 0 or ERR_CONNECT. */
int leg_connect(struct leg *leg, const struct sockaddr *sa, socklen_t len) MUSTCHECK;
void leg_close(struct leg *leg);
/*
 * From here on TLS: LEG_SECURED or LEG_ERROR follows from the loop. domain as in tls_new(). 0;
 * ERR_NOMEM, or ERR_FULL if the peer has not taken all that was written: then it is not begun.
 */
int leg_secure(struct leg *leg, struct tls_context *context, const char *domain) MUSTCHECK;

/*
 * From here on compressed, both ways: what is written, and what is read. rest: the first
 * compressed bytes, if they came in one read with what went before; they are copied. 0 or
 * ERR_NOMEM.
 */
int leg_compress(struct leg *leg, const uint8_t *rest, size_t len) MUSTCHECK;

void leg_set_read(struct leg *leg, bool on);
/* These first bytes of what was peeked at are done with. */
void leg_take(struct leg *leg, size_t len);
/* Writes, puts off until the end of the loop's turn (batch.h), or queues. Failures come later as
 * LEG_ERROR. */
void leg_writev(struct leg *leg, const struct iovec *v, int n);
/* For batch_new(). */
void leg_write_batched(struct leg *leg, const struct iovec *piece);
/* No more will be written: ends the direction when all has been taken. */
void leg_shutdown(struct leg *leg);

static inline bool leg_is_full(const struct leg *leg)
{
	return leg->full;
}

/* Bytes that the peer has not taken. */
static inline size_t leg_backlog(const struct leg *leg)
{
	return leg->out.len - leg->out_at;
}
