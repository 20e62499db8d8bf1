/* SPDX-License-Identifier: MIT */
/*
 * flight - see flight.h.
 */
#include "config.h"

#include "media/flight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/flight-inside.h"
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

/* How long a failure is remembered: only what the host or the picture is to blame for. */
static uint64_t failure_ttl(const struct conf_cache *c, enum job_status status, bool gone)
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

static void flight_share_result(struct flight *f, const struct job_result *r, uint64_t ttl)
{
	if (f->disowned)
		return;
	if (!ttl || f->private || !parcel_may_hold(r))
		return;
	shared_store(f->all->shared, &f->key, r, ttl);
	f->locked = false;
}

void flight_fail(struct flight *f, enum job_status status)
{
	uint64_t ttl = failure_ttl(&f->all->conf->cache, status, f->media.gone);
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

/* --- the fetch ------------------------------------------------------------------------- */

static enum job_status flight_go(struct flight *f);

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

static bool flight_may_start(const struct flight *f)
{
	const struct conf_fetch *c = &f->all->conf->fetch;

	return f->all->fetching < c->concurrent && host_active(f->host) < c->concurrent_per_host;
}

/* A file of our own box: asking for it over HTTP would be asking ourselves. */
static bool flight_is_own(const struct flight *f)
{
	return f->all->own && strncmp(f->url, f->all->own, strlen(f->all->own)) == 0;
}

/* May free f. */
static void flight_start(struct flight *f)
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

static void on_next(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
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

/* --- asking ---------------------------------------------------------------------------- */

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

/* --- the shared cache ------------------------------------------------------------------ */

/* Takes a place in the queue, and starts if it may. */
static enum job_status flight_go(struct flight *f)
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
				  : failure_ttl(c, r.status, c->gone_ttl > c->negative_ttl));
	r.from_cache = true;
	r.max_age = (uint32_t)(ttl / 1000);
	if (!f->disowned)
		cache_store(f->all->cache, &f->key, &r, ttl);
	flight_finish(f, &r);
}

/* Asks other machines by way of the shared cache, out of the queue meanwhile; false: no use. */
static bool flight_share(struct flight *f, const struct job *j)
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

/* --- channels -------------------------------------------------------------------------- */

void flights_set_publisher(struct flights *f, flights_publish_fn publish)
{
	f->publish = publish;
}

void flights_set_show(struct flights *f, flights_show_fn show, void *arg)
{
	f->show = show;
	f->show_arg = arg;
}

struct host_table *flights_hosts(struct flights *f)
{
	return f->hosts;
}

struct scale *flights_scaler(struct flights *f)
{
	return f->scale;
}

void flights_look(const struct flights *f, struct flights_parts *out)
{
	*out = (struct flights_parts){ .conf = f->conf,
				       .cache = f->cache,
				       .hosts = f->hosts,
				       .shared = f->shared,
				       .fetching = f->fetching,
				       .queued = f->queued };
}

void flights_disown(struct flights *f, const char *url)
{
	struct list *i;
	size_t b;

	for (b = 0; b < BUCKETS; b++)
		LIST_EACH(i, &f->buckets[b]) {
			struct flight *one = CONTAINER_OF(i, struct flight, bucket);

			one->disowned |= !url || strcmp(one->url, url) == 0;
		}
}

void flights_set_box(struct flights *f, int fd)
{
	loads_set_channel(f->loads, fd);
}

int flights_on_loaded(struct flights *f, struct ipc_in *in)
{
	return loads_on_reply(f->loads, in);
}

/* --- life ------------------------------------------------------------------------------ */

/* As libcurl's parser writes it, because the URLs of jobs are compared in that form. */
static int own_url(const struct conf *conf, char **out)
{
	char text[512];
	struct target t;
	int rc;

	*out = NULL;
	if (!conf->upload.public_url[0])
		return 0;
	snprintf(text, sizeof(text), "%s/f/", conf->upload.public_url);
	rc = target_parse(&t, text, NULL);
	if (rc)
		return rc == ERR_NOMEM ? rc : 0;
	*out = strdup(t.text);
	target_fini(&t);
	return *out ? 0 : ERR_NOMEM;
}

int flights_set_conf(struct flights *f, struct conf *conf)
{
	char *own;
	int rc = own_url(conf, &own);

	if (!rc)
		rc = fetcher_set_conf(f->fetcher, conf);
	if (!rc)
		rc = shared_set_conf(f->shared, conf);
	if (rc) {
		free(own);
		return rc;
	}
	free(f->own);
	f->own = own;
	conf_unref(&f->conf);
	f->conf = conf_ref(conf);
	cache_set_max(f->cache, conf->cache.memory);
	return 0;
}

void flights_set_scaler(struct flights *f, int fd)
{
	scale_set_channel(f->scale, fd);
}

void flights_list(struct flights *f, const char *origin)
{
	fetcher_list(f->fetcher, origin);
}

void flights_refresh(struct flights *f)
{
	fetcher_refresh(f->fetcher);
}

struct flights *flights_new(struct event_base *base, flights_answer_fn answer)
{
	struct flights *f = calloc(1, sizeof(*f));
	size_t i;

	if (!f)
		return NULL;
	f->base = base;
	f->answer = answer;
	list_init(&f->queue);
	list_init(&f->scaling);
	for (i = 0; i < BUCKETS; i++)
		list_init(&f->buckets[i]);
	f->cache = cache_new(0);
	f->rate = rate_new();
	f->hosts = host_table_new();
	f->fetcher = fetcher_new(base);
	f->loads = loads_new(base);
	f->shared = shared_new(base);
	f->scale = scale_new(base);
	f->next = evtimer_new(base, on_next, f);
	if (!f->cache || !f->rate || !f->hosts || !f->fetcher || !f->loads || !f->shared ||
	    !f->scale || !f->next)
		flights_free(&f);
	return f;
}

void flights_free(struct flights **f)
{
	size_t i;

	if (!*f)
		return;
	for (i = 0; i < BUCKETS; i++)
		while (!list_is_empty(&(*f)->buckets[i]))
			flight_free(
				CONTAINER_OF(list_first(&(*f)->buckets[i]), struct flight, bucket));
	scale_free(&(*f)->scale);
	fetcher_free(&(*f)->fetcher);
	loads_free(&(*f)->loads);
	shared_free(&(*f)->shared);
	free((*f)->own);
	host_table_free(&(*f)->hosts);
	rate_free(&(*f)->rate);
	cache_free(&(*f)->cache);
	conf_unref(&(*f)->conf);
	if ((*f)->next)
		event_free((*f)->next);
	free(*f);
	*f = NULL;
}
