/* SPDX-License-Identifier: MIT */
/*
 * reader - see reader.h.
 */
#include "config.h"

#include "replay/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/base64.h"
#include "base/buf.h"

#define IN_SIZE     (64 * 1024)
#define INFLATE_MIN (32 * 1024)
#define T_MAX       1e9 /* seconds that a capture may last */

struct reader {
	char *path;       /* owned */
	json_t *line;     /* owned; what the last event points into */
	struct buf text;  /* decompressed: from at on not read yet */
	struct buf bytes; /* of a "b" */
	size_t at;
	uint64_t lines;
	int64_t last_us;
	int64_t start_ms;
	int fd;
	bool gzip_open;
	bool in_member; /* inside a gzip member */
	bool eof;
	bool truncated;
	char redaction[32];
	char where[16];
	z_stream z;
	uint8_t in[IN_SIZE];
};

/* --- gzip -------------------------------------------------------------------------------- */

static int reader_fill_in(struct reader *r, struct err_msg *msg)
{
	ssize_t n;

	do
		n = read(r->fd, r->in, sizeof(r->in));
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return err_msg_set(msg, ERR_IO, "%s: %s", r->path, strerror(errno));
	r->z.next_in = r->in;
	r->z.avail_in = (uInt)n;
	if (n == 0) {
		r->eof = true;
		r->truncated |= r->in_member;
	}
	return 0;
}

/* More text, or eof. */
static int reader_inflate(struct reader *r, struct err_msg *msg)
{
	size_t room;
	int rc;

	if (r->at) {
		buf_drop(&r->text, r->at);
		r->at = 0;
	}
	if (!r->z.avail_in) {
		rc = reader_fill_in(r, msg);
		if (rc || r->eof)
			return rc;
	}
	if (buf_reserve(&r->text, INFLATE_MIN))
		return err_msg_set(msg, ERR_SYNTAX, "%s:%" PRIu64 ": line too long", r->path,
				   r->lines + 1);
	room = INFLATE_MIN;
	r->z.next_out = r->text.p + r->text.len;
	r->z.avail_out = (uInt)room;
	r->in_member = true;
	rc = inflate(&r->z, Z_NO_FLUSH);
	r->text.len += room - r->z.avail_out;
	if (rc == Z_STREAM_END) {
		r->in_member = false;
		rc = inflateReset(&r->z);
	}
	if (rc == Z_OK || rc == Z_BUF_ERROR)
		return 0;
	if (rc == Z_MEM_ERROR)
		return err_msg_set(msg, ERR_NOMEM, "%s: %s", r->path, err_str(ERR_NOMEM));
	return err_msg_set(msg, ERR_SYNTAX, "%s: not gzip, or damaged, behind line %" PRIu64,
			   r->path, r->lines);
}

/* The next line without its end: 0, or ERR_CLOSED, or a failure. */
static int reader_line(struct reader *r, const char **line_out, size_t *len_out,
		       struct err_msg *msg)
{
	size_t looked = 0;
	int rc;

	for (;;) {
		size_t len = r->text.len - r->at;
		uint8_t *from = r->text.p ? r->text.p + r->at : NULL;
		uint8_t *end = len > looked ? memchr(from + looked, '\n', len - looked) : NULL;

		if (end) {
			*line_out = (const char *)from;
			*len_out = (size_t)(end - from);
			r->at += *len_out + 1;
			r->lines++;
			return 0;
		}
		looked = len;
		if (len > CAPTURE_LINE_MAX)
			return err_msg_set(msg, ERR_SYNTAX, "%s:%" PRIu64 ": line too long",
					   r->path, r->lines + 1);
		if (r->eof) {
			r->truncated |= len > 0;
			return ERR_CLOSED;
		}
		rc = reader_inflate(r, msg);
		if (rc)
			return rc;
	}
}

/* --- lines ------------------------------------------------------------------------------- */

static int reader_bad(const struct reader *r, const char *what, struct err_msg *msg)
{
	return err_msg_set(msg, ERR_SYNTAX, "%s:%" PRIu64 ": %s", r->path, r->lines, what);
}

static int reader_json(struct reader *r, const char *line, size_t len, struct err_msg *msg)
{
	json_error_t error;

	json_decref(r->line);
	r->line = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!r->line)
		return reader_bad(r, error.text, msg);
	return json_is_object(r->line) ? 0 : reader_bad(r, "not an object", msg);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* "2026-11-24T21:40:00.123Z"; 0 if it is none. */
static int64_t parse_start(const char *s)
{
	struct tm tm = { 0 };
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms = end ? (int64_t)timegm(&tm) * 1000 : 0;

	if (end && *end == '.')
		ms += strtol(end + 1, NULL, 10) % 1000;
	return ms;
}

static int reader_header(struct reader *r, struct err_msg *msg)
{
	const char *line;
	size_t len;
	int rc = reader_line(r, &line, &len, msg);

	if (rc == ERR_CLOSED)
		return err_msg_set(msg, ERR_SYNTAX, "%s: empty", r->path);
	if (!rc)
		rc = reader_json(r, line, len, msg);
	if (rc)
		return rc;
	if (strcmp(text_of(r->line, "format"), "inset-capture") != 0)
		return reader_bad(r, "not a capture", msg);
	if (json_integer_value(json_object_get(r->line, "version")) != CAPTURE_VERSION)
		return reader_bad(r, "a version that is not known here", msg);
	r->start_ms = parse_start(text_of(r->line, "start"));
	snprintf(r->redaction, sizeof(r->redaction), "%s", text_of(r->line, "redaction"));
	snprintf(r->where, sizeof(r->where), "%s", text_of(r->line, "at"));
	return 0;
}

/* The bytes of a data event. */
static int reader_bytes(struct reader *r, struct reader_event *e, struct err_msg *msg)
{
	const json_t *x = json_object_get(r->line, "x"), *b = json_object_get(r->line, "b");
	const json_t *n = json_object_get(r->line, "n");
	const char *text;

	if (!x + !b + !n != 2)
		return reader_bad(r, "data needs one of x, b and n", msg);
	if (json_is_string(x)) {
		e->p = (const uint8_t *)json_string_value(x);
		e->len = json_string_length(x);
		return 0;
	}
	if (json_is_integer(n) && json_integer_value(n) >= 0) {
		e->blind = (uint64_t)json_integer_value(n);
		return 0;
	}
	text = json_string_value(b);
	if (!text)
		return reader_bad(r, "x and b are strings, n is a count", msg);
	buf_drop(&r->bytes, r->bytes.len);
	if (buf_reserve(&r->bytes, json_string_length(b) / 4 * 3 + 3))
		return err_msg_set(msg, ERR_NOMEM, "%s: %s", r->path, err_str(ERR_NOMEM));
	if (base64_parse(r->bytes.p, &r->bytes.len, text, json_string_length(b)))
		return reader_bad(r, "b is not base64", msg);
	e->p = r->bytes.p;
	e->len = r->bytes.len;
	return 0;
}

static int reader_event(struct reader *r, struct reader_event *e, struct err_msg *msg)
{
	const json_t *t = json_object_get(r->line, "t"), *s = json_object_get(r->line, "s");
	const char *d = text_of(r->line, "d"), *kind = text_of(r->line, "e");
	double seconds = json_number_value(t);

	*e = (struct reader_event){ .p = NULL };
	if (!json_is_number(t) || !isfinite(seconds) || seconds < 0 || seconds > T_MAX)
		return reader_bad(r, "t is not a time", msg);
	e->t_us = llround(seconds * 1e6);
	if (e->t_us < r->last_us)
		return reader_bad(r, "t goes back", msg);
	r->last_us = e->t_us;
	if (!json_is_integer(s) || json_integer_value(s) < 0)
		return reader_bad(r, "s is not a session", msg);
	e->session = (uint64_t)json_integer_value(s);
	e->s2c = strcmp(d, "s2c") == 0;
	if (!e->s2c && strcmp(d, "c2s") != 0)
		return reader_bad(r, "d is not c2s or s2c", msg);
	if (strcmp(text_of(r->line, "w"), "after") == 0)
		e->where = CAPTURE_AFTER;
	else if (json_object_get(r->line, "w") && strcmp(text_of(r->line, "w"), "before") != 0)
		return reader_bad(r, "w is not before or after", msg);
	if (strcmp(kind, "data") == 0) {
		e->event = CAPTURE_DATA;
		return reader_bytes(r, e, msg);
	}
	e->event = strcmp(kind, "open") == 0 ? CAPTURE_OPEN : CAPTURE_CLOSE;
	if (e->event == CAPTURE_CLOSE && strcmp(kind, "close") != 0)
		return reader_bad(r, "e is not open, data or close", msg);
	return 0;
}

int reader_next(struct reader *r, struct reader_event *out, struct err_msg *msg)
{
	const char *line;
	size_t len;
	int rc = reader_line(r, &line, &len, msg);

	if (!rc)
		rc = reader_json(r, line, len, msg);
	return rc ? rc : reader_event(r, out, msg);
}

/* --- birth and end ------------------------------------------------------------------------ */

int reader_open(struct reader **out, const char *path, struct err_msg *msg)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rc = 0;

	*out = NULL;
	if (!r)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	buf_init(&r->text, CAPTURE_LINE_MAX + 2 * INFLATE_MIN);
	buf_init(&r->bytes, CAPTURE_LINE_MAX);
	r->path = strdup(path);
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!r->path)
		rc = err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	else if (r->fd == -1)
		rc = err_msg_set(msg, ERR_IO, "%s: %s", path, strerror(errno));
	else if (inflateInit2(&r->z, 15 + 16) != Z_OK)
		rc = err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	else
		r->gzip_open = true;
	if (!rc)
		rc = reader_header(r, msg);
	if (rc) {
		reader_close(&r);
		return rc;
	}
	*out = r;
	return 0;
}

void reader_close(struct reader **rp)
{
	struct reader *r = *rp;

	if (!r)
		return;
	if (r->gzip_open)
		inflateEnd(&r->z);
	if (r->fd != -1)
		close(r->fd);
	json_decref(r->line);
	buf_fini(&r->text);
	buf_fini(&r->bytes);
	free(r->path);
	free(r);
	*rp = NULL;
}

bool reader_is_truncated(const struct reader *r)
{
	return r->truncated;
}

uint64_t reader_lines(const struct reader *r)
{
	return r->lines;
}

int64_t reader_start_ms(const struct reader *r)
{
	return r->start_ms;
}

const char *reader_redaction(const struct reader *r)
{
	return r->redaction;
}

const char *reader_at(const struct reader *r)
{
	return r->where;
}
