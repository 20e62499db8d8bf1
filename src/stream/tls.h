/* SPDX-License-Identifier: MIT */
/*
 * tls - TLS of one socket, by OpenSSL, without blocking.
 *
 * A struct tls_context is what a listener of a configuration needs: its certificates, or
 * how its upstream is verified. Sessions of one listener share it. A struct tls is one
 * leg's. Knows no legs and no units; the keys come from the generation, not from files.
 *
 * TLS 1.2 and 1.3, no renegotiation, no early data, no compression; ALPN "xmpp-client"
 * (XEP-0368), refused if a client offers others alone.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "conf/conf.h"

/* The version of OpenSSL. */
const char *tls_library(void);

struct tls_context;
struct tls;

/*
 * The context of this listener for its clients, or for its upstream. A reference, NULL with
 * msg. The first call for a configuration builds it; all others are cheap.
 */
struct tls_context *tls_context_get(struct conf *conf, const struct conf_listen *listen,
				    bool upstream, struct err_msg *msg) MUSTCHECK;
void tls_context_put(struct tls_context **c);

/*
 * TLS on this connected socket, which stays the caller's. domain: the name that a client
 * gave elsewhere, for the choice of the certificate if it sends no SNI; may be NULL. NULL
 * when out of memory.
 */
struct tls *tls_new(struct tls_context *c, int fd, const char *domain) MUSTCHECK;
void tls_free(struct tls **t);

/* What the last call waits for, when it returned ERR_AGAIN. */
bool tls_wants_write(const struct tls *t);

/* 0: done; ERR_AGAIN; ERR_TLS or ERR_CLOSED: the connection is of no use (see tls_error()). */
int tls_handshake(struct tls *t) MUSTCHECK;
/* Bytes, more than 0; 0 at the peer's end; ERR_AGAIN, ERR_TLS or ERR_CLOSED. */
ssize_t tls_read(struct tls *t, void *p, size_t len) MUSTCHECK;
/* Bytes taken, more than 0; ERR_AGAIN: call again with the same bytes (they may have moved). */
ssize_t tls_write(struct tls *t, const void *p, size_t len) MUSTCHECK;
/* Bytes are here that no event will tell of. */
bool tls_has_pending(const struct tls *t);
/* Says that nothing more will be written; best effort. */
void tls_close_notify(struct tls *t);

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384": for the log. */
const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
/* The name that the client asked for by SNI, and the protocol agreed on by ALPN; NULL: none. */
const char *tls_authority(const struct tls *t);
const char *tls_alpn(const struct tls *t);
/* Why the last call failed; static text. */
const char *tls_error(const struct tls *t);
