/* SPDX-License-Identifier: MIT */
/*
 * read-line - the command line's settings: --listen, --upstream and -o. See read.h.
 *
 * Read behind the file, so that they win over it. Not for the program's other arguments.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "conf/hint.h"
#include "conf/reading.h"
#include "conf/value.h"

static void set_value(struct reading *r, struct conf *c, enum conf_section section, size_t index,
		      const char *name, const char *where, const char *value)
{
	const struct conf_option *o = conf_option_find(section, name);
	struct err_msg msg = { 0 };
	char what[256];
	int rc;

	if (!o) {
		hint_unknown(what, section, name);
		reading_problem_at(r, where, what);
		return;
	}
	rc = value_set(o, conf_field(conf_section_at(c, section, index), o), value, &msg);
	if (rc == ERR_NOMEM)
		reading_no_memory(r);
	else if (rc)
		reading_problem_at(r, where, msg.text);
}

/* "listen.c2s.hold=3s" */
static void read_override(struct reading *r, struct conf *c, const char *text)
{
	const char *equals = strchr(text, '=');
	char path[PATH_LEN], where[PATH_LEN + 8], *part[3] = { NULL, NULL, NULL }, *rest = path;
	enum conf_section section;
	size_t n = 0, index = 0;

	snprintf(where, sizeof(where), "-o %.*s",
		 equals ? (int)MIN_OF(equals - text, PATH_LEN) : PATH_LEN, text);
	if (!equals || equals == text || equals - text >= PATH_LEN) {
		reading_problem_at(r, where, "PATH=VALUE is needed, such as listen.c2s.hold=3s");
		return;
	}
	snprintf(path, sizeof(path), "%.*s", (int)(equals - text), text);
	while (n < 3 && rest)
		part[n++] = strsep(&rest, ".");
	section = n > 1 ? reading_section(part[0]) : CONF_GLOBAL;
	if (rest || (n > 1 && section == CONF_GLOBAL) ||
	    (section != CONF_GLOBAL &&
	     n != (section == CONF_LISTEN || section == CONF_PROFILE ? 3u : 2u))) {
		reading_problem_at(r, where, "no such setting");
		return;
	}
	if (n == 3) {
		size_t len = strlen(part[1]);

		index = len && len <= READING_NAME_MAX_LEN ? reading_named(r, section, part[1])
							   : SIZE_MAX;
		if (index == SIZE_MAX) {
			reading_problem_at(r, where, "bad name, or too many groups");
			return;
		}
	}
	set_value(r, c, section, index, part[n - 1], where, equals + 1);
}

void reading_command_line(struct reading *r, const struct conf_source *src, struct conf *c)
{
	size_t i, index;

	if (src->listen || src->upstream) {
		index = reading_named(r, CONF_LISTEN, "main");
		if (index != SIZE_MAX && src->listen)
			set_value(r, c, CONF_LISTEN, index, "bind", "--listen", src->listen);
		if (index != SIZE_MAX && src->upstream)
			set_value(r, c, CONF_LISTEN, index, "upstream", "--upstream",
				  src->upstream);
	}
	for (i = 0; i < src->overrides_n && !reading_is_over(r); i++)
		read_override(r, c, src->overrides[i]);
}
