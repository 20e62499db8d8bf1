/* SPDX-License-Identifier: MIT */
/*
 * set - see set.h, and rule_attach() and rule_check() in rule.h.
 */
#include "config.h"

#include "rule/set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rule/rule.h"

/* Whose condition is being made, for what is said of it. */
struct saying {
	conf_say_fn say;
	void *ctx;
	struct conf_remark about;
};

static void say_entry(void *ctx, int entry, bool warning, const char *text)
{
	struct saying *s = ctx;

	s->about.entry = entry;
	s->about.warning = warning;
	s->say(s->ctx, &s->about, text);
}

static void say_unknown(struct saying *s, const char *name)
{
	char text[512];
	size_t n = (size_t)snprintf(text, sizeof(text),
				    "no such condition as \"%.64s\"; there are:", name);
	int i;

	for (i = 0; i < CONDITION_COUNT && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", condition_rows[i].name);
	say_entry(s, -1, false, text);
}

static bool has_condition(const struct rule *r, int id)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->v[i].id == id)
			return true;
	return false;
}

/* Conditions in the order of their table, whatever theirs in the file. */
static int rule_make(struct rule *r, const struct rule_set *set, struct saying *s)
{
	const struct condition_say say = { .say = say_entry, .ctx = s };
	int id, rc, worst = 0;
	size_t i;

	r->v = calloc(r->conf->conditions_n + 1, sizeof(*r->v));
	r->index = calloc(r->conf->conditions_n + 1, sizeof(*r->index));
	if (!r->v || !r->index)
		return ERR_NOMEM;
	for (id = 0; id < CONDITION_COUNT; id++) {
		for (i = 0; i < r->conf->conditions_n; i++) {
			if (strcmp(r->conf->conditions[i].name, condition_rows[id].name) != 0 ||
			    has_condition(r, id))
				continue;
			s->about.condition = (int)i;
			r->index[r->n] = (int)i;
			r->after |= condition_rows[id].after;
			rc = condition_init(&r->v[r->n++], id, set->conf, r->conf->name,
					    &r->conf->conditions[i], &say);
			if (rc == ERR_NOMEM)
				return rc;
			worst = rc ? rc : worst;
		}
	}
	for (i = 0; i < r->conf->conditions_n; i++) {
		if (condition_find(r->conf->conditions[i].name) != -1)
			continue;
		s->about.condition = (int)i;
		say_unknown(s, r->conf->conditions[i].name);
		worst = ERR_CONFIG;
	}
	return worst;
}

int rule_set_new(const struct conf *conf, conf_say_fn say, void *ctx, struct rule_set **out)
{
	struct rule_set *set = calloc(1, sizeof(*set));
	void *old = set;
	int rc = 0, worst = 0;
	size_t i, k;

	*out = NULL;
	if (set)
		set->v = calloc(conf->rules_n + 1, sizeof(*set->v));
	if (!set || !set->v) {
		free(set);
		return ERR_NOMEM;
	}
	set->conf = conf;
	for (i = 0; i < conf->rules_n && rc != ERR_NOMEM; i++) {
		struct saying s = { .say = say, .ctx = ctx, .about = { .rule = (int)i } };
		struct rule *r = &set->v[set->n++];

		r->conf = &conf->rules[i];
		for (k = 0; k < conf->profiles_n; k++)
			if (strcmp(conf->profiles[k].name, r->conf->profile) == 0)
				r->profile = &conf->profiles[k];
		rc = rule_make(r, set, &s);
		worst = rc ? rc : worst;
	}
	if (rc == ERR_NOMEM) {
		rule_set_free(&old);
		return rc;
	}
	*out = set;
	return worst;
}

void rule_set_free(void **sp)
{
	struct rule_set *set = *sp;
	size_t i, k;

	*sp = NULL;
	if (!set)
		return;
	for (i = 0; i < set->n; i++) {
		for (k = 0; k < set->v[i].n; k++)
			condition_fini(&set->v[i].v[k]);
		free(set->v[i].v);
		free(set->v[i].index);
	}
	free(set->v);
	free(set);
}

static void say_to_msg(void *ctx, const struct conf_remark *about UNUSED, const char *text)
{
	struct err_msg *msg = ctx;

	if (!about->warning && !msg->text[0])
		err_msg_set(msg, ERR_CONFIG, "rule: %s", text);
}

int rule_attach(struct conf *conf, struct err_msg *msg)
{
	struct rule_set *set = NULL;
	void *made;
	int rc;

	BUG_ON(conf->compiled);
	if (!conf->rules_n)
		return 0;
	rc = rule_set_new(conf, say_to_msg, msg, &set);
	made = set;
	if (rc) {
		rule_set_free(&made);
		return rc == ERR_NOMEM ? err_msg_set(msg, rc, "out of memory") : rc;
	}
	conf->compiled = made;
	conf->compiled_free = rule_set_free;
	return 0;
}

int rule_check(const struct conf *conf, conf_say_fn say, void *ctx)
{
	struct rule_set *set = NULL;
	int rc = rule_set_new(conf, say, ctx, &set);
	void *made = set;

	if (!rc)
		rule_set_doubt(set, say, ctx);
	rule_set_free(&made);
	return rc;
}
