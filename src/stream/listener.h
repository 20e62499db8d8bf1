/* SPDX-License-Identifier: MIT */
/*
 * listener - accepts clients on one listening socket that the master opened.
 *
 * Pauses for a moment when descriptors or memory run out, instead of spinning. Knows only
 * the name of its configuration: the pool's generation says the rest.
 */
#pragma once

#include "stream/pool.h"

struct listener {
	struct pool *pool; /* borrowed */
	char *name;        /* owned */
	struct event *ev;  /* owned; NULL until started */
	struct event *pause;
	int fd; /* owned */
};

/* Takes fd, in any case. Does not accept yet. 0 or ERR_NOMEM. */
int listener_init(struct listener *l, struct pool *pool, const char *name, int fd) MUSTCHECK;
/* From now on clients are accepted. 0 or ERR_NOMEM. */
int listener_start(struct listener *l) MUSTCHECK;
void listener_fini(struct listener *l);
