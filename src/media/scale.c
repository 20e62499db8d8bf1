/* SPDX-License-Identifier: MIT */
/*
 * scale - see scale.h.
 */
#include "config.h"

#include "media/scale.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/list.h"
#include "base/log.h"
#include "media/crash.h"
#include "media/turn.h"

#define MESSAGES_PER_TURN 32
#define GRACE_MS          10000 /* on top of a decoder's own time, waiting in the scaler included */

struct scale_job {
	struct list in;
	struct scale *scale;     /* borrowed */
	struct scale_job **slot; /* where the owner keeps us */
	scale_done_fn done;
	void *arg;
	struct event *timer; /* owned: the scaler owes an answer */
	struct picture_request what;
	uint8_t sha256[HASH_SHA256_LEN];
};

struct scale {
	struct event_base *base; /* borrowed */
	struct event *event;     /* owned */
	int fd;                  /* owned; -1: no scaler */
	uint32_t formats;        /* mask */
	uint64_t next_id;
	struct list jobs; /* under way */
	size_t jobs_n;
	struct crash crash;
	struct event *resume; /* owned: a format that was off comes back */
	struct ipc_in in;
	struct ipc_out out;
};

static void job_free(struct scale_job *j)
{
	list_remove(&j->in);
	j->scale->jobs_n--;
	*j->slot = NULL;
	if (j->timer)
		event_free(j->timer);
	free(j);
}

static void job_finish(struct scale_job *j, const struct picture_result *r)
{
	scale_done_fn done = j->done;
	void *arg = j->arg;

	job_free(j);
	done(arg, r);
}

static void job_fail(struct scale_job *j, enum picture_status status)
{
	struct picture_result r = { .status = status };

	job_finish(j, &r);
}

void scale_stop(struct scale_job **j)
{
	if (*j)
		job_free(*j);
}

/* The only writer of the gauge: what is ready is what media may ask for. */
static void scale_set_formats(struct scale *s, uint32_t formats)
{
	s->formats = formats;
	counter_set(METRIC_SCALER_FORMATS, (uint64_t)__builtin_popcount(formats));
}

static void scale_close(struct scale *s)
{
	struct list left;

	if (s->event)
		event_free(s->event);
	s->event = NULL;
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
	scale_set_formats(s, 0);
	/* Moved first: who is told may start another, which then finds no scaler. */
	list_init(&left);
	while (!list_is_empty(&s->jobs)) {
		struct list *i = list_first(&s->jobs);

		list_remove(i);
		list_add_tail(&left, i);
	}
	while (!list_is_empty(&left))
		job_fail(CONTAINER_OF(list_first(&left), struct scale_job, in),
			 PICTURE_UNAVAILABLE);
}

/* Does it keep what was asked for? */
static bool result_is_good(const struct picture_result *r, const struct picture_request *what)
{
	bool format_ok = false;

	switch (what->output) {
	case PICTURE_OUT_AUTO:
		format_ok = r->format == PICTURE_JPEG || r->format == PICTURE_PNG;
		break;
	case PICTURE_OUT_JPEG:
		format_ok = r->format == PICTURE_JPEG;
		break;
	case PICTURE_OUT_PNG:
		format_ok = r->format == PICTURE_PNG;
		break;
	case PICTURE_OUT_WEBP:
		format_ok = r->format == PICTURE_WEBP;
		break;
	}
	return format_ok && r->width >= 1 && r->width <= what->width && r->height >= 1 &&
	       r->height <= what->height && r->original_width >= 1 && r->original_height >= 1 &&
	       r->original_width <= what->limits.max_side &&
	       r->original_height <= what->limits.max_side && r->len <= what->max_bytes &&
	       picture_is_clean(r->format, r->bytes, r->len, r->width, r->height);
}

/* The only writer of that gauge, too. */
static void scale_look_at_crashes(struct scale *s)
{
	int64_t first;
	unsigned off = crash_count(&s->crash, &first);
	int64_t ms = first - clock_now();
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	counter_set(METRIC_SCALER_PAUSED, off);
	if (off)
		(void)evtimer_add(s->resume, &tv);
}

static void on_resume(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	scale_look_at_crashes(arg);
}

static void scale_note_crash(struct scale *s, const struct scale_job *j)
{
	enum picture_format f = j->what.format;
	uint32_t ms;

	counter_inc(METRIC_DECODERS_KILLED);
	if (!crash_add(&s->crash, f, j->sha256, &ms))
		return;
	log_error("decoders crash one after the other, this format is off for a while format=%s "
		  "seconds=%u",
		  picture_mime(f), ms / 1000);
	scale_look_at_crashes(s);
}

static void scale_on_scaled(struct scale *s, struct picture_result *r)
{
	struct scale_job *j = NULL;
	struct list *i;

	LIST_EACH(i, &s->jobs) {
		j = CONTAINER_OF(i, struct scale_job, in);
		if (j->what.id == r->id)
			break;
	}
	if (i == &s->jobs)
		return; /* stopped, or never asked for */
	if (r->status == PICTURE_OK && !result_is_good(r, &j->what)) {
		static struct log_limit limit;
		unsigned dropped;

		if (log_limit_ok(&limit, 5, &dropped))
			log_warning("a thumbnail from the scaler is not what was asked for");
		job_fail(j, PICTURE_FAILED);
		return;
	}
	if (r->status == PICTURE_KILLED)
		scale_note_crash(s, j);
	else if (r->status != PICTURE_UNAVAILABLE)
		crash_survived(&s->crash, j->what.format);
	job_finish(j, r);
}

static int scale_on_message(struct scale *s)
{
	struct picture_result r;
	uint32_t formats;
	const char *why;
	int rc;

	if (s->in.type == IPC_SCALED) {
		rc = picture_result_get(&s->in, &r);
		if (!rc)
			scale_on_scaled(s, &r);
		return rc;
	}
	if (s->in.type != IPC_FORMATS)
		return ERR_BAD_MESSAGE;
	formats = ipc_get_u32(&s->in);
	why = ipc_get_str(&s->in);
	rc = ipc_end(&s->in);
	if (!rc && formats >> PICTURE_FORMAT_COUNT)
		rc = ERR_BAD_MESSAGE;
	if (rc)
		return rc;
	scale_set_formats(s, formats);
	if (!formats)
		log_error("thumbnails are off: %s", why);
	return 0;
}

static void on_channel(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct scale *s = arg;
	int i, rc = 0;

	turn_begin();
	for (i = 0; i < MESSAGES_PER_TURN && s->fd == fd && !rc; i++) {
		rc = ipc_recv(s->fd, &s->in, ROLE_MEDIA, ROLE_SCALER);
		if (rc)
			break;
		rc = scale_on_message(s);
		ipc_in_fini(&s->in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED) {
		counter_inc(METRIC_IPC_BAD);
		log_error("malformed message from the scaler, its channel is closed");
	}
	scale_close(s);
}

void scale_set_channel(struct scale *s, int fd)
{
	scale_close(s);
	s->fd = fd;
	s->event = event_new(s->base, fd, EV_READ | EV_PERSIST, on_channel, s);
	if (!s->event || event_add(s->event, NULL) == -1) {
		log_error("no way to the scaler: out of memory");
		scale_close(s);
	}
}

bool scale_is_up(const struct scale *s)
{
	return s->fd != -1 && s->formats;
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	job_fail(arg, PICTURE_UNAVAILABLE);
}

static int scale_may_start(const struct scale *s, const struct conf_scale *conf,
			   const struct picture_request *what, const uint8_t *sha256)
{
	if (s->fd == -1 || !(s->formats & 1u << what->format) ||
	    crash_is_off(&s->crash, what->format))
		return ERR_UNSUPPORTED;
	if (s->jobs_n >= conf->queue)
		return ERR_FULL;
	return crash_has_picture(&s->crash, sha256) ? ERR_IO : 0;
}

int scale_start(struct scale *s, const struct conf_scale *conf, const struct picture_request *what,
		int fd, const uint8_t sha256[HASH_SHA256_LEN], struct scale_job **out,
		scale_done_fn done, void *arg)
{
	struct timeval tv = { .tv_sec = (conf->wall + GRACE_MS) / 1000 };
	int rc = scale_may_start(s, conf, what, sha256);
	struct scale_job *j = rc ? NULL : calloc(1, sizeof(*j));

	if (!rc && !j)
		rc = ERR_NOMEM;
	if (rc) {
		close(fd);
		return rc;
	}
	list_init(&j->in);
	list_add_tail(&s->jobs, &j->in);
	s->jobs_n++;
	j->scale = s;
	j->slot = out;
	*out = j;
	j->done = done;
	j->arg = arg;
	j->what = *what;
	j->what.id = ++s->next_id;
	memcpy(j->sha256, sha256, HASH_SHA256_LEN);
	j->timer = evtimer_new(s->base, on_timer, j);
	if (!j->timer || evtimer_add(j->timer, &tv) == -1) {
		rc = ERR_NOMEM;
	} else {
		ipc_begin(&s->out, IPC_SCALE);
		picture_request_put(&s->out, &j->what);
		ipc_put_fd(&s->out, fd);
		rc = ipc_send(s->fd, &s->out);
		if (rc)
			rc = rc == ERR_AGAIN ? ERR_FULL : ERR_UNSUPPORTED;
	}
	close(fd);
	if (rc)
		job_free(j);
	return rc;
}

struct scale *scale_new(struct event_base *base)
{
	struct scale *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->fd = -1;
	list_init(&s->jobs);
	s->resume = evtimer_new(base, on_resume, s);
	if (!s->resume)
		scale_free(&s);
	return s;
}

void scale_free(struct scale **s)
{
	if (!*s)
		return;
	scale_close(*s);
	if ((*s)->resume)
		event_free((*s)->resume);
	free(*s);
	*s = NULL;
}
