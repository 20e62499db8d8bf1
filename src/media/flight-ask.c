/* SPDX-License-Identifier: MIT */
/*
 * flight-ask - jobs as they come: from the cache, into a flight under way, or a flight of their
 * own. See flight.h.
 *
 * Data by its cid as well, for which nothing is made.
 *
 * Invariant: each way of flights_ask() ends in an answer or a waiter.
 */
#include "config.h"

#include "media/flight-inside.h"

#include <string.h>

#include "base/counters.h"
#include "base/err.h"

static enum job_status flight_open(struct flights *all, void *client, struct list *waiters,
				   const struct job *j, const struct target *t,
				   const struct cache_key *key)
{
	struct flight *f;

	if (!scale_is_up(all->scale))
		return JOB_UNAVAILABLE;
	f = flight_new(all, t, j, key);
	if (!f)
		return JOB_OVERLOAD;
	if (host_is_blocked(f->host, &all->conf->limits)) {
		flight_free(f);
		return JOB_BREAKER;
	}
	if ((!flight_may_start(f) && all->queued > all->conf->fetch.queue) ||
	    flight_join(f, client, waiters, j)) {
		flight_free(f);
		return JOB_OVERLOAD;
	}
	if (!flight_share(f, j) && flight_may_start(f))
		flight_start(f);
	return JOB_OK;
}

/* JOB_OK: a waiter waits or the answer is out. */
static enum job_status flights_take(struct flights *all, void *client, struct list *waiters,
				    const struct job *j, const struct target *t)
{
	struct cid_claim claim = cid_claim_of(j);
	struct cache_key key;
	struct job_result r;
	struct flight *f;

	if (cache_key_make(&key, t->text, j))
		return JOB_OVERLOAD;
	if (cache_find(all->cache, &key, &r)) {
		counter_inc(r.status == JOB_OK ? METRIC_CACHE_HITS : METRIC_CACHE_NEGATIVE);
		flights_reply(all, client, j->id, j->to_box, &r);
		if (r.status == JOB_OK) /* last: the bytes are the cache's */
			cid_publish(all->cache, &claim, &r, all->conf->cache.bob_ttl);
		return JOB_OK;
	}
	if (j->cached_only)
		return JOB_CACHED_ONLY;
	f = flight_find(all, &key);
	if (f) {
		counter_inc(METRIC_CACHE_JOINED);
		return flight_join(f, client, waiters, j) ? JOB_OVERLOAD : JOB_OK;
	}
	counter_inc(METRIC_CACHE_MISSES);
	return flight_open(all, client, waiters, j, t, &key);
}

/* Nothing is made for this, so it is no thumbnail job for rates and figures. */
static void flights_find_cid(struct flights *all, void *client, const struct job *j)
{
	struct job_result r = { .status = JOB_CACHED_ONLY };

	if (cid_find(all->cache, j->cid, j->owner, &r))
		counter_inc(METRIC_BOB_FOUND);
	else
		counter_inc(METRIC_BOB_LOST);
	r.id = j->id;
	all->answer(client, &r);
}

void flights_keep(struct flights *all, const struct job_keep *k)
{
	struct job_result r = { .status = JOB_OK, .bytes = k->bytes, .len = k->len };
	struct cid_claim claim = { .made = true };

	if (!all->conf)
		return;
	memcpy(claim.owner, k->owner, sizeof(claim.owner));
	memcpy(r.type, k->type, strlen(k->type) + 1);
	cid_publish(all->cache, &claim, &r,
		    MIN_OF(all->conf->cache.bob_ttl, (uint64_t)k->max_age * 1000));
	counter_inc(METRIC_BOB_KEPT);
}

void flights_ask(struct flights *all, void *client, struct list *waiters, const struct job *j)
{
	struct job job = *j;
	enum job_status status;
	struct target t;
	int rc;

	if (!all->conf) { /* not live yet */
		flights_refuse(all, client, j->id, JOB_UNAVAILABLE);
		return;
	}
	if (j->find_cid) {
		flights_find_cid(all, client, j);
		return;
	}
	if (!rate_take(all->rate, j->sender, j->rate_per_min, j->rate_burst)) {
		flights_refuse(all, client, j->id, JOB_RATE);
		return;
	}
	rc = target_parse(&t, j->url, NULL);
	if (rc) {
		flights_refuse(all, client, j->id, rc == ERR_NOMEM ? JOB_OVERLOAD : JOB_ADDRESS);
		return;
	}
	job.fetch_max = MIN_OF(j->fetch_max, all->conf->fetch.max_bytes);
	status = flights_take(all, client, waiters, &job, &t);
	target_fini(&t);
	if (status != JOB_OK)
		flights_refuse(all, client, j->id, status);
}
