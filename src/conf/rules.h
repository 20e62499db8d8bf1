/* SPDX-License-Identifier: MIT */
/*
 * rules - the rules of a configuration as they were written, and the files of entries that
 * they name.
 *
 * What conditions there are and what their entries mean is rule/'s business: here they are
 * names and texts. Files are read by the master alone and travel inside the generation.
 *
 * Invariants
 *   - a rule's name is unique within its configuration
 *   - row is the rule's place in the shared figures; a rule keeps it as long as its name lasts
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define CONF_RULES_MAX      4096
#define CONF_CONDITIONS_MAX 16
#define CONF_ENTRIES_MAX    4096 /* of one condition, written in the configuration itself */
#define CONF_FILES_MAX      64
#define CONF_FILE_BYTES_MAX (64u * 1024 * 1024) /* of all list files together */
#define CONF_FILE_PREFIX    "file:"

struct conf;

struct conf_condition {
	char *name;
	char **v; /* entries, n */
	size_t n;
};

struct conf_rule {
	char *name;
	char *profile; /* "": the listener's */
	int action;    /* enum conf_action */
	bool shadow;
	uint32_t row;
	struct conf_condition *conditions;
	size_t conditions_n;
};

/* A file that an entry "file:PATH" names. */
struct conf_file {
	char *path; /* as written */
	char *text; /* NUL-terminated; "" where nobody needs it */
	size_t len;
};

/* New last ones with these texts copied, or NULL when out of memory; they move the arrays. */
struct conf_rule *conf_add_rule(struct conf *c, const char *name) MUSTCHECK;
struct conf_condition *conf_add_condition(struct conf_rule *r, const char *name) MUSTCHECK;
int conf_add_entry(struct conf_condition *c, const char *text) MUSTCHECK;
/* Takes text. */
struct conf_file *conf_add_file(struct conf *c, const char *path, char *text, size_t len) MUSTCHECK;

const struct conf_file *conf_file_find(const struct conf *c, const char *path);

/*
 * Gives every rule its row: that of the rule of the same name in old (may be NULL), else one
 * that no rule of old has. *fresh is called for each of the latter.
 */
void conf_number_rules(struct conf *c, const struct conf *old, void (*fresh)(unsigned row));

void conf_free_rules(struct conf *c);
