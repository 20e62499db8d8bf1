/* SPDX-License-Identifier: MIT */
/*
 * service-asks - see service-asks.h.
 */
#include "config.h"

#include "media/service-asks.h"

#include "base/child.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/cid.h"
#include "media/target.h"

#define HOSTS_TOLD  200
#define PURGE_ROUND 4096 /* entries of one URL: more there are not */

static void put_hosts(struct jtext *j, const struct flights_parts *p)
{
	struct host_news news[HOSTS_TOLD];
	size_t i, all, n;

	n = host_table_failing(p->hosts, &p->conf->limits, news, HOSTS_TOLD, &all);
	for (i = 0; i < n && news[i].breaker != HOST_CLOSED; i++) {
		jtext_open(j, NULL, '{');
		jtext_str(j, "host", news[i].name);
		jtext_int(j, "port", news[i].port);
		jtext_int(j, "failures", (int64_t)news[i].failures);
		jtext_int(j, "open-ms", (int64_t)news[i].left_ms);
		jtext_int(j, "active", news[i].active);
		jtext_close(j, '}');
	}
}

static void put_figure(struct jtext *j, const char *key, enum metric m)
{
	jtext_int(j, key, (int64_t)counters_sum(m));
}

static void tell_cache(const struct flights_parts *p, uint64_t id)
{
	struct jtext j;

	jtext_init(&j, ASK_ANSWER_MAX);
	jtext_open(&j, NULL, '{');
	jtext_int(&j, "entries", (int64_t)cache_entries(p->cache));
	jtext_int(&j, "bytes", (int64_t)cache_bytes(p->cache));
	jtext_int(&j, "max-bytes", (int64_t)p->conf->cache.memory);
	put_figure(&j, "hits", METRIC_CACHE_HITS);
	put_figure(&j, "negative", METRIC_CACHE_NEGATIVE);
	put_figure(&j, "joined", METRIC_CACHE_JOINED);
	put_figure(&j, "misses", METRIC_CACHE_MISSES);
	jtext_int(&j, "fetching", (int64_t)p->fetching);
	jtext_int(&j, "queued", (int64_t)p->queued);
	jtext_str(&j, "shared", shared_state(p->shared));
	put_figure(&j, "shared-hits", METRIC_CACHE_SHARED_HITS);
	put_figure(&j, "shared-misses", METRIC_CACHE_SHARED_MISSES);
	put_figure(&j, "shared-failures", METRIC_CACHE_SHARED_FAILURES);
	jtext_open(&j, "hosts", '[');
	put_hosts(&j, p);
	jtext_close(&j, ']');
	jtext_close(&j, '}');
	child_answer_json(id, &j);
}

static void tell_dropped(uint64_t id, size_t entries, size_t bytes, const char *shared)
{
	struct jtext j;

	jtext_init(&j, 512);
	jtext_open(&j, NULL, '{');
	jtext_int(&j, "entries", (int64_t)entries);
	jtext_int(&j, "bytes", (int64_t)bytes);
	jtext_str(&j, "shared", shared);
	jtext_close(&j, '}');
	child_answer_json(id, &j);
}

static void flush(struct flights *flights, const struct flights_parts *p, uint64_t id)
{
	size_t entries = cache_entries(p->cache), bytes = cache_bytes(p->cache);

	flights_disown(flights, NULL);
	cache_flush(p->cache);
	tell_dropped(id, entries, bytes, shared_state(p->shared)[0] == 'o' ? "off" : "kept");
}

static void purge(struct flights *flights, const struct flights_parts *p, const struct ask *a)
{
	size_t entries = cache_entries(p->cache), bytes = cache_bytes(p->cache), keys_n, i,
	       sent = 0;
	struct cache_key keys[FLIGHTS_PROFILES_MAX], key;
	uint8_t cid[HASH_SHA1_LEN];
	bool has_cid;
	struct target t;

	if (target_parse(&t, a->text, NULL)) {
		child_refuse(a->id, "this is no address that could be fetched");
		return;
	}
	flights_disown(flights, t.text);
	for (i = 0; i < PURGE_ROUND && cache_purge_one(p->cache, t.text, &key, cid, &has_cid);
	     i++) {
		if (has_cid)
			cid_forget(p->cache, cid);
		sent += shared_forget(p->shared, &key);
	}
	/* Other machines may have made what this one never had. */
	keys_n = flights_keys(flights, t.text, keys);
	for (i = 0; i < keys_n; i++)
		sent += shared_forget(p->shared, &keys[i]);
	target_fini(&t);
	tell_dropped(a->id, entries - cache_entries(p->cache), bytes - cache_bytes(p->cache),
		     sent                                ? "purged"
		     : shared_state(p->shared)[0] == 'o' ? "off"
							 : "away");
}

static void tell_status(const struct flights_parts *p, uint64_t id)
{
	struct jtext j;

	jtext_init(&j, 512);
	jtext_open(&j, NULL, '{');
	jtext_str(&j, "shared", shared_state(p->shared));
	jtext_close(&j, '}');
	child_answer_json(id, &j);
}

void service_on_ask(struct flights *flights, const struct ask *a)
{
	struct flights_parts parts;

	flights_look(flights, &parts);
	if (!parts.conf) {
		child_refuse(a->id, "is not live yet");
		return;
	}
	switch (a->command) {
	case ASK_CACHE:
		tell_cache(&parts, a->id);
		return;
	case ASK_CACHE_FLUSH:
		flush(flights, &parts, a->id);
		return;
	case ASK_CACHE_PURGE:
		purge(flights, &parts, a);
		return;
	case ASK_STATUS:
		tell_status(&parts, a->id);
		return;
	case ASK_LOG:
	case ASK_SESSIONS:
	case ASK_TRACE:
	case ASK_TRACE_STOP:
	case ASK_COMMAND_COUNT:
		break; /* ask_get() lets none of these through */
	}
	BUG();
}
