/* SPDX-License-Identifier: MIT */
/*
 * host - see host.h.
 */
#include "config.h"

#include "media/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "media/target.h"

#define HOSTS_MAX 4096
#define BUCKETS   1024

struct host {
	struct host_table *table; /* borrowed */
	struct list lru;          /* most recent first */
	struct list bucket;
	unsigned refs;
	unsigned active;
	uint64_t failures;   /* in a row */
	int64_t open_until;  /* 0: the breaker is closed */
	uint64_t open_ms;    /* length of its last opening */
	int64_t pause_until; /* by its own wish */
	uint16_t port;
	char name[TARGET_HOST_MAX + 1];
};

struct host_table {
	size_t n;
	struct list lru;
	struct list buckets[BUCKETS];
};

struct host_table *host_table_new(void)
{
	struct host_table *t = calloc(1, sizeof(*t));
	size_t i;

	if (!t)
		return NULL;
	list_init(&t->lru);
	for (i = 0; i < BUCKETS; i++)
		list_init(&t->buckets[i]);
	return t;
}

static void host_drop(struct host *h)
{
	h->table->n--;
	list_remove(&h->lru);
	list_remove(&h->bucket);
	free(h);
}

void host_table_free(struct host_table **t)
{
	if (!*t)
		return;
	while (!list_is_empty(&(*t)->lru))
		host_drop(CONTAINER_OF(list_first(&(*t)->lru), struct host, lru));
	free(*t);
	*t = NULL;
}

static bool host_evict(struct host_table *t)
{
	struct list *i;

	for (i = t->lru.prev; i != &t->lru; i = i->prev) {
		struct host *h = CONTAINER_OF(i, struct host, lru);

		if (h->refs == 0) {
			host_drop(h);
			return true;
		}
	}
	return false;
}

struct host *host_get(struct host_table *t, const char *name, uint16_t port)
{
	struct list *bucket = &t->buckets[hash_keyed(name, strlen(name)) % BUCKETS];
	struct host *h;
	struct list *i;

	LIST_EACH(i, bucket) {
		h = CONTAINER_OF(i, struct host, bucket);
		if (h->port == port && strcmp(h->name, name) == 0) {
			list_remove(&h->lru);
			list_add_head(&t->lru, &h->lru);
			h->refs++;
			return h;
		}
	}
	if (t->n >= HOSTS_MAX && !host_evict(t))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->table = t;
	h->refs = 1;
	h->port = port;
	snprintf(h->name, sizeof(h->name), "%s", name);
	list_init(&h->lru);
	list_init(&h->bucket);
	list_add_head(&t->lru, &h->lru);
	list_add_head(bucket, &h->bucket);
	t->n++;
	return h;
}

void host_put(struct host **h)
{
	if (!*h)
		return;
	BUG_ON((*h)->refs == 0);
	(*h)->refs--; /* the row stays for its breaker */
	*h = NULL;
}

bool host_is_blocked(const struct host *h, const struct conf_limits *l)
{
	if (clock_now() < h->pause_until)
		return true;
	if (h->failures < l->breaker_failures)
		return false;
	return clock_now() < h->open_until || h->active > 0;
}

void host_pause(struct host *h, uint32_t seconds, const struct conf_limits *l)
{
	int64_t ms = (int64_t)MIN_OF((uint64_t)seconds * 1000, (uint64_t)l->breaker_max);

	h->pause_until = MAX_OF(h->pause_until, clock_now() + ms);
}

unsigned host_active(const struct host *h)
{
	return h->active;
}

void host_start(struct host *h)
{
	h->active++;
}

void host_stop(struct host *h)
{
	BUG_ON(h->active == 0);
	h->active--;
}

void host_succeeded(struct host *h)
{
	h->failures = 0;
	h->open_until = 0;
	h->open_ms = 0;
}

void host_failed(struct host *h, const struct conf_limits *l)
{
	h->failures++;
	if (h->failures < l->breaker_failures)
		return;
	/* Transfers that were under way when it opened say nothing new. */
	if (clock_now() < h->open_until)
		return;
	h->open_ms = h->open_ms ? h->open_ms * 2 : l->breaker_open;
	h->open_ms = MIN_OF(h->open_ms, (uint64_t)l->breaker_max);
	h->open_until = clock_now() + (int64_t)h->open_ms;
}

static enum host_breaker host_breaker(const struct host *h, const struct conf_limits *l)
{
	if (h->failures < l->breaker_failures)
		return HOST_CLOSED;
	return clock_now() < h->open_until ? HOST_OPEN : HOST_TRIAL;
}

static struct host_news host_news(const struct host *h, enum host_breaker breaker)
{
	return (struct host_news){ .name = h->name,
				   .port = h->port,
				   .breaker = breaker,
				   .active = h->active,
				   .failures = h->failures,
				   .left_ms = breaker == HOST_OPEN
						      ? (uint64_t)(h->open_until - clock_now())
						      : 0 };
}

size_t host_table_failing(const struct host_table *t, const struct conf_limits *l,
			  struct host_news *out, size_t max, size_t *all)
{
	struct list *i;
	size_t n = 0;
	int pass;

	*all = 0;
	for (pass = 0; pass < 2; pass++)
		LIST_EACH(i, &t->lru) {
			const struct host *h = CONTAINER_OF(i, struct host, lru);
			enum host_breaker breaker = host_breaker(h, l);

			if (!h->failures || (breaker == HOST_CLOSED) != (pass == 1))
				continue;
			++*all;
			if (n < max)
				out[n++] = host_news(h, breaker);
		}
	return n;
}
