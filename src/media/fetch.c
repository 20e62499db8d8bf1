/* SPDX-License-Identifier: MIT */
/*
 * fetch - see fetch.h. Here is how one begins and how it ends.
 *
 * Its way: fetch_hop() judges the target; names go through the resolver, a proxy's as well; then
 * fetch_connect() gives libcurl the vetted addresses and nothing else: to connect to them, or to
 * have a proxy CONNECT to one of them. Callbacks of libcurl only note and abort; everything is
 * decided in fetch_on_end(), outside of libcurl.
 */
#include "config.h"

#include "media/fetch-inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/refusal.h"
#include "media/turn.h"

/* --- the end --------------------------------------------------------------------------- */

static void fetch_free(struct fetch *f)
{
	fetch_close_hop(f);
	target_fini(&f->target);
	body_fini(&f->body);
	if (f->timer)
		event_free(f->timer);
	if (f->step)
		event_free(f->step);
	egress_unref(&f->egress);
	conf_unref(&f->conf);
	free(f);
}

void fetch_stop(struct fetch **f)
{
	if (*f)
		fetch_free(*f);
	*f = NULL;
}

void fetch_finish(struct fetch *f, enum job_status status, bool host_failed)
{
	struct fetch_result r = { .status = status,
				  .host_failed = host_failed,
				  .fd = -1,
				  .max_age = freshness_life(&f->reply.fresh, clock_wall()),
				  .no_store = f->reply.fresh.no_store,
				  .validator = f->reply.fresh.validator };
	fetch_done_fn done = f->done;
	void *arg = f->arg;

	if (status == JOB_HTTP)
		r.gone = f->reply.status == 404 || f->reply.status == 410;
	if (f->reply.status == 429 || f->reply.status == 503)
		r.retry = freshness_retry(&f->reply.fresh, clock_wall());
	if (status == JOB_OK) {
		r.validator.where = hash_keyed(f->target.text, strlen(f->target.text));
		r.validator.life = r.max_age;
		r.not_modified = f->reply.status == 304;
	}
	if (status == JOB_OK && !r.not_modified) {
		r.format = f->body.format;
		r.size = f->body.size;
		r.whole = f->reply.delimited;
		memcpy(r.sha256, f->body.sha256, sizeof(r.sha256));
		r.fd = body_take(&f->body);
	}
	*f->slot = NULL;
	fetch_free(f);
	done(arg, &r);
}

void fetch_refuse(struct fetch *f, const char *why)
{
	counter_inc(METRIC_FETCH_REFUSED);
	if (why)
		refusal_log(&f->target, why);
	fetch_finish(f, JOB_ADDRESS, false);
}
/* --- while it goes on ------------------------------------------------------------------ */

bool fetch_is_unchanged(const struct fetch *f)
{
	return f->conditional && f->reply.status == 304;
}
void fetch_set_wanted(struct fetch *f, bool wanted)
{
	f->unwanted = !wanted;
}

bool fetch_is_useless(const struct fetch *f)
{
	return f->unwanted && f->reply.ended && f->reply.fresh.no_store;
}
/* --- the beginning --------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	fetch_finish(arg, JOB_TIMEOUT, true);
}

static void on_step(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	fetch_hop(arg);
}
int fetch_start(struct fetcher *fr, const char *url, uint64_t max, const struct validator *known,
		struct fetch **out, fetch_done_fn done, void *arg)
{
	const struct conf_scale *scale = &fr->conf->scale;
	struct body_limits limits = { .max_pixels = scale->max_pixels,
				      .max_pixels_jpeg = scale->max_pixels_jpeg,
				      .max_side = (uint32_t)scale->max_side };
	uint32_t ms = fr->conf->fetch.timeout;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NOMEM;
	f->fetcher = fr;
	f->conf = conf_ref(fr->conf);
	f->egress = egress_ref(fr->egress);
	f->slot = out;
	f->done = done;
	f->arg = arg;
	f->deadline = clock_now() + ms;
	if (known)
		f->known = *known;
	body_init(&f->body, max, &limits);
	f->timer = evtimer_new(fr->base, on_timer, f);
	f->step = evtimer_new(fr->base, on_step, f);
	if (!f->timer || !f->step || evtimer_add(f->timer, &tv) == -1 ||
	    target_parse(&f->target, url, NULL)) {
		fetch_free(f);
		return ERR_NOMEM;
	}
	event_active(f->step, EV_TIMEOUT, 0);
	*out = f;
	return 0;
}
