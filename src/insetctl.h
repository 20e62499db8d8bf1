/* SPDX-License-Identifier: MIT */
/*
 * insetctl - what its source files share.
 */
#pragma once

#include <jansson.h>
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

/* Options of preview. */
struct preview {
	const char *file;    /* NULL: the default one */
	const char *profile; /* NULL: "default" */
	const char *out;     /* NULL: nothing is written; "-": standard output */
	const char *source;  /* a file or an address */
	bool as_json;
};

enum command {
#define COMMAND(id, words, min, max, arguments, text) COMMAND_##id,
#include "insetctl.def"
#undef COMMAND
	COMMAND_COUNT
};

struct command_row {
	const char *words;
	int min; /* arguments */
	int max;
	const char *arguments;
	const char *text;
};
extern const struct command_row command_rows[];

/* What the command line says. */
struct ctl {
	enum command command;
	const char *argument; /* NULL: none */
	const char *socket;
	bool as_json;
	long limit;        /* 0: not given */
	const char *order; /* NULL: not given */
	struct explain explain;
	struct preview preview;
};

/* insetctl-ask.c: asks the daemon and shows what it says: an exit code. */
int ask_run(const struct ctl *c);

/* insetctl-show.c: an answer, as text; and a part of one. root is the daemon's word: not trusted.
 */
void show_answer(enum command command, const json_t *root);
void show_part(enum command command, const json_t *part);
/* Who did not answer, and why: to standard error. */
void show_problems(const json_t *root);
long long show_number(const json_t *o, const char *key);

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

/* One file, sealed in a memfd that stays the caller's, straight to the scaler. As fetch_do(). */
int fetch_scale(struct fetch *f, const struct picture_request *what, int fd,
		struct picture_result *out);

/* What the scaler had to do for the last of these two. */
struct fetch_scaling {
	bool asked; /* it got a picture */
	bool answered;
	enum picture_format format; /* of that picture */
	enum picture_status status;
	uint8_t step;
	int64_t asked_us; /* clock_us() */
	int64_t scale_us; /* until its answer */
	uint32_t decoder_us;
};
const struct fetch_scaling *fetch_scaling(const struct fetch *f);
void fetch_close(struct fetch **f);

/* insetctl-preview.c: an exit code. */
int preview_run(const struct preview *options);
