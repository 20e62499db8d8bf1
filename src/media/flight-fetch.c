/* SPDX-License-Identifier: MIT */
/*
 * flight-fetch - a flight's turn in the queue, and its transfer, from the host or from our own box.
 * See flight.h.
 *
 * Invariants
 *   - no more transfers than fetch.concurrent, no more from one host than fetch.concurrent-per-host
 *   - none begins from a host that is left alone for a while
 */
#include "config.h"

#include "media/flight-inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/turn.h"

bool flight_may_start(const struct flight *f)
{
	const struct conf_fetch *c = &f->all->conf->fetch;

	return f->all->fetching < c->concurrent && host_active(f->host) < c->concurrent_per_host;
}

/* A file of our own box: asking for it over HTTP would be asking ourselves. */
static bool flight_is_own(const struct flight *f)
{
	return f->all->own && strncmp(f->url, f->all->own, strlen(f->all->own)) == 0;
}

/* The host says that the medium has not changed: the thumbnail gets another life. */
static void flight_renew(struct flight *f)
{
	struct validator known;
	struct job_result r = { 0 };
	enum job_status status;
	uint8_t *copy = NULL;

	if (cache_find_known(f->all->cache, &f->key, &r, &known))
		copy = malloc(r.len);
	if (!copy) { /* it has left the cache meanwhile: this time there is nothing to ask with */
		cache_store(f->all->cache, &f->key, &r, 0);
		status = flight_go(f);
		if (status != JOB_OK)
			flight_fail(f, status);
		return;
	}
	memcpy(copy, r.bytes, r.len); /* the cache moves on while all are answered */
	r.bytes = copy;
	if (f->media.max_age == FRESHNESS_NONE)
		f->media.max_age = known.life;
	known.life = f->media.max_age;
	if (!validator_is_there(&f->media.validator))
		f->media.validator = known;
	f->has_content = cache_content_key_make(&f->content, r.media_sha256, &f->job) == 0;
	counter_inc(METRIC_CACHE_RENEWED);
	flight_succeed(f, &r);
	free(copy);
}

static void on_fetched(void *arg, const struct fetch_result *r)
{
	struct flight *f = arg;

	f->media = *r;
	f->state = FLIGHT_SCALING;
	flight_note(f, HISTOGRAM_FETCH);
	f->all->fetching--;
	host_stop(f->host);
	if (r->retry)
		host_pause(f->host, r->retry, &f->all->conf->limits);
	if (r->host_failed)
		host_failed(f->host, &f->all->conf->limits);
	else if (r->status != JOB_ADDRESS && r->status != JOB_OVERLOAD && r->status != JOB_CONNECT)
		host_succeeded(f->host);
	event_active(f->all->next, EV_TIMEOUT, 0);
	if (r->status != JOB_OK)
		flight_fail(f, r->status);
	else if (r->not_modified)
		flight_renew(f);
	else
		flight_scale(f, r->fd);
}

void flight_start(struct flight *f)
{
	struct flights *all = f->all;
	struct validator known;
	struct job_result r;
	bool is_known;

	if (host_is_blocked(f->host, &all->conf->limits)) {
		flight_fail(f, JOB_BREAKER);
		return;
	}
	if (f->state == FLIGHT_QUEUED)
		all->queued--;
	list_remove(&f->queue);
	f->state = FLIGHT_FETCHING;
	flight_note(f, HISTOGRAM_QUEUE);
	all->fetching++;
	host_start(f->host);
	if (flight_is_own(f)) {
		if (load_start(all->loads, f->url, f->job.fetch_max, &f->load, on_fetched, f))
			flight_fail(f, JOB_OVERLOAD);
		return;
	}
	is_known = cache_find_known(all->cache, &f->key, &r, &known);
	if (fetch_start(all->fetcher, f->url, f->job.fetch_max, is_known ? &known : NULL, &f->fetch,
			on_fetched, f))
		flight_fail(f, JOB_OVERLOAD);
}

enum job_status flight_go(struct flight *f)
{
	struct flights *all = f->all;

	if (host_is_blocked(f->host, &all->conf->limits))
		return JOB_BREAKER;
	if (!flight_may_start(f) && all->queued >= all->conf->fetch.queue)
		return JOB_OVERLOAD;
	f->state = FLIGHT_QUEUED;
	f->since = clock_now();
	all->queued++;
	list_add_tail(&all->queue, &f->queue);
	if (flight_may_start(f))
		flight_start(f);
	return JOB_OK;
}

void flights_on_next(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct flights *all = arg;
	struct list *i, *tmp;

	turn_begin();
	LIST_EACH_SAFE(i, tmp, &all->queue) {
		struct flight *f = CONTAINER_OF(i, struct flight, queue);

		if (all->fetching >= all->conf->fetch.concurrent)
			break;
		if (flight_may_start(f))
			flight_start(f);
	}
}
