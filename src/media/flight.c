/* SPDX-License-Identifier: MIT */
/*
 * flight - see flight.h. Here is the flight itself: how one comes, is found and goes.
 *
 * What it does on its way is in flight-*.c: flight-ask.c opens one, flight-share.c asks other
 * machines, flight-fetch.c has queue and transfer, flight-scale.c the scaler, flight-end.c keeps
 * what came of it, flight-wait.c answers.
 *
 * Invariant: a flight is in its bucket as long as it lives, and counted as what its state says.
 */
#include "config.h"

#include "media/flight-inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static struct list *bucket_of(struct flights *all, const struct cache_key *key)
{
	return &all->buckets[(key->sum[0] << 8 | key->sum[1]) % BUCKETS];
}

struct flight *flight_find(struct flights *all, const struct cache_key *key)
{
	struct list *bucket = bucket_of(all, key);
	struct list *i;

	LIST_EACH(i, bucket) {
		struct flight *f = CONTAINER_OF(i, struct flight, bucket);

		if (!f->disowned && memcmp(&f->key, key, sizeof(*key)) == 0)
			return f;
	}
	return NULL;
}

struct flight *flight_new(struct flights *all, const struct target *t, const struct job *j,
			  const struct cache_key *key)
{
	struct flight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->url = strdup(t->text);
	f->host = host_get(all->hosts, t->host, t->port);
	if (!f->url || !f->host) {
		host_put(&f->host);
		free(f->url);
		free(f);
		return NULL;
	}
	f->all = all;
	f->key = *key;
	f->job = *j;
	f->job.url = NULL;
	f->job.declared = NULL;
	list_init(&f->queue);
	list_init(&f->twins);
	list_init(&f->bucket);
	list_init(&f->waiters);
	list_add_head(bucket_of(all, key), &f->bucket);
	list_add_tail(&all->queue, &f->queue);
	f->state = FLIGHT_QUEUED;
	f->since = clock_now();
	all->queued++;
	return f;
}

void flight_free(struct flight *f)
{
	struct flights *all = f->all;

	if (f->state == FLIGHT_QUEUED)
		all->queued--;
	if (f->state == FLIGHT_FETCHING) {
		all->fetching--;
		host_stop(f->host);
	}
	list_remove(&f->queue);
	list_remove(&f->bucket);
	search_stop(&f->search);
	if (f->locked)
		shared_unlock(all->shared, &f->key);
	fetch_stop(&f->fetch);
	load_stop(&f->load);
	scale_stop(&f->scaling);
	while (!list_is_empty(&f->twins)) /* only at the end of all flights */
		list_remove(list_first(&f->twins));
	host_put(&f->host);
	free(f->url);
	free(f);
	event_active(all->next, EV_TIMEOUT, 0);
}
