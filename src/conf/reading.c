/* SPDX-License-Identifier: MIT */
/*
 * reading - see reading.h and reading-inside.h.
 *
 * Knows how a problem is told and where a value came from; what is a problem is said by who reads
 * or checks.
 */
#include "config.h"

#include "conf/reading-inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PROBLEMS_MAX 200

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

void reading_problem_at(struct reading *r, const char *where, const char *what)
{
	problems_add(r, r->problems, where, "", what);
}

void reading_file_print(const struct reading *r, const char *file, char out[512])
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

	reading_file_print(r, config_setting_source_file(s), file);
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
	problems_add(r, r->problems, where, path, what);
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

void reading_problem_with(struct reading *r, const char *path, const char *what)
{
	const config_setting_t *s = r->src->file ? setting_near(r, path) : NULL;
	char where[PATH_LEN + 8];

	if (override_of(r, path)) {
		snprintf(where, sizeof(where), "-o %s", path);
		reading_problem_at(r, where, what);
	} else if (s) {
		reading_problem(r, s, path, "%s", what);
	} else {
		problems_add(r, r->problems, r->src->file ? r->src->file : "command line", path,
			     what);
	}
}

bool reading_took(struct reading *r, const char *path, int rc, const struct err_msg *msg)
{
	if (rc == ERR_CONFIG)
		reading_problem_with(r, path, msg->text);
	else if (rc)
		r->nomem = true;
	else if (msg->text[0] && r->src->strict)
		reading_problem_with(r, path, msg->text);
	else if (msg->text[0])
		log_warning("%s: %s", path, msg->text);
	return rc == 0;
}

void reading_no_memory(struct reading *r)
{
	r->nomem = true;
}

bool reading_is_over(const struct reading *r)
{
	return r->nomem;
}

/* --- names ----------------------------------------------------------------------------- */

bool reading_is_given(struct reading *r, const char *path)
{
	if (override_of(r, path))
		return true;
	if (r->src->listen &&
	    (strcmp(path, "listen.main.bind") == 0 || strcmp(path, "listen.main.upstream") == 0))
		return true;
	return r->src->file && config_lookup(&r->file, path);
}

enum conf_section reading_section(const char *name)
{
	enum conf_section s;

	for (s = CONF_LOG; s < CONF_SECTION_COUNT; s++)
		if (strcmp(conf_section_name(s), name) == 0)
			return s;
	return CONF_GLOBAL;
}

size_t reading_named(struct reading *r, enum conf_section section, const char *name)
{
	size_t i, n = conf_section_count(r->conf, section);

	for (i = 0; i < n; i++)
		if (strcmp(section == CONF_LISTEN ? r->conf->listens[i].name
						  : r->conf->profiles[i].name,
			   name) == 0)
			return i;
	if (n >= READING_GROUPS_MAX)
		return SIZE_MAX;
	if (section == CONF_LISTEN ? !conf_add_listen(r->conf, name)
				   : !conf_add_profile(r->conf, name))
		r->nomem = true;
	return r->nomem ? SIZE_MAX : n;
}
