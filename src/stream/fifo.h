/* SPDX-License-Identifier: MIT */
/*
 * fifo - what a lane holds back: waiting units and everything behind them, in order.
 *
 * Also counts for how long the lane has held lately (the hold budget). Knows no filters
 * beyond owning their chain_unit; lane-hold.c decides what is resolved.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "filter/chain.h"

struct lane;

#define FIFO_SLOTS     10 /* the hold window is counted in tenths */
#define FIFO_UNITS_MAX 64 /* units that wait at the same time; more go as they came */

/* A unit that waits or has been resolved, or a span of bytes behind one. */
struct fifo_entry {
	struct list link;
	struct lane *lane;           /* borrowed: it is in this lane's FIFO */
	struct buf bytes;            /* as they came */
	struct chain_unit *unit;     /* owned; NULL: the bytes leave as they came */
	char *from;                  /* owned; the stanza's own from, if needed */
	struct fifo_entry *next_job; /* for the job table */
	uint64_t job;                /* id of the job it waits for; 0: none */
	uint32_t traced;             /* number for tracing.h; 0: it is not */
	int64_t since;               /* held from */
	int64_t deadline;
	bool waiting;
	bool edited; /* unit has the bytes that leave */
	bool cached_only;
	bool is_span;
	uint8_t traced_by; /* tracing.h */
};

struct fifo {
	struct list entries;
	size_t bytes;                  /* in entries */
	unsigned units;                /* entries with waiting or edited units */
	int64_t since;                 /* a unit has been waiting from; 0: none */
	int64_t slot_no;               /* of slot[0] of the ring: time / slot length */
	uint32_t slot[FIFO_SLOTS + 1]; /* ms held, newest first */
};

struct fifo *fifo_new(void) MUSTCHECK;
void fifo_free(struct fifo **f);

/* An entry with a copy of the bytes, in no FIFO yet; NULL when out of memory. */
struct fifo_entry *fifo_entry_new(struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;
void fifo_entry_free(struct fifo_entry **e);

/* Takes the entry. */
void fifo_add(struct fifo *f, struct fifo_entry *e);
/* Copies bytes to the end: 0 or ERR_NOMEM. */
int fifo_add_span(struct fifo *f, struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;
/* The first entry, or NULL. */
struct fifo_entry *fifo_head(const struct fifo *f);
/* Takes the entry out; it is the caller's. */
void fifo_remove(struct fifo *f, struct fifo_entry *e);

/* What leaves for an entry. */
const uint8_t *fifo_entry_bytes(const struct fifo_entry *e, size_t *len_out);

/* A unit waits at the head, or none does any more. */
void fifo_note(struct fifo *f, uint32_t window);
/* Milliseconds of the budget that are left for holding from now on; f may be NULL. */
uint32_t fifo_budget(struct fifo *f, uint32_t budget, uint32_t window);
