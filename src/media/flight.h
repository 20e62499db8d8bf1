/* SPDX-License-Identifier: MIT */
/*
 * flight - from a job to its answer: cache, single flight, queue, fetch, scaler, cache.
 *
 * Jobs for the same thing share a flight. Each waiter has its own deadline; who leaves or
 * comes too late does not end a transfer under way, whose result still fills the cache.
 *
 * Invariants
 *   - every job gets exactly one answer, unless it was cancelled or its client left;
 *   - a flight asks the shared cache, is queued, fetching or scaling; only a fetching one counts
 * for its host;
 *   - a flight that asks or is queued without waiters is dropped: queues hold only what somebody
 * wants.
 */
#pragma once

#include <event2/event.h>

#include "base/job.h"
#include "base/list.h"
#include "conf/conf.h"
#include "media/cache.h"
#include "media/host.h"
#include "media/shared.h"

struct flights;
struct host_table;
struct scale;

/* May be called from flights_ask(). Must not call back into flights. r->bytes live during the call.
 */
typedef void (*flights_answer_fn)(void *client, const struct job_result *r);

/* Hands a thumbnail to the box; true: it will serve it. */
typedef bool (*flights_publish_fn)(const struct job_result *r);
void flights_set_publisher(struct flights *f, flights_publish_fn publish);

struct flights *flights_new(struct event_base *base, flights_answer_fn answer) MUSTCHECK;
/* Clients must have left. */
void flights_free(struct flights **f);

/* 0 or ERR_NOMEM, and the old configuration stays. */
int flights_set_conf(struct flights *f, struct conf *conf) MUSTCHECK;

/* A channel to the scaler; takes fd. */
void flights_set_scaler(struct flights *f, int fd);

/* The channel to the box, borrowed; -1: away. And its LOADED messages: 0 or ERR_BAD_MESSAGE. */
void flights_set_box(struct flights *f, int fd);
int flights_on_loaded(struct flights *f, struct ipc_in *in) MUSTCHECK;

/*
 * A picture that has just arrived in the box under this URL (takes fd, a sealed memfd): its
 * thumbnails are made for every profile in use. Each is an answer with this id; returns how many
 * there will be, or have been.
 */
size_t flights_offer(struct flights *f, void *client, struct list *waiters, uint64_t id,
		     const char *url, int fd);

/* For those who tell what is going on, or make us forget; borrowed until the next event. */
struct flights_parts {
	const struct conf *conf; /* NULL: not live yet */
	struct cache *cache;
	const struct host_table *hosts;
	struct shared *shared;
	size_t fetching;
	size_t queued;
};
void flights_look(const struct flights *f, struct flights_parts *out);
/* What is being made of this canonical URL (NULL: of any) goes to who waits, but into no cache. */
void flights_disown(struct flights *f, const char *url);
/* The keys of this canonical URL with every profile: how many. */
#define FLIGHTS_PROFILES_MAX 64
size_t flights_keys(const struct flights *f, const char *url,
		    struct cache_key keys[FLIGHTS_PROFILES_MAX]);

/* How many answers flights_offer() gives. */
uint32_t flights_profiles(const struct flights *f);

/* Called with each thumbnail that was just made and may be kept; NULL: nobody is shown any. */
typedef void (*flights_show_fn)(void *arg, const struct job_result *r);
void flights_set_show(struct flights *f, flights_show_fn show, void *arg);

/* For those who ask how things are (desk.h). Borrowed. */
struct host_table *flights_hosts(struct flights *f);
struct scale *flights_scaler(struct flights *f);

/* This machine's addresses may have changed. */
void flights_refresh(struct flights *f);

/* waiters: the client's list head. */
void flights_ask(struct flights *f, void *client, struct list *waiters, const struct job *j);
/* Data that somebody sent, for those who will ask for it by its cid. */
void flights_keep(struct flights *f, const struct job_keep *k);
/* A user was sent to this upload service: see fetch.from. */
void flights_list(struct flights *f, const char *origin);
/* No answer for this id, if it still waits. */
void flights_cancel(struct list *waiters, uint64_t id);
/* No answer for any of them. */
void flights_leave(struct list *waiters);
