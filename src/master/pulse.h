/* SPDX-License-Identifier: MIT */
/*
 * pulse - do the loops turn? Asks every child that is up, and tells the service manager.
 *
 * A child answers PING from its own loop. One that owes `watchdog` worth of answers is killed,
 * and comes back like any other. Answers are counted in ticks of the master's own loop, not in
 * time: what has stopped the master as well (a suspended machine) is no child's fault.
 *
 * The service manager's watchdog is fed while the master's loop turns and no child has outlived
 * its killing: then only a new start can help.
 */
#pragma once

#include "master/state.h"

/* 0 or ERR_NOMEM. Call again when the configuration has changed. */
int pulse_start(struct master *m) MUSTCHECK;
void pulse_stop(struct master *m);

/* The child has answered. */
void pulse_on_pong(struct proc *p);

/* One tick; for tests. */
void pulse_tick(struct master *m);

/* Its last answers are missing, as far as there were questions. */
bool pulse_is_stuck(const struct master *m, const struct proc *p);
