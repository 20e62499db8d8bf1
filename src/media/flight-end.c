/* SPDX-License-Identifier: MIT */
/*
 * flight-end - what a flight came to: how long it is kept, in which cache, and who is shown it. See
 * flight.h.
 *
 * Not for who is answered: flight-wait.c.
 *
 * Invariants
 *   - what a host forbids to keep, or what was purged meanwhile, is in no cache afterwards
 *   - a failure that is ours is not remembered
 */
#include "config.h"

#include "media/flight-inside.h"

#include "base/clock.h"
#include "base/counters.h"

uint64_t flight_failure_ttl(const struct conf_cache *c, enum job_status status, bool gone)
{
	switch (status) {
	case JOB_HTTP:
		return gone ? c->gone_ttl : c->negative_ttl;
	case JOB_CONNECT:
	case JOB_NOT_PICTURE:
	case JOB_SCALER:
	case JOB_TIMEOUT:
	case JOB_TOO_BIG:
		return c->negative_ttl;
	case JOB_ADDRESS: /* a reload may allow it */
	case JOB_BREAKER:
	case JOB_CACHED_ONLY:
	case JOB_DEADLINE:
	case JOB_OK:
	case JOB_OVERLOAD:
	case JOB_RATE:
	case JOB_UNAVAILABLE:
	case JOB_STATUS_COUNT:
		return 0;
	}
	BUG();
}

void flight_fail(struct flight *f, enum job_status status)
{
	uint64_t ttl = flight_failure_ttl(&f->all->conf->cache, status, f->media.gone);
	struct job_result r = { .status = status };

	if (ttl && !f->disowned) {
		cache_store(f->all->cache, &f->key, &r, ttl);
		flight_share_result(f, &r, ttl);
	}
	flight_finish(f, &r);
}

static uint64_t success_ttl(const struct flight *f)
{
	uint64_t ttl = f->all->conf->cache.ttl;

	if (f->media.no_store)
		return 0;
	if (f->media.max_age != FRESHNESS_NONE)
		ttl = MIN_OF(ttl, (uint64_t)f->media.max_age * 1000);
	return ttl;
}

void flight_note(struct flight *f, enum histogram_id stage)
{
	int64_t now = clock_now();

	uint32_t ms = (uint32_t)MIN_OF(now - f->since, (int64_t)UINT32_MAX);

	counter_observe(stage, ms);
	if (stage == HISTOGRAM_QUEUE)
		f->queue_ms = ms;
	else if (stage == HISTOGRAM_FETCH)
		f->fetch_ms = ms;
	else if (stage == HISTOGRAM_SCALE)
		f->scale_ms = ms;
	f->since = now;
}

void flight_succeed(struct flight *f, struct job_result *r)
{
	uint64_t ttl = success_ttl(f);

	r->max_age = (uint32_t)(ttl / 1000);
	if (f->disowned)
		; /* purged since it began */
	else if (f->media.no_store)
		cache_store(f->all->cache, &f->key, r, 0);
	else
		cache_store_made(f->all->cache, &f->key, r, ttl,
				 f->has_content ? &f->content : NULL, &f->media.validator);
	flight_share_result(f, r, ttl);
	if (f->all->show && !f->private && !f->media.no_store && !f->disowned)
		f->all->show(f->all->show_arg, r);
	flight_finish(f, r);
}
