/* SPDX-License-Identifier: MIT */
/*
 * flight-share - a flight and the cache that machines share: asking it, giving it the result. See
 * flight.h.
 *
 * How that cache is reached is shared.c's.
 *
 * Invariant: what a sender wants kept out of there (private) is neither asked for nor given.
 */
#include "config.h"

#include "media/flight-inside.h"

#include "media/parcel.h"

static void on_shared(void *arg, const struct job_result *result, uint64_t ttl, bool locked)
{
	struct flight *f = arg;
	const struct conf_cache *c = &f->all->conf->cache;
	enum job_status status;
	struct job_result r;

	f->locked = locked;
	if (!result) {
		status = flight_go(f);
		if (status != JOB_OK)
			flight_fail(f, status);
		return;
	}
	r = *result;
	ttl = MIN_OF(ttl, r.status == JOB_OK
				  ? c->ttl
				  : flight_failure_ttl(c, r.status, c->gone_ttl > c->negative_ttl));
	r.from_cache = true;
	r.max_age = (uint32_t)(ttl / 1000);
	if (!f->disowned)
		cache_store(f->all->cache, &f->key, &r, ttl);
	flight_finish(f, &r);
}

bool flight_share(struct flight *f, const struct job *j)
{
	struct flights *all = f->all;

	if (j->no_store ||
	    shared_search(all->shared, &f->key, j, j->deadline_ms / 2, &f->search, on_shared, f))
		return false;
	f->state = FLIGHT_SHARING;
	list_remove(&f->queue);
	all->queued--;
	return true;
}

void flight_share_result(struct flight *f, const struct job_result *r, uint64_t ttl)
{
	if (f->disowned)
		return;
	if (!ttl || f->private || !parcel_may_hold(r))
		return;
	shared_store(f->all->shared, &f->key, r, ttl);
	f->locked = false;
}
