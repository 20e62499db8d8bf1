/* SPDX-License-Identifier: MIT */
/*
 * desk - see desk.h.
 */
#include "config.h"

#include "media/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hash.h"
#include "base/ipc.h"
#include "base/log.h"
#include "media/host.h"
#include "media/sample.h"
#include "media/scale.h"
#include "media/turn.h"

#define MESSAGES_PER_TURN 16
#define TRIAL_MS          3000 /* a thumbnail that comes later is as good as none */
#define HOSTS_SHOWN       100

struct desk {
	struct event_base *base; /* borrowed */
	struct flights *flights; /* borrowed */
	struct conf *conf;       /* owned reference; NULL: not live yet */
	int fd;                  /* owned; -1: no web process */
	struct event *event;     /* owned */
	struct scale_job *trial;
	struct event *late; /* owned: the trial's deadline */
	int64_t began;
	uint64_t id; /* of the PROBE under way */
	struct ipc_in in;
	struct ipc_out out;
};

static void desk_close(struct desk *d)
{
	scale_stop(&d->trial);
	event_del(d->late);
	if (d->event)
		event_free(d->event);
	d->event = NULL;
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
	flights_set_show(d->flights, NULL, NULL);
}

/* A full or closed channel loses the answer: web has a deadline of its own. */
static void desk_send(struct desk *d)
{
	if (ipc_send(d->fd, &d->out))
		log_debug("an answer found the channel to web full or closed");
}

/* --- can a thumbnail be made? ----------------------------------------------------------- */

/* why: NULL, it can. */
static void desk_answer(struct desk *d, const char *why)
{
	event_del(d->late);
	ipc_begin(&d->out, IPC_PROBED);
	ipc_put_u64(&d->out, d->id);
	ipc_put_u8(&d->out, why == NULL);
	ipc_put_u32(&d->out, (uint32_t)(clock_now() - d->began));
	ipc_put_str(&d->out, why ? why : "ok");
	desk_send(d);
}

static const char *why_not(enum picture_status status)
{
	switch (status) {
	case PICTURE_OK:
		return NULL;
	case PICTURE_FAILED:
	case PICTURE_TOO_BIG:
	case PICTURE_NO_FIT:
		return "the scaler cannot make one of a picture that is known to be good";
	case PICTURE_KILLED:
		return "the decoder of a picture that is known to be good died";
	case PICTURE_UNAVAILABLE:
		return "the scaler has no decoder free, or has ended";
	}
	BUG();
}

static void on_tried(void *arg, const struct picture_result *r)
{
	desk_answer(arg, why_not(r->status));
}

static void on_late(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct desk *d = arg;

	turn_begin();
	scale_stop(&d->trial);
	desk_answer(d, "the scaler takes more than 3 s for a tiny picture");
}

static int desk_start_trial(struct desk *d, struct scale *scale, enum picture_format format)
{
	const struct conf_scale *c = &d->conf->scale;
	struct picture_request what = { .format = format,
					.output = PICTURE_OUT_AUTO,
					.width = 32,
					.height = 32,
					.max_bytes = 8192,
					.limits = { .max_pixels = c->max_pixels,
						    .max_pixels_jpeg = c->max_pixels_jpeg,
						    .max_side = (uint32_t)c->max_side,
						    .memory = c->memory,
						    .wall_ms = c->wall,
						    .cpu_ms = c->cpu } };
	uint8_t sum[HASH_SHA256_LEN];
	const uint8_t *p;
	size_t len = sample_picture(format, &p);
	int fd = ipc_memfd("inset-sample", p, len);

	if (fd == -1)
		return ERR_NOMEM;
	/* A decoder that dies of something else must not make the sample a killer for long. */
	hash_random(sum, sizeof(sum));
	return scale_start(scale, c, &what, fd, sum, &d->trial, on_tried, d);
}

static void desk_try(struct desk *d)
{
	struct scale *scale = flights_scaler(d->flights);
	const struct timeval tv = { .tv_sec = TRIAL_MS / 1000 };
	enum picture_format format = PICTURE_JPEG;
	int rc;

	scale_stop(&d->trial);
	d->began = clock_now();
	if (!d->conf || !scale_is_up(scale)) {
		desk_answer(d, "the scaler is away, or no format passed its self-test");
		return;
	}
	rc = desk_start_trial(d, scale, format);
	if (rc == ERR_UNSUPPORTED) /* JPEG alone is off */
		rc = desk_start_trial(d, scale, PICTURE_PNG);
	if (rc)
		desk_answer(d, rc == ERR_FULL ? "the queue to the scaler is full"
			       : rc == ERR_UNSUPPORTED
				       ? "neither JPEG nor PNG passed the scaler's self-test"
				       : "out of memory or descriptors");
	else if (evtimer_add(d->late, &tv) == -1)
		log_error("no timer: out of memory");
}

/* --- which hosts fail? ------------------------------------------------------------------ */

static void desk_tell_hosts(struct desk *d)
{
	struct host_news news[HOSTS_SHOWN];
	size_t i, failing = 0, n = 0;

	if (d->conf)
		n = host_table_failing(flights_hosts(d->flights), &d->conf->limits, news,
				       HOSTS_SHOWN, &failing);
	ipc_begin(&d->out, IPC_FAILING);
	ipc_put_u32(&d->out, (uint32_t)failing);
	ipc_put_u32(&d->out, (uint32_t)n);
	for (i = 0; i < n; i++) {
		ipc_put_str(&d->out, news[i].name);
		ipc_put_u32(&d->out, news[i].port);
		ipc_put_u32(&d->out, (uint32_t)MIN_OF(news[i].failures, UINT32_MAX));
		ipc_put_u8(&d->out, (uint8_t)news[i].breaker);
		ipc_put_u32(&d->out, (uint32_t)MIN_OF(news[i].left_ms, UINT32_MAX));
	}
	desk_send(d);
}

/* --- the last thumbnails ---------------------------------------------------------------- */

static void on_made(void *arg, const struct job_result *r)
{
	struct desk *d = arg;

	ipc_begin(&d->out, IPC_MADE);
	ipc_put_u8(&d->out, (uint8_t)r->format);
	ipc_put_u32(&d->out, r->width);
	ipc_put_u32(&d->out, r->height);
	ipc_put_u32(&d->out, r->media_width);
	ipc_put_u32(&d->out, r->media_height);
	ipc_put_blob(&d->out, r->bytes, r->len);
	desk_send(d);
}

static void desk_set_show(struct desk *d)
{
	bool wanted = d->fd != -1 && d->conf && d->conf->web.thumbnails;

	flights_set_show(d->flights, wanted ? on_made : NULL, d);
}

/* --- the channel ------------------------------------------------------------------------ */

static int desk_on_message(struct desk *d)
{
	uint64_t id;
	int rc;

	if (d->in.type == IPC_PROBE) {
		id = ipc_get_u64(&d->in);
		rc = ipc_end(&d->in);
		if (rc)
			return rc;
		d->id = id;
		desk_try(d);
		return 0;
	}
	if (d->in.type != IPC_HOSTS)
		return ERR_BAD_MESSAGE;
	rc = ipc_end(&d->in);
	if (!rc)
		desk_tell_hosts(d);
	return rc;
}

static void on_channel(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct desk *d = arg;
	int i, rc = 0;

	turn_begin();
	for (i = 0; i < MESSAGES_PER_TURN && d->fd == fd && !rc; i++) {
		rc = ipc_recv(d->fd, &d->in, ROLE_MEDIA, ROLE_WEB);
		if (rc)
			break;
		rc = desk_on_message(d);
		ipc_in_fini(&d->in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED) {
		counter_inc(METRIC_IPC_BAD);
		log_error("malformed message from web, its channel is closed");
	}
	desk_close(d);
}

void desk_set_channel(struct desk *d, int fd)
{
	desk_close(d);
	d->fd = fd;
	d->event = event_new(d->base, fd, EV_READ | EV_PERSIST, on_channel, d);
	if (!d->event || event_add(d->event, NULL) == -1) {
		log_error("no way to web: out of memory");
		desk_close(d);
	}
	desk_set_show(d);
}

void desk_set_conf(struct desk *d, struct conf *conf)
{
	conf_unref(&d->conf);
	d->conf = conf_ref(conf);
	desk_set_show(d);
}

struct desk *desk_new(struct event_base *base, struct flights *flights)
{
	struct desk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = base;
	d->flights = flights;
	d->fd = -1;
	d->late = evtimer_new(base, on_late, d);
	if (!d->late) {
		free(d);
		return NULL;
	}
	return d;
}

void desk_free(struct desk **d)
{
	if (!*d)
		return;
	desk_close(*d);
	event_free((*d)->late);
	conf_unref(&(*d)->conf);
	free(*d);
	*d = NULL;
}
