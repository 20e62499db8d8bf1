/* SPDX-License-Identifier: MIT */
/*
 * flight-inside - what flight.c, flight-*.c and flights.c know of each other. Not for anybody else.
 */
#pragma once

#include "base/counters.h"
#include "media/cache.h"
#include "media/cid.h"
#include "media/fetch.h"
#include "media/flight.h"
#include "media/host.h"
#include "media/load.h"
#include "media/parcel.h"
#include "media/rate.h"
#include "media/scale.h"
#include "media/shared.h"

#define BUCKETS 1024

enum flight_state { FLIGHT_SHARING, FLIGHT_QUEUED, FLIGHT_FETCHING, FLIGHT_SCALING };

struct flights {
	struct event_base *base; /* borrowed */
	struct conf *conf;       /* owned reference */
	flights_answer_fn answer;
	flights_publish_fn publish; /* NULL: nobody to publish */
	flights_show_fn show;       /* NULL: nobody to show */
	void *show_arg;             /* borrowed */
	struct cache *cache;
	struct rate *rate;
	struct host_table *hosts;
	struct fetcher *fetcher;
	struct loads *loads;
	struct shared *shared;
	char *own; /* owned: what the URLs of our own box begin with; NULL: none */
	struct scale *scale;
	struct event *next;  /* owned: looks at the queue */
	struct list queue;   /* of flights, first come first */
	struct list scaling; /* of flights whose picture is at the scaler */
	size_t queued;
	size_t fetching;
	size_t waiters;
	struct list buckets[BUCKETS];
};

struct flight {
	struct flights *all; /* borrowed */
	struct list queue;   /* the queue, or those at the scaler, or the twins of one */
	struct list bucket;
	struct list waiters;
	enum flight_state state;
	int64_t since; /* it waits for its turn, fetches or scales */
	uint32_t queue_ms;
	uint32_t fetch_ms;
	uint32_t scale_ms;
	struct cache_key key;
	char *url;         /* owned, canonical */
	struct host *host; /* reference */
	struct job job;    /* of the first waiter; its texts are not kept */
	struct search *search;
	bool locked;   /* in the shared cache: others wait for our result */
	bool private;  /* a waiter wants it kept out of there */
	bool disowned; /* purged meanwhile: kept nowhere */
	struct fetch *fetch;
	struct load *load;
	struct scale_job *scaling;
	struct fetch_result media;
	struct cache_key content; /* of media and profile, once it is scaled */
	bool has_content;
	struct list twins; /* flights whose media are the same bytes */
};

struct waiter {
	struct list in_flight;
	struct list in_client;
	struct flight *flight; /* borrowed */
	void *client;          /* borrowed */
	uint64_t id;
	bool to_box;
	struct event *timer; /* owned: its deadline */
	struct cid_claim claim;
};

/* --- flight.c --------------------------------------------------------------------------- */

/* In the queue; NULL when out of memory. */
struct flight *flight_new(struct flights *all, const struct target *t, const struct job *j,
			  const struct cache_key *key) MUSTCHECK;
/* Out of everything it is in, whatever its state; waiters are answered or gone before. */
void flight_free(struct flight *f);
/* One whose result may be kept; NULL: none. */
struct flight *flight_find(struct flights *all, const struct cache_key *key) MUSTCHECK;

/* --- flight-wait.c ---------------------------------------------------------------------- */

/* One more waiter, in the client's list as well: 0, ERR_FULL, ERR_NOMEM. */
int flight_join(struct flight *f, void *client, struct list *waiters,
		const struct job *j) MUSTCHECK;
/* Answers all waiters and frees f. */
void flight_finish(struct flight *f, const struct job_result *r);
/* Answers one job, counted; to_box: the box may serve it. */
void flights_reply(struct flights *all, void *client, uint64_t id, bool to_box,
		   const struct job_result *result);
void flights_refuse(struct flights *all, void *client, uint64_t id, enum job_status status);

/* --- flight-end.c ----------------------------------------------------------------------- */

/*
 * Milliseconds for which a failure is remembered: only what the host or the picture is to blame
 * for. gone: the host said that there is nothing any more.
 */
uint64_t flight_failure_ttl(const struct conf_cache *c, enum job_status status, bool gone);
/* One stage of its way is over. */
void flight_note(struct flight *f, enum histogram_id stage);
/* Into both caches, and to all waiters; both free f. */
void flight_fail(struct flight *f, enum job_status status);
void flight_succeed(struct flight *f, struct job_result *r);

/* --- flight-share.c --------------------------------------------------------------------- */

/* Asks other machines by way of the shared cache, out of the queue meanwhile; false: no use. */
bool flight_share(struct flight *f, const struct job *j) MUSTCHECK;
/* For other machines, for ttl milliseconds, if they may have it. */
void flight_share_result(struct flight *f, const struct job_result *r, uint64_t ttl);

/* --- flight-fetch.c --------------------------------------------------------------------- */

/* As far as the limits go for what is fetched at once. */
bool flight_may_start(const struct flight *f);
/* Out of the queue, if it is there, and begins to fetch; may free f. */
void flight_start(struct flight *f);
/* Takes a place in the queue, and starts if it may: JOB_OK, and f may be gone; else it is not. */
enum job_status flight_go(struct flight *f) MUSTCHECK;
/* Of the event next, arg is the flights: starts what may start. */
void flights_on_next(evutil_socket_t fd, short what, void *arg);

/* --- flight-scale.c -------------------------------------------------------------------- */

/*
 * f->media is there: a thumbnail from the cache if the same bytes were scaled before, with another
 * flight's if they are at the scaler now, else to the scaler. Takes fd; may free f.
 */
void flight_scale(struct flight *f, int fd);
