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
#include "thumbnail/strip.h"

/* The names of namespaces themselves are no constant expressions; the tests compare. */
#define NEEDLE_OOB     "jabber:x:oob"
#define NEEDLE_SIMS    "urn:xmpp:sims:1"
#define NEEDLE_SFS     "urn:xmpp:sfs:0"
#define NEEDLE_LINK    ">http" /* a body that begins with an address */
#define NEEDLE_FORWARD "urn:xmpp:forward:0"
/* Thumbnails that a rule may take out, wherever there is no address. */
#define NEEDLE_THUMBS "urn:xmpp:thumbs:"
#define NEEDLE_BOB    "urn:xmpp:bob"
#define NEEDLE_IBB    "http://jabber.org/protocol/ibb"

/* No smaller thumbnail is asked for than a profile may ask for. */
#define SMALLEST 512

/* One message on its way, in its arena. */
struct thumbnail {
	struct sources sources;
	size_t next;                 /* source to try next */
	const struct source *source; /* whose thumbnail is being made */
	const struct conf_profile *profile;
	struct rule_case rules; /* what they make of that source */
	bool smaller;           /* a smaller one has been asked for already */
	bool publishes;         /* filter bob will answer for its cid */
};

/* File offers with a thumbnail: with twins = true, or where a rule may strip. See offer.h. */
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
	WANT(C2S, NEEDLE_THUMBS),
	WANT(C2S, NEEDLE_BOB),
	WANT(C2S, NEEDLE_IBB),
	WANT(S2C, NEEDLE_THUMBS),
	WANT(S2C, NEEDLE_BOB),
	WANT(S2C, NEEDLE_IBB),
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
		return (listen->directions & want->dirs) &&
		       (listen->profile_ref->twins || listen->strips);
	if (strcmp(want->needle, NEEDLE_FORWARD) == 0)
		return listen->forwarded;
	if (strcmp(want->needle, NEEDLE_THUMBS) == 0 || strcmp(want->needle, NEEDLE_BOB) == 0 ||
	    strcmp(want->needle, NEEDLE_IBB) == 0)
		return listen->strips && (listen->directions & want->dirs);
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

/* What a profile lacks here; NULL: nothing. thumbs0 only names the data: somebody must have them.
 */
static const char *profile_lacks(const struct conf_profile *p, const struct conf *conf,
				 const struct conf_listen *listen)
{
	if ((p->formats & 1u << CONF_FORMAT_HTTP) && !conf->upload.public_url[0])
		return "format http needs a box: upload.public-url";
	if (!(p->formats & 1u << CONF_FORMAT_THUMBS0) || has_filter(listen, "bob") ||
	    p->formats & (1u << CONF_FORMAT_BOB | 1u << CONF_FORMAT_SFS))
		return NULL;
	return "format thumbs0 only names the data: format bob or filter bob is needed, too";
}

static int thumbnail_check(const struct conf *conf, const struct conf_listen *listen,
			   struct err_msg *msg)
{
	const struct conf_profile *p = listen->profile_ref;
	const char *lacks = profile_lacks(p, conf, listen);
	size_t i, k;

	for (i = 0; i < conf->rules_n && !lacks; i++)
		for (k = 0; k < conf->profiles_n && !lacks; k++) {
			p = &conf->profiles[k];
			if (strcmp(p->name, conf->rules[i].profile) == 0)
				lacks = profile_lacks(p, conf, listen);
		}
	return lacks ? err_msg_set(msg, ERR_CONFIG, "profile \"%.64s\": %s", p->name, lacks) : 0;
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

static void thumbnail_ask_rules(struct filter_instance *f, struct filter_unit *u,
				struct thumbnail *t, const struct source *s, bool no_fetch)
{
	const struct rule_input in = { .dir = u->dir,
				       .from = u->from,
				       .connection = u->connection,
				       .url = s ? s->url : NULL,
				       .declared = s ? s->declared : "",
				       .outline = u->outline,
				       .root = t->sources.root,
				       .ns = u->ns,
				       .no_fetch = no_fetch };

	(void)rule_before(&t->rules, f->conf, f->listen, f->host->rules, &in);
}

static enum filter_verdict thumbnail_strip(struct filter_unit *u, struct thumbnail *t)
{
	int n = strip_message(u, t->sources.root);

	if (n < 0)
		*u->edits = (struct edits){ 0 }; /* all of them, or none */
	if (n <= 0)
		return FILTER_PASS;
	counter_add(METRIC_STRIPPED, (uint64_t)n);
	return FILTER_EDIT;
}

/* Can the rules' profile do anything for this source? */
static bool thumbnail_fits(const struct filter_instance *f, const struct filter_unit *u,
			   struct thumbnail *t, const struct source *s)
{
	const struct conf_profile *p = t->rules.profile;

	t->sources.captions = p->captions;
	t->sources.box_url = f->conf->upload.public_url[0] ? f->conf->upload.public_url : NULL;
	return (s->kind != SOURCE_LINK || p->links) &&
	       formats_fitting(u->outline, &t->sources, s, p->formats);
}

/* The next source that a rule asks a thumbnail of becomes a job; FILTER_PASS if none is left or
 * media is away. */
static enum filter_verdict thumbnail_try_next(struct filter_instance *f, struct filter_unit *u,
					      struct thumbnail *t)
{
	while (t->next < t->sources.n) {
		const struct source *s = &t->sources.v[t->next++];

		thumbnail_ask_rules(f, u, t, s, false);
		if (t->rules.action == CONF_ACTION_STRIP)
			return thumbnail_strip(u, t);
		/* Where the rules are still open another profile may fit better. */
		if (t->rules.action != CONF_ACTION_THUMBNAIL ||
		    (t->rules.decided && !thumbnail_fits(f, u, t, s)))
			continue;
		t->profile = t->rules.profile;
		t->source = s;
		t->smaller = false;
		if (thumbnail_start(f, u, t, (uint32_t)t->profile->max_bytes))
			return FILTER_WAIT;
		rule_count(&t->rules, false);
		return FILTER_PASS;
	}
	return FILTER_PASS;
}

/* A message that has a thumbnail: it may lose it. Nothing is fetched to find out. */
static enum filter_verdict thumbnail_try_strip(struct filter_instance *f, struct filter_unit *u,
					       struct thumbnail *t)
{
	size_t i;

	for (i = 0; i < MAX_OF(t->sources.n, (size_t)1); i++) {
		thumbnail_ask_rules(f, u, t, t->sources.n ? &t->sources.v[i] : NULL, true);
		if (t->rules.action == CONF_ACTION_STRIP)
			return thumbnail_strip(u, t);
	}
	return FILTER_PASS;
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

/* A file offer that brings a thumbnail along. */
static enum filter_verdict thumbnail_on_offer(struct filter_instance *f, struct filter_unit *u,
					      struct thumbnail *t)
{
	int n;

	if (f->listen->strips) {
		thumbnail_ask_rules(f, u, t, NULL, true);
		if (t->rules.action == CONF_ACTION_STRIP) {
			n = offer_strip(u);
			if (n < 0)
				*u->edits = (struct edits){ 0 }; /* all of them, or none */
			if (n > 0)
				counter_add(METRIC_STRIPPED, (uint64_t)n);
			return n > 0 ? FILTER_EDIT : FILTER_PASS;
		}
	}
	return f->listen->profile_ref->twins && offer_add_twins(u) ? FILTER_EDIT : FILTER_PASS;
}

static enum filter_verdict thumbnail_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	struct thumbnail *t = arena_alloc(u->arena, sizeof(*t));
	enum metric found;

	if (!t)
		return FILTER_PASS;
	*t = (struct thumbnail){ 0 };
	if (u->kind == UNIT_IQ)
		return thumbnail_on_offer(f, u, t);
	found = thumbnail_look_all(f, u, t);
	counter_inc(found);
	if (found == METRIC_UNITS_CANDIDATE) {
		u->state = t;
		return thumbnail_try_next(f, u, t);
	}
	if (f->listen->strips && found != METRIC_UNITS_ENCRYPTED &&
	    strip_applies(u->outline, t->sources.root))
		return thumbnail_try_strip(f, u, t);
	return FILTER_PASS;
}

/* Could another address of the same message fare better? Not when inset itself is short of
 * something. */
static bool is_sources_fault(enum job_status status)
{
	return status != JOB_DEADLINE && status != JOB_OVERLOAD && status != JOB_RATE &&
	       status != JOB_UNAVAILABLE;
}

/* Is what was made for one profile what another one asks for? */
static bool same_picture(const struct conf_profile *a, const struct conf_profile *b)
{
	return a->type == b->type && a->width == b->width && a->height == b->height &&
	       a->max_bytes == b->max_bytes;
}

/* The media are there, and all rules are decided: FILTER_EDIT stands for "write it". */
static enum filter_verdict thumbnail_settle(struct filter_instance *f, struct filter_unit *u,
					    struct thumbnail *t, const struct job_result *r)
{
	bool open = !t->rules.decided, same;

	rule_after(&t->rules, r);
	if (!open)
		return FILTER_EDIT;
	if (t->rules.action == CONF_ACTION_STRIP)
		return thumbnail_strip(u, t) == FILTER_EDIT ? FILTER_EDIT : FILTER_PASS;
	if (t->rules.action != CONF_ACTION_THUMBNAIL || !thumbnail_fits(f, u, t, t->source))
		return thumbnail_try_next(f, u, t);
	same = same_picture(t->profile, t->rules.profile);
	t->profile = t->rules.profile;
	if (same)
		return FILTER_EDIT;
	return thumbnail_start(f, u, t, (uint32_t)t->profile->max_bytes) ? FILTER_WAIT
									 : FILTER_PASS;
}

static enum filter_verdict thumbnail_write(struct filter_instance *f, struct filter_unit *u,
					   struct thumbnail *t, const struct job_result *r)
{
	uint32_t fit;
	int rc = formats_write(u, &t->sources, t->source, t->profile->formats, t->publishes, r,
			       &fit);

	if (rc == ERR_TOO_BIG && fit >= SMALLEST && fit < t->profile->max_bytes && !t->smaller) {
		t->smaller = true;
		if (thumbnail_start(f, u, t, fit))
			return FILTER_WAIT;
	}
	rule_count(&t->rules, rc == 0);
	if (rc)
		return FILTER_PASS;
	counter_inc(METRIC_THUMBNAILS);
	return FILTER_EDIT;
}

static enum filter_verdict thumbnail_on_result(struct filter_instance *f, struct filter_unit *u,
					       const struct job_result *r)
{
	struct thumbnail *t = u->state;
	enum filter_verdict verdict;

	if (r->status != JOB_OK) {
		rule_count(&t->rules, false);
		return is_sources_fault(r->status) ? thumbnail_try_next(f, u, t) : FILTER_PASS;
	}
	verdict = thumbnail_settle(f, u, t, r);
	if (verdict != FILTER_EDIT || t->rules.action == CONF_ACTION_STRIP)
		return verdict;
	return thumbnail_write(f, u, t, r);
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
