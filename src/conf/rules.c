/* SPDX-License-Identifier: MIT */
/*
 * rules - see rules.h.
 */
#include "config.h"

#include "conf/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "conf/conf.h"

_Static_assert(COUNTERS_RULES >= 2 * CONF_RULES_MAX, "a reload needs rows for two configurations");

struct conf_rule *conf_add_rule(struct conf *c, const char *name)
{
	struct conf_rule *v = reallocarray(c->rules, c->rules_n + 1, sizeof(*v));
	struct conf_rule *r;

	if (!v)
		return NULL;
	c->rules = v;
	r = &v[c->rules_n];
	*r = (struct conf_rule){ .name = strdup(name), .profile = strdup("") };
	c->rules_n++; /* what is half made is freed with the rest */
	return r->name && r->profile ? r : NULL;
}

struct conf_condition *conf_add_condition(struct conf_rule *r, const char *name)
{
	struct conf_condition *v = reallocarray(r->conditions, r->conditions_n + 1, sizeof(*v));
	struct conf_condition *c;

	if (!v)
		return NULL;
	r->conditions = v;
	c = &v[r->conditions_n];
	*c = (struct conf_condition){ .name = strdup(name) };
	r->conditions_n++;
	return c->name ? c : NULL;
}

int conf_add_entry(struct conf_condition *c, const char *text)
{
	char **v = reallocarray(c->v, c->n + 1, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	c->v = v;
	v[c->n] = strdup(text);
	if (!v[c->n])
		return ERR_NOMEM;
	c->n++;
	return 0;
}

struct conf_file *conf_add_file(struct conf *c, const char *path, char *text, size_t len)
{
	struct conf_file *v = reallocarray(c->files, c->files_n + 1, sizeof(*v));
	struct conf_file *f;

	if (!v) {
		free(text);
		return NULL;
	}
	c->files = v;
	f = &v[c->files_n];
	*f = (struct conf_file){ .path = strdup(path), .text = text, .len = len };
	c->files_n++;
	return f->path ? f : NULL;
}

const struct conf_file *conf_file_find(const struct conf *c, const char *path)
{
	size_t i;

	for (i = 0; i < c->files_n; i++)
		if (strcmp(c->files[i].path, path) == 0)
			return &c->files[i];
	return NULL;
}

static const struct conf_rule *rule_of_name(const struct conf *c, const char *name, size_t guess)
{
	size_t i;

	if (guess < c->rules_n && strcmp(c->rules[guess].name, name) == 0)
		return &c->rules[guess];
	for (i = 0; i < c->rules_n; i++)
		if (strcmp(c->rules[i].name, name) == 0)
			return &c->rules[i];
	return NULL;
}

void conf_number_rules(struct conf *c, const struct conf *old, void (*fresh)(unsigned row))
{
	bool used[COUNTERS_RULES] = { false };
	unsigned next = 0;
	size_t i;

	for (i = 0; old && i < old->rules_n; i++)
		used[old->rules[i].row] = true;
	for (i = 0; i < c->rules_n; i++) {
		const struct conf_rule *same = old ? rule_of_name(old, c->rules[i].name, i) : NULL;

		if (same) {
			c->rules[i].row = same->row;
			continue;
		}
		while (used[next])
			next++;
		used[next] = true;
		c->rules[i].row = next;
		fresh(next);
	}
}

static void rule_free(struct conf_rule *r)
{
	size_t i, k;

	for (i = 0; i < r->conditions_n; i++) {
		for (k = 0; k < r->conditions[i].n; k++)
			free(r->conditions[i].v[k]);
		free(r->conditions[i].v);
		free(r->conditions[i].name);
	}
	free(r->conditions);
	free(r->name);
	free(r->profile);
}

void conf_free_rules(struct conf *c)
{
	size_t i;

	for (i = 0; i < c->rules_n; i++)
		rule_free(&c->rules[i]);
	free(c->rules);
	for (i = 0; i < c->files_n; i++) {
		free(c->files[i].path);
		free(c->files[i].text);
	}
	free(c->files);
}
