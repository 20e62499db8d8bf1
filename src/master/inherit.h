/* SPDX-License-Identifier: MIT */
/*
 * inherit - an insetd that was started by another one to follow it (master/upgrade.h), and what it
 * knows of those that were there before: its elders.
 *
 * It starts as usual, with the old one's sockets, and says when all its processes are up. Only
 * when the old one says go it counts: takes the control socket's name and speaks for the service.
 * Until then every failure ends it, and nothing has happened.
 */
#pragma once

#include "master/handover.h"

/*
 * Is this process an heir? Then *out holds what it was left (else out->root is NULL). 0, or
 * negative and msg; the old one has been told then.
 */
int inherit_open(struct handover *out, struct err_msg *msg) MUSTCHECK;

/* The elders of h, and a channel to each: 0 or ERR_NOMEM. */
int inherit_elders(struct master *m, struct handover *h) MUSTCHECK;

/* Something has changed: all is up? Then the old one is told. */
void inherit_advance(struct master *m);

/* It cannot be: the old one is told why, and this process ends. */
void inherit_fail(struct master *m, const char *why);

/*
 * May a child that has confirmed go live? An heir's proxies accept clients only when all others are
 * up: the old insetd would have given them thumbnails.
 */
bool inherit_may_commit(const struct proc *p);

/* A process that was needed has ended. */
void inherit_on_exit(const struct proc *p);

/* Before there is a master: the configuration cannot be read. Does nothing if nobody waits. */
void inherit_refuse(const char *why);

/* Slots of the counter pages whose insetd has ended are cleared, and free again. */
void inherit_tidy(struct master *m);

/* Elders are to end within ms. */
void inherit_end_elders(struct master *m, uint32_t ms);
void inherit_fini(struct master *m);
