/* SPDX-License-Identifier: MIT */
/*
 * capture - see capture.h.
 */
#include "config.h"

#include "base/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/base64.h"
#include "base/clock.h"

#define OUT_SIZE   (64 * 1024)
#define GZIP_BITS  (15 + 16)
#define NUMBER_MAX 100000000u

struct capture {
	int folder; /* owned, as the next */
	int fd;
	char *name;
	char *redaction;
	char *at;
	uint64_t rotate;
	uint64_t written; /* bytes of this file */
	int64_t start_us;
	unsigned files;
	unsigned number; /* of this file */
	int error;
	bool open;  /* z is */
	bool fresh; /* something has come since the last flush */
	z_stream z;
	uint8_t out[OUT_SIZE];
};

static int capture_fail(struct capture *c, int code)
{
	if (!c->error)
		c->error = code;
	return code;
}

static void capture_put_out(struct capture *c)
{
	const uint8_t *p = c->out;
	size_t len = OUT_SIZE - c->z.avail_out;

	while (len && !c->error) {
		ssize_t n = write(c->fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			capture_fail(c, ERR_IO);
			break;
		}
		p += n;
		len -= (size_t)n;
		c->written += (size_t)n;
	}
	c->z.next_out = c->out;
	c->z.avail_out = OUT_SIZE;
}

static void capture_deflate(struct capture *c, const void *p, size_t len, int flush)
{
	int rc;

	if (c->error || !c->open)
		return;
	c->z.next_in = (Bytef *)(uintptr_t)p;
	c->z.avail_in = (uInt)len;
	do {
		rc = deflate(&c->z, flush);
		if (c->z.avail_out == 0 || flush != Z_NO_FLUSH)
			capture_put_out(c);
	} while (!c->error && (c->z.avail_in || (flush == Z_FINISH && rc == Z_OK)));
}

static void capture_put_text(struct capture *c, const char *s)
{
	capture_deflate(c, s, strlen(s), Z_NO_FLUSH);
}

/* --- files ------------------------------------------------------------------------------- */

static void capture_end_file(struct capture *c)
{
	if (c->open) {
		capture_deflate(c, NULL, 0, Z_FINISH);
		deflateEnd(&c->z);
	}
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	c->open = false;
}

/* The number in "NAME.NUMBER.jsonl.gz"; 0 if it is none of ours. */
static unsigned capture_number_of(const struct capture *c, const char *file)
{
	size_t n = strlen(c->name);
	unsigned long number;
	char *end;

	if (strncmp(file, c->name, n) != 0 || file[n] != '.')
		return 0;
	number = strtoul(file + n + 1, &end, 10);
	return strcmp(end, ".jsonl.gz") == 0 && number < NUMBER_MAX ? (unsigned)number : 0;
}

/* The newest number there is; removes what is more than `files` older. */
static unsigned capture_tidy(const struct capture *c)
{
	int fd = openat(c->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *e;
	unsigned newest = 0;

	if (!dir) {
		if (fd != -1)
			close(fd);
		return 0;
	}
	while ((e = readdir(dir)))
		newest = MAX_OF(newest, capture_number_of(c, e->d_name));
	rewinddir(dir);
	while (c->files && (e = readdir(dir))) {
		unsigned number = capture_number_of(c, e->d_name);

		if (number && number + c->files <= newest + 1 && newest + 1 > c->files)
			(void)unlinkat(c->folder, e->d_name, 0);
	}
	closedir(dir);
	return newest;
}

static void capture_put_header(struct capture *c)
{
	char start[40], line[256];
	struct timespec now;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%S", &tm);
	c->start_us = clock_us();
	snprintf(line, sizeof(line),
		 "{\"format\":\"inset-capture\",\"version\":%d,\"start\":\"%s.%03ldZ\","
		 "\"redaction\":\"%s\",\"at\":\"%s\"}\n",
		 CAPTURE_VERSION, start, now.tv_nsec / 1000000, c->redaction, c->at);
	capture_put_text(c, line);
	capture_flush(c);
}

static int capture_begin_file(struct capture *c)
{
	char file[300];
	int tries;

	c->number = capture_tidy(c);
	for (tries = 0; tries < 100 && c->fd == -1; tries++) {
		if (++c->number >= NUMBER_MAX)
			return capture_fail(c, ERR_FULL);
		snprintf(file, sizeof(file), "%s.%06u.jsonl.gz", c->name, c->number);
		c->fd = openat(c->folder, file,
			       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (c->fd == -1 && errno != EEXIST)
			return capture_fail(c, ERR_IO);
	}
	c->z = (z_stream){ .next_out = c->out, .avail_out = OUT_SIZE };
	if (c->fd == -1)
		return capture_fail(c, ERR_IO);
	if (deflateInit2(&c->z, 5, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return capture_fail(c, ERR_NOMEM);
	c->open = true;
	c->written = 0;
	capture_put_header(c);
	return c->error;
}

/* --- lines ------------------------------------------------------------------------------- */

/* Length of the UTF-8 character at p that JSON and XML may carry as it is; 0: none. */
static size_t utf8_char(const uint8_t *p, size_t len)
{
	size_t n, i;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static bool is_text(const uint8_t *p, size_t len)
{
	size_t n;

	for (; len; p += n, len -= n) {
		n = utf8_char(p, len);
		if (!n || !p[0])
			return false;
	}
	return true;
}

static void capture_put_string(struct capture *c, const uint8_t *p, size_t len)
{
	char escape[8];
	size_t i, run = 0;

	capture_put_text(c, "\"");
	for (i = 0; i < len; i++) {
		if (p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
			continue;
		capture_deflate(c, p + run, i - run, Z_NO_FLUSH);
		if (p[i] == '"' || p[i] == '\\')
			snprintf(escape, sizeof(escape), "\\%c", p[i]);
		else
			snprintf(escape, sizeof(escape), "\\u%04x", p[i]);
		capture_put_text(c, escape);
		run = i + 1;
	}
	capture_deflate(c, p + run, len - run, Z_NO_FLUSH);
	capture_put_text(c, "\"");
}

static void capture_put_bytes(struct capture *c, const uint8_t *p, size_t len)
{
	char text[BASE64_LEN(3 * 256) + 1];
	size_t at, n;

	if (is_text(p, len)) {
		capture_put_text(c, ",\"x\":");
		capture_put_string(c, p, len);
		return;
	}
	capture_put_text(c, ",\"b\":\"");
	for (at = 0; at < len; at += n) {
		n = MIN_OF(len - at, (size_t)3 * 256);
		text[base64_print(text, p + at, n)] = '\0';
		capture_put_text(c, text);
	}
	capture_put_text(c, "\"");
}

static void capture_put_line(struct capture *c, const struct capture_line *l, const uint8_t *p,
			     size_t len)
{
	static const char *const events[] = {
		[CAPTURE_OPEN] = "open", [CAPTURE_DATA] = "data", [CAPTURE_CLOSE] = "close"
	};
	int64_t t = MAX_OF(l->at_us - c->start_us, 0);
	char text[160];

	snprintf(text, sizeof(text),
		 "{\"t\":%" PRId64 ".%06" PRId64 ",\"s\":%" PRIu64 ",\"d\":\"%s\",\"e\":\"%s\"",
		 t / 1000000, t % 1000000, l->session, l->s2c ? "s2c" : "c2s", events[l->event]);
	capture_put_text(c, text);
	if (l->where == CAPTURE_AFTER)
		capture_put_text(c, ",\"w\":\"after\"");
	if (l->event == CAPTURE_DATA && l->blind) {
		snprintf(text, sizeof(text), ",\"n\":%zu", len);
		capture_put_text(c, text);
	} else if (l->event == CAPTURE_DATA) {
		capture_put_bytes(c, p, len);
	}
	capture_put_text(c, "}\n");
	c->fresh = true;
}

void capture_write(struct capture *c, const struct capture_line *line)
{
	size_t at = 0, n;

	if (c->error)
		return;
	/* A session's lines go on in the next file; readers take the files together. */
	if (c->written >= c->rotate) {
		capture_end_file(c);
		if (c->error || capture_begin_file(c))
			return;
	}
	do {
		n = line->event == CAPTURE_DATA ? line->len - at : 0;
		if (n > CAPTURE_PIECE_MAX && !line->blind) {
			n = CAPTURE_PIECE_MAX;
			while (n > CAPTURE_PIECE_MAX - 4 && (line->p[at + n] & 0xc0) == 0x80)
				n--; /* not inside a character */
		}
		capture_put_line(c, line, n ? line->p + at : NULL, n);
		at += n;
	} while (n && at < line->len);
}

void capture_flush(struct capture *c)
{
	capture_deflate(c, NULL, 0, Z_SYNC_FLUSH);
	c->fresh = false;
}

int capture_error(const struct capture *c)
{
	return c->error;
}

/* --- birth and end ------------------------------------------------------------------------ */

int capture_open(struct capture **out, const struct capture_config *config, struct err_msg *msg)
{
	struct capture *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (!c)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	c->fd = -1;
	c->folder = open(config->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	c->name = strdup(config->name);
	c->redaction = strdup(config->redaction);
	c->at = strdup(config->at);
	c->rotate = config->rotate;
	c->files = config->files;
	if (c->folder == -1)
		err_msg_set(msg, capture_fail(c, ERR_IO), "%s: %s", config->folder,
			    strerror(errno));
	else if (!c->name || !c->redaction || !c->at)
		err_msg_set(msg, capture_fail(c, ERR_NOMEM), "%s", err_str(ERR_NOMEM));
	else if (capture_begin_file(c))
		err_msg_set(msg, c->error, "cannot write below %s: %s", config->folder,
			    c->error == ERR_IO ? strerror(errno) : err_str(c->error));
	if (c->error) {
		int rc = c->error;

		capture_close(&c);
		return rc;
	}
	*out = c;
	return 0;
}

void capture_close(struct capture **cp)
{
	struct capture *c = *cp;

	if (!c)
		return;
	capture_end_file(c);
	if (c->folder != -1)
		close(c->folder);
	free(c->name);
	free(c->redaction);
	free(c->at);
	free(c);
	*cp = NULL;
}
