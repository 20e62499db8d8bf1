/* SPDX-License-Identifier: MIT */
/*
 * inquiry - what web asks media, and what it has heard: can a thumbnail be made, which hosts
 * fail, the last thumbnails.
 *
 * However many ask for health, media is asked once a second at most, and one answer is for all who
 * came meanwhile; each wait has an end. What media says is checked and capped like anybody's.
 *
 * Invariant: a waiter is on the list from inquiry_health() to its wake or inquiry_leave().
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"

#define INQUIRY_THUMBNAILS 24
#define INQUIRY_STAY_MS    10000

struct inquiry;

struct inquiry_waiter {
	struct list in;
	void (*wake)(struct inquiry_waiter *w); /* it is off the list by then */
};

struct inquiry_health {
	bool ok;
	unsigned ms; /* that a thumbnail took */
	int64_t at;  /* clock_now() of the answer; 0: nobody has asked yet */
	char why[200];
};

struct inquiry_thumbnail {
	uint64_t id;  /* 0: none */
	int64_t at;   /* seconds since 1970 */
	int64_t kept; /* clock_now() when it came */
	const char *type;
	unsigned width, height, media_width, media_height;
	uint8_t *bytes; /* owned by the inquiry */
	size_t len;
};

struct inquiry *inquiry_new(struct event_base *base) MUSTCHECK;
void inquiry_free(struct inquiry **i); /* nobody may wait */

/* A channel to a (new) media process; takes fd. */
void inquiry_set_channel(struct inquiry *i, int fd);

/* How many thumbnails to keep from now on. Each stays for INQUIRY_STAY_MS at least, so that a page
 * that was told of it can fetch it; of those that come faster some are left out. */
void inquiry_set_thumbnails(struct inquiry *i, size_t n);

/* True: that is it, not older than a second. Else w waits and is woken. */
bool inquiry_health(struct inquiry *i, struct inquiry_waiter *w, struct inquiry_health *out);
/* Accepts a waiter that does not wait. */
void inquiry_leave(struct inquiry_waiter *w);
/* All who wait are woken, answer or not. */
void inquiry_wake_all(struct inquiry *i);
/* The last answer, whenever that was. */
const struct inquiry_health *inquiry_last_health(const struct inquiry *i);

/* Asks for failing hosts, unless that was done just now; the answer is for the next print. */
void inquiry_look(struct inquiry *i);

/* Arrays of JSON objects: 0, ERR_FULL or ERR_NOMEM. *all: how many hosts fail. */
int inquiry_print_hosts(const struct inquiry *i, struct buf *out, unsigned *all) MUSTCHECK;
int inquiry_print_thumbnails(const struct inquiry *i, struct buf *out) MUSTCHECK;

/* NULL: it was never there, or is not any more. */
const struct inquiry_thumbnail *inquiry_thumbnail(const struct inquiry *i, uint64_t id);
