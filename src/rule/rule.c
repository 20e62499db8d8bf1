/* SPDX-License-Identifier: MIT */
/*
 * rule - see rule.h.
 *
 * Before the fetch the rules are walked twice at most: up to the first that decides or needs
 * the media, counting; then on from there, only to see whether a thumbnail can come of it.
 */
#include "config.h"

#include "rule/rule.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/picture.h"
#include "rule/fold.h"
#include "rule/set.h"

#define SHADOW_LOG_BURST 30

/* The texts that struct rule_look points into, one allocation. */
struct look_texts {
	char from[3072];
	char from_bare[3072];
	char to[3072];
	char to_bare[3072];
	char url[JOB_URL_MAX + 1];
	char host[JOB_URL_MAX + 1];
	char declared[256];
};

/* --- what conditions look at ----------------------------------------------------------- */

static const char *copy(char *to, size_t room, const char *text)
{
	size_t n = strlen(text);

	if (n >= room)
		return NULL;
	memcpy(to, text, n + 1);
	return to;
}

static const char *jid_copy(char *full, char *bare, size_t room, const char *text,
			    const char **bare_out)
{
	if (!copy(full, room, text))
		return NULL;
	fold_jid(full);
	strcpy(bare, full);
	bare[strcspn(bare, "/")] = '\0';
	*bare_out = bare;
	return full;
}

static void look_at_media(struct rule_look *look, const struct rule_input *in, struct look_texts *t)
{
	size_t n;

	if (in->url && copy(t->url, sizeof(t->url), in->url)) {
		fold_url(t->url);
		look->url = t->url;
		if (fold_host(t->url, t->host, sizeof(t->host)))
			look->host = t->host;
	}
	n = in->declared ? strcspn(in->declared, "; \t") : 0;
	if (n && n < sizeof(t->declared)) {
		memcpy(t->declared, in->declared, n);
		t->declared[n] = '\0';
		fold_word(t->declared);
		look->declared = t->declared;
	}
}

static void look_init(struct rule_look *look, const struct rule_case *c, struct look_texts *t,
		      const struct rule_media *media)
{
	const struct rule_input *in = &c->in;
	const struct rule_env *env = c->env;
	const struct outline_element *root = &in->outline->elements[in->root];
	const char *type = outline_attr(in->outline, in->root, "", "type");
	const char *to = outline_attr(in->outline, in->root, "", "to"), *at;

	*look = (struct rule_look){ .dir = in->dir,
				    .type = type ? type : "normal",
				    .connection = in->connection,
				    .no_media = in->no_fetch,
				    .media = media,
				    .ns = in->ns,
				    .bytes = in->outline->bytes + root->start,
				    .len = root->end_end - root->start,
				    .xpath_steps = c->conf->limits.xpath_steps };
	if (env) {
		look->wall = env->wall ? env->wall(env->ctx) : 0;
		look->rate = env->rate;
		look->rate_ctx = env->ctx;
	}
	if (in->from)
		look->from = jid_copy(t->from, t->from_bare, sizeof(t->from), in->from,
				      &look->from_bare);
	if (look->from) {
		at = strchr(look->from_bare, '@');
		look->from_domain = at ? at + 1 : look->from_bare;
	}
	if (to)
		look->to = jid_copy(t->to, t->to_bare, sizeof(t->to), to, &look->to_bare);
	look_at_media(look, in, t);
	/* A message that is forwarded has no declarations of its own around it: all of the unit. */
	if (in->root != 0) {
		look->bytes = in->outline->bytes;
		look->len = in->outline->len;
	}
}

/* --- one rule -------------------------------------------------------------------------- */

struct walk {
	struct rule_case *c;
	const struct rule_set *set;
	struct rule_look look;
	int64_t at; /* when the rule before ended */
	bool after;
};

static int64_t now(const struct rule_case *c)
{
	return c->env && c->env->now_us ? c->env->now_us(c->env->ctx) : 0;
}

static void trace(struct walk *w, const struct rule *r, enum rule_outcome outcome, int action,
		  const struct condition *why, int64_t us)
{
	struct rule_step step = { .rule = r ? r->conf : NULL,
				  .url = w->c->in.url,
				  .outcome = outcome,
				  .action = action,
				  .us = us,
				  .after = w->after };
	char seen[256];

	if (!w->c->env || !w->c->env->trace)
		return;
	if (why) {
		condition_seen(why, &w->look, seen);
		step.condition = condition_rows[why->id].name;
		step.seen = seen;
	}
	w->c->env->trace(w->c->env->ctx, &step);
}

/* Do all conditions hold? count: rates are used, time is counted, the outcome is told. */
static enum rule_truth rule_holds(struct walk *w, const struct rule *r, bool count)
{
	static const enum rule_outcome outcomes[] = {
		[RULE_NO] = RULE_FAILED, [RULE_UNKNOWN] = RULE_OPEN, [RULE_BROKEN] = RULE_STUCK
	};
	enum rule_truth all = RULE_YES, one;
	const struct condition *why = NULL;
	int64_t end;
	size_t i;

	for (i = 0; i < r->n && (all == RULE_YES || all == RULE_UNKNOWN); i++) {
		/* A rate counts matches: it is used only where nothing is open any more. */
		one = condition_holds(&r->v[i], &w->look, count && all == RULE_YES);
		if (one == RULE_YES)
			continue;
		if (one != RULE_UNKNOWN || all == RULE_YES)
			why = &r->v[i];
		all = one;
	}
	if (!count)
		return all;
	end = now(w->c);
	counters_rule_add(r->conf->row, RULE_FIGURE_TIME, (uint64_t)(end - w->at));
	trace(w, r,
	      all == RULE_YES ? r->conf->shadow ? RULE_SHADOWED : RULE_DECIDED : outcomes[all],
	      r->conf->action, why, end - w->at);
	w->at = end;
	return all;
}

static void count_match(const struct walk *w, const struct rule *r)
{
	static struct log_limit limit;
	unsigned dropped;

	counters_rule_add(r->conf->row, r->conf->shadow ? RULE_FIGURE_SHADOW : RULE_FIGURE_MATCHES,
			  1);
	if (w->look.wall)
		counters_rule_add(r->conf->row, RULE_FIGURE_LAST, (uint64_t)w->look.wall);
	if (r->conf->shadow && log_limit_ok(&limit, SHADOW_LOG_BURST, &dropped))
		log_info("a rule in shadow would have decided rule=\"%s\" action=%s direction=%s "
			 "left-out=%u",
			 r->conf->name, conf_kind_words(CONF_KIND_ENUM_ACTION)[r->conf->action],
			 w->look.dir == LANE_C2S ? "c2s" : "s2c", dropped);
}

/* --- deciding -------------------------------------------------------------------------- */

static void decide(struct rule_case *c, int action, const struct conf_profile *profile, int rule)
{
	c->decided = true;
	c->action = (enum conf_action)action;
	c->profile = profile ? profile : c->listen->profile_ref;
	c->rule = rule;
}

/* A condition could not be worked out: never in the way. */
static void decide_stuck(struct rule_case *c, size_t rule)
{
	counter_inc(METRIC_RULES_STUCK);
	decide(c, CONF_ACTION_PASS, NULL, (int)rule);
}

/* Walks from rule `from` on and decides, or stops at the first rule that needs the media. */
static void walk_on(struct walk *w, size_t from)
{
	struct rule_case *c = w->c;
	size_t i, n = w->set ? w->set->n : 0;

	for (i = from; i < n; i++) {
		const struct rule *r = &w->set->v[i];

		switch (rule_holds(w, r, true)) {
		case RULE_NO:
			continue;
		case RULE_BROKEN:
			decide_stuck(c, i);
			return;
		case RULE_UNKNOWN:
			if (!r->conf->shadow) {
				c->open = (int)i;
				return;
			}
			c->shadow_open = true;
			continue;
		case RULE_YES:
			count_match(w, r);
			if (r->conf->shadow)
				continue;
			decide(c, r->conf->action, r->profile, (int)i);
			return;
		}
	}
	trace(w, NULL, RULE_DECIDED, c->conf->default_action, NULL, 0);
	decide(c, c->conf->default_action, NULL, -1);
}

/* May a thumbnail come of it from the open rule on? Notes the first profile it may have. */
static bool may_ask(struct walk *w)
{
	struct rule_case *c = w->c;
	size_t i;

	for (i = (size_t)c->open; i < w->set->n; i++) {
		const struct rule *r = &w->set->v[i];
		enum rule_truth t = r->conf->shadow ? RULE_NO : rule_holds(w, r, false);

		if (t == RULE_NO)
			continue;
		if (t == RULE_BROKEN)
			return false;
		if (r->conf->action == CONF_ACTION_THUMBNAIL) {
			c->action = CONF_ACTION_THUMBNAIL;
			c->profile = r->profile ? r->profile : c->listen->profile_ref;
			c->rule = (int)i;
			return true;
		}
		if (t == RULE_YES)
			return false;
	}
	c->action = (enum conf_action)c->conf->default_action;
	c->profile = c->listen->profile_ref;
	c->rule = -1;
	return c->action == CONF_ACTION_THUMBNAIL;
}

/* Where no condition looks at anything there is nothing to prepare. */
static void decide_default(struct rule_case *c)
{
	const struct rule_step step = { .url = c->in.url,
					.outcome = RULE_DECIDED,
					.action = c->conf->default_action };

	if (c->env && c->env->trace)
		c->env->trace(c->env->ctx, &step);
	decide(c, c->conf->default_action, NULL, -1);
}

static struct look_texts *walk_init(struct walk *w, struct rule_case *c,
				    const struct rule_media *media)
{
	struct look_texts *texts = malloc(sizeof(*texts));

	*w = (struct walk){ .c = c, .set = c->conf->compiled, .after = media != NULL };
	if (!texts)
		return NULL;
	look_init(&w->look, c, texts, media);
	w->at = now(c);
	return texts;
}

static void walk_fini(struct walk *w, struct look_texts *texts)
{
	xpath_unit_free(&w->look.unit);
	free(texts);
}

bool rule_before(struct rule_case *c, const struct conf *conf, const struct conf_listen *listen,
		 const struct rule_env *env, const struct rule_input *in)
{
	struct look_texts *texts;
	struct walk w;

	*c = (struct rule_case){
		.conf = conf, .listen = listen, .env = env, .in = *in, .open = -1, .rule = -1
	};
	if (!conf->compiled) {
		decide_default(c);
		return true;
	}
	texts = walk_init(&w, c, NULL);
	if (!texts) {
		decide(c, CONF_ACTION_PASS, NULL, -1);
		return true;
	}
	walk_on(&w, 0);
	if (!c->decided && !may_ask(&w))
		decide(c, CONF_ACTION_PASS, NULL, -1);
	walk_fini(&w, texts);
	return c->decided;
}

/* Rules in shadow that were open before the fetch, above the rule that decides. */
static void walk_shadows(struct walk *w, size_t to)
{
	size_t i;

	for (i = 0; i < to; i++) {
		const struct rule *r = &w->set->v[i];

		if (r->conf->shadow && r->after && rule_holds(w, r, true) == RULE_YES)
			count_match(w, r);
	}
}

void rule_after(struct rule_case *c, const struct job_result *media)
{
	const struct rule_media m = { .mime = picture_mime(media->media_format),
				      .bytes = media->media_size,
				      .pixels =
					      (uint64_t)media->media_width * media->media_height };
	struct look_texts *texts;
	struct walk w;

	if (c->decided && !c->shadow_open)
		return;
	texts = walk_init(&w, c, &m);
	if (texts && c->shadow_open)
		walk_shadows(&w, c->open != -1  ? (size_t)c->open
				 : c->rule >= 0 ? (size_t)c->rule
						: w.set->n);
	if (texts && !c->decided)
		walk_on(&w, (size_t)c->open);
	if (!c->decided)
		decide(c, CONF_ACTION_PASS, NULL, -1);
	c->shadow_open = false;
	walk_fini(&w, texts);
}

void rule_count(const struct rule_case *c, bool thumbnail)
{
	if (c->rule >= 0)
		counters_rule_add(c->conf->rules[c->rule].row,
				  thumbnail ? RULE_FIGURE_THUMBNAILS : RULE_FIGURE_FAILURES, 1);
}
