/* SPDX-License-Identifier: MIT */
/*
 * child - what every process that the master starts does the same way.
 *
 * The channel to the master is descriptor CHILD_FD. In order:
 *   master: COUNTERS; GENERATION (scaler: SETUP), LISTENER..., PEER...     child: CONFIRM
 *   master: COMMIT      child: confines itself (first time), goes live, READY
 * A reload repeats GENERATION, LISTENER..., CONFIRM, COMMIT (or ROLLBACK). PEER comes again
 * whenever the process at the other end was restarted. End of file on the channel: the
 * master is gone, exit.
 */
#pragma once

#include "base/ipc.h"
#include "base/log.h"

#define CHILD_FD 3

/* Log lines go to the master from now on (to standard error when its channel is full or gone). */
void child_open(enum role role, unsigned index);

/* "proxy/0": this process's name in logs. */
const char *child_name(void);

/* To the master; failures are final for a child, so these exit when the channel is gone. */
void child_confirm(uint64_t generation, bool ready, const char *why);
void child_ready(const char *versions);

/* COUNTERS: maps the pages. 0 or ERR_*. */
int child_on_counters(struct ipc_in *in) MUSTCHECK;
