/* SPDX-License-Identifier: MIT */
/*
 * doubt - rules that can never match: what insetd -t warns about. See set.h.
 *
 * Finds the plain cases, not all that there are.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/picture.h"
#include "rule/range.h"
#include "rule/set.h"

struct doubting {
	const struct rule_set *set;
	conf_say_fn say;
	void *ctx;
};

static void doubt(const struct doubting *d, size_t rule, int condition, const char *text)
{
	const struct conf_remark about = {
		.rule = (int)rule, .condition = condition, .entry = -1, .warning = true
	};

	d->say(d->ctx, &about, text);
}

static bool same_condition(const struct conf_condition *a, const struct conf_condition *b)
{
	size_t i;

	if (strcmp(a->name, b->name) != 0 || a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

/* Does `above` match whenever `below` does, because it has the same conditions, or fewer? */
static bool covers(const struct rule *above, const struct rule *below)
{
	size_t i, k;

	for (i = 0; i < above->n; i++) {
		const struct conf_condition *a = &above->conf->conditions[above->index[i]];

		if (above->v[i].id == CONDITION_RATE)
			return false;
		for (k = 0; k < below->n; k++)
			if (same_condition(a, &below->conf->conditions[below->index[k]]))
				break;
		if (k == below->n)
			return false;
	}
	return true;
}

static bool lane_is_asked(const struct conf *conf, enum lane_dir dir)
{
	size_t i;

	for (i = 0; i < conf->listens_n; i++)
		if (conf->listens[i].directions & 1u << dir)
			return true;
	return false;
}

static bool direction_can_hold(const struct conf *conf, uint32_t words)
{
	int dir;

	for (dir = LANE_C2S; dir <= LANE_S2C; dir++)
		if (!(words >> 16 & 1u << dir) && (!(words & 0xffff) || words & 1u << dir) &&
		    lane_is_asked(conf, (enum lane_dir)dir))
			return true;
	return false;
}

static bool media_can_hold(const struct condition *c)
{
	int i;

	for (i = 0; i < PICTURE_FORMAT_COUNT; i++) {
		const char *mime = picture_mime((enum picture_format)i);

		if (mime && entries_holds(&c->list, &mime, 1))
			return true;
	}
	return false;
}

static bool bytes_can_hold(const struct condition *c, uint64_t max)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->excluded[i] || c->ranges[i].from <= max)
			return true;
	return false;
}

/* Why this condition can never hold; NULL. */
static const char *condition_doubt(const struct condition *c, const struct rule *r,
				   const struct conf *conf)
{
	if (condition_rows[c->id].after && r->conf->action == CONF_ACTION_STRIP)
		return "never matches: nothing is fetched for messages that have a thumbnail";
	if (c->id == CONDITION_DIRECTION && !direction_can_hold(conf, c->words))
		return "never matches: no listener looks at messages of that direction";
	if (c->id == CONDITION_MEDIA && !media_can_hold(c))
		return "never matches: no media of that type are read";
	if (c->id == CONDITION_MEDIA_BYTES && !bytes_can_hold(c, conf->fetch.max_bytes))
		return "never matches: nothing larger than fetch.max-bytes is fetched";
	if (condition_rows[c->id].kind == CONDITION_GLOBS && !entries_can_hold(&c->list))
		return "never matches: no entry is left by those behind !";
	return NULL;
}

static void doubt_rule(const struct doubting *d, size_t at)
{
	const struct rule *r = &d->set->v[at];
	const char *why;
	char text[256];
	size_t i;

	for (i = 0; i < r->n; i++) {
		why = condition_doubt(&r->v[i], r, d->set->conf);
		if (why)
			doubt(d, at, r->index[i], why);
	}
	for (i = 0; i < at; i++) {
		const struct rule *above = &d->set->v[i];

		if (above->conf->shadow || !covers(above, r))
			continue;
		snprintf(text, sizeof(text), "never matches: \"%s\" above decides first",
			 above->conf->name);
		doubt(d, at, -1, text);
		return;
	}
}

void rule_set_doubt(const struct rule_set *s, conf_say_fn say, void *ctx)
{
	const struct doubting d = { .set = s, .say = say, .ctx = ctx };
	size_t i;

	for (i = 0; i < s->n; i++)
		doubt_rule(&d, i);
}
