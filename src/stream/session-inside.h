/* SPDX-License-Identifier: MIT */
/*
 * session-inside - what session.c and session-*.c call of each other. Not for anybody else.
 */
#pragma once

#include "stream/session.h"

/* --- session.c ------------------------------------------------------------------------- */

/* What its lanes call. ctx is the session. */
extern const struct lane_ops session_lane_ops;

/* The new state, one that may follow; to the end of that state's list. */
void session_set_state(struct session *s, enum session_state to);
/* After everything that may have changed what can be read, written or ended. */
void session_settle(struct session *s);

/* --- session-end.c --------------------------------------------------------------------- */

/* One peer is at fault: it is told, if it can be, and both legs are closed. */
void session_fail(struct session *s, int side, int err, const char *reason);
/* No server: the client is told so, once it has said hello. */
void session_refuse(struct session *s, const char *why);
/* Flushes, ends both directions without inventing anything, and reads on for a moment. */
void session_begin_closing(struct session *s, const char *reason);
/* What is left of CLOSING: both directions ended, peers' last words discarded. */
void session_settle_closing(struct session *s);
/* Writes what the greeting has to say. */
void session_say_greeting(struct session *s);

/* --- session-jobs.c -------------------------------------------------------------------- */

/* For struct filter_host: ctx is the session. */
int64_t session_wall_clock(void *ctx);
bool session_start_job(void *ctx, struct filter_unit *u, const struct job *job) MUSTCHECK;
void session_keep(void *ctx, const struct job_keep *k);
/* Of all sessions of the process; its trace is set by session_trace_rules(). */
extern struct rule_env session_rule_env;

/* --- session-begin.c ------------------------------------------------------------------- */

/* LEG_DATA while the balancer's header, or a client's <starttls/>, is awaited. */
void session_on_announcement(struct session *s, const struct leg_news *news);
void session_on_greeting(struct session *s, const struct leg_news *news);
void session_on_connected(struct session *s);
void session_on_secured(struct session *s, const struct leg *leg);
/* A connection to a listener for balancers that is none of theirs. */
void session_distrust(struct session *s, const char *why);
