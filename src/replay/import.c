/* SPDX-License-Identifier: MIT */
/*
 * import - see import.h.
 */
#include "config.h"

#include "replay/import.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/capture.h"
#include "base/clock.h"
#include "base/hash.h"
#include "xmpp/redact.h"

#define STREAMS_MAX  100000
#define PAYLOAD_MAX  (256u * 1024)
#define REDACTED_MAX (PAYLOAD_MAX + 8192)

extern char **environ;

struct import_lane {
	struct redact redact;
	uint64_t next; /* sequence number that is due; 0: any */
};

struct import_stream {
	struct import_lane lane[2]; /* c2s, s2c */
	bool broken;
};

struct import {
	const struct import_config *config;
	struct import_result *result;
	struct capture *capture; /* owned, as streams, n of them, by tshark's number */
	struct import_stream **streams;
	size_t n;
	struct buf payload;
	struct buf redacted;
	int64_t base_us; /* at the first segment */
	int64_t last_us;
	double first;
	uint64_t key[2];
	bool begun;
};

static struct import_stream *import_stream(struct import *m, unsigned long number)
{
	struct import_stream *s;
	int dir;

	if (number >= STREAMS_MAX)
		return NULL;
	if (number >= m->n) {
		size_t n = MAX_OF(2 * m->n, (size_t)number + 1), i;
		struct import_stream **v = realloc(m->streams, n * sizeof(*v));

		if (!v)
			return NULL;
		for (i = m->n; i < n; i++)
			v[i] = NULL;
		m->streams = v;
		m->n = n;
	}
	if (m->streams[number])
		return m->streams[number];
	s = m->streams[number] = calloc(1, sizeof(*s));
	for (dir = 0; s && dir < 2; dir++)
		redact_init(&s->lane[dir].redact, m->key);
	m->result->streams += s != NULL;
	return s;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int import_payload(struct import *m, const char *hex)
{
	buf_drop(&m->payload, m->payload.len);
	for (; hex[0] && hex[1]; hex += 2) {
		int high = hex_digit(hex[0]), low = hex_digit(hex[1]);
		uint8_t b = (uint8_t)(high << 4 | low);

		if (high == -1 || low == -1)
			return ERR_SYNTAX;
		if (buf_add(&m->payload, &b, 1))
			return ERR_NOMEM;
	}
	return 0;
}

/* What of the payload is new goes into the capture. */
static int import_segment(struct import *m, unsigned long number, bool s2c, double t, uint64_t seq)
{
	struct import_stream *s = import_stream(m, number);
	struct import_lane *l;
	struct capture_line line = { .session = number + 1, .event = CAPTURE_DATA, .s2c = s2c };
	size_t skip = 0, len = m->payload.len;

	if (!s)
		return ERR_NOMEM;
	l = &s->lane[s2c];
	if (l->next && seq > l->next && !s->broken) {
		s->broken = true;
		m->result->broken++;
	}
	if (s->broken)
		return 0;
	if (l->next > seq)
		skip = MIN_OF((size_t)(l->next - seq), len);
	if (skip == len)
		return 0;
	l->next = seq + len;
	line.at_us = m->base_us + (int64_t)((t - m->first) * 1e6);
	line.at_us = m->last_us = MAX_OF(line.at_us, m->last_us); /* lines do not go back */
	line.p = m->payload.p + skip;
	line.len = len - skip;
	if (m->config->redact) {
		if (redact_feed(&l->redact, line.p, line.len, &m->redacted))
			return ERR_NOMEM;
		line.p = m->redacted.p;
		line.len = m->redacted.len;
	}
	if (line.len)
		capture_write(m->capture, &line);
	buf_drop(&m->redacted, m->redacted.len);
	return capture_error(m->capture);
}

/* "TIME \t STREAM \t SOURCE PORT \t SEQUENCE \t PAYLOAD" */
static int import_line(struct import *m, char *line)
{
	char *field[5], *save = NULL;
	double t;
	int i, rc;

	for (i = 0; i < 5; i++) {
		field[i] = strtok_r(i ? NULL : line, "\t\n", &save);
		if (!field[i])
			return i ? ERR_SYNTAX : 0;
	}
	t = strtod(field[0], NULL);
	if (!m->begun) {
		m->begun = true;
		m->first = t;
	}
	m->first = MIN_OF(m->first, t);
	rc = import_payload(m, field[4]);
	return rc ? rc
		  : import_segment(m, strtoul(field[1], NULL, 10),
				   strtoul(field[2], NULL, 10) == m->config->port, t,
				   strtoull(field[3], NULL, 10));
}

/* tshark with its output on a pipe: its pid, or -1. */
static pid_t import_spawn(const struct import_config *c, int *fd_out)
{
	char filter[64];
	const char *argv[] = {
		"tshark",      "-n",          "-r",
		c->pcap,       "-o",          "tcp.desegment_tcp_streams:FALSE",
		"-Y",          filter,        "-T",
		"fields",      "-e",          "frame.time_epoch",
		"-e",          "tcp.stream",  "-e",
		"tcp.srcport", "-e",          "tcp.seq",
		"-e",          "tcp.payload", NULL,
	};
	posix_spawn_file_actions_t actions;
	int pipes[2];
	pid_t pid = -1;

	snprintf(filter, sizeof(filter), "tcp.port==%u && tcp.len>0", c->port);
	if (pipe(pipes) == -1)
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, pipes[0]);
	posix_spawn_file_actions_addclose(&actions, pipes[1]);
	errno = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
			     environ);
	if (errno)
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	if (pid == -1)
		close(pipes[0]);
	*fd_out = pipes[0];
	return pid;
}

static void import_end_streams(struct import *m)
{
	size_t i;
	int dir;

	for (i = 0; i < m->n; i++) {
		for (dir = 0; m->streams[i] && dir < 2; dir++)
			redact_fini(&m->streams[i]->lane[dir].redact);
		free(m->streams[i]);
	}
	free(m->streams);
	buf_fini(&m->payload);
	buf_fini(&m->redacted);
}

static int import_read(struct import *m, struct err_msg *msg)
{
	size_t room = 0;
	char *line = NULL;
	int fd, status = 0, rc = 0;
	pid_t pid = import_spawn(m->config, &fd);
	FILE *f;

	if (pid == -1)
		return err_msg_set(msg, ERR_NOT_FOUND, "tshark: %s", strerror(errno));
	f = fdopen(fd, "r");
	while (f && !rc && getline(&line, &room, f) != -1)
		rc = import_line(m, line);
	free(line);
	if (f)
		fclose(f);
	else
		close(fd);
	if (waitpid(pid, &status, 0) == -1 || (!rc && status != 0))
		rc = err_msg_set(msg, ERR_IO, "tshark could not read %s", m->config->pcap);
	return rc ? err_msg_set(msg, rc, "%s: %s", m->config->pcap, err_str(rc)) : 0;
}

int import_pcap(const struct import_config *config, struct import_result *out, struct err_msg *msg)
{
	const struct capture_config capture = { .folder = config->folder,
						.name = config->name,
						.redaction = config->redact ? "default" : "none",
						.at = "before",
						.rotate = UINT64_MAX };
	struct import m = { .config = config, .result = out };
	int rc;

	*out = (struct import_result){ .streams = 0 };
	buf_init(&m.payload, PAYLOAD_MAX);
	buf_init(&m.redacted, REDACTED_MAX);
	hash_random(m.key, sizeof(m.key));
	rc = capture_open(&m.capture, &capture, msg);
	if (!rc) {
		m.base_us = clock_us();
		rc = import_read(&m, msg);
	}
	import_end_streams(&m);
	capture_close(&m.capture);
	return rc;
}
