/* SPDX-License-Identifier: MIT */
/*
 * asks - questions of insetctl that children answer (base/ask.h).
 *
 * A question goes to all children of its roles that are up; it is over when all have answered,
 * ended, or let its deadline pass. Those that stay silent cost a line among the problems. A
 * stream (trace) has no deadline: it ends with its client, and children that come up meanwhile
 * are asked, too.
 *
 * Invariants
 *   - a question is over exactly once, unless its client has left
 *   - only who was asked is heard, only once, unless there is more
 */
#pragma once

#include <jansson.h>

#include "base/ask.h"
#include "master/state.h"

struct asked {
	uint64_t client; /* of the control socket; 0: nobody */
	enum ask_command command;
	uint32_t number;
	enum ask_order order;
	json_t *answers;  /* array of objects, each with "process" */
	json_t *problems; /* array of texts: who did not answer, and why */
	bool silence;     /* somebody did not answer at all, rather than refuse */
};

/* All answers that will come are there; answers and problems are borrowed. */
typedef void (*asks_done_fn)(struct master *m, const struct asked *asked);

/*
 * number, choice and text as in ask.def; done answers the client, and may be called from here. 0,
 * or ERR_FULL or ERR_NOMEM: then it is not called.
 */
int asks_start(struct master *m, uint64_t client, const struct ask *question, unsigned deadline_ms,
	       asks_done_fn done) MUSTCHECK;
/* Without end: every answer is a part for the client. */
int asks_stream(struct master *m, uint64_t client, const struct ask *question) MUSTCHECK;

/* ANSWER: 0, or ERR_BAD_MESSAGE and the child is to be killed. */
int asks_on_answer(struct proc *p, struct ipc_in *in) MUSTCHECK;
/* A child is up: it gets streams and the log level. */
void asks_on_up(struct proc *p);
/* A child has ended: nobody waits for it. */
void asks_on_exit(const struct proc *p);
/* The client of the control socket has gone. */
void asks_on_gone(struct master *m, uint64_t client);
/* The log level of all processes, until asks_on_commit(). */
void asks_set_level(struct master *m, enum log_level level);
/* A new configuration counts: its log level does. */
void asks_on_commit(struct master *m);
/* At the master's end; nobody is answered any more. */
void asks_fini(struct master *m);
