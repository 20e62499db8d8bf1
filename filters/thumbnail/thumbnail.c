/* SPDX-License-Identifier: MIT */
/*
 * thumbnail - the filter that inset is for: a message that points to a picture out of band
 * and in the clear gets a small copy of it in band.
 *
 * encrypted.c and source.c decide whether, rule/ with which profile, the media process
 * makes the picture, formats.c writes it. This file only joins them.
 */
#include "config.h"

#include <string.h>

#include "filter/filter.h"
#include "rule/rule.h"
#include "thumbnail/encrypted.h"
#include "thumbnail/formats.h"
#include "thumbnail/source.h"

/* NS_OOB itself is no constant expression; the tests compare the two. */
#define THUMBNAIL_NEEDLE "jabber:x:oob"

/* One message on its way, in its arena. */
struct thumbnail {
	struct sources sources;
	size_t next; /* source to try next */
	const struct conf_profile *profile;
};

static const struct filter_want wants[] = {
	{ .kind = UNIT_MESSAGE, .dirs = 1u << LANE_C2S, .needle = THUMBNAIL_NEEDLE },
	{ .kind = UNIT_MESSAGE, .dirs = 1u << LANE_S2C, .needle = THUMBNAIL_NEEDLE },
	{ .kind = UNIT_KIND_COUNT },
};

static bool thumbnail_wants_row(const struct conf_listen *listen, const struct filter_want *want)
{
	return listen->directions & want->dirs;
}

/* The next source that a rule asks a thumbnail of becomes a job; false if none is left or media is
 * away. */
static bool thumbnail_try_next(struct filter_instance *f, struct filter_unit *u,
			       struct thumbnail *t)
{
	while (t->next < t->sources.n) {
		const struct source *s = &t->sources.v[t->next++];
		struct rule_input in = { .dir = u->dir,
					 .from = u->from,
					 .url = s->url,
					 .declared = s->declared,
					 .outline = u->outline };
		struct rule_verdict verdict = rule_decide(f->conf, f->listen, &in);
		struct job job;

		if (verdict.action != CONF_ACTION_THUMBNAIL)
			continue;
		t->profile = verdict.profile;
		job = (struct job){ .url = s->url,
				    .declared = s->declared,
				    .cached_only = t->sources.delayed,
				    .no_store = t->sources.no_store,
				    .output = (enum picture_output)t->profile->type,
				    .width = (uint16_t)t->profile->width,
				    .height = (uint16_t)t->profile->height,
				    .max_bytes = (uint32_t)t->profile->max_bytes,
				    .fetch_max = f->conf->fetch.max_bytes };
		return f->host->start_job(f->host->ctx, u, &job);
	}
	return false;
}

static enum filter_verdict thumbnail_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	struct thumbnail *t;
	const char *why;

	if (encrypted_sign(u->outline)) {
		counter_inc(METRIC_UNITS_ENCRYPTED);
		return FILTER_PASS;
	}
	t = arena_alloc(u->arena, sizeof(*t));
	if (!t)
		return FILTER_PASS;
	why = source_find(u->outline, f->conf, u->arena, &t->sources);
	if (why) {
		counter_inc(strcmp(why, "thumbnail-there") == 0 ? METRIC_UNITS_THERE
								: METRIC_UNITS_INELIGIBLE);
		return FILTER_PASS;
	}
	counter_inc(METRIC_UNITS_CANDIDATE);
	u->state = t;
	return thumbnail_try_next(f, u, t) ? FILTER_WAIT : FILTER_PASS;
}

/* Could another address of the same message fare better? Not when inset itself is short of
 * something. */
static bool is_sources_fault(enum job_status status)
{
	return status != JOB_DEADLINE && status != JOB_OVERLOAD && status != JOB_RATE &&
	       status != JOB_UNAVAILABLE;
}

static enum filter_verdict thumbnail_on_result(struct filter_instance *f, struct filter_unit *u,
					       const struct job_result *r)
{
	struct thumbnail *t = u->state;

	if (r->status != JOB_OK)
		return is_sources_fault(r->status) && thumbnail_try_next(f, u, t) ? FILTER_WAIT
										  : FILTER_PASS;
	if (formats_write(u, t->profile->formats, r))
		return FILTER_PASS;
	counter_inc(METRIC_THUMBNAILS);
	return FILTER_EDIT;
}

const struct filter_ops filter_thumbnail = {
	.abi = FILTER_ABI,
	.name = "thumbnail",
	.help = "adds thumbnails to messages that point to pictures by jabber:x:oob",
	.wants = wants,
	.wants_row = thumbnail_wants_row,
	.on_unit = thumbnail_on_unit,
	.on_result = thumbnail_on_result,
};
