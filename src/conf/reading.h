/* SPDX-License-Identifier: MIT */
/*
 * reading - a configuration while it is being read: what is wrong with it, and where. Not for
 * anything outside of conf/.
 *
 * Who reads and checks says what is wrong; here it gets its place: FILE:LINE, or the option of the
 * command line that set it. The struct itself is in reading-inside.h, for those who read the file.
 *
 * Invariants
 *   - reading goes on behind a problem, so that all are told at once; it ends only without memory
 *   - a configuration with a problem is never published
 */
#pragma once

#include "conf/read.h"

#define PATH_LEN             160 /* of a setting's name for people, "listen.c2s.hold", with its NUL */
#define READING_GROUPS_MAX   64 /* listeners; profiles; and services, origins */
#define READING_NAME_MAX_LEN 64 /* of a listener or profile */

struct reading;

/* --- what is wrong --------------------------------------------------------------------- */

/* A problem with the value of that path, wherever it came from, or with its not being there. */
void reading_problem_with(struct reading *r, const char *path, const char *what);
/* A problem of something that is no setting: where is told as it stands. */
void reading_problem_at(struct reading *r, const char *where, const char *what);
/*
 * How a file went that path names: 0, ERR_CONFIG or ERR_NOMEM, and what its reader says. Tells the
 * problem; a file that could be used, but should not (0 and a text) is refused by -t, and a start
 * goes on with a warning. True: it is there.
 */
bool reading_took(struct reading *r, const char *path, int rc, const struct err_msg *msg);
/* What to say of a profile that does not exist; those that do are named as far as they fit. */
void reading_no_profile(const struct conf *c, const char *name, char *what, size_t size);

/* There is no memory: what has been read is of no use. */
void reading_no_memory(struct reading *r);
bool reading_is_over(const struct reading *r);

/* --- names ----------------------------------------------------------------------------- */

/* Was this path given at all? Then a problem with it has been told already. */
bool reading_is_given(struct reading *r, const char *path);

/* The section of that name ("listen", "fetch"), CONF_GLOBAL: none. */
enum conf_section reading_section(const char *name);
/* Index of the listener or profile of that name, made if need be; SIZE_MAX when it cannot be. */
size_t reading_named(struct reading *r, enum conf_section section, const char *name);

/* --- parts of reading ------------------------------------------------------------------ */

/* read-line.c: what the command line sets. */
void reading_command_line(struct reading *r, const struct conf_source *src, struct conf *c);
/*
 * read-listen.c, read-upload.c, read-fetch.c: what the values of these groups must be to each
 * other. What children need of files that they may not read goes into the fields for it.
 */
void reading_check_listens(struct reading *r, struct conf *c, conf_filter_fn check_filter);
void reading_check_upload(struct reading *r, struct conf *c);
void reading_check_fetch(struct reading *r, struct conf *c);
