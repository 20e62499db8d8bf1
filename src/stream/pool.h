/* SPDX-License-Identifier: MIT */
/*
 * pool - all sessions of a process, and what they share.
 *
 * One list per state, ordered by entry, walked by a one-second sweep; one timer for the
 * nearest deadline of a held unit; the shared read buffer; the way to the media process.
 */
#pragma once

#include <event2/event.h>

#include "stream/jobs.h"
#include "stream/session.h"

struct pool {
	struct event_base *base; /* borrowed */
	struct conf *conf;       /* what new sessions run; one reference; NULL before the first */
	struct jobs *jobs;       /* owned */
	struct record *record;   /* owned; NULL: nothing is recorded */
	struct leg_env legs;
	struct event *sweep; /* owned, as the next */
	struct event *deadline;
	struct list held;    /* struct session_held, nearest first */
	struct list keepers; /* struct lane, longest first */
	struct list state[SESSION_STATE_COUNT];
	uint64_t last_id;
	size_t sessions;
	int64_t stop_at; /* when sessions are closed; 0: not stopping */
	bool stopping;   /* ... they have been */
};

struct pool *pool_new(struct event_base *base) MUSTCHECK;
void pool_free(struct pool **p);

/* New sessions run this; older ones follow when they hold nothing and their listener is still
 * there. */
void pool_set_conf(struct pool *p, struct conf *conf);

/* Sessions may go on for ms, then they are closed. */
void pool_stop(struct pool *p, uint32_t ms);

/* Keeps the list of deadlines for this lane right. */
void pool_note_deadline(struct pool *p, struct session_held *h, int64_t at);

/* Frees what ended in this turn; after each turn. */
void pool_reap(struct pool *p);
