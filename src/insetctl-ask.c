/* SPDX-License-Identifier: MIT */
/*
 * insetctl-ask - one request over the control socket, and its answer (master/control.h).
 *
 * An answer may have parts before it. What the daemon says is capped, and printed as text that
 * cannot steer a terminal (insetctl-show.c).
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "insetctl.h"

#define ANSWER_MAX  (4 * 1024 * 1024)
#define PATIENCE_MS 30000
#define RELOAD_MS   600000 /* insetd reads files, then waits for its processes as long as it must */
#define DRAIN_MS    500    /* between looks at what is left */

enum { NO_END = -1 };

struct line {
	int fd;
	struct buf in;
	size_t seen; /* bytes of `in` without a newline */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number UNUSED)
{
	interrupted = 1;
}

static int away(const struct ctl *c, const char *why)
{
	fprintf(stderr, "insetctl: no answer from insetd at %s: %s\n", c->socket, why);
	return EXIT_AWAY;
}

/* --- talking --------------------------------------------------------------------------- */

static int line_open(struct line *l, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int saved;

	buf_init(&l->in, ANSWER_MAX);
	l->seen = 0;
	l->fd = -1;
	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(un.sun_path, path);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd == -1)
		return -1;
	if (connect(l->fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return 0;
	saved = errno;
	close(l->fd);
	l->fd = -1;
	errno = saved;
	return -1;
}

static void line_close(struct line *l)
{
	if (l->fd != -1)
		close(l->fd);
	buf_fini(&l->in);
}

static int line_send(const struct line *l, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	int rc = -1;

	if (text) {
		text[len] = '\n'; /* in place of the end: what is sent needs none */
		rc = send(l->fd, text, len + 1, MSG_NOSIGNAL) == (ssize_t)(len + 1) ? 0 : -1;
	} else {
		errno = EILSEQ; /* an argument that is not UTF-8 */
	}
	free(text);
	json_decref(request);
	return rc;
}

/* Waits for bytes: 0, or -1 and errno (EINTR: the user's ^C). */
static int line_wait(const struct line *l, int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	sigset_t none;
	int n;

	sigemptyset(&none);
	if (interrupted) {
		errno = EINTR;
		return -1;
	}
	n = ppoll(&p, 1, ms == NO_END ? NULL : &ts, &none);
	if (n == 0)
		errno = ETIMEDOUT;
	return n == 1 ? 0 : -1;
}

/* The next object; NULL and errno (0: the daemon closed the connection). */
static json_t *line_read(struct line *l, int ms)
{
	char piece[4096];
	json_t *o;
	uint8_t *end;
	ssize_t n;

	while (!(end = l->in.len > l->seen ? memchr(l->in.p + l->seen, '\n', l->in.len - l->seen)
					   : NULL)) {
		l->seen = l->in.len;
		if (line_wait(l, ms))
			return NULL;
		n = recv(l->fd, piece, sizeof(piece), 0);
		if (n <= 0) {
			errno = n == 0 ? 0 : errno;
			return NULL;
		}
		if (buf_add(&l->in, piece, (size_t)n)) {
			errno = EMSGSIZE;
			return NULL;
		}
	}
	o = json_loadb((const char *)l->in.p, (size_t)(end - l->in.p), JSON_REJECT_DUPLICATES,
		       NULL);
	buf_drop(&l->in, (size_t)(end - l->in.p) + 1);
	l->seen = 0;
	if (!json_is_object(o)) {
		json_decref(o);
		errno = EBADMSG;
		return NULL;
	}
	return o;
}

/* --- requests -------------------------------------------------------------------------- */

static json_t *request_of(const struct ctl *c)
{
	const char *jid = c->argument ? c->argument : "";
	json_t *o;

	switch (c->command) {
	case COMMAND_STATUS:
		return json_pack("{s:s}", "command", "status");
	case COMMAND_RULES:
		return json_pack("{s:s}", "command", "rules");
	case COMMAND_RELOAD:
		return json_pack("{s:s}", "command", "reload");
	case COMMAND_DRAIN:
		return json_pack("{s:s}", "command", "drain");
	case COMMAND_CACHE:
		return json_pack("{s:s}", "command", "cache");
	case COMMAND_CACHE_FLUSH:
		return json_pack("{s:s}", "command", "cache-flush");
	case COMMAND_CACHE_PURGE:
		return json_pack("{s:s, s:s}", "command", "cache-purge", "url", c->argument);
	case COMMAND_LOG:
		return json_pack("{s:s, s:s}", "command", "log", "level", c->argument);
	case COMMAND_TRACE:
		return json_pack("{s:s, s:s}", "command", "trace", "jid", jid);
	case COMMAND_SESSIONS:
		o = json_pack("{s:s, s:s}", "command", "sessions", "jid", jid);
		if (o && c->limit)
			json_object_set_new(o, "limit", json_integer(c->limit));
		if (o && c->order)
			json_object_set_new(o, "order", json_string(c->order));
		return o;
	case COMMAND_EXPLAIN:
	case COMMAND_PREVIEW:
	case COMMAND_COUNT:
		break;
	}
	BUG();
}

/* --- answers --------------------------------------------------------------------------- */

static void print_json(const json_t *o, size_t flags)
{
	json_dumpf(o, stdout, flags | JSON_SORT_KEYS);
	putchar('\n');
	fflush(stdout);
}

static int show(const struct ctl *c, const json_t *root)
{
	bool ok = json_is_true(json_object_get(root, "ok"));

	if (c->as_json)
		print_json(root, JSON_INDENT(2));
	else if (ok)
		show_answer(c->command, root);
	if (!c->as_json || ok)
		show_problems(root);
	if (!c->as_json && !ok)
		fprintf(stderr, "insetctl: %s refused\n", command_rows[c->command].words);
	if (!ok)
		return json_is_true(json_object_get(root, "fault")) ? EXIT_FAULT : EXIT_REFUSED;
	/* status is asked when something is wrong: it shows what it can. */
	return json_array_size(json_object_get(root, "problems")) && c->command != COMMAND_STATUS
		       ? EXIT_FAULT
		       : 0;
}

static int patience_for(enum command command)
{
	if (command == COMMAND_TRACE || command == COMMAND_DRAIN)
		return NO_END;
	return command == COMMAND_RELOAD ? RELOAD_MS : PATIENCE_MS;
}

/* Everything up to the answer; NULL and errno. */
static json_t *read_answer(const struct ctl *c, struct line *l)
{
	json_t *o;

	while ((o = line_read(l, patience_for(c->command))) &&
	       json_is_true(json_object_get(o, "more"))) {
		if (c->as_json)
			print_json(o, JSON_COMPACT);
		else
			show_part(c->command, o);
		fflush(stdout);
		json_decref(o);
	}
	return o;
}

/* What is left, until the daemon has gone. */
static int watch_drain(const struct ctl *c, struct line *l)
{
	long long left, said = -1;
	json_t *o;

	for (;;) {
		if (line_send(l, json_pack("{s:s}", "command", "status")))
			break;
		o = line_read(l, PATIENCE_MS);
		if (!o)
			break;
		left = show_number(json_object_get(o, "drain"), "sessions"); /* this insetd's */
		json_decref(o);
		if (left != said && c->as_json)
			print_json(json_pack("{s:b, s:I}", "more", 1, "sessions", (json_int_t)left),
				   JSON_COMPACT);
		else if (left != said)
			printf("%lld session%s left\n", left, left == 1 ? "" : "s");
		fflush(stdout);
		said = left;
		/* Nothing is due: this waits for the end of the connection, or for the time. */
		if (line_wait(l, DRAIN_MS) == -1 && errno != ETIMEDOUT)
			break;
	}
	if (interrupted || (errno && errno != EPIPE && errno != ECONNRESET))
		return interrupted ? 0 : away(c, strerror(errno));
	if (!c->as_json)
		printf("drained\n");
	return 0;
}

static int ask(const struct ctl *c, struct line *l)
{
	json_t *answer;
	int code;

	if (line_send(l, request_of(c)))
		return errno == EILSEQ ? (fprintf(stderr, "insetctl: not UTF-8\n"), EXIT_USAGE)
				       : away(c, strerror(errno));
	answer = read_answer(c, l);
	if (!answer)
		return interrupted ? 0 : away(c, errno ? strerror(errno) : "connection closed");
	code = show(c, answer);
	json_decref(answer);
	if (code == 0 && c->command == COMMAND_DRAIN)
		code = watch_drain(c, l);
	return code;
}

/* ^C ends a trace and the watch over a drain, in order; nothing else waits for long. */
static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		sigaddset(&set, numbers[i]);
		(void)sigaction(numbers[i], &sa, NULL);
	}
	(void)sigprocmask(SIG_BLOCK, &set, NULL); /* but in line_wait() */
}

int ask_run(const struct ctl *c)
{
	struct line l;
	int code;

	if (line_open(&l, c->socket)) {
		code = away(c, strerror(errno));
	} else {
		if (c->command == COMMAND_TRACE || c->command == COMMAND_DRAIN)
			catch_signals();
		code = ask(c, &l);
	}
	line_close(&l);
	return code;
}
