/* SPDX-License-Identifier: MIT */
/*
 * proc - one child process: start it, read its channel, end it, start it again.
 *
 * What it is told stands in fleet.c, what generations come about in reload.c.
 */
#pragma once

#include <limits.h>

#include "master/state.h"

/* Forks and executes: 0 or ERR_IO, with a log line. The channel is being read afterwards. */
int proc_spawn(struct proc *p) MUSTCHECK;

/* Sends a message; a child that does not take it is killed. */
void proc_send(struct proc *p, struct ipc_out *out);

/* SIGKILL for a child that misbehaved; proc_on_exit() follows. */
void proc_kill(struct proc *p, const char *why);

/* Starts it again after its back-off: 100 ms, doubling up to 10 s, anew after a minute of life. */
void proc_restart_later(struct proc *p);

/* It is not wanted any more and has been told: SIGKILL when it lives longer than that. */
void proc_end_within(struct proc *p, unsigned ms);

/* Its process has ended (wait status): tidies up, and starts it again later unless it is unwanted.
 */
void proc_on_exit(struct proc *p, int status);

/* Where the scaler's program is. */
void proc_scaler_path(char out[PATH_MAX]);

/* Gives everything back, at the master's end. */
void proc_fini(struct proc *p);
