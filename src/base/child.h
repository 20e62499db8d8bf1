/* SPDX-License-Identifier: MIT */
/*
 * child - what every process that the master starts does the same way.
 *
 * The channel to the master is descriptor CHILD_FD. In order:
 *   master: COUNTERS; GENERATION (scaler: SETUP), LISTENER..., PEER...     child: CONFIRM
 *   master: COMMIT      child: confines itself (first time), goes live, READY
 * A reload repeats GENERATION, LISTENER..., CONFIRM, COMMIT (or ROLLBACK). PEER comes again
 * whenever the process at the other end was restarted. PING is answered at any time, from the
 * loop itself. End of file on the channel: the master is gone, exit.
 */
#pragma once

#include "base/ask.h"
#include "base/ipc.h"
#include "base/jtext.h"
#include "base/log.h"

#define CHILD_FD 3

/* Log lines go to the master from now on (to standard error when its channel is full or gone). */
void child_open(enum role role, unsigned index);

/* "proxy/0": this process's name in logs. */
const char *child_name(void);

/* To the master; failures are final for a child, so these exit when the channel is gone. */
void child_confirm(uint64_t generation, bool ready, const char *why);
void child_ready(const char *versions);

/*
 * ASK: what insetctl wants to know. LOG is dealt with here; the rest is given to fn, which answers
 * with child_answer(), now or later. fn may be NULL where LOG is all that ask.def names. 0 or
 * ERR_BAD_MESSAGE.
 */
typedef void (*child_ask_fn)(const struct ask *a);
int child_on_ask(struct ipc_in *in, child_ask_fn fn) MUSTCHECK;
/* 0, or ERR_*: the master's channel is full, or p is too large. Nobody waits for ever. */
int child_answer(uint64_t id, enum ask_state state, const void *p, size_t len) MUSTCHECK;
/* There is no answer; why is a sentence for people. */
void child_refuse(uint64_t id, const char *why);
/* The whole answer, which is freed; one that could not be made, or sent, becomes a refusal. */
void child_answer_json(uint64_t id, struct jtext *j);

/* PING: answers it. 0 or ERR_BAD_MESSAGE. */
int child_on_ping(struct ipc_in *in) MUSTCHECK;

/* PEER of a process that has one only: *fd_out becomes the caller's. 0 or ERR_BAD_MESSAGE. */
int child_on_peer(struct ipc_in *in, enum role wanted, int *fd_out) MUSTCHECK;

/* COUNTERS: maps the pages. 0 or ERR_*. */
int child_on_counters(struct ipc_in *in) MUSTCHECK;
