/* SPDX-License-Identifier: MIT */
/*
 * shared - see shared.h. Here are its life and what is told to it; questions are in
 * shared-search.c.
 *
 * One connection at a time (shared-line.c). When an operation is late the connection is given up,
 * and with it every operation on it: replies come in order, so those behind are late as well.
 * hiredis then calls back each command without a reply, which is where searches end.
 */
#include "config.h"

#include "media/shared-inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/counters.h"
#include "base/err.h"

#define STORES_MAX 64 /* under way */

void shared_complain(struct shared *s, const char *why)
{
	unsigned dropped;

	counter_inc(METRIC_CACHE_SHARED_FAILURES);
	if (log_limit_ok(&s->log, 1, &dropped))
		log_warning("the shared cache fails, media are fetched without it: %s dropped=%u",
			    why, dropped);
}

/* --- commands -------------------------------------------------------------------------- */

void shared_print_key(const struct cache_key *key, const char *end, char out[SHARED_KEY_MAX])
{
	char hex[2 * HASH_SHA256_LEN + 1];

	hash_print_hex(key->sum, sizeof(key->sum), hex);
	snprintf(out, SHARED_KEY_MAX, "inset:1:%s%s", hex, end);
}

static void on_stored(redisAsyncContext *ctx, void *reply, void *arg UNUSED)
{
	const redisReply *r = reply;
	struct line *l = ctx->ev.data;

	l->stores--;
	if (!r)
		shared_line_failed(l, "the connection was lost");
	else if (r->type == REDIS_REPLY_ERROR)
		shared_complain(l->all, "a result is refused");
}

void shared_unlock(struct shared *s, const struct cache_key *key)
{
	char name[SHARED_KEY_MAX];

	/* A lock that outlived its time may be another machine's by now: one fetch more. */
	if (!s->line || s->line->stores >= STORES_MAX)
		return;
	shared_print_key(key, ":lock", name);
	if (shared_command(s->line, on_stored, NULL, "DEL %s", name) == REDIS_OK)
		s->line->stores++;
}

void shared_store(struct shared *s, const struct cache_key *key, const struct job_result *r,
		  uint64_t ttl_ms)
{
	char name[SHARED_KEY_MAX];
	struct line *l;
	size_t len;

	if (!s->on || host_is_blocked(s->host, &s->limits))
		return;
	l = shared_line(s);
	len = l && ttl_ms && l->stores < STORES_MAX ? parcel_put(s->parcel, key, r) : 0;
	if (len) {
		shared_print_key(key, "", name);
		if (shared_command(l, on_stored, NULL, "SET %s %b PX %llu", name, s->parcel, len,
				   (unsigned long long)ttl_ms) == REDIS_OK)
			l->stores++;
	}
	shared_unlock(s, key);
}

bool shared_forget(struct shared *s, const struct cache_key *key)
{
	char name[SHARED_KEY_MAX];
	struct line *l;

	if (!s->on || host_is_blocked(s->host, &s->limits))
		return false;
	l = shared_line(s);
	shared_print_key(key, "", name);
	if (!l || l->stores >= STORES_MAX ||
	    shared_command(l, on_stored, NULL, "DEL %s", name) != REDIS_OK)
		return false;
	l->stores++;
	return true;
}

const char *shared_state(const struct shared *s)
{
	return !s->on                                 ? "off"
	       : host_is_blocked(s->host, &s->limits) ? "resting"
	       : s->line                              ? "up"
						      : "idle";
}

/* --- life ------------------------------------------------------------------------------ */

int shared_set_conf(struct shared *s, const struct conf *conf)
{
	struct resolver *resolver = NULL;
	struct redis_address where;
	bool on = redis_parse(conf->cache.redis, &where) == 0;

	if (on) {
		resolver = resolver_new(s->base, &conf->fetch);
		if (!resolver)
			return ERR_NOMEM;
	}
	resolve_stop(&s->naming);
	resolver_free(&s->resolver);
	s->resolver = resolver;
	s->on = false; /* for those who lose their search now */
	shared_hang_up(s);
	host_succeeded(s->host);
	s->on = on;
	s->where = where;
	s->address[0] = '\0';
	s->limits = conf->limits;
	s->lock_ms = conf->fetch.timeout + conf->scale.wall;
	if (on)
		(void)shared_is_named(s);
	return 0;
}

struct shared *shared_new(struct event_base *base)
{
	struct shared *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->hosts = host_table_new();
	s->host = s->hosts ? host_get(s->hosts, "shared", 0) : NULL;
	if (!s->host)
		shared_free(&s);
	return s;
}

void shared_free(struct shared **s)
{
	if (!*s)
		return;
	shared_hang_up(*s);
	resolve_stop(&(*s)->naming);
	resolver_free(&(*s)->resolver);
	host_put(&(*s)->host);
	if ((*s)->hosts)
		host_table_free(&(*s)->hosts);
	free(*s);
	*s = NULL;
}
