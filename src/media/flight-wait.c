/* SPDX-License-Identifier: MIT */
/*
 * flight-wait - who waits for a flight, until when, and their answers. See flight.h.
 *
 * Not for what the answer is, nor for what is kept of it: flight-end.c.
 *
 * Invariants
 *   - a waiter is in the list of its flight and in that of its client, or it is gone
 *   - it is gone before it is answered
 */
#include "config.h"

#include "media/flight-inside.h"

#include <stdlib.h>

#include "base/counters.h"
#include "base/err.h"
#include "media/turn.h"

#define WAITERS_MAX 16384

/* --- answers --------------------------------------------------------------------------- */

void flights_reply(struct flights *all, void *client, uint64_t id, bool to_box,
		   const struct job_result *result)
{
	struct job_result r = *result;

	r.id = id;
	r.in_box = to_box && r.status == JOB_OK && all->publish && all->publish(&r);
	counter_inc((enum metric)(METRIC_JOB_OK + (int)r.status));
	all->answer(client, &r);
}

void flights_refuse(struct flights *all, void *client, uint64_t id, enum job_status status)
{
	struct job_result r = { .status = status };

	flights_reply(all, client, id, false, &r);
}

static void waiter_free(struct waiter *w)
{
	list_remove(&w->in_flight);
	list_remove(&w->in_client);
	w->flight->all->waiters--;
	if (w->timer)
		event_free(w->timer);
	free(w);
}

void flight_finish(struct flight *f, const struct job_result *result)
{
	struct job_result copy = *result, *r = &copy;

	copy.queue_ms = f->queue_ms;
	copy.fetch_ms = f->fetch_ms;
	copy.scale_ms = f->scale_ms;
	while (!list_is_empty(&f->waiters)) {
		struct waiter *w = CONTAINER_OF(list_first(&f->waiters), struct waiter, in_flight);
		void *client = w->client;
		struct cid_claim claim = w->claim;
		uint64_t id = w->id;
		bool to_box = w->to_box;

		waiter_free(w);
		flights_reply(f->all, client, id, to_box, r);
		claim.no_store |= f->media.no_store;
		if (r->status == JOB_OK)
			cid_publish(f->all->cache, &claim, r, f->all->conf->cache.bob_ttl);
	}
	flight_free(f);
}

/* --- waiters --------------------------------------------------------------------------- */

/* The last one takes along a flight that has not begun to fetch, or whose result nobody may keep.
 */
static void waiter_leave(struct waiter *w)
{
	struct flight *f = w->flight;

	waiter_free(w);
	if (!list_is_empty(&f->waiters))
		return;
	if (f->fetch)
		fetch_set_wanted(f->fetch, false);
	if (f->state <= FLIGHT_QUEUED || (f->fetch && fetch_is_useless(f->fetch)))
		flight_free(f);
}

static void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct waiter *w = arg;
	struct flights *all = w->flight->all;
	void *client = w->client;
	uint64_t id = w->id;

	turn_begin();
	waiter_leave(w);
	flights_refuse(all, client, id, JOB_DEADLINE);
}

void flights_cancel(struct list *waiters, uint64_t id)
{
	struct list *i;

	LIST_EACH(i, waiters) {
		struct waiter *w = CONTAINER_OF(i, struct waiter, in_client);

		/* The proxy's clock was faster than ours, or its session is gone. */
		if (w->id == id) {
			counter_inc(METRIC_JOB_DEADLINE);
			waiter_leave(w);
			return;
		}
	}
}

void flights_leave(struct list *waiters)
{
	while (!list_is_empty(waiters))
		waiter_leave(CONTAINER_OF(list_first(waiters), struct waiter, in_client));
}

int flight_join(struct flight *f, void *client, struct list *waiters, const struct job *j)
{
	struct timeval tv = { .tv_sec = j->deadline_ms / 1000,
			      .tv_usec = j->deadline_ms % 1000 * 1000 };
	struct waiter *w;

	if (f->all->waiters >= WAITERS_MAX)
		return ERR_FULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NOMEM;
	w->timer = evtimer_new(f->all->base, on_deadline, w);
	if (!w->timer || evtimer_add(w->timer, &tv) == -1) {
		if (w->timer)
			event_free(w->timer);
		free(w);
		return ERR_NOMEM;
	}
	w->flight = f;
	w->client = client;
	w->id = j->id;
	w->claim = cid_claim_of(j);
	w->to_box = j->to_box;
	f->private |= j->no_store;
	if (f->fetch)
		fetch_set_wanted(f->fetch, true);
	list_init(&w->in_flight);
	list_init(&w->in_client);
	list_add_tail(&f->waiters, &w->in_flight);
	list_add_tail(waiters, &w->in_client);
	f->all->waiters++;
	return 0;
}
