/* SPDX-License-Identifier: MIT */
/*
 * shared - the cache that machines share: a Redis or Valkey, asked without ever waiting.
 *
 * Before a fetch the cache is asked, and a lock there decides which machine fetches; the others
 * look again a few times. Whatever goes wrong with it, the answer is "fetch it yourself". After
 * some failures in a row it is left alone for a while (the breaker of host.c).
 *
 * Invariants
 *   - keys are digests: no URL, no address, no name leaves this machine
 *   - what comes back is judged by parcel_get(), as if a peer had sent it
 *   - no operation takes longer than limits.shared-wait, no search longer than its caller allows
 */
#pragma once

#include <event2/event.h>

#include "conf/conf.h"
#include "media/cache.h"

struct shared;
struct search;

/*
 * r NULL: fetch it yourself; locked: this machine is the one that does, and is to call
 * shared_store() or shared_unlock(). Otherwise a result, for ttl_ms more, whose bytes live during
 * the call.
 */
typedef void (*shared_done_fn)(void *arg, const struct job_result *r, uint64_t ttl_ms, bool locked);

struct shared *shared_new(struct event_base *base) MUSTCHECK;
/* No search may be left. */
void shared_free(struct shared **s);

/* 0 or ERR_NOMEM, and the old configuration stays. */
int shared_set_conf(struct shared *s, const struct conf *conf) MUSTCHECK;

/*
 * j shapes what is accepted; others are waited for during wait_ms. 0, and done will be called
 * later; or an error: there is no shared cache, or not now.
 */
int shared_search(struct shared *s, const struct cache_key *key, const struct job *j,
		  uint32_t wait_ms, struct search **out, shared_done_fn done, void *arg) MUSTCHECK;
/* Nobody waits any more; a lock it may get is given back. Accepts NULL. */
void search_stop(struct search **q);

/* For the others, for ttl_ms; and the lock goes. What cannot be shared is not. */
void shared_store(struct shared *s, const struct cache_key *key, const struct job_result *r,
		  uint64_t ttl_ms);
/* No machine is to find it any more. False: it could not be said. */
bool shared_forget(struct shared *s, const struct cache_key *key);
/* "off", "up", "idle" (no connection, none needed yet) or "resting" (it failed too often). */
const char *shared_state(const struct shared *s);
/* Nothing to share came of it: another machine may try. */
void shared_unlock(struct shared *s, const struct cache_key *key);
