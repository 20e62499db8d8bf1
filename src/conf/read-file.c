/* SPDX-License-Identifier: MIT */
/*
 * read-file - the configuration file, setting by setting, into a struct conf. See read.h.
 *
 * libconfig gives groups, lists, includes and the place of each setting; what settings there are
 * and what they may hold comes from the option table (value.h judges one value). Not for rules
 * (read-rules.c), nor for what values must be to each other. The prefix config_ is libconfig's.
 */
#include "config.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/hint.h"
#include "conf/overlong.h"
#include "conf/reading-inside.h"
#include "conf/value.h"

/* --- values ---------------------------------------------------------------------------- */

static bool is_list(const struct conf_option *o)
{
	enum conf_store store = conf_kind_store(o->kind);

	return store == CONF_STORE_LIST || store == CONF_STORE_MASK;
}

/* The text of a scalar that fits the option's kind; NULL after a problem was noted. */
static const char *scalar_text(struct reading *r, const struct conf_option *o,
			       const config_setting_t *s, const char *path, char room[32])
{
	bool numeric = conf_kind_store(o->kind) == CONF_STORE_U64 ||
		       conf_kind_store(o->kind) == CONF_STORE_U32 || o->kind == CONF_KIND_PORTS ||
		       o->kind == CONF_KIND_RATE;
	bool boolean = o->kind == CONF_KIND_BOOL;

	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		if (!boolean)
			return config_setting_get_string(s);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(room, 32, "%lld", (long long)config_setting_get_int64(s));
		if (numeric)
			return room;
		break;
	case CONFIG_TYPE_BOOL:
		if (boolean)
			return config_setting_get_bool(s) ? "true" : "false";
		break;
	}
	if (boolean)
		reading_problem(r, s, path, "true or false is needed, without quotes");
	else if (numeric)
		reading_problem(r, s, path,
				"a whole number, or a text in quotes with its unit, is needed");
	else
		reading_problem(r, s, path, "a text in quotes is needed%s",
				is_list(o) ? ", or a list of them" : "");
	return NULL;
}

static void read_list(struct reading *r, const struct conf_option *o, void *field,
		      const config_setting_t *s, const char *path)
{
	struct err_msg msg = { 0 };
	char room[32];
	int i, rc = 0, n = config_setting_length(s);

	value_clear(o, field);
	for (i = 0; i < n && rc != ERR_NOMEM; i++) {
		const config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		const char *text = scalar_text(r, o, e, path, room);
		struct err_msg bad = { 0 };

		rc = text ? value_add(o, field, text, &bad) : 0;
		if (rc && rc != ERR_NOMEM)
			reading_problem(r, e, path, "%s", bad.text);
	}
	if (rc == ERR_NOMEM)
		r->nomem = true;
	/* A list that was given must have its entries; wrong ones have been named already. */
	else if ((n == 0 || (uint64_t)n > o->max) && value_check_entries(o, field, &msg))
		reading_problem(r, s, path, "%s", msg.text);
}

static void read_value(struct reading *r, const struct conf_option *o, void *field,
		       const config_setting_t *s, const char *path)
{
	struct err_msg msg = { 0 };
	const char *text;
	char room[32];
	int rc;

	if (is_list(o) && (config_setting_is_array(s) || config_setting_is_list(s))) {
		read_list(r, o, field, s, path);
		return;
	}
	text = scalar_text(r, o, s, path, room);
	if (!text)
		return;
	/* A comma separates on the command line only: in the file a list is a list. */
	if (is_list(o)) {
		value_clear(o, field);
		rc = value_add(o, field, text, &msg);
	} else {
		rc = value_set(o, field, text, &msg);
	}
	if (rc == ERR_NOMEM)
		r->nomem = true;
	else if (rc)
		reading_problem(r, s, path, "%s", msg.text);
}

/* --- groups ----------------------------------------------------------------------------- */

static void read_groups(struct reading *r, enum conf_section section, const config_setting_t *list,
			const char *prefix);

/* One group whose settings are the rows of a section. */
static void read_group(struct reading *r, enum conf_section section, size_t index,
		       const config_setting_t *group, const char *prefix)
{
	int i;

	for (i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct conf_option *o = conf_option_find(section, config_setting_name(s));
		char path[PATH_LEN], what[256];

		snprintf(path, sizeof(path), "%s.%s", prefix, config_setting_name(s));
		if (o) {
			void *at = conf_section_at(r->conf, section, index);

			read_value(r, o, conf_field(at, o), s, path);
		} else if (section == CONF_UPLOAD &&
			   strcmp(config_setting_name(s), "services") == 0) {
			read_groups(r, CONF_SERVICE, s, path);
		} else if (section == CONF_FETCH &&
			   strcmp(config_setting_name(s), "origins") == 0) {
			read_groups(r, CONF_ORIGIN, s, path);
		} else {
			hint_unknown(what, section, config_setting_name(s));
			reading_problem(r, s, path, "%s", what);
		}
	}
}

static bool add_group(struct conf *c, enum conf_section section)
{
	return section == CONF_ORIGIN ? conf_add_origin(c) != NULL : conf_add_service(c) != NULL;
}

/* services = ( { ... }, { ... } ), and origins */
static void read_groups(struct reading *r, enum conf_section section, const config_setting_t *list,
			const char *prefix)
{
	int i;

	if (!config_setting_is_list(list)) {
		reading_problem(r, list, prefix,
				"a list of groups is needed: ( { ... }, { ... } )");
		return;
	}
	for (i = 0; i < config_setting_length(list) && !r->nomem; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (!config_setting_is_group(s) || i >= READING_GROUPS_MAX)
			reading_problem(r, s, prefix, "a group is needed, at most %d of them",
					READING_GROUPS_MAX);
		else if (!add_group(r->conf, section))
			r->nomem = true;
		else
			read_group(r, section, conf_section_count(r->conf, section) - 1, s, prefix);
	}
}

/* listen = { NAME = { ... } ... }, and profiles. */
static void read_named(struct reading *r, enum conf_section section, const config_setting_t *group)
{
	int i;

	for (i = 0; i < config_setting_length(group) && !r->nomem; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		char prefix[PATH_LEN];
		size_t index;

		snprintf(prefix, sizeof(prefix), "%s.%s", conf_section_name(section), name);
		if (!config_setting_is_group(s)) {
			reading_problem(r, s, prefix, "a group is needed: %s = { ... }", name);
			continue;
		}
		index = strlen(name) <= READING_NAME_MAX_LEN ? reading_named(r, section, name)
							     : SIZE_MAX;
		if (index == SIZE_MAX)
			reading_problem(r, s, prefix,
					"name of more than %d bytes, or more than %d groups",
					READING_NAME_MAX_LEN, READING_GROUPS_MAX);
		else
			read_group(r, section, index, s, prefix);
	}
}

static void read_root(struct reading *r)
{
	const config_setting_t *root = config_root_setting(&r->file);
	int i;

	for (i = 0; i < config_setting_length(root) && !r->nomem; i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
		const char *name = config_setting_name(s);
		const struct conf_option *o = conf_option_find(CONF_GLOBAL, name);
		enum conf_section section = reading_section(name);
		char what[256];

		if (o) {
			read_value(r, o, conf_field(r->conf, o), s, name);
		} else if (strcmp(name, "rules") == 0) {
			reading_rules(r, s);
		} else if (section == CONF_GLOBAL) {
			hint_unknown(what, CONF_GLOBAL, name);
			reading_problem(r, s, name, "%s", what);
		} else if (!config_setting_is_group(s)) {
			reading_problem(r, s, name, "a group is needed: %s = { ... }", name);
		} else if (section == CONF_LISTEN || section == CONF_PROFILE) {
			read_named(r, section, s);
		} else {
			read_group(r, section, 0, s, name);
		}
	}
}

/* --- the file -------------------------------------------------------------------------- */

/* Numbers that libconfig has wrapped, in one file; each file once. */
static void check_overlong(struct reading *r, const char *file, struct conf_list *seen)
{
	char where[544];
	unsigned line = 0;
	char **v;
	size_t i;

	for (i = 0; i < seen->n; i++)
		if (strcmp(seen->v[i], file) == 0)
			return;
	v = reallocarray(seen->v, seen->n + 1, sizeof(*v));
	if (v)
		seen->v = v;
	if (!v || !(v[seen->n] = strdup(file))) {
		r->nomem = true;
		return;
	}
	seen->n++;
	while ((line = overlong_line(file, line)) != 0) {
		snprintf(where, sizeof(where), "%s:%u", file, line);
		reading_problem_at(
			r, where,
			"number over 2147483647: write it as a text with its unit, such as "
			"\"4GiB\"");
	}
}

static void check_numbers(struct reading *r, const config_setting_t *s, struct conf_list *seen)
{
	char file[512];
	int i;

	reading_file_print(r, config_setting_source_file(s), file);
	check_overlong(r, file, seen);
	for (i = 0; config_setting_is_aggregate(s) && i < config_setting_length(s) && !r->nomem;
	     i++)
		check_numbers(r, config_setting_get_elem(s, (unsigned)i), seen);
}

/* True: its values can be judged. */
static bool parse_file(struct reading *r)
{
	struct conf_list seen = { 0 };
	char file[512], where[544];
	size_t i;

	/* @include is relative to this file, wherever insetd was started. */
	config_set_include_dir(&r->file, r->dir);
	if (config_read_file(&r->file, r->src->file) != CONFIG_TRUE) {
		reading_file_print(r, config_error_file(&r->file), file);
		snprintf(where, sizeof(where), "%s:%d", file, config_error_line(&r->file));
		reading_problem_at(r, where, config_error_text(&r->file));
		return false;
	}
	check_numbers(r, config_root_setting(&r->file), &seen);
	for (i = 0; i < seen.n; i++)
		free(seen.v[i]);
	free(seen.v);
	read_root(r);
	return true;
}

bool reading_file(struct reading *r)
{
	FILE *f = fopen(r->src->file, "re");
	char *copy = strdup(r->src->file);
	bool readable = false;
	struct stat st;

	r->dir = copy ? strdup(dirname(copy)) : NULL;
	free(copy);
	if (!r->dir)
		r->nomem = true;
	else if (!f || fstat(fileno(f), &st) == -1 || S_ISDIR(st.st_mode))
		reading_problem_at(r, r->src->file, f ? strerror(EISDIR) : strerror(errno));
	else
		readable = parse_file(r);
	if (f)
		fclose(f);
	return readable;
}
