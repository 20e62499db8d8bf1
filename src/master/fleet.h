/* SPDX-License-Identifier: MIT */
/*
 * fleet - all children together: who there is, what each is told when it starts, who gets
 * a channel to whom. The order of messages is base/child.h's.
 */
#pragma once

#include "master/state.h"

/* Fills m->procs from the configuration; nothing runs yet. */
void fleet_init(struct master *m);

/* Starts every child that is wanted and not there. */
void fleet_start_all(struct master *m);

/* Starts one (again): everything it is told up to its CONFIRM, and its peers' new channels. */
void fleet_start(struct proc *p);

/* One message from a child: 0, or negative and the child is to be killed. */
int fleet_on_message(struct proc *p, struct ipc_in *in) MUSTCHECK;

/* After any change of who is up: sockets of proxies that are away go to others, and back. */
void fleet_lend(struct master *m);
/* All loans end; after new sockets were committed, before fleet_lend(). */
void fleet_recall(struct master *m);

/* GENERATION and LISTENER... of a generation that is not the committed one yet. */
void fleet_send_generation(struct proc *p, uint64_t generation, const struct memfds *memfds,
			   const struct sockets *sockets);
/* COMMIT or ROLLBACK. */
void fleet_send_number(struct proc *p, enum ipc_type type, uint64_t generation);
/* A child that starts has confirmed: it goes live. */
void fleet_commit(struct proc *p);
void fleet_send_stop(struct proc *p, uint32_t ms);

/* Does this child get generations (all but the scaler)? */
bool fleet_has_generation(const struct proc *p);

/* web comes and goes with web.bind; the scaler is started anew when its set-up changed. After a
 * commit. */
void fleet_adjust(struct master *m, const struct conf *old);

/* Has every wanted child been up or failed once, and are all proxies up? */
bool fleet_is_settled(const struct master *m);
/* The process of this one is gone: its gauges and its tally count no more. */
void fleet_forget(const struct proc *p);
/* The figures of processes that are up, for /metrics and /health. */
void fleet_count(const struct master *m);
/* Picture formats that this insetd's scaler has passed its test for. */
uint64_t fleet_formats(const struct master *m);
/* Of this insetd's proxies. */
uint64_t fleet_sessions(const struct master *m);
/* web and box accept nobody any more, another insetd does. */
void fleet_quiesce(struct master *m);
/* Is it to come back when it has ended? */
bool fleet_is_needed(const struct proc *p);
size_t fleet_running(const struct master *m, enum role role);
