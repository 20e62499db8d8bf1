/* SPDX-License-Identifier: MIT */
/*
 * proxyproto - the PROXY protocol, versions 1 and 2: who the client is, by a balancer's word.
 *
 * Specification: haproxy's doc/proxy-protocol.txt. Bytes in, addresses out, and the other
 * way round. Knows no sockets. Whether the balancer may be believed is the session's to ask.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/buf.h"

#define PROXYPROTO_MAX 1024 /* bytes of a header, TLVs included; longer ones are refused */

enum { PROXYPROTO_V1 = 1, PROXYPROTO_V2 = 2 };

/* An address and its other end; known false: the connection is the balancer's own (LOCAL, UNKNOWN).
 */
struct proxyproto_ends {
	bool known;
	struct sockaddr_storage from; /* AF_INET or AF_INET6 */
	struct sockaddr_storage to;   /* of the same family */
};

/* A header on its way. All zero at first. */
struct proxyproto {
	uint8_t bytes[PROXYPROTO_MAX];
	size_t len;
};

/*
 * More bytes. *used of them belong to the header. 0: it is complete, *ends is filled; ERR_AGAIN:
 * all of *used are, and more must come; ERR_SYNTAX: it is none of these versions (a mask of
 * PROXYPROTO_x).
 */
int proxyproto_feed(struct proxyproto *pp, unsigned versions, const uint8_t *p, size_t len,
		    size_t *used, struct proxyproto_ends *ends) MUSTCHECK;

/* What TLVs of version 2 tell; all may be NULL. */
struct proxyproto_tls {
	const char *version; /* "TLSv1.3"; NULL: no TLS */
	const char *cipher;
	const char *authority; /* the name that the client asked for */
	const char *alpn;
};

/* Appends a header for a server: 0, ERR_FULL or ERR_NOMEM. */
int proxyproto_print(struct buf *out, int version, const struct proxyproto_ends *ends,
		     const struct proxyproto_tls *tls) MUSTCHECK;
