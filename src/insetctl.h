/* SPDX-License-Identifier: MIT */
/*
 * insetctl - what its source files share.
 */
#pragma once

#include <stdbool.h>

#include "base/job.h"
#include "conf/conf.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_AWAY = 69, EXIT_FAULT = 70 };

/* Options of explain. */
struct explain {
	const char *file; /* NULL: the default one */
	const char *from; /* NULL: unknown */
	enum lane_dir dir;
	bool fetch;
	bool as_json;
};

/* insetctl-explain.c: reads a stanza from standard input, says what the rules make of it. */
int explain_run(const struct explain *e);

/*
 * insetctl-fetch.c: a media process and a scaler of our own, which live until fetch_close().
 * NULL and a message to standard error if they do not start.
 */
struct fetch;
struct fetch *fetch_open(struct conf *conf);
/* Waits for the job's result, which lives until the next call: 0, or an error. */
int fetch_do(struct fetch *f, const struct job *job, struct job_result *out);
void fetch_close(struct fetch **f);
