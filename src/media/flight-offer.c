/* SPDX-License-Identifier: MIT */
/*
 * flight-offer - what arrives in the box: straight to the scaler, for every profile in use.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "media/flight-inside.h"

#define OFFER_MS     5000 /* time for the thumbnails of a picture that has arrived */
#define PROFILES_MAX FLIGHTS_PROFILES_MAX

static struct job job_of_profile(const struct conf_profile *p, const struct conf *conf)
{
	return (struct job){ .declared = "",
			     .deadline_ms = OFFER_MS,
			     .output = (enum picture_output)p->type,
			     .width = (uint16_t)p->width,
			     .height = (uint16_t)p->height,
			     .max_bytes = (uint32_t)p->max_bytes,
			     .fetch_max = conf->fetch.max_bytes };
}

/* Distinct profiles of the listeners, as jobs. */
static size_t jobs_of_profiles(const struct conf *conf, struct job jobs[PROFILES_MAX])
{
	size_t i, k, n = 0;

	for (i = 0; i < conf->listens_n && n < PROFILES_MAX; i++) {
		const struct job j = job_of_profile(conf->listens[i].profile_ref, conf);

		for (k = 0; k < n; k++)
			if (jobs[k].output == j.output && jobs[k].width == j.width &&
			    jobs[k].height == j.height && jobs[k].max_bytes == j.max_bytes)
				break;
		if (k == n)
			jobs[n++] = j;
	}
	return n;
}

/* Straight to the scaler: JOB_OK, a waiter waits. */
static enum job_status offer_one(struct flights *all, void *client, struct list *waiters,
				 const struct job *j, const struct target *t,
				 const struct fetch_result *media)
{
	struct cache_key key;
	struct job_result r;
	struct flight *f;
	int fd;

	if (cache_key_make(&key, t->text, j))
		return JOB_OVERLOAD;
	if (cache_find(all->cache, &key, &r) && r.status == JOB_OK) {
		flights_reply(all, client, j->id, j->to_box, &r);
		return JOB_OK;
	}
	f = flight_find(all, &key);
	if (f)
		return flight_join(f, client, waiters, j) ? JOB_OVERLOAD : JOB_OK;
	if (!scale_is_up(all->scale))
		return JOB_UNAVAILABLE;
	f = flight_new(all, t, j, &key);
	if (!f)
		return JOB_OVERLOAD;
	fd = fcntl(media->fd, F_DUPFD_CLOEXEC, 0);
	if (fd == -1 || flight_join(f, client, waiters, j)) {
		if (fd != -1)
			close(fd);
		flight_free(f);
		return JOB_OVERLOAD;
	}
	all->queued--;
	list_remove(&f->queue);
	f->state = FLIGHT_SCALING;
	f->media = *media;
	flight_scale(f, fd);
	return JOB_OK;
}

/* What a box may speak of: it is not to choose the thumbnails of others' addresses. */
static bool is_of_the_box(const struct flights *all, const struct target *t)
{
	return all->own && strncmp(t->text, all->own, strlen(all->own)) == 0;
}

size_t flights_offer(struct flights *all, void *client, struct list *waiters, uint64_t id,
		     const char *url, int fd)
{
	struct job jobs[PROFILES_MAX];
	struct fetch_result media;
	struct target t = { 0 };
	size_t i, n = all->conf ? jobs_of_profiles(all->conf, jobs) : 0;
	enum job_status status;
	bool known = false;

	if (!n) {
		close(fd);
		return 0;
	}
	load_examine(fd, all->conf->fetch.max_bytes, &media);
	status = media.status;
	if (status == JOB_OK) {
		known = target_parse(&t, url, NULL) == 0;
		status = known && is_of_the_box(all, &t) ? JOB_OK : JOB_ADDRESS;
	}
	for (i = 0; i < n; i++) {
		enum job_status one = status;

		jobs[i].id = id;
		if (one == JOB_OK)
			one = offer_one(all, client, waiters, &jobs[i], &t, &media);
		if (one != JOB_OK)
			flights_refuse(all, client, id, one);
	}
	if (known)
		target_fini(&t);
	if (media.fd != -1)
		close(media.fd);
	return n;
}

uint32_t flights_profiles(const struct flights *f)
{
	struct job jobs[PROFILES_MAX];

	return f->conf ? (uint32_t)jobs_of_profiles(f->conf, jobs) : 0;
}

size_t flights_keys(const struct flights *f, const char *url, struct cache_key keys[PROFILES_MAX])
{
	size_t i, n = 0;

	for (i = 0; f->conf && i < f->conf->profiles_n && n < PROFILES_MAX; i++) {
		const struct job j = job_of_profile(&f->conf->profiles[i], f->conf);

		n += cache_key_make(&keys[n], url, &j) == 0;
	}
	return n;
}
