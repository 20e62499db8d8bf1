/* SPDX-License-Identifier: MIT */
/*
 * sockets - the listening sockets of one generation.
 *
 * One with SO_REUSEPORT for each proxy and bind address, kept by the master, so that a
 * restarted proxy goes on with the same queue; and those of web and box. A new generation's set
 * holds duplicates of the old set's sockets where the addresses are the same.
 *
 * Invariants
 *   - a socket of an address that is still bound is never closed, because clients may wait in its
 *     queue: where there are more sockets than proxies, some proxies have several
 *   - a socket without SO_REUSEPORT (a service manager's) is shared by all proxies
 */
#pragma once

#include "base/err.h"
#include "base/ipc.h"
#include "conf/conf.h"

#define SOCKETS_ADDRESS 64

struct socket_row {
	const char
		*listener;   /* borrowed from the configuration; "web" for web, "box" for the box */
	const char *address; /* borrowed from the configuration */
	enum role role;
	unsigned index; /* of the proxy */
	int fd;         /* owned */
	bool given;     /* by a service manager: all proxies share it, none is opened beside it */
};

struct sockets {
	struct socket_row *v; /* owned */
	size_t n;
	/*
	 * From another insetd, which serves them still and perhaps will go on to: none is opened
	 * beside them, because clients that came to it would be lost with this process.
	 */
	bool adopted;
	size_t missing; /* that would have been opened beside adopted ones */
};

/* Fills out, which lives no longer than conf; old may be NULL. 0, or negative and msg, and *out
 * empty. */
int sockets_open(struct sockets *out, const struct conf *conf, unsigned proxies,
		 const struct sockets *old, struct err_msg *msg) MUSTCHECK;
void sockets_close(struct sockets *s);

/* Those of the proxies: nobody is to wait in a queue that nobody looks at. */
void sockets_close_proxies(struct sockets *s);

/* Takes fd in any case; address and listener are borrowed. 0 or ERR_NOMEM. */
int sockets_add(struct sockets *s, const struct socket_row *row) MUSTCHECK;

/* Is there one for this role and address? */
bool sockets_have(const struct sockets *s, enum role role, const char *address);

/* "127.0.0.1:5222" or "[::1]:5222", what a listening TCP socket is bound to: 0, or ERR_IO, msg. */
int sockets_address(int fd, char out[SOCKETS_ADDRESS], struct err_msg *msg) MUSTCHECK;

/* Are they the same, however written? */
bool sockets_same_address(const char *a, const char *b);
