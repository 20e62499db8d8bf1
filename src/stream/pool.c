/* SPDX-License-Identifier: MIT */
/*
 * pool - see pool.h.
 */
#include "config.h"

#include "stream/pool.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "stream/record.h"

#define SWEEP_MS 1000

static void pool_on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg);

/* The timer runs for the first of the list. */
static void pool_arm(struct pool *p)
{
	struct list *first = list_first(&p->held);
	struct timeval tv = { 0, 0 };
	int64_t ms;

	if (!first) {
		event_del(p->deadline);
		return;
	}
	ms = CONTAINER_OF(first, struct session_held, link)->at - clock_now();
	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	event_add(p->deadline, &tv); /* the sweep looks, too, should this fail */
}

void pool_note_deadline(struct pool *p, struct session_held *h, int64_t at)
{
	struct list *place;

	if (h->at == at)
		return;
	list_remove(&h->link);
	h->at = at;
	if (at) {
		/* Most come in order: look for the place from the end. */
		for (place = p->held.prev; place != &p->held; place = place->prev)
			if (CONTAINER_OF(place, struct session_held, link)->at <= at)
				break;
		list_add_before(place->next, &h->link);
	}
	pool_arm(p);
}

static void pool_expire(struct pool *p)
{
	struct list *first;

	while ((first = list_first(&p->held))) {
		struct session_held *h = CONTAINER_OF(first, struct session_held, link);
		struct session *s = h->session;

		if (h->at > clock_now())
			break;
		session_on_deadline(s, h == &s->held[LANE_C2S] ? LANE_C2S : LANE_S2C);
		if (list_first(&p->held) == first && h->at <= clock_now())
			pool_note_deadline(p, h, 0); /* cannot be; but this must not spin */
	}
	pool_arm(p);
}

static void pool_on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	pool_expire(arg);
}

/* Peers that have taken nothing for long. */
static void pool_sweep_stalled(struct pool *p)
{
	struct list *first;

	while ((first = list_first(&p->legs.waiting))) {
		struct leg *leg = CONTAINER_OF(first, struct leg, waiting);
		struct session *s = leg->owner;

		if (clock_now() - leg->progress < s->lanes.conf->limits.drain_peer)
			break;
		session_end(s, "peer takes nothing");
	}
}

/* Units and tags that do not come to their end. */
static void pool_sweep_keepers(struct pool *p)
{
	struct list *first;

	while ((first = list_first(&p->keepers))) {
		struct lane *l = CONTAINER_OF(first, struct lane, keeping);
		struct session *s = l->both->ctx;

		if (clock_now() - l->kept_at < s->lanes.conf->limits.unit_timeout)
			break;
		session_on_slow(s, l);
	}
}

static void pool_close_all(struct pool *p)
{
	struct list *it, *tmp;
	int state;

	p->stopping = true;
	for (state = 0; state < SESSION_CLOSING; state++)
		LIST_EACH_SAFE(it, tmp, &p->state[state])
			session_close(CONTAINER_OF(it, struct session, link), ERR_SHUTDOWN,
				      "shutting down");
}

static void pool_on_sweep(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct pool *p = arg;
	struct list *it, *tmp;
	int state;

	clock_update();
	for (state = 0; state < SESSION_CLOSED; state++)
		LIST_EACH_SAFE(it, tmp, &p->state[state])
			if (state == SESSION_OPEN ||
			    !session_check_timeout(CONTAINER_OF(it, struct session, link)))
				break; /* those behind it came later */
	pool_sweep_stalled(p);
	pool_sweep_keepers(p);
	pool_expire(p);
	if (p->stop_at && !p->stopping && p->stop_at <= clock_now())
		pool_close_all(p);
}

struct pool *pool_new(struct event_base *base)
{
	const struct timeval tv = { SWEEP_MS / 1000, SWEEP_MS % 1000 * 1000 };
	struct pool *p = calloc(1, sizeof(*p));
	int state;

	if (!p)
		return NULL;
	p->base = base;
	for (state = 0; state < SESSION_STATE_COUNT; state++)
		list_init(&p->state[state]);
	list_init(&p->held);
	list_init(&p->keepers);
	list_init(&p->legs.waiting);
	p->legs.base = base;
	p->legs.fn = session_on_leg;
	p->legs.read_buffer = malloc(LEG_READ_MAX);
	p->legs.batch = batch_new(base, leg_write_batched);
	p->jobs = jobs_new(base, session_on_result, session_on_lost);
	p->sweep = event_new(base, -1, EV_PERSIST, pool_on_sweep, p);
	p->deadline = event_new(base, -1, 0, pool_on_deadline, p);
	if (!p->legs.read_buffer || !p->legs.batch || !p->jobs || !p->sweep || !p->deadline ||
	    event_add(p->sweep, &tv) == -1)
		pool_free(&p);
	return p;
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;
	struct list *it, *tmp;
	int state;

	if (!p)
		return;
	for (state = 0; state < SESSION_CLOSED; state++)
		LIST_EACH_SAFE(it, tmp, &p->state[state])
			session_end(CONTAINER_OF(it, struct session, link), "shutting down");
	pool_reap(p);
	jobs_free(&p->jobs);
	record_free(&p->record);
	if (p->sweep)
		event_free(p->sweep);
	if (p->deadline)
		event_free(p->deadline);
	conf_unref(&p->conf);
	free(p->legs.read_buffer);
	batch_free(&p->legs.batch);
	free(p);
	*pp = NULL;
}

void pool_set_conf(struct pool *p, struct conf *conf)
{
	conf_unref(&p->conf);
	p->conf = conf_ref(conf);
}

void pool_stop(struct pool *p, uint32_t ms)
{
	p->stop_at = clock_now() + ms;
	if (ms == 0)
		pool_close_all(p);
}

void pool_reap(struct pool *p)
{
	struct list *first;

	while ((first = list_first(&p->state[SESSION_CLOSED]))) {
		struct session *s = CONTAINER_OF(first, struct session, link);

		session_free(&s);
	}
}
