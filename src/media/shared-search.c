/* SPDX-License-Identifier: MIT */
/*
 * shared-search - looking for a result in the shared cache, and waiting for who makes it. See
 * shared.h.
 *
 * A look is one to three commands that leave together; the last reply decides. The first look asks
 * for no lock, those after it do.
 *
 * Invariants
 *   - done is called once, unless the search was stopped; never by shared_search()
 *   - a search is freed when no reply to it is pending
 *   - a lock that nobody will use is given back
 */
#include "config.h"

#include "media/shared-inside.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/turn.h"

#define AGAIN_MS     40 /* first pause before others' result is looked for again; doubles */
#define AGAIN_MAX_MS 160
#define SEARCHES_MAX 1024

struct search {
	struct shared *all;
	struct search **slot; /* where the owner keeps us */
	struct cache_key key;
	struct job job; /* its texts are not kept */
	struct event *timer;
	int64_t until;    /* when waiting for others ends */
	uint32_t pause;   /* ms; 0: the first look, which asks for no lock */
	unsigned pending; /* replies */
	int64_t ttl;
	bool locked;
	bool cut;            /* out of memory: the last command of a look did not leave */
	shared_done_fn done; /* NULL: nobody waits */
	void *arg;
};

static void search_free(struct search *q)
{
	host_stop(q->all->host);
	q->all->searches--;
	event_free(q->timer);
	free(q);
}

/* r NULL: nothing came of it. */
static void search_finish(struct search *q, const struct job_result *r, uint64_t ttl)
{
	struct shared *s = q->all;
	shared_done_fn done = q->done;
	struct cache_key key = q->key;
	bool locked = q->locked;
	void *arg = q->arg;

	if (done)
		*q->slot = NULL;
	search_free(q);
	if (locked && (r || !done))
		shared_unlock(s, &key);
	if (!done)
		return;
	counter_inc(r ? METRIC_CACHE_SHARED_HITS : METRIC_CACHE_SHARED_MISSES);
	done(arg, r, ttl, locked && !r);
}

void search_stop(struct search **q)
{
	struct search *search = *q;

	if (!search)
		return;
	*q = NULL;
	search->done = NULL;
	if (!search->pending)
		search_finish(search, NULL, 0);
}

static int search_arm(struct search *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	return evtimer_add(q->timer, &tv) == -1 ? ERR_NOMEM : 0;
}

static void on_lock(redisAsyncContext *ctx UNUSED, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;

	q->pending--;
	/* "OK", or nil: another has it. An error (full, read only): there are no locks, we fetch.
	 */
	q->locked = r && (r->type == REDIS_REPLY_STATUS || r->type == REDIS_REPLY_ERROR);
	if (r && r->type == REDIS_REPLY_ERROR)
		shared_complain(q->all, "a lock is refused");
	if (q->cut && !q->pending)
		search_finish(q, NULL, 0);
}

static void on_ttl(redisAsyncContext *ctx UNUSED, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;

	q->pending--;
	q->ttl = r && r->type == REDIS_REPLY_INTEGER ? r->integer : 0;
	if (q->cut && !q->pending)
		search_finish(q, NULL, 0);
}

static int search_look(struct search *q);

/* Not there: the lock decides, or we wait for who has it. */
static void search_missed(struct search *q)
{
	if (q->locked || !q->done) {
		search_finish(q, NULL, 0);
	} else if (!q->pause) {
		q->pause = AGAIN_MS;
		if (search_look(q))
			search_finish(q, NULL, 0);
	} else if (clock_now() + q->pause > q->until || search_arm(q, q->pause)) {
		search_finish(q, NULL, 0);
	} else {
		q->pause = MIN_OF(q->pause * 2, (uint32_t)AGAIN_MAX_MS);
	}
}

/* The last reply of a look. */
static void on_value(redisAsyncContext *ctx, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;
	struct shared *s = q->all;
	struct job_result result;

	q->pending--;
	(void)evtimer_del(q->timer);
	if (!r) {
		shared_line_failed(ctx->ev.data, "the connection was lost");
		search_finish(q, NULL, 0);
		return;
	}
	if (r->type != REDIS_REPLY_STRING) {
		host_failed(s->host, &s->limits);
		shared_complain(s, "a question is refused");
		search_finish(q, NULL, 0);
		return;
	}
	host_succeeded(s->host);
	if (r->len && q->ttl > 0 &&
	    parcel_get((const uint8_t *)r->str, (size_t)r->len, &q->key, &q->job, &result) == 0) {
		search_finish(q, &result, (uint64_t)q->ttl);
		return;
	}
	if (r->len && q->ttl != -2) /* -2: went away between the two questions */
		shared_complain(s, "a value is damaged");
	search_missed(q);
}

static int search_look(struct search *q)
{
	struct line *l = shared_line(q->all);
	char name[SHARED_KEY_MAX], lock[SHARED_KEY_MAX];
	int rc = REDIS_OK;

	if (!l)
		return ERR_CLOSED;
	shared_print_key(&q->key, "", name);
	shared_print_key(&q->key, ":lock", lock);
	if (search_arm(q, (int64_t)q->all->limits.shared_wait))
		return ERR_NOMEM;
	if (q->pause) {
		rc = shared_command(l, on_lock, q, "SET %s 1 NX PX %llu", lock,
				    (unsigned long long)q->all->lock_ms);
		q->pending += rc == REDIS_OK;
	}
	if (rc == REDIS_OK) {
		rc = shared_command(l, on_ttl, q, "PTTL %s", name);
		q->pending += rc == REDIS_OK;
	}
	/* A part, so that a value of any length costs no more than ours. */
	if (rc == REDIS_OK) {
		rc = shared_command(l, on_value, q, "GETRANGE %s 0 %d", name, PARCEL_MAX);
		q->pending += rc == REDIS_OK;
	}
	if (rc == REDIS_OK)
		return 0;
	q->cut = q->pending;
	return q->cut ? 0 : ERR_CLOSED;
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct search *q = arg;
	struct line *l = q->all->line;

	turn_begin();
	if (!q->pending) {
		if (search_look(q))
			search_finish(q, NULL, 0);
		return;
	}
	if (!l)
		return;
	shared_line_failed(l, "it is too slow");
	shared_line_close(l); /* frees q */
}

int shared_search(struct shared *s, const struct cache_key *key, const struct job *j,
		  uint32_t wait_ms, struct search **out, shared_done_fn done, void *arg)
{
	struct search *q;
	int rc;

	if (!s->on || s->searches >= SEARCHES_MAX || host_is_blocked(s->host, &s->limits) ||
	    !shared_line(s))
		return ERR_UNSUPPORTED;
	q = calloc(1, sizeof(*q));
	if (!q)
		return ERR_NOMEM;
	*q = (struct search){ .all = s,
			      .slot = out,
			      .key = *key,
			      .job = *j,
			      .until = clock_now() + wait_ms,
			      .done = done,
			      .arg = arg };
	q->timer = evtimer_new(s->base, on_timer, q);
	if (!q->timer) {
		free(q);
		return ERR_NOMEM;
	}
	host_start(s->host);
	s->searches++;
	rc = search_look(q);
	if (rc) {
		search_free(q);
		return rc;
	}
	*out = q;
	return 0;
}
