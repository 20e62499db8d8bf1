/* SPDX-License-Identifier: MIT */
/*
 * reader - reads capture files (inset-capture(5)), one event at a time.
 *
 * Believes nothing: lines are capped, each is checked, the first fault ends the file with a
 * message. A file that stops in the middle (a crash, a full disk) gives every whole line before.
 */
#pragma once

#include <stdbool.h>

#include "base/capture.h"

struct reader_event {
	int64_t t_us; /* since the file's start */
	uint64_t session;
	enum capture_event event;
	enum capture_where where;
	bool s2c;
	uint64_t blind;   /* bytes that were only counted */
	const uint8_t *p; /* until the next call */
	size_t len;
};

struct reader;

/* Opens a file and reads its header: 0, or a negative code and msg. */
int reader_open(struct reader **out, const char *path, struct err_msg *msg) MUSTCHECK;
void reader_close(struct reader **r);
/* 0 and an event; ERR_CLOSED at the end; or ERR_IO, ERR_SYNTAX, ERR_NOMEM and msg. */
int reader_next(struct reader *r, struct reader_event *out, struct err_msg *msg) MUSTCHECK;

/* The file ended in the middle of something. */
bool reader_is_truncated(const struct reader *r);
uint64_t reader_lines(const struct reader *r);
int64_t reader_start_ms(const struct reader *r); /* of the recording, since 1970 */
const char *reader_redaction(const struct reader *r);
const char *reader_at(const struct reader *r);
