/* SPDX-License-Identifier: MIT */
/*
 * multi - libcurl's transfers on libevent.
 *
 * Not for what is transferred and how: that is in the easy handles, which are the caller's.
 *
 * Invariants
 *   - a transfer that was added and not removed is done once, or has a time-out of its own
 *   - done is called from the loop only and outside of libcurl: there every transfer may be
 *     removed, cleaned up and added, the one that ended (which is still added) as well
 */
#pragma once

#include <curl/curl.h>
#include <event2/event.h>

#include "base/util.h"

struct multi;

/* May a transfer go on with a connection of one before it? */
enum multi_connections {
	MULTI_CONNECTIONS_KEPT,
	MULTI_CONNECTIONS_OWN, /* no: for transfers that forbid it (CURLOPT_FORBID_REUSE) as well */
};

/* A transfer ended. private is its CURLOPT_PRIVATE. */
typedef void (*multi_done_fn)(void *private, CURLcode code);

/*
 * Sets libcurl up as well, with what it reads of files for that: before a process confines
 * itself. NULL: out of memory.
 */
struct multi *multi_new(struct event_base *base, enum multi_connections connections,
			multi_done_fn done) MUSTCHECK;
/* No transfer may be left. Not from done. */
void multi_free(struct multi **m);

/* 0 or ERR_NOMEM: then it is not added. */
int multi_add(struct multi *m, CURL *easy) MUSTCHECK;
/* What is not added, or not any more, may be removed too. Not while libcurl calls. */
void multi_remove(struct multi *m, CURL *easy);
