/* SPDX-License-Identifier: MIT */
/*
 * sockets - the listening sockets of one generation.
 *
 * One with SO_REUSEPORT for each proxy and bind address, kept by the master, so that a
 * restarted proxy goes on with the same queue; and those of web and box. A new generation's set
 * holds duplicates of the old set's sockets where the addresses are the same.
 */
#pragma once

#include "base/err.h"
#include "base/ipc.h"
#include "conf/conf.h"

struct socket_row {
	const char
		*listener;   /* borrowed from the configuration; "web" for web, "box" for the box */
	const char *address; /* borrowed from the configuration */
	enum role role;
	unsigned index; /* of the proxy */
	int fd;         /* owned */
};

struct sockets {
	struct socket_row *v; /* owned */
	size_t n;
};

/* Fills out, which lives no longer than conf; old may be NULL. 0, or negative and msg, and *out
 * empty. */
int sockets_open(struct sockets *out, const struct conf *conf, unsigned proxies,
		 const struct sockets *old, struct err_msg *msg) MUSTCHECK;
void sockets_close(struct sockets *s);
