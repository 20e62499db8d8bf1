/* SPDX-License-Identifier: MIT */
/*
 * reading - what the parts of read.c share. Not for anything outside of conf/.
 */
#pragma once

#include <libconfig.h>
#include <stdbool.h>

#include "conf/read.h"

#define PATH_LEN 160

struct reading {
	const struct conf_source *src;
	struct conf *conf;
	config_t file;
	struct conf_problems *problems;
	char *dir; /* owned: the file's folder, where includes are looked for; NULL without a file
		    */
	bool nomem;
};

/* A problem at a setting's place. path is the setting's name for people. */
void reading_problem(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What is right, but surely not meant: goes to src->warnings, or the log. */
void reading_warning(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...) PRINTF_LIKE(4, 5);

/* A problem with the value of that path, wherever it came from. */
void reading_problem_with(struct reading *r, const char *path, const char *what);
/* A file that could be used, but should not: -t refuses it, a start goes on with a warning. */
void reading_doubt_with(struct reading *r, const char *path, const char *what);

/* read-fetch.c: what values of fetch must be to each other. */
void reading_check_fetch(struct reading *r);

/* read-rules.c: rules = ( { ... } ... ), as texts. */
void reading_rules(struct reading *r, const config_setting_t *list);
/* The same: what src->check_rules has to say about them, when all else is known. */
void reading_check_rules(struct reading *r);
