/* SPDX-License-Identifier: MIT */
/*
 * record - see record.h.
 */
#include "config.h"

#include "stream/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hash.h"
#include "base/log.h"
#include "xmpp/redact.h"

#define FIRST_SHIFT  20 /* a million sessions a second and process; fits into JSON */
#define FLUSH_MS     1000
#define REDACTED_MAX (512u * 1024) /* of one call: what a leg reads, and what was kept back */
#define RECORD_CHUNK (128u * 1024) /* fed to a redactor at a time */

struct record {
	/*
	 * Numbers begin here: a proxy that was started again, and another generation's beside it
	 * after an upgrade, write files of the same name.
	 */
	uint64_t first;
	struct capture *capture; /* owned */
	struct event *flush;     /* owned */
	struct buf redacted;
	char *path; /* owned; of the options it was made from, as the next few */
	int at;     /* enum conf_record_at */
	int redact; /* enum conf_redact */
	uint64_t rotate;
	uint64_t files;
	uint64_t key[2]; /* of the masks: in no file, another one in each process */
	size_t sessions;
	bool retired;
};

struct record_session {
	struct record *record; /* borrowed: outlives its sessions */
	uint64_t id;
	struct redact redact[2][2]; /* by enum lane_dir, enum capture_where */
};

/* Says once why nothing more is recorded. */
static void record_check(struct record *r)
{
	if (!capture_error(r->capture))
		return;
	log_warning("recording has stopped reason=\"%s\"", err_str(capture_error(r->capture)));
	counter_inc(METRIC_RECORD_FAILURES);
	capture_close(&r->capture);
}

static void record_on_flush(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct record *r = arg;

	if (!r->capture)
		return;
	capture_flush(r->capture);
	record_check(r);
}

static bool record_start(struct record *r, struct event_base *base, unsigned index)
{
	static const char *const ats[] = { [CONF_RECORD_BEFORE] = "before",
					   [CONF_RECORD_AFTER] = "after",
					   [CONF_RECORD_BOTH] = "both" };
	const struct timeval tv = { FLUSH_MS / 1000, FLUSH_MS % 1000 * 1000 };
	struct capture_config config = {
		.folder = r->path,
		.redaction = r->redact == CONF_REDACT_NONE ? "none" : "default",
		.at = ats[r->at],
		.rotate = r->rotate,
		.files = (unsigned)r->files,
	};
	struct err_msg msg = { 0 };
	char name[32];

	snprintf(name, sizeof(name), "proxy-%u", index);
	config.name = name;
	if (capture_open(&r->capture, &config, &msg)) {
		log_error("nothing is recorded reason=\"%s\"", msg.text);
		counter_inc(METRIC_RECORD_FAILURES);
		return false;
	}
	r->flush = event_new(base, -1, EV_PERSIST, record_on_flush, r);
	return r->flush && event_add(r->flush, &tv) == 0;
}

struct record *record_new(struct event_base *base, const struct conf_record *conf, unsigned index)
{
	struct record *r;

	if (!conf->path[0])
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	buf_init(&r->redacted, REDACTED_MAX);
	hash_random(r->key, sizeof(r->key));
	r->first = (uint64_t)clock_wall() << FIRST_SHIFT;
	r->path = strdup(conf->path);
	r->at = conf->at;
	r->redact = conf->redact;
	r->rotate = conf->rotate;
	r->files = conf->files;
	if (!r->path || !record_start(r, base, index))
		record_free(&r);
	return r;
}

void record_free(struct record **rp)
{
	struct record *r = *rp;

	if (!r)
		return;
	if (r->flush)
		event_free(r->flush);
	capture_close(&r->capture);
	buf_fini(&r->redacted);
	free(r->path);
	free(r);
	*rp = NULL;
}

bool record_runs(const struct record *r, const struct conf_record *conf)
{
	if (!r)
		return !conf->path[0];
	return strcmp(r->path, conf->path) == 0 && r->at == conf->at && r->redact == conf->redact &&
	       r->rotate == conf->rotate && r->files == conf->files;
}

void record_retire(struct record **rp)
{
	struct record *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	r->retired = true;
	capture_close(&r->capture);
	if (!r->sessions)
		record_free(&r);
}

/* --- sessions ---------------------------------------------------------------------------- */

static void record_line(struct record_session *s, struct capture_line *line)
{
	struct record *r = s->record;

	line->at_us = clock_us();
	line->session = s->id;
	capture_write(r->capture, line);
	record_check(r);
}

static bool record_sees(const struct record *r, enum capture_where where)
{
	return r->capture && (r->at == CONF_RECORD_BOTH ||
			      (r->at == CONF_RECORD_AFTER) == (where == CAPTURE_AFTER));
}

bool record_is_on(const struct record *r)
{
	return r && r->capture;
}

struct record_session *record_open(struct record *r, uint64_t id)
{
	struct record_session *s;
	struct capture_line line = { .event = CAPTURE_OPEN };
	int dir, where;

	if (!r || !r->capture)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL; /* this one is not recorded */
	s->record = r;
	s->id = r->first + id;
	r->sessions++;
	for (dir = LANE_C2S; dir <= LANE_S2C; dir++)
		for (where = CAPTURE_BEFORE; where <= CAPTURE_AFTER; where++)
			redact_init(&s->redact[dir][where], r->key);
	record_line(s, &line);
	return s;
}

/* What a redactor has let go, as one line. */
static void record_redacted(struct record_session *s, enum lane_dir dir, enum capture_where where)
{
	struct buf *b = &s->record->redacted;
	struct capture_line line = { .event = CAPTURE_DATA,
				     .where = where,
				     .s2c = dir == LANE_S2C,
				     .p = b->p,
				     .len = b->len };

	if (b->len && s->record->capture)
		record_line(s, &line);
	buf_drop(b, b->len);
}

void record_bytes(struct record_session *s, enum lane_dir dir, enum capture_where where, bool blind,
		  const struct iovec *v, int n)
{
	struct record *r = s->record;
	struct capture_line line = { .event = CAPTURE_DATA,
				     .where = where,
				     .s2c = dir == LANE_S2C,
				     .blind = blind && r->redact != CONF_REDACT_NONE };
	int i;

	for (i = 0; i < n && record_sees(r, where); i++) {
		size_t at, len;

		line.p = v[i].iov_base;
		line.len = v[i].iov_len;
		if (r->redact == CONF_REDACT_NONE || line.blind) {
			if (line.len)
				record_line(s, &line);
			continue;
		}
		for (at = 0; at < line.len; at += len) {
			len = MIN_OF(line.len - at, (size_t)RECORD_CHUNK);
			if (redact_feed(&s->redact[dir][where], line.p + at, len, &r->redacted)) {
				log_warning("recording has stopped reason=\"%s\"",
					    err_str(ERR_NOMEM));
				counter_inc(METRIC_RECORD_FAILURES);
				capture_close(&r->capture);
				return;
			}
			if (n == 1 || r->redacted.len >= RECORD_CHUNK)
				record_redacted(s, dir, where);
		}
	}
	record_redacted(s, dir, where);
}

void record_close(struct record_session **sp)
{
	struct record_session *s = *sp;
	struct capture_line line = { .event = CAPTURE_CLOSE };
	struct record *r;
	int dir, where;

	if (!s)
		return;
	r = s->record;
	for (dir = LANE_C2S; dir <= LANE_S2C; dir++)
		for (where = CAPTURE_BEFORE; where <= CAPTURE_AFTER; where++) {
			if (r->capture && redact_end(&s->redact[dir][where], &r->redacted) == 0)
				record_redacted(s, (enum lane_dir)dir, (enum capture_where)where);
			redact_fini(&s->redact[dir][where]);
		}
	if (r->capture)
		record_line(s, &line);
	r->sessions--;
	if (r->retired && !r->sessions)
		record_free(&r);
	free(s);
	*sp = NULL;
}
