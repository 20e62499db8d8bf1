/* SPDX-License-Identifier: MIT */
/*
 * reading-inside - what the readers of the file share: read.c, read-file.c, read-rules.c, and
 * reading.c. Who only checks values needs reading.h alone.
 */
#pragma once

#include <libconfig.h>
#include <stdbool.h>

#include "conf/reading.h"

struct reading {
	const struct conf_source *src;  /* borrowed */
	struct conf *conf;              /* owned until conf_read() gives it away */
	config_t file;                  /* as libconfig took it apart; empty without a file */
	struct conf_problems *problems; /* borrowed */
	char *dir; /* owned: the file's folder, where includes are looked for; NULL: no file */
	bool nomem;
};

/* A problem at a setting's place. path is the setting's name for people. */
void reading_problem(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...) PRINTF_LIKE(4, 5);
/* What is right, but surely not meant: goes to src->warnings, or the log. */
void reading_warning(struct reading *r, const config_setting_t *s, const char *path,
		     const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Where a file really is that libconfig names as @include wrote it. NULL: the file itself. */
void reading_file_print(const struct reading *r, const char *file, char out[512]);

/* read-file.c: the file into conf. False: it could not be read, and nothing else need be said. */
bool reading_file(struct reading *r) MUSTCHECK;

/* read-rules.c: rules = ( { ... } ... ), as texts. */
void reading_rules(struct reading *r, const config_setting_t *list);
/* The same: what src->check_rules has to say about them, when all else is known. */
void reading_check_rules(struct reading *r);
