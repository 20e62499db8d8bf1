/* SPDX-License-Identifier: MIT */
/*
 * flight-inside - what flight.c, flight-scale.c and flight-offer.c know of each other. Not for
 * anybody else.
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

/* --- flight.c -------------------------------------------------------------------------- */

/* In the queue; NULL when out of memory. */
struct flight *flight_new(struct flights *all, const struct target *t, const struct job *j,
			  const struct cache_key *key) MUSTCHECK;
void flight_free(struct flight *f);
struct flight *flight_find(struct flights *all, const struct cache_key *key) MUSTCHECK;
int flight_join(struct flight *f, void *client, struct list *waiters,
		const struct job *j) MUSTCHECK;
/* Both answer all waiters and free f. */
void flight_finish(struct flight *f, const struct job_result *r);
void flight_fail(struct flight *f, enum job_status status);
void flights_reply(struct flights *all, void *client, uint64_t id, bool to_box,
		   const struct job_result *result);
void flights_refuse(struct flights *all, void *client, uint64_t id, enum job_status status);
/* One stage of its way is over. */
void flight_note(struct flight *f, enum histogram_id stage);
/* Into both caches, and to all waiters; frees f. */
void flight_succeed(struct flight *f, struct job_result *r);

/* --- flight-scale.c -------------------------------------------------------------------- */

/*
 * f->media is there: a thumbnail from the cache if the same bytes were scaled before, with another
 * flight's if they are at the scaler now, else to the scaler. Takes fd; may free f.
 */
void flight_scale(struct flight *f, int fd);
