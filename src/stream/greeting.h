/* SPDX-License-Identifier: MIT */
/*
 * greeting - what inset says itself to a client that must use STARTTLS (RFC 6120 5).
 *
 * Answers the client's first stream header with a header and features of its own, waits for
 * <starttls/>, says <proceed/>. Knows no sockets: bytes in, bytes out. Nothing of it is
 * kept or passed on: behind the handshake the client begins anew, with the server.
 */
#pragma once

#include "base/buf.h"
#include "xmpp/framer.h"
#include "xmpp/tag.h"

enum greeting_next {
	GREETING_MORE,   /* write out, read on */
	GREETING_SECURE, /* write out, then greeting_proceed alone, then the handshake */
	GREETING_END     /* write out (a stream error or the stream's end), then close */
};

struct greeting {
	struct framer framer;
	struct buf in;      /* from the header or tag in progress on */
	struct buf out;     /* to be written; the caller clears it */
	struct nsctx *ctx;  /* of the header; one reference */
	char *to;           /* owned; the header's `to`, references resolved; NULL: none */
	const char *reason; /* after GREETING_END: static text */
	bool answered;      /* the header */
};

struct greeting *greeting_new(size_t max) MUSTCHECK;
void greeting_free(struct greeting **g);

/* These bytes and no others go out before the handshake (clients look for them as they are). */
extern const char greeting_proceed[];

enum greeting_next greeting_feed(struct greeting *g, const uint8_t *p, size_t len) MUSTCHECK;

/* A stream error with this code's condition, and the end, into out; a header before it if need be.
 */
void greeting_fail(struct greeting *g, int err, const char *reason);

/*
 * A stream header of inset's own into b: ctx is of the peer's header, whose default namespace it
 * has (servers check it), or NULL; from is the peer's `to`, raw, or NULL; it is left out if it
 * cannot stand between single quotes. 0, ERR_FULL or ERR_NOMEM.
 */
int greeting_header(struct buf *b, const struct nsctx *ctx, const char *from) MUSTCHECK;
