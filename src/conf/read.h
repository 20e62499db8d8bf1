/* SPDX-License-Identifier: MIT */
/*
 * read - from a configuration file and the command line to a checked struct conf.
 *
 * Every wrong value is reported, not only the first; only what breaks the file's syntax
 * hides what stands behind it. Blocks for files and for the names of upstreams: for the
 * master.
 */
#pragma once

#include "base/err.h"
#include "conf/conf.h"

struct conf_problems {
	char **v; /* owned, n lines "FILE:LINE: message" */
	size_t n;
	size_t more; /* left out, over the cap */
};

/*
 * Judges one filter of a listener whose other values are right: 0, or negative and msg.
 * ERR_NOT_FOUND: no such filter. Comes from above, because conf knows no filters.
 */
typedef int (*conf_filter_fn)(const char *filter, const struct conf *conf,
			      const struct conf_listen *listen, struct err_msg *msg);

/* What is said of a rule; condition and entry -1: of the whole. */
struct conf_remark {
	int rule;
	int condition;
	int entry;
	bool warning; /* right, but surely not meant */
};
typedef void (*conf_say_fn)(void *ctx, const struct conf_remark *about, const char *text);

/* Judges all rules through say: 0, or ERR_CONFIG, ERR_NOMEM. From above, like the filters. */
typedef int (*conf_rules_fn)(const struct conf *conf, conf_say_fn say, void *ctx);

struct conf_source {
	const char *file;   /* NULL: none */
	const char *listen; /* with upstream: listener "main"; NULL: none */
	const char *upstream;
	const char *const
		*overrides; /* "PATH=VALUE", such as "listen.c2s.hold=3s"; lists comma-separated */
	size_t overrides_n;
	bool strict;                    /* -t: what would only be warned about is a problem, too */
	conf_filter_fn check_filter;    /* may be NULL */
	conf_rules_fn check_rules;      /* may be NULL */
	struct conf_problems *warnings; /* NULL: to the log */
};

/* One reference in *out, or ERR_CONFIG with at least one problem, or ERR_NOMEM. problems starts
 * zeroed. */
int conf_read(const struct conf_source *src, struct conf **out,
	      struct conf_problems *problems) MUSTCHECK;

void conf_problems_free(struct conf_problems *p);
