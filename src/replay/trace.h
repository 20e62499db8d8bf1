/* SPDX-License-Identifier: MIT */
/*
 * trace - captured sessions in memory, cut into units, ready to be played under other names.
 *
 * Each unit knows the places where a clone's name goes in and where a URL's origin is replaced;
 * trace_print() makes the bytes of one clone.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/capture.h"
#include "replay/trace-cut.h"

enum trace_mark_kind {
	TRACE_CLONE, /* the clone's suffix goes in here */
	TRACE_ORIGIN /* scheme and host of a URL: becomes that of the media server */
};

struct trace_mark {
	uint32_t at;
	uint32_t len;
	enum trace_mark_kind kind;
};

struct trace_unit {
	int64_t t_us; /* of its last byte, since the session's start */
	uint8_t *p;   /* owned, as marks */
	size_t len;
	struct trace_mark *marks;
	uint32_t marks_n;
	uint32_t before; /* units of the other direction that ended before it */
	enum unit_kind kind;
	bool candidate; /* c2s message that may get a thumbnail */
};

struct trace_lane {
	struct trace_unit *v; /* owned */
	size_t n;
	size_t room;
};

struct trace_session {
	uint64_t id;
	unsigned group;
	int64_t start_us; /* since the start of the first file */
	int64_t end_us;
	struct trace_lane lane[2]; /* c2s, s2c */
	uint32_t login;            /* c2s units up to which order between the directions is kept */
	uint32_t login_s2c;
	uint64_t blind;           /* bytes that were not recorded */
	int error;                /* why the rest was not read: 0 or a code */
	bool after;               /* recorded behind the filters */
	char *jid;                /* owned; bare, raw; NULL: unknown */
	struct trace_cut *cut[2]; /* owned; while it is read */
};

/* Where a session that is being read stands. */
struct trace_slot {
	uint64_t id;
	size_t number; /* in trace.v, from 1; 0: none now */
	bool after;
	bool used;
};

struct trace {
	struct trace_slot *slots; /* owned; slots_room of them, a power of two or 0 */
	size_t slots_room;
	size_t slots_n;
	const char **ours; /* owned, the names are the sessions'; sorted */
	size_t ours_n;
	struct trace_session *v; /* owned */
	size_t n;
	size_t room;
	uint64_t bytes;
	uint64_t max_bytes;
	int64_t first_ms; /* start of the first file */
	int64_t duration_us;
	char *stem;     /* owned; name of the last file without its number: rotated files go on */
	unsigned group; /* of files that belong together */
	unsigned files;
	unsigned truncated; /* files that end in the middle */
	unsigned cut;       /* sessions whose beginning is not there */
};

void trace_init(struct trace *t, uint64_t max_bytes);
void trace_fini(struct trace *t);
/* Adds a file: 0, or a negative code and msg. */
int trace_load(struct trace *t, const char *path, struct err_msg *msg) MUSTCHECK;
/* No more of this session will be read. */
void trace_session_end(struct trace_session *s);
/* When all files are there: names, marks (trace-marks.c). 0 or ERR_NOMEM. */
int trace_prepare(struct trace *t) MUSTCHECK;

/* The unit as this clone (0: the original) says it, URLs at this origin (NULL: as they are). */
int trace_print(const struct trace_unit *u, unsigned clone, const char *origin,
		struct buf *out) MUSTCHECK;
