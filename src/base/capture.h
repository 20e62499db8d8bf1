/* SPDX-License-Identifier: MIT */
/*
 * capture - writes what passes into capture files (inset-capture(5)): JSON lines in gzip.
 *
 * One writer per process. Files rotate and only the newest are kept; what capture_flush()
 * has written survives a crash. Stands in base because both the proxies' tap (stream) and the
 * player (replay) write captures. Reading them is replay/reader.h's business, making them
 * harmless xmpp/redact.h's.
 *
 * A writer that fails (disk full, folder gone) stays failed and writes nothing more: what is
 * recorded never comes in the way of what is relayed.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define CAPTURE_VERSION   1
#define CAPTURE_PIECE_MAX (32 * 1024)   /* bytes of one data line; longer data makes several */
#define CAPTURE_LINE_MAX  (1024 * 1024) /* longest line that a reader takes */

enum capture_event { CAPTURE_OPEN, CAPTURE_DATA, CAPTURE_CLOSE };
enum capture_where { CAPTURE_BEFORE, CAPTURE_AFTER }; /* the filters */

struct capture_config {
	const char *folder; /* must exist */
	const char *name;   /* of the files, before ".NUMBER.jsonl.gz" */
	const char *redaction;
	const char *at;  /* "before", "after" or "both", for the header */
	uint64_t rotate; /* bytes of a file */
	unsigned files;  /* kept at most; 0: all */
};

struct capture_line {
	int64_t at_us; /* clock_us() */
	uint64_t session;
	enum capture_event event;
	enum capture_where where;
	bool s2c;
	bool blind; /* these bytes are only counted: nobody could redact them */
	const uint8_t *p;
	size_t len;
};

struct capture;

/* 0 or a negative code with msg. The strings of config need not live on. */
int capture_open(struct capture **out, const struct capture_config *config,
		 struct err_msg *msg) MUSTCHECK;
/* Finishes the file. Accepts NULL. */
void capture_close(struct capture **c);
/* One line, or several for long data. */
void capture_write(struct capture *c, const struct capture_line *line);
/* What was written so far is on its way to the disk, and readable. */
void capture_flush(struct capture *c);
/* Why it has stopped: 0 or a negative code. */
int capture_error(const struct capture *c);
