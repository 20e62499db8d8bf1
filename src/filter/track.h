/* SPDX-License-Identifier: MIT */
/*
 * track - requests (iq get and set) whose replies a filter wants to see.
 *
 * A filter answers nothing itself: it lets a request pass, remembers it here, and turns the
 * peer's reply into another. Its ops->awaits() is track_awaits(). One struct for each session and
 * filter; a session that ends forgets what it asked for. No clock: what is never answered makes
 * room when the table is full.
 *
 * Invariant: never more than max requests, the oldest leaves first.
 */
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "xmpp/tag.h"

#define TRACK_ID_MAX 512 /* bytes of an id; requests with longer ones are not tracked */

struct track {
	struct list requests; /* oldest first */
	size_t n;
	size_t max;
};

struct track_request {
	struct list link;
	char *id;      /* owned */
	char *to;      /* owned */
	uint8_t *data; /* owned: the filter's own, len bytes, aligned for any type */
	size_t len;
};

void track_init(struct track *t, size_t max);
void track_fini(struct track *t);

/* Remembers a request; data is copied. 0, ERR_TOO_BIG (id) or ERR_NOMEM. */
int track_add(struct track *t, const char *id, const char *to, const void *data,
	      size_t len) MUSTCHECK;

/* Is a request of that id under way? */
bool track_has(const struct track *t, const char *id);
/* The same for a reply, by its start tag. */
bool track_awaits(const struct track *t, const struct tag *reply);

/*
 * The oldest request that a reply with this id and sender answers, taken out of the table:
 * the caller's, to be freed. NULL: none. Who answers is who was asked, the case of letters
 * aside; a reply without `from` (NULL) comes from the user's own account and answers none.
 */
struct track_request *track_take(struct track *t, const char *id, const char *from) MUSTCHECK;
void track_request_free(struct track_request **r);
