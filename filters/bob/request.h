/* SPDX-License-Identifier: MIT */
/*
 * request - the requests for data of one session whose replies are still to come.
 *
 * A reply belongs to a request when it comes the other way, has its id, and is from the one
 * that was asked. Ids are the clients' and may repeat: the oldest fitting request counts. Each
 * lane has its own cap, so that strangers' requests do not push out the client's.
 */
#pragma once

#include "base/hash.h"
#include "conf/conf.h"
#include "xmpp/tag.h"

#define REQUEST_ID_MAX 255 /* bytes of an id; requests with longer ones are not looked after */

struct request {
	struct request *next;
	const char *id;
	const char *asked; /* JID */
	const char *asker; /* JID; NULL: the request did not say */
	uint8_t cid[HASH_SHA1_LEN];
	char text[]; /* what the pointers point to */
};

struct requests {
	struct request *first[2]; /* by the request's lane, oldest first; owned */
	unsigned count[2];
};

/* Copies; forgets the oldest of that lane when there are max. asker may be NULL. 0 or ERR_NOMEM. */
int requests_add(struct requests *r, enum lane_dir dir, unsigned max, const char *id,
		 const char *asked, const char *asker, const uint8_t cid[HASH_SHA1_LEN]) MUSTCHECK;

/* The request that this reply, by its start tag, on this lane answers; NULL if none. Still in r. */
struct request *requests_find(const struct requests *r, enum lane_dir dir, const struct tag *reply);

/* Takes it out and frees it. */
void requests_drop(struct requests *r, const struct request *gone);
void requests_fini(struct requests *r);
