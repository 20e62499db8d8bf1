/* SPDX-License-Identifier: MIT */
/*
 * read-rules - rules and list files, from the configuration file. See read.h.
 *
 * Knows the settings that every rule has (name, action, profile, mode); every other one is a
 * condition, which conf_source.check_rules judges.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/reading-inside.h"

#define RULE_NAME_MAX 100

/* --- list files ------------------------------------------------------------------------ */

static size_t files_bytes(const struct conf *c)
{
	size_t i, sum = 0;

	for (i = 0; i < c->files_n; i++)
		sum += c->files[i].len;
	return sum;
}

/* The whole file, NUL-terminated; NULL and *why (NULL: out of memory). */
static char *file_load(const char *path, size_t max, size_t *len_out, const char **why)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	struct stat st;

	*why = f ? NULL : strerror(errno);
	if (!f)
		return NULL;
	if (fstat(fileno(f), &st) == -1 || !S_ISREG(st.st_mode)) {
		*why = "it is no regular file";
	} else if ((uint64_t)st.st_size > max) {
		*why = "list files are more than 64 MiB together";
	} else {
		text = malloc((size_t)st.st_size + 1);
		if (text && fread(text, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
			*why = "it changed while it was read";
		} else if (text && memchr(text, '\0', (size_t)st.st_size)) {
			*why = "it holds a zero byte";
		} else if (text) {
			*len_out = (size_t)st.st_size;
			text[*len_out] = '\0';
		}
	}
	fclose(f);
	if (*why) {
		free(text);
		text = NULL;
	}
	return text;
}

/* "file:PATH", relative to the configuration. */
static void read_list_file(struct reading *r, const config_setting_t *s, const char *where,
			   const char *path)
{
	char full[1024];
	const char *why;
	size_t len = 0;
	char *text;

	if (conf_file_find(r->conf, path))
		return;
	if (r->conf->files_n == CONF_FILES_MAX) {
		reading_problem(r, s, where, "more than %d list files", CONF_FILES_MAX);
		return;
	}
	if (snprintf(full, sizeof(full), "%s%s%s", path[0] == '/' ? "" : r->dir,
		     path[0] == '/' ? "" : "/", path) >= (int)sizeof(full)) {
		reading_problem(r, s, where, "path of more than %zu bytes", sizeof(full) - 1);
		return;
	}
	text = file_load(full, CONF_FILE_BYTES_MAX - files_bytes(r->conf), &len, &why);
	if (!text && why)
		reading_problem(r, s, where, "\"%.300s\" cannot be read: %s", full, why);
	else if (!text || !conf_add_file(r->conf, path, text, len))
		r->nomem = true;
}

/* --- one rule -------------------------------------------------------------------------- */

static void read_entry(struct reading *r, struct conf_condition *c, const config_setting_t *s,
		       const char *where)
{
	const char *text = config_setting_get_string(s), *path;
	char number[32];

	if (config_setting_type(s) == CONFIG_TYPE_INT ||
	    config_setting_type(s) == CONFIG_TYPE_INT64) {
		snprintf(number, sizeof(number), "%lld", (long long)config_setting_get_int64(s));
		text = number;
	}
	if (!text) {
		reading_problem(r, s, where, "a text in quotes is needed, or a list of them");
		text = ""; /* so that entries stand at the same index here and in the file */
	}
	path = text + (text[0] == '!');
	if (strncmp(path, CONF_FILE_PREFIX, sizeof(CONF_FILE_PREFIX) - 1) == 0)
		read_list_file(r, s, where, path + sizeof(CONF_FILE_PREFIX) - 1);
	if (conf_add_entry(c, text))
		r->nomem = true;
}

static void read_condition(struct reading *r, struct conf_rule *rule, const config_setting_t *s,
			   const char *where)
{
	struct conf_condition *c;
	int i, n = config_setting_length(s);

	if (rule->conditions_n == CONF_CONDITIONS_MAX || n > CONF_ENTRIES_MAX) {
		reading_problem(r, s, where, "more than %d conditions, or %d entries: %s",
				CONF_CONDITIONS_MAX, CONF_ENTRIES_MAX,
				"write long lists into a file");
		return;
	}
	c = conf_add_condition(rule, config_setting_name(s));
	if (!c) {
		r->nomem = true;
		return;
	}
	if (config_setting_is_group(s) || (config_setting_is_aggregate(s) && n == 0))
		reading_problem(r, s, where, "a text in quotes is needed, or a list of them");
	else if (!config_setting_is_aggregate(s))
		read_entry(r, c, s, where);
	else
		for (i = 0; i < n && !r->nomem; i++)
			read_entry(r, c, config_setting_get_elem(s, (unsigned)i), where);
}

static bool name_is_taken(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i + 1 < c->rules_n; i++)
		if (strcmp(c->rules[i].name, name) == 0)
			return true;
	return false;
}

/* Names stand in logs, metrics and terminals. */
static bool name_is_printable(const char *name)
{
	size_t i;

	for (i = 0; name[i]; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return false;
	return i > 0 && i <= RULE_NAME_MAX;
}

static void read_action(struct reading *r, struct conf_rule *rule, const config_setting_t *s,
			const char *where)
{
	const char *const *words = conf_kind_words(CONF_KIND_ENUM_ACTION);
	const char *text = s ? config_setting_get_string(s) : NULL;
	int i;

	for (i = 0; text && words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			rule->action = i;
			return;
		}
	}
	reading_problem(r, s, where, "action is thumbnail, pass or strip");
}

static bool profile_exists(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->profiles_n; i++)
		if (strcmp(c->profiles[i].name, name) == 0)
			return true;
	return false;
}

void reading_no_profile(const struct conf *c, const char *name, char *what, size_t size)
{
	size_t i, len;

	snprintf(what, size, "\"%.64s\": no such profile; there are:", name);
	for (i = 0; i < c->profiles_n; i++) {
		len = strlen(what);
		snprintf(what + len, size - len, " %s", c->profiles[i].name);
	}
}

/* One of the settings that every rule has; false: it is a condition. */
static bool read_common(struct reading *r, struct conf_rule *rule, const config_setting_t *s,
			const char *where)
{
	const char *name = config_setting_name(s), *text = config_setting_get_string(s);
	char *copy;

	if (strcmp(name, "name") == 0)
		return true;
	if (strcmp(name, "action") == 0) {
		read_action(r, rule, s, where);
		return true;
	}
	if (strcmp(name, "mode") == 0) {
		rule->shadow = text && strcmp(text, "shadow") == 0;
		if (!text || (!rule->shadow && strcmp(text, "enforce") != 0))
			reading_problem(r, s, where, "mode is enforce or shadow");
		return true;
	}
	if (strcmp(name, "profile") != 0)
		return false;
	copy = text ? strdup(text) : NULL;
	if (!text) {
		reading_problem(r, s, where, "a text in quotes is needed");
	} else if (!copy) {
		r->nomem = true;
	} else {
		free(rule->profile);
		rule->profile = copy;
	}
	return true;
}

static void read_rule(struct reading *r, const config_setting_t *group, int at)
{
	const config_setting_t *s = config_setting_get_member(group, "name");
	const char *name = s ? config_setting_get_string(s) : NULL;
	char where[PATH_LEN];
	struct conf_rule *rule = conf_add_rule(r->conf, name ? name : "");
	int i;

	if (!rule) {
		r->nomem = true;
		return;
	}
	snprintf(where, sizeof(where), "rules[%d]", at);
	if (!name || !name_is_printable(name))
		reading_problem(r, s ? s : group, where,
				"every rule needs a name of 1 to %d printable characters",
				RULE_NAME_MAX);
	else if (name_is_taken(r->conf, name))
		reading_problem(r, s, where, "\"%s\": there is a rule of that name already", name);
	if (!config_setting_get_member(group, "action"))
		reading_problem(r, group, where, "action is missing");
	for (i = 0; i < config_setting_length(group) && !r->nomem; i++) {
		s = config_setting_get_elem(group, (unsigned)i);
		snprintf(where, sizeof(where), "rules[%d].%.64s", at, config_setting_name(s));
		if (!read_common(r, rule, s, where))
			read_condition(r, rule, s, where);
	}
}

void reading_rules(struct reading *r, const config_setting_t *list)
{
	int i, n = config_setting_length(list);

	if (!config_setting_is_list(list)) {
		reading_problem(r, list, "rules",
				"a list of groups is needed: rules = ( { ... } )");
		return;
	}
	if (n > CONF_RULES_MAX) {
		reading_problem(r, list, "rules", "more than %d rules", CONF_RULES_MAX);
		return;
	}
	for (i = 0; i < n && !r->nomem; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_is_group(s)) {
			read_rule(r, s, i);
			continue;
		}
		reading_problem(r, s, "rules", "a group is needed: { name = ...  action = ... }");
		if (!conf_add_rule(r->conf, "")) /* so that indices stay those of the file */
			r->nomem = true;
	}
}

/* --- what others say of them ----------------------------------------------------------- */

/* Where a rule, one of its conditions, or an entry of that stands; the nearest that there is. */
static const config_setting_t *rule_setting(const struct reading *r, int rule, int condition,
					    int entry)
{
	const config_setting_t *list = config_lookup(&r->file, "rules"), *s, *e;

	s = list ? config_setting_get_elem(list, (unsigned)rule) : NULL;
	if (!s || condition < 0)
		return s;
	s = config_setting_get_member(s, r->conf->rules[rule].conditions[condition].name);
	e = s && entry >= 0 && config_setting_is_aggregate(s)
		    ? config_setting_get_elem(s, (unsigned)entry)
		    : NULL;
	return e ? e : s;
}

static void rules_say(void *ctx, const struct conf_remark *m, const char *text)
{
	struct reading *r = ctx;
	const struct conf_rule *rule = &r->conf->rules[m->rule];
	const config_setting_t *s = rule_setting(r, m->rule, m->condition, m->entry);
	char where[PATH_LEN];

	if (!s)
		return; /* rules come from the file alone */
	snprintf(where, sizeof(where), "rules[%d]%s%.64s", m->rule, m->condition < 0 ? "" : ".",
		 m->condition < 0 ? "" : rule->conditions[m->condition].name);
	if (m->warning)
		reading_warning(r, s, where, "%s", text);
	else
		reading_problem(r, s, where, "%s", text);
}

void reading_check_rules(struct reading *r)
{
	size_t i;

	for (i = 0; i < r->conf->rules_n; i++) {
		const char *profile = r->conf->rules[i].profile;
		const config_setting_t *s = rule_setting(r, (int)i, -1, -1);
		char where[PATH_LEN], what[256];

		if (!profile[0] || profile_exists(r->conf, profile))
			continue;
		snprintf(where, sizeof(where), "rules[%zu].profile", i);
		reading_no_profile(r->conf, profile, what, sizeof(what));
		reading_problem(r, config_setting_get_member(s, "profile"), where, "%s", what);
	}
	if (r->src->check_rules && r->src->check_rules(r->conf, rules_say, r) == ERR_NOMEM)
		r->nomem = true;
}
