/* SPDX-License-Identifier: MIT */
/*
 * flight-scale - the last step of a flight: from the bytes of a medium to its thumbnail.
 *
 * The same bytes are scaled once for each profile, whatever their addresses.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/err.h"
#include "media/flight-inside.h"

static enum job_status status_of_picture(enum picture_status status)
{
	switch (status) {
	case PICTURE_OK:
		return JOB_OK;
	case PICTURE_FAILED:
	case PICTURE_KILLED:
		return JOB_SCALER;
	case PICTURE_TOO_BIG:
	case PICTURE_NO_FIT:
		return JOB_TOO_BIG;
	case PICTURE_UNAVAILABLE:
		return JOB_UNAVAILABLE;
	}
	BUG();
}

static void flight_scaled(struct flight *f, const struct picture_result *p)
{
	struct job_result r = { .status = JOB_OK,
				.media_format = f->media.format,
				.media_width = p->original_width,
				.media_height = p->original_height,
				.media_size = f->media.size,
				.media_whole = f->media.whole,
				.thumbhash = p->thumbhash,
				.format = p->format,
				.width = p->width,
				.height = p->height,
				.bytes = p->bytes,
				.len = p->len };

	if (p->status != PICTURE_OK) {
		flight_fail(f, status_of_picture(p->status));
		return;
	}
	memcpy(r.media_sha256, f->media.sha256, sizeof(r.media_sha256));
	flight_succeed(f, &r);
}

/* For those with the same bytes as well, for better or worse. */
static void on_scaled(void *arg, const struct picture_result *p)
{
	struct flight *f = arg;
	struct list twins, *i;

	counter_inc(p->status == PICTURE_OK ? METRIC_SCALED : METRIC_SCALED_BAD);
	flight_note(f, HISTOGRAM_SCALE); /* once a picture, as the counter */
	list_init(&twins);
	while ((i = list_first(&f->twins))) {
		list_remove(i);
		list_add_tail(&twins, i);
	}
	flight_scaled(f, p);
	while ((i = list_first(&twins))) {
		list_remove(i);
		flight_scaled(CONTAINER_OF(i, struct flight, queue), p);
	}
}

/* --- the same bytes under another address ---------------------------------------------- */

static struct flight *scaling_find(struct flights *all, const struct cache_key *content)
{
	struct list *i;

	LIST_EACH(i, &all->scaling) {
		struct flight *f = CONTAINER_OF(i, struct flight, queue);

		if (f->has_content && memcmp(&f->content, content, sizeof(*content)) == 0)
			return f;
	}
	return NULL;
}

/* True: the answer is out, and f is gone. */
static bool flight_find_made(struct flight *f)
{
	struct job_result r;
	uint8_t *copy;

	if (!cache_find_content(f->all->cache, &f->content, &r))
		return false;
	copy = malloc(r.len); /* the cache moves on while all are answered */
	if (!copy)
		return false;
	memcpy(copy, r.bytes, r.len);
	r.bytes = copy;
	counter_inc(METRIC_CACHE_SAME_BYTES);
	r.media_whole = f->media.whole; /* all that depends on the address */
	flight_succeed(f, &r);
	free(copy);
	return true;
}

/* True: somebody else did the work, or does. */
static bool flight_is_twin(struct flight *f)
{
	struct flight *first;

	if (cache_content_key_make(&f->content, f->media.sha256, &f->job))
		return false;
	f->has_content = true;
	if (flight_find_made(f))
		return true;
	first = scaling_find(f->all, &f->content);
	if (!first)
		return false;
	counter_inc(METRIC_CACHE_SAME_BYTES);
	list_add_tail(&first->twins, &f->queue);
	return true;
}

void flight_scale(struct flight *f, int fd)
{
	const struct conf_scale *c = &f->all->conf->scale;
	struct picture_request what = { .format = f->media.format,
					.output = f->job.output,
					.width = f->job.width,
					.height = f->job.height,
					.max_bytes = f->job.max_bytes,
					.limits = { .max_pixels = c->max_pixels,
						    .max_pixels_jpeg = c->max_pixels_jpeg,
						    .max_side = (uint32_t)c->max_side,
						    .memory = c->memory,
						    .wall_ms = c->wall,
						    .cpu_ms = c->cpu } };
	int rc;

	if (flight_is_twin(f)) {
		close(fd);
		return;
	}
	list_add_tail(&f->all->scaling, &f->queue);
	rc = scale_start(f->all->scale, c, &what, fd, f->media.sha256, &f->scaling, on_scaled, f);

	if (rc)
		flight_fail(f, rc == ERR_UNSUPPORTED ? JOB_UNAVAILABLE
			       : rc == ERR_IO        ? JOB_SCALER
						     : JOB_OVERLOAD);
}
