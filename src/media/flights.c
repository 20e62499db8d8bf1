/* SPDX-License-Identifier: MIT */
/*
 * flights - what all flights have in common: configuration, channels, who looks on. See flight.h.
 *
 * Invariant: without a configuration (not live yet) there is no flight.
 */
#include "config.h"

#include "media/flight-inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

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
	f->next = evtimer_new(base, flights_on_next, f);
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
