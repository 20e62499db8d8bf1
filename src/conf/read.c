/* SPDX-License-Identifier: MIT */
/*
 * read - see read.h.
 *
 * libconfig gives groups, lists, includes and the place of each setting; what settings
 * there are and what they may hold comes from the option table. The prefix config_ is
 * libconfig's.
 */
#include "config.h"

#include "conf/read.h"

#include <errno.h>
#include <libconfig.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "conf/address.h"
#include "conf/certificate.h"
#include "conf/hint.h"
#include "conf/overlong.h"
#include "conf/reading.h"
#include "conf/redis.h"
#include "conf/secret.h"
#include "conf/value.h"

#define PROBLEMS_MAX  200
#define NAME_MAX_LEN  64
#define WEB_TOKEN_MIN 16
#define GROUPS_MAX    64 /* listeners, profiles, and services */

/* --- problems -------------------------------------------------------------------------- */

static void problems_add(struct reading *r, struct conf_problems *p, const char *where,
			 const char *path, const char *what)
{
	char *line;
	char **v;

	if (p->n >= PROBLEMS_MAX) {
		p->more++;
		return;
	}
	v = reallocarray(p->v, p->n + 1, sizeof(*v));
	if (v)
		p->v = v;
	if (!v || asprintf(&line, "%s: %s%s%s", where, path, path[0] ? ": " : "", what) == -1) {
		r->nomem = true;
		return;
	}
	p->v[p->n++] = line;
}

static void problem_add(struct reading *r, const char *where, const char *path, const char *what)
{
	problems_add(r, r->problems, where, path, what);
}

void conf_problems_free(struct conf_problems *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
	*p = (struct conf_problems){ 0 };
}

/* libconfig names an included file as @include wrote it; here is where it really is. NULL: the file
 * itself. */
static void file_print(const struct reading *r, const char *file, char out[512])
{
	size_t len = strlen(r->dir);

	if (!file || strcmp(file, r->src->file) == 0)
		snprintf(out, 512, "%s", r->src->file);
	else if (file[0] == '/' || (strncmp(file, r->dir, len) == 0 && file[len] == '/'))
		snprintf(out, 512, "%s", file);
	else
		snprintf(out, 512, "%s/%s", r->dir, file);
}

static void place_print(const struct reading *r, const config_setting_t *s, char out[544])
{
	char file[512];

	file_print(r, config_setting_source_file(s), file);
	snprintf(out, 544, "%s:%u", file, config_setting_source_line(s));
}

void reading_problem(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...)
{
	char where[544], what[640];
	va_list ap;

	place_print(r, s, where);
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	problem_add(r, where, path, what);
}

void reading_warning(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...)
{
	char where[544], what[640] = "warning: ";
	size_t len = strlen(what);
	va_list ap;

	place_print(r, s, where);
	va_start(ap, fmt);
	vsnprintf(what + len, sizeof(what) - len, fmt, ap);
	va_end(ap);
	if (r->src->warnings)
		problems_add(r, r->src->warnings, where, path, what);
	else
		log_warning("%s: %s: %s", where, path, what + len);
}

/* The last -o that sets this path, or NULL. */
static const char *override_of(const struct reading *r, const char *path)
{
	size_t i, len = strlen(path);

	for (i = r->src->overrides_n; i-- > 0;)
		if (strncmp(r->src->overrides[i], path, len) == 0 &&
		    r->src->overrides[i][len] == '=')
			return r->src->overrides[i];
	return NULL;
}

/* The setting of that path in the file, else the nearest group around it, else NULL. */
static const config_setting_t *setting_near(struct reading *r, const char *path)
{
	const config_setting_t *s = config_lookup(&r->file, path);
	char up[PATH_LEN];
	char *dot;

	snprintf(up, sizeof(up), "%s", path);
	while (!s && (dot = strrchr(up, '.')) != NULL) {
		*dot = '\0';
		s = config_lookup(&r->file, up);
	}
	return s;
}

/* A problem with a value, wherever it came from. */
static void problem_with(struct reading *r, const char *path, const char *what)
{
	const config_setting_t *s = r->src->file ? setting_near(r, path) : NULL;
	char where[PATH_LEN + 8];

	if (override_of(r, path)) {
		snprintf(where, sizeof(where), "-o %s", path);
		problem_add(r, where, "", what);
	} else if (s) {
		reading_problem(r, s, path, "%s", what);
	} else {
		problem_add(r, r->src->file ? r->src->file : "command line", path, what);
	}
}

/* --- values from the file -------------------------------------------------------------- */

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

void reading_problem_with(struct reading *r, const char *path, const char *what)
{
	problem_with(r, path, what);
}

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

		if (!config_setting_is_group(s) || i >= GROUPS_MAX)
			reading_problem(r, s, prefix, "a group is needed, at most %d of them",
					GROUPS_MAX);
		else if (!add_group(r->conf, section))
			r->nomem = true;
		else
			read_group(r, section, conf_section_count(r->conf, section) - 1, s, prefix);
	}
}

/* Index of the listener or profile of that name, made if need be; SIZE_MAX when it cannot be. */
static size_t named_index(struct reading *r, enum conf_section section, const char *name)
{
	size_t i, n = conf_section_count(r->conf, section);

	for (i = 0; i < n; i++)
		if (strcmp(section == CONF_LISTEN ? r->conf->listens[i].name
						  : r->conf->profiles[i].name,
			   name) == 0)
			return i;
	if (n >= GROUPS_MAX)
		return SIZE_MAX;
	if (section == CONF_LISTEN ? !conf_add_listen(r->conf, name)
				   : !conf_add_profile(r->conf, name))
		r->nomem = true;
	return r->nomem ? SIZE_MAX : n;
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
		index = strlen(name) <= NAME_MAX_LEN ? named_index(r, section, name) : SIZE_MAX;
		if (index == SIZE_MAX)
			reading_problem(r, s, prefix,
					"name of more than %d bytes, or more than %d groups",
					NAME_MAX_LEN, GROUPS_MAX);
		else
			read_group(r, section, index, s, prefix);
	}
}

static enum conf_section section_find(const char *name)
{
	enum conf_section s;

	for (s = CONF_LOG; s < CONF_SECTION_COUNT; s++)
		if (s != CONF_SERVICE && strcmp(conf_section_name(s), name) == 0)
			return s;
	return CONF_GLOBAL;
}

static void read_root(struct reading *r)
{
	const config_setting_t *root = config_root_setting(&r->file);
	int i;

	for (i = 0; i < config_setting_length(root) && !r->nomem; i++) {
		const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
		const char *name = config_setting_name(s);
		const struct conf_option *o = conf_option_find(CONF_GLOBAL, name);
		enum conf_section section = section_find(name);
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
		problem_add(r, where, "",
			    "number over 2147483647: write it as a text with its unit, such as "
			    "\"4GiB\"");
	}
}

static void check_numbers(struct reading *r, const config_setting_t *s, struct conf_list *seen)
{
	char file[512];
	int i;

	file_print(r, config_setting_source_file(s), file);
	check_overlong(r, file, seen);
	for (i = 0; config_setting_is_aggregate(s) && i < config_setting_length(s) && !r->nomem;
	     i++)
		check_numbers(r, config_setting_get_elem(s, (unsigned)i), seen);
}

/* --- the file -------------------------------------------------------------------------- */

/* True: its values can be judged. */
static bool parse_file(struct reading *r)
{
	struct conf_list seen = { 0 };
	char file[512], where[544];
	size_t i;

	/* @include is relative to this file, wherever insetd was started. */
	config_set_include_dir(&r->file, r->dir);
	if (config_read_file(&r->file, r->src->file) != CONFIG_TRUE) {
		file_print(r, config_error_file(&r->file), file);
		snprintf(where, sizeof(where), "%s:%d", file, config_error_line(&r->file));
		problem_add(r, where, "", config_error_text(&r->file));
		return false;
	}
	check_numbers(r, config_root_setting(&r->file), &seen);
	for (i = 0; i < seen.n; i++)
		free(seen.v[i]);
	free(seen.v);
	read_root(r);
	return true;
}

static bool read_file(struct reading *r)
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
		problem_add(r, r->src->file, "", f ? strerror(EISDIR) : strerror(errno));
	else
		readable = parse_file(r);
	if (f)
		fclose(f);
	return readable;
}

/* --- the command line ------------------------------------------------------------------ */

static void set_value(struct reading *r, enum conf_section section, size_t index, const char *name,
		      const char *where, const char *value)
{
	const struct conf_option *o = conf_option_find(section, name);
	struct err_msg msg = { 0 };
	char what[256];
	int rc;

	if (!o) {
		hint_unknown(what, section, name);
		problem_add(r, where, "", what);
		return;
	}
	rc = value_set(o, conf_field(conf_section_at(r->conf, section, index), o), value, &msg);
	if (rc == ERR_NOMEM)
		r->nomem = true;
	else if (rc)
		problem_add(r, where, "", msg.text);
}

/* "listen.c2s.hold=3s" */
static void read_override(struct reading *r, const char *text)
{
	const char *equals = strchr(text, '=');
	char path[PATH_LEN], where[PATH_LEN + 8], *part[3] = { NULL, NULL, NULL }, *rest = path;
	enum conf_section section;
	size_t n = 0, index = 0;

	snprintf(where, sizeof(where), "-o %.*s",
		 equals ? (int)MIN_OF(equals - text, PATH_LEN) : PATH_LEN, text);
	if (!equals || equals == text || equals - text >= PATH_LEN) {
		problem_add(r, where, "", "PATH=VALUE is needed, such as listen.c2s.hold=3s");
		return;
	}
	snprintf(path, sizeof(path), "%.*s", (int)(equals - text), text);
	while (n < 3 && rest)
		part[n++] = strsep(&rest, ".");
	section = n > 1 ? section_find(part[0]) : CONF_GLOBAL;
	if (rest || (n > 1 && section == CONF_GLOBAL) ||
	    (section != CONF_GLOBAL &&
	     n != (section == CONF_LISTEN || section == CONF_PROFILE ? 3u : 2u))) {
		problem_add(r, where, "", "no such setting");
		return;
	}
	if (n == 3) {
		size_t len = strlen(part[1]);

		index = len && len <= NAME_MAX_LEN ? named_index(r, section, part[1]) : SIZE_MAX;
		if (index == SIZE_MAX) {
			problem_add(r, where, "", "bad name, or too many groups");
			return;
		}
	}
	set_value(r, section, index, part[n - 1], where, equals + 1);
}

static void read_command_line(struct reading *r)
{
	size_t i, index;

	if (r->src->listen || r->src->upstream) {
		index = named_index(r, CONF_LISTEN, "main");
		if (index != SIZE_MAX && r->src->listen)
			set_value(r, CONF_LISTEN, index, "bind", "--listen", r->src->listen);
		if (index != SIZE_MAX && r->src->upstream)
			set_value(r, CONF_LISTEN, index, "upstream", "--upstream",
				  r->src->upstream);
	}
	for (i = 0; i < r->src->overrides_n && !r->nomem; i++)
		read_override(r, r->src->overrides[i]);
}

/* --- what values must be to each other ------------------------------------------------- */

/* Was this path given at all? Then a problem with it has been told already. */
static bool is_given(struct reading *r, const char *path)
{
	if (override_of(r, path))
		return true;
	if (r->src->listen &&
	    (strcmp(path, "listen.main.bind") == 0 || strcmp(path, "listen.main.upstream") == 0))
		return true;
	return r->src->file && config_lookup(&r->file, path);
}

static void check_filters(struct reading *r, const struct conf_listen *l, const char *path)
{
	size_t i;

	for (i = 0; i < l->filters.n && r->src->check_filter; i++) {
		struct err_msg msg = { 0 };
		char what[640];

		if (!r->src->check_filter(l->filters.v[i], r->conf, l, &msg))
			continue;
		snprintf(what, sizeof(what), "\"%.64s\": %s", l->filters.v[i], msg.text);
		problem_with(r, path, what);
	}
}

static void check_binds(struct reading *r, size_t at, const char *path)
{
	const struct conf_list *mine = &r->conf->listens[at].bind;
	char what[640];
	size_t i, k, m;

	for (i = 0; i < at; i++)
		for (k = 0; k < r->conf->listens[i].bind.n; k++)
			for (m = 0; m < mine->n; m++) {
				if (strcmp(r->conf->listens[i].bind.v[k], mine->v[m]) != 0)
					continue;
				snprintf(what, sizeof(what), "\"%s\" is listener \"%s\"'s already",
					 mine->v[m], r->conf->listens[i].name);
				problem_with(r, path, what);
			}
}

/* A file that could be used, but should not: -t refuses it, a start goes on with a warning. */
static void doubt_with(struct reading *r, const char *path, const char *what)
{
	if (!what[0])
		return;
	if (r->src->strict)
		problem_with(r, path, what);
	else
		log_warning("%s: %s", path, what);
}

void reading_doubt_with(struct reading *r, const char *path, const char *what)
{
	doubt_with(r, path, what);
}

static void read_key(struct reading *r, struct conf_listen *l, const char *file, const char *path)
{
	struct err_msg msg = { 0 };
	char *text = NULL;
	char **v;
	int rc = certificate_read(file, &text, &msg);

	if (rc == ERR_CONFIG)
		problem_with(r, path, msg.text);
	else if (rc)
		r->nomem = true;
	if (rc)
		return;
	doubt_with(r, path, msg.text);
	v = reallocarray(l->keys.v, l->keys.n + 1, sizeof(*v));
	if (!v) {
		r->nomem = true;
		free(text);
		return;
	}
	l->keys.v = v;
	l->keys.v[l->keys.n++] = text;
}

/* Files that children may not read themselves, and what must be there for TLS. */
static void check_tls(struct reading *r, struct conf_listen *l)
{
	bool upstream = strncmp(l->upstream, "tls://", 6) == 0;
	struct err_msg msg = { 0 };
	char path[PATH_LEN];
	size_t i;
	int rc;

	snprintf(path, sizeof(path), "listen.%s.certificates", l->name);
	if (l->tls != CONF_TLS_OFF && l->certificates.n == 0 && !is_given(r, path))
		problem_with(r, path, "missing: certificate and key for tls");
	for (i = 0; i < l->certificates.n && l->tls != CONF_TLS_OFF && !r->nomem; i++)
		read_key(r, l, l->certificates.v[i], path);
	snprintf(path, sizeof(path), "listen.%s.upstream-name", l->name);
	if (upstream && !l->upstream_name[0])
		problem_with(r, path, "missing: the name that the server's certificate must have");
	if (!upstream || !l->upstream_ca[0])
		return;
	snprintf(path, sizeof(path), "listen.%s.upstream-ca", l->name);
	rc = certificate_read_authorities(l->upstream_ca, &l->upstream_cas, &msg);
	if (rc == ERR_CONFIG)
		problem_with(r, path, msg.text);
	else if (rc)
		r->nomem = true;
}

static void check_listen(struct reading *r, size_t at)
{
	struct conf_listen *l = &r->conf->listens[at];
	char path[PATH_LEN], what[128];

	snprintf(path, sizeof(path), "listen.%s.upstream", l->name);
	if (l->upstream[0] == '\0' && !is_given(r, path))
		problem_with(r, path, "missing: the address of the server");
	snprintf(path, sizeof(path), "listen.%s.bind", l->name);
	if (l->bind.n == 0 && !is_given(r, path))
		problem_with(r, path, "missing: the addresses to accept clients on");
	check_binds(r, at, path);
	snprintf(path, sizeof(path), "listen.%s.profile", l->name);
	if (!l->profile_ref) {
		snprintf(what, sizeof(what), "\"%.64s\": no such profile", l->profile);
		problem_with(r, path, what);
		l->profile_ref =
			&r->conf->profiles[0]; /* only so that the filters can be judged as well */
	}
	snprintf(path, sizeof(path), "listen.%s.proxy-from", l->name);
	if (l->proxy_accept != CONF_PROXY_OFF && l->proxy_from.n == 0 && !is_given(r, path))
		problem_with(r, path, "missing: the networks of the balancers");
	check_tls(r, l);
	snprintf(path, sizeof(path), "listen.%s.filters", l->name);
	check_filters(r, l, path);
}

/* "https://media.example.org": what upload addresses begin with. */
static bool is_base_url(const char *url)
{
	const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
			   : strncmp(url, "http://", 7) == 0 ? url + 7
							     : NULL;
	size_t len = strlen(url);

	return host && *host && *host != '/' && url[len - 1] != '/' &&
	       !url[strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"-._~:/[]")];
}

static bool is_type(const char *type)
{
	size_t main = strcspn(type, "/"), sub = type[main] ? strlen(type) - main - 1 : 0;

	return main && sub && !type[strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789.+-*/")] &&
	       !strchr(type + main + 1, '/');
}

static void check_services(struct reading *r)
{
	static const char path[] = "upload.services";
	size_t i, k;

	if (r->conf->services_n == 0 && !conf_add_service(r->conf))
		r->nomem = true;
	for (i = 0; i < r->conf->services_n; i++) {
		const struct conf_service *s = &r->conf->services[i];

		for (k = 0; k < i; k++)
			if (strcmp(r->conf->services[k].node, s->node) == 0)
				problem_with(r, path, "two services of one node");
		for (k = 0; k < s->accept.n; k++)
			if (!is_type(s->accept.v[k]))
				problem_with(r, path,
					     "accept: types are written as \"image/png\" "
					     "or \"image/*\", in small letters");
		if (s->uri[0] && strncmp(s->uri, "https://", 8) != 0 &&
		    strncmp(s->uri, "http://", 7) != 0)
			problem_with(r, path, "uri: an address with http:// or https:// is needed");
	}
}

/* 0 or ERR_NOMEM. */
static int check_s3(struct reading *r)
{
	struct conf_upload *u = &r->conf->upload;
	struct err_msg msg = { 0 };
	int rc = 0;

	if (!u->s3[0])
		return 0;
	if (!is_base_url(u->s3))
		problem_with(r, "upload.s3",
			     "http:// or https://, a host, the bucket, no / at the end");
	if (u->s3_region[strspn(u->s3_region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		problem_with(r, "upload.s3-region", "small letters, digits and - only");
	if (!u->s3_key_file[0] && !is_given(r, "upload.s3-key-file"))
		problem_with(r, "upload.s3-key-file", "missing: the key to the bucket");
	else if (u->bind.n)
		rc = secret_read_pair(u->s3_key_file, &u->s3_key, &msg);
	if (rc == ERR_CONFIG)
		problem_with(r, "upload.s3-key-file", msg.text);
	if (rc == ERR_NOMEM || !u->bind.n || !u->s3_ca_file[0])
		return rc == ERR_NOMEM ? rc : 0;
	msg = (struct err_msg){ 0 };
	rc = certificate_read_authorities(u->s3_ca_file, &u->s3_cas, &msg);
	if (rc == ERR_CONFIG)
		problem_with(r, "upload.s3-ca-file", msg.text);
	return rc == ERR_NOMEM ? rc : 0;
}

/* As browsers write it: no path, small letters. */
static bool is_page_origin(const char *text)
{
	const char *host = strstr(text, "//");

	return is_base_url(text) && !strchr(host + 2, '/') &&
	       !text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_~")];
}

static void check_cors(struct reading *r)
{
	const struct conf_list *l = &r->conf->upload.cors;
	size_t i;

	for (i = 0; i < l->n; i++)
		if (!is_page_origin(l->v[i]) && (l->n > 1 || strcmp(l->v[i], "*") != 0))
			problem_with(
				r, "upload.cors",
				"\"*\" alone, or origins such as \"https://chat.example.org\"");
}

static void check_upload(struct reading *r)
{
	struct conf_upload *u = &r->conf->upload;
	struct err_msg msg = { 0 };
	int rc = 0;

	check_services(r);
	check_cors(r);
	if (u->public_url[0] && !is_base_url(u->public_url))
		problem_with(r, "upload.public-url",
			     "http:// or https://, a host, perhaps a path, no / at the end");
	if (u->bind.n && !u->public_url[0] && !is_given(r, "upload.public-url"))
		problem_with(r, "upload.public-url",
			     "missing: the address of the box as clients reach it");
	if (u->secret_file[0]) {
		rc = secret_read(u->secret_file, &u->key, &msg);
		if (rc == ERR_CONFIG)
			problem_with(r, "upload.secret-file", msg.text);
	}
	if (rc != ERR_NOMEM && u->bind.n && u->certificate[0]) {
		msg = (struct err_msg){ 0 };
		rc = certificate_read(u->certificate, &u->pem, &msg);
		if (rc == ERR_CONFIG)
			problem_with(r, "upload.certificate", msg.text);
		else if (!rc)
			doubt_with(r, "upload.certificate", msg.text);
	}
	if (rc == ERR_NOMEM || check_s3(r))
		r->nomem = true;
}

/* The message does not repeat the value: there may be a password in it. */
static void check_redis(struct reading *r)
{
	const char *text = r->conf->cache.redis;
	struct redis_address where;

	if (text[0] && redis_parse(text, &where))
		problem_with(r, "cache.redis",
			     "\"redis://host:port\", \"redis://:password@host:port/0\" or "
			     "\"unix:/path\"; there is no TLS to it");
	explicit_bzero(&where, sizeof(where));
}

/* Printable, without what headers and shells take apart. The message does not repeat it. */
static bool is_token(const char *text)
{
	size_t len = strlen(text);

	return len >= WEB_TOKEN_MIN &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "-._~+/=")];
}

static void check_web(struct reading *r)
{
	const struct conf_web *w = &r->conf->web;
	char what[256];
	size_t i;

	if (w->token[0] && !is_token(w->token))
		problem_with(r, "web.token",
			     "16 or more letters, digits and -._~+/= are needed, such as "
			     "openssl rand -hex 16 prints");
	for (i = 0; i < w->bind.n; i++) {
		if (w->token[0] || address_is_local(w->bind.v[i]))
			continue;
		snprintf(what, sizeof(what),
			 "\"%.80s\" is not a loopback address, \"127.0.0.1:5290\" or "
			 "\"[::1]:5290\": "
			 "on it web.token is needed",
			 w->bind.v[i]);
		problem_with(r, "web.bind", what);
	}
}

static void check_all(struct reading *r)
{
	const struct conf_limits *limits = &r->conf->limits;
	size_t i;

	conf_link(r->conf); /* a listener whose profile is missing is named by check_listen() */
	if (r->conf->listens_n == 0 && !is_given(r, "listen"))
		problem_with(r, "listen",
			     "no listener: listen = { NAME = { bind = \"ADDRESS:PORT\"  upstream = "
			     "\"ADDRESS:PORT\" } }");
	check_upload(r);
	check_redis(r);
	check_web(r);
	reading_check_fetch(r);
	for (i = 0; i < r->conf->listens_n; i++)
		check_listen(r, i);
	if (r->conf->rules_n)
		reading_check_rules(r);
	if (limits->write_low >= limits->write_high)
		problem_with(r, "limits.write-low", "must be less than write-high");
	if (limits->breaker_open > limits->breaker_max)
		problem_with(r, "limits.breaker-open", "may not be more than breaker-max");
	if (limits->hold_budget > limits->hold_window)
		problem_with(r, "limits.hold-budget", "may not be more than hold-window");
}

int conf_read(const struct conf_source *src, struct conf **out, struct conf_problems *problems)
{
	struct reading r = { .src = src, .conf = conf_new(), .problems = problems };
	bool readable = true;

	*out = NULL;
	if (!r.conf)
		return ERR_NOMEM;
	config_init(&r.file);
	if (src->file)
		readable = read_file(&r);
	if (!r.nomem)
		read_command_line(&r);
	/* Of a file that could not be read nothing else need be said. */
	if (!r.nomem && readable)
		check_all(&r);
	config_destroy(&r.file);
	free(r.dir);
	if (!r.nomem && problems->n == 0) {
		*out = r.conf;
		return 0;
	}
	conf_unref(&r.conf);
	return r.nomem ? ERR_NOMEM : ERR_CONFIG;
}
