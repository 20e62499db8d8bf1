/* SPDX-License-Identifier: MIT */
/*
 * tracing - tells the operator what happens to the messages of an account (insetctl trace).
 *
 * Off, it is one test of a pointer where a message passes: look at tracing_on before any call
 * but the first two; entries that are traced say so themselves. On, each stage of a message
 * becomes an answer for the master, with addresses reduced to their host, without bodies. What
 * is too much, or finds the master's channel full, is counted and lost: nothing waits for it.
 *
 * What filters and rules make of a message is read off what they count and tell anyway.
 */
#pragma once

#include "base/ask.h"
#include "base/job.h"
#include "stream/lane.h"

struct tracing;
extern struct tracing *tracing_on; /* NULL: off */

/* TRACE: from now on, or refused. */
void tracing_start(const struct ask *a);
/* The trace with this id ends; the last one turns everything off. */
void tracing_stop(uint64_t id);

/* A message that has been kept to its end. Until tracing_passed() it is the one that others speak
 * of. */
void tracing_seen(struct lane *l, const uint8_t *p, size_t len);
/* The filters are about to see it; e may wait. */
void tracing_take(struct fifo_entry *e);
/* They have seen it. */
void tracing_judged(struct fifo_entry *e, enum chain_result r);
/* It has left or waits. */
void tracing_passed(const struct lane *l);
/* A message has been cut through. */
void tracing_through(struct lane *l);

/* For an entry with e->traced. */
void tracing_job(const struct fifo_entry *e, const struct job *job, bool sent);
/* The filters are about to get this; until tracing_done(). */
void tracing_result(const struct fifo_entry *e, const struct job_result *r);
void tracing_done(void);
/* It waits no more. */
void tracing_leaves(const struct fifo_entry *e);
