/* SPDX-License-Identifier: MIT */
/*
 * upgrade - hands the service over to a new insetd, perhaps of another version, without a
 * connection refused or a session ended.
 *
 * The program is executed anew with the same arguments, all listening sockets and a description
 * (master/handover.h). It reads the configuration, starts its processes, and says when all are up
 * (master/inherit.h). Only then this one accepts no more, and ends with its last session or after
 * upgrade-timeout. If the new one fails, nothing has happened but a line in the log.
 *
 * The listening sockets are the same ones, not others on the same address: whoever waits in a
 * queue is accepted by either.
 */
#pragma once

#include "master/state.h"

void upgrade_start(struct master *m);

/* One that is under way comes to nothing. */
void upgrade_abort(struct master *m, const char *why);

/* Once handed over: the heir shows how many sessions are left here. */
void upgrade_tell_sessions(struct master *m);

void upgrade_fini(struct master *m);
