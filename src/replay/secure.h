/* SPDX-License-Identifier: MIT */
/*
 * secure - TLS of the player's clients, by OpenSSL, without blocking.
 *
 * A client's side only, and as little as a load test needs: certificates are verified only where
 * a file of authorities is given. src/stream/tls.c is what insetd itself uses; neither may use
 * the other.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct secure_context;
struct secure;

/* ca_file: authorities that must have signed the server's certificate; NULL: nothing is verified.
 * 0, or a negative code and msg. */
int secure_open(const char *ca_file, struct secure_context **out, struct err_msg *msg) MUSTCHECK;
void secure_close(struct secure_context **c);

/*
 * TLS on this connected socket, which stays the caller's. name: for SNI, and what a verified
 * certificate must be for. direct: offers ALPN "xmpp-client" (XEP-0368). NULL when out of memory.
 */
struct secure *secure_new(struct secure_context *c, int fd, const char *name,
			  bool direct) MUSTCHECK;
void secure_free(struct secure **s);

/* 0: done; ERR_AGAIN; ERR_TLS (see secure_error()). */
int secure_handshake(struct secure *s) MUSTCHECK;
/* ERR_AGAIN of the handshake was about writing. */
bool secure_wants_write(const struct secure *s);
/* As recv() and send(); EPROTO for a connection that is of no use any more. */
ssize_t secure_recv(struct secure *s, void *p, size_t len) MUSTCHECK;
ssize_t secure_send(struct secure *s, const void *p, size_t len) MUSTCHECK;
/* Bytes are here that no event will tell of. */
bool secure_has_pending(const struct secure *s);
/* Why the handshake failed; static text. */
const char *secure_error(const struct secure *s);
