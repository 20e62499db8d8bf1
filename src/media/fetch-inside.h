/* SPDX-License-Identifier: MIT */
/*
 * fetch-inside - what fetch.c, fetch-*.c and fetcher.c know of each other. Not for anybody else.
 *
 * Invariant: whatever ends a fetch says so by fetch_finish() or fetch_refuse(), and touches it no
 * more.
 */
#pragma once

#include "loop/multi.h"
#include "media/body.h"
#include "media/egress.h"
#include "media/fetch.h"
#include "media/listed.h"
#include "media/reply.h"

struct fetcher {
	struct event_base *base;   /* borrowed */
	struct multi *multi;       /* owned */
	struct conf *conf;         /* owned reference */
	struct guard *guard;       /* owned */
	struct egress *egress;     /* owned reference */
	struct listed *listed;     /* owned */
	struct resolver *resolver; /* owned */
	char agent[256];
};

struct fetch {
	struct fetcher *fetcher; /* borrowed */
	struct conf *conf;       /* owned reference: of its start */
	struct egress *egress;   /* the same */
	struct fetch **slot;     /* where the owner keeps us */
	fetch_done_fn done;
	void *arg;
	struct validator known; /* "": nothing is */
	bool conditional;       /* this hop may be answered with 304 */
	bool unwanted;          /* nobody waits */
	int64_t deadline;
	struct event *timer; /* owned: the deadline */
	struct event *step;  /* owned: begins the first hop */

	struct target target; /* of this hop */
	bool exempt;          /* an exact origin of allow-origin */
	unsigned hops;
	int64_t asked;                                     /* for its name */
	struct resolve *resolve;                           /* owned while a name is asked for */
	struct sockaddr_storage addrs[RESOLVER_ADDRESSES]; /* vetted, with port */
	size_t addrs_n;
	size_t addrs_at; /* the one that a proxy is asked for */

	bool proxied; /* this hop goes through a proxy: */
	uint16_t proxy_port;
	struct sockaddr_storage proxy[RESOLVER_ADDRESSES]; /* addresses of it, not judged */
	size_t proxy_n;

	CURL *easy;                /* owned, of this hop */
	CURLSH *share;             /* owned: a name cache of its own, so that pins do not mix */
	struct curl_slist *pin;    /* owned */
	struct curl_slist *to;     /* owned: where a proxy is to connect to */
	struct curl_slist *header; /* owned */
	bool denied;               /* libcurl wanted to connect elsewhere */
	int stop;                  /* ERR_* of a callback that aborted */
	struct reply reply;
	struct body body;
};

/* --- fetch.c --------------------------------------------------------------------------- */

/* Both call done and free f. host_failed: see struct fetch_result. */
void fetch_finish(struct fetch *f, enum job_status status, bool host_failed);
/* why: for the operator's log; NULL: not worth a line. */
void fetch_refuse(struct fetch *f, const char *why);
/* 304, and it was asked for. */
bool fetch_is_unchanged(const struct fetch *f);

/* --- fetch-hop.c ----------------------------------------------------------------------- */

/* Judges f->target and all that it resolves to, and connects to it. Both may free f. */
void fetch_hop(struct fetch *f);
/* The reply is a redirect: to the next hop, if there may be one more. */
void fetch_redirect(struct fetch *f);

/* --- fetch-transfer.c ------------------------------------------------------------------ */

/* Begins the transfer, to the vetted addresses; may free f. */
void fetch_connect(struct fetch *f);
/* What belongs to this hop goes, its question for a name as well; again is harmless. Not from a
 * callback of libcurl. */
void fetch_close_hop(struct fetch *f);

/* --- fetch-watch.c --------------------------------------------------------------------- */

/*
 * libcurl's callbacks, arg is the fetch: they only note and abort, fetch_on_end() decides.
 * A socket, or CURL_SOCKET_BAD: not to there.
 */
curl_socket_t fetch_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a);
/* Connected, to this address: once more, may it? CURL_PREREQFUNC_*. */
int fetch_on_prereq(void *arg, char *ip, char *local, int port, int local_port);
/* A line of the header, bytes of the body: how many were taken; 0 aborts. */
size_t fetch_on_header(char *p, size_t size, size_t n, void *arg);
size_t fetch_on_write(char *p, size_t size, size_t n, void *arg);

/* --- fetch-end.c ----------------------------------------------------------------------- */

/* A transfer ended: multi_done_fn, private is the fetch. Ends it, or goes on to the next hop or
 * address. */
void fetch_on_end(void *private, CURLcode code);
