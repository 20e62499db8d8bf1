/* SPDX-License-Identifier: MIT */
/*
 * address - addresses, networks and origins as settings write them.
 *
 * Texts in, checked texts in their one spelling out. address_upstream() may ask the
 * system's resolver; nothing else here does.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

/* "address:port", "[address]:port" or "unix:/path", numeric only: 0 or ERR_SYNTAX. */
int address_parse(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out) MUSTCHECK;

/* 1 to 65535: 0 or ERR_SYNTAX. */
int address_port(const char *text, uint16_t *out) MUSTCHECK;

/* An address to listen on. *out is the caller's. 0, ERR_SYNTAX and msg, or ERR_NOMEM. */
int address_bind(const char *text, char **out, struct err_msg *msg) MUSTCHECK;

/* Can only this machine reach what listens on that "address:port"? */
bool address_is_local(const char *text);

/* As address_parse(), and "tls://address:port": then *tls_out. */
int address_server(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out,
		   bool *tls_out) MUSTCHECK;

/* A server, a host name becomes its address. The same. */
int address_upstream(const char *text, char **out, struct err_msg *msg) MUSTCHECK;

/* "203.0.113.0/24" */
bool address_is_network(const char *text);
/* Does this address lie in that network? An IPv4 address in IPv6's clothes counts as IPv4. */
bool address_in_network(const struct sockaddr *sa, const char *network);
/* "192.0.2.53", "::1", or either with a port */
bool address_is_server(const char *text);
/* "https://host:port", nothing behind it; the port may be missing */
bool address_is_origin(const char *text);
