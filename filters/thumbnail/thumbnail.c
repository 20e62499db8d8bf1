/* SPDX-License-Identifier: MIT */
/*
 * thumbnail - the filter that inset is for: a message that points to a picture out of band
 * and in the clear gets a small copy of it in band.
 *
 * encrypted.c and source.c decide whether, rule/ with which profile, the media process
 * makes the picture, formats.c writes it. This file only joins them. offer.c sees to file
 * offers, which bring their thumbnails along.
 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "filter/filter.h"
#include "filter/owner.h"
#include "rule/rule.h"
#include "thumbnail/encrypted.h"
#include "thumbnail/formats.h"
#include "thumbnail/offer.h"
#include "thumbnail/source.h"

/* The names of namespaces themselves are no constant expressions; the tests compare. */
#define NEEDLE_OOB     "jabber:x:oob"
#define NEEDLE_SIMS    "urn:xmpp:sims:1"
#define NEEDLE_SFS     "urn:xmpp:sfs:0"
#define NEEDLE_LINK    ">http" /* a body that begins with an address */
#define NEEDLE_FORWARD "urn:xmpp:forward:0"

/* No smaller thumbnail is asked for than a profile may ask for. */
#define SMALLEST 512

/* One message on its way, in its arena. */
struct thumbnail {
	struct sources sources;
	size_t next;                 /* source to try next */
	const struct source *source; /* whose thumbnail is being made */
	const struct conf_profile *profile;
	bool smaller;   /* a smaller one has been asked for already */
	bool publishes; /* filter bob will answer for its cid */
};

/* File offers with a thumbnail: with twins = true alone. See offer.h. */
#define OFFER_WANT(lane, ns)                                                                       \
	{                                                                                          \
		.kind = UNIT_IQ, .dirs = 1u << (lane), .iq_types = 1u << IQ_SET, .child_ns = (ns), \
		.needle = "urn:xmpp:thumbs:"                                                       \
	}

#define WANT(lane, text)                                                        \
	{                                                                       \
		.kind = UNIT_MESSAGE, .dirs = 1u << LANE_##lane, .needle = text \
	}
static const struct filter_want wants[] = {
	WANT(C2S, NEEDLE_OOB),
	WANT(C2S, NEEDLE_SIMS),
	WANT(C2S, NEEDLE_SFS),
	WANT(C2S, NEEDLE_LINK),
	WANT(S2C, NEEDLE_OOB),
	WANT(S2C, NEEDLE_SIMS),
	WANT(S2C, NEEDLE_SFS),
	WANT(S2C, NEEDLE_LINK),
	WANT(S2C, NEEDLE_FORWARD),
	OFFER_WANT(LANE_C2S, "http://jabber.org/protocol/si"),
	OFFER_WANT(LANE_C2S, "urn:xmpp:jingle:0"),
	OFFER_WANT(LANE_C2S, "urn:xmpp:jingle:1"),
	OFFER_WANT(LANE_S2C, "http://jabber.org/protocol/si"),
	OFFER_WANT(LANE_S2C, "urn:xmpp:jingle:0"),
	OFFER_WANT(LANE_S2C, "urn:xmpp:jingle:1"),
	{ .kind = UNIT_KIND_COUNT },
};

static bool thumbnail_wants_row(const struct conf_listen *listen, const struct filter_want *want)
{
	if (want->kind == UNIT_IQ)
		return (listen->directions & want->dirs) && listen->profile_ref->twins;
	if (strcmp(want->needle, NEEDLE_FORWARD) == 0)
		return listen->forwarded;
	return (listen->directions & want->dirs) &&
	       (listen->links || strcmp(want->needle, NEEDLE_LINK) != 0);
}

static bool has_filter(const struct conf_listen *listen, const char *name)
{
	size_t i;

	for (i = 0; i < listen->filters.n; i++)
		if (strcmp(listen->filters.v[i], name) == 0)
			return true;
	return false;
}

static int thumbnail_check(const struct conf *conf, const struct conf_listen *listen,
			   struct err_msg *msg)
{
	uint32_t formats = listen->profile_ref->formats;

	if ((formats & 1u << CONF_FORMAT_HTTP) && !conf->upload.public_url[0])
		return err_msg_set(
			msg, ERR_CONFIG,
			"format http of profile \"%.64s\" needs a box: upload.public-url",
			listen->profile);
	if (!(formats & 1u << CONF_FORMAT_THUMBS0) || has_filter(listen, "bob") ||
	    formats & (1u << CONF_FORMAT_BOB | 1u << CONF_FORMAT_SFS))
		return 0;
	return err_msg_set(msg, ERR_CONFIG,
			   "format thumbs0 of profile \"%.64s\" only names the data: format bob or "
			   "filter bob is needed, too",
			   listen->profile);
}

/*
 * Will inset answer for the cid that the message is to name? Only for the sender of the message
 * itself: who forwards one may claim any sender.
 */
static bool thumbnail_publishes(const struct filter_instance *f, const struct filter_unit *u,
				const struct thumbnail *t, uint8_t owner_out[JOB_OWNER_LEN])
{
	return has_filter(f->listen, "bob") && t->sources.root == 0 && u->from &&
	       formats_publish(t->profile->formats) && owner_of(u->from, owner_out) == 0;
}

static bool thumbnail_start(struct filter_instance *f, struct filter_unit *u, struct thumbnail *t,
			    uint32_t max_bytes)
{
	struct job job = { .url = t->source->url,
			   .declared = t->source->declared,
			   .cached_only = t->sources.delayed,
			   .no_store = t->sources.no_store,
			   .to_box = t->profile->formats & 1u << CONF_FORMAT_HTTP,
			   .output = (enum picture_output)t->profile->type,
			   .width = (uint16_t)t->profile->width,
			   .height = (uint16_t)t->profile->height,
			   .max_bytes = max_bytes,
			   .fetch_max = f->conf->fetch.max_bytes };

	job.publishes = t->publishes = thumbnail_publishes(f, u, t, job.owner);
	return f->host->start_job(f->host->ctx, u, &job);
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

		if (verdict.action != CONF_ACTION_THUMBNAIL ||
		    (s->kind == SOURCE_LINK && !verdict.profile->links))
			continue;
		t->sources.captions = verdict.profile->captions;
		t->sources.box_url =
			f->conf->upload.public_url[0] ? f->conf->upload.public_url : NULL;
		if (!formats_fitting(u->outline, &t->sources, s, verdict.profile->formats))
			continue;
		t->profile = verdict.profile;
		t->source = s;
		t->smaller = false;
		return thumbnail_start(f, u, t, (uint32_t)t->profile->max_bytes);
	}
	return false;
}

/* What becomes of a message, and how it is counted if nothing does. */
static enum metric thumbnail_look(struct filter_instance *f, struct filter_unit *u, int root,
				  struct thumbnail *t)
{
	const char *why;

	if (encrypted_sign(u->outline, root))
		return METRIC_UNITS_ENCRYPTED;
	why = source_find(u->outline, root, f->listen->links, f->conf, u->arena, &t->sources);
	if (!why)
		return METRIC_UNITS_CANDIDATE;
	return strcmp(why, "thumbnail-there") == 0 ? METRIC_UNITS_THERE : METRIC_UNITS_INELIGIBLE;
}

/* The unit itself where its lane is asked for, then what is forwarded in it, if that is. */
static enum metric thumbnail_look_all(struct filter_instance *f, struct filter_unit *u,
				      struct thumbnail *t)
{
	enum metric found = METRIC_UNITS_INELIGIBLE;
	int root = -1;

	if (f->listen->directions & 1u << u->dir)
		found = thumbnail_look(f, u, 0, t);
	if (!f->listen->forwarded || u->dir != LANE_S2C || found != METRIC_UNITS_INELIGIBLE)
		return found;
	for (root = source_forwarded(u->outline, 0); root != -1 && found != METRIC_UNITS_CANDIDATE;
	     root = source_forwarded(u->outline, root))
		found = thumbnail_look(f, u, root, t);
	return found;
}

static enum filter_verdict thumbnail_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	struct thumbnail *t = arena_alloc(u->arena, sizeof(*t));
	enum metric found;

	if (u->kind == UNIT_IQ)
		return offer_add_twins(u) ? FILTER_EDIT : FILTER_PASS;
	if (!t)
		return FILTER_PASS;
	found = thumbnail_look_all(f, u, t);
	counter_inc(found);
	if (found != METRIC_UNITS_CANDIDATE)
		return FILTER_PASS;
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
	uint32_t fit;
	int rc;

	if (r->status != JOB_OK)
		return is_sources_fault(r->status) && thumbnail_try_next(f, u, t) ? FILTER_WAIT
										  : FILTER_PASS;
	rc = formats_write(u, &t->sources, t->source, t->profile->formats, t->publishes, r, &fit);
	if (rc == ERR_TOO_BIG && fit >= SMALLEST && fit < t->profile->max_bytes && !t->smaller) {
		t->smaller = true;
		return thumbnail_start(f, u, t, fit) ? FILTER_WAIT : FILTER_PASS;
	}
	if (rc)
		return FILTER_PASS;
	counter_inc(METRIC_THUMBNAILS);
	return FILTER_EDIT;
}

const struct filter_ops filter_thumbnail = {
	.abi = FILTER_ABI,
	.name = "thumbnail",
	.help = "adds thumbnails to messages that point to pictures",
	.wants = wants,
	.check = thumbnail_check,
	.wants_row = thumbnail_wants_row,
	.on_unit = thumbnail_on_unit,
	.on_result = thumbnail_on_result,
};
