/* SPDX-License-Identifier: MIT */
/*
 * player - see player.h. The run as a whole; player-session.c is one session.
 */
#include "config.h"

#include "replay/player.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "replay/player-inside.h"

#define TICK_US     100000
#define STEP_US     1000000
#define STARTS_A_S  2000 /* sessions that start in a second, unless told otherwise */
#define SPARE_FILES 32   /* beside the sessions' */
#define MEDIA_FILES 160  /* the media server's connections */

/* A connection from what is tested, before its first tag has told whose it is. */
struct stranger {
	struct list link;
	struct player *player;
	struct event *ev; /* owned */
	struct buf in;
	int fd;
};

/* --- our server --------------------------------------------------------------------------- */

static void stranger_free(struct stranger *x)
{
	list_remove(&x->link);
	if (x->ev)
		event_free(x->ev);
	if (x->fd != -1)
		close(x->fd);
	buf_fini(&x->in);
	free(x);
}

/* The session that a stream header names, by the mark of session_print(). */
static struct player_session *player_find(const struct player *p, const struct buf *in)
{
	static const char mark[] = " replay='";
	const char *at = memmem(in->p, in->len, mark, sizeof(mark) - 1);
	unsigned long number, loop;
	char text[32] = "", *end;

	if (!at)
		return NULL;
	at += sizeof(mark) - 1;
	memcpy(text, at, MIN_OF(sizeof(text) - 1, (size_t)((const char *)in->p + in->len - at)));
	number = strtoul(text, &end, 10);
	loop = *end == '.' ? strtoul(end + 1, &end, 10) : ULONG_MAX;
	return *end == '\'' && number < p->n && p->v[number].loop == loop ? &p->v[number] : NULL;
}

static void stranger_on_read(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct stranger *x = arg;
	struct player *p = x->player;
	struct player_session *s;
	const uint8_t *header;
	ssize_t n = recv(fd, p->read_buffer, PLAYER_READ_MAX, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || buf_add(&x->in, p->read_buffer, (size_t)n)) {
		p->result->unknown += x->in.len > 0; /* one that was never used is nobody's loss */
		stranger_free(x);
		return;
	}
	header = memmem(x->in.p, x->in.len, ":stream", 7);
	if (!header || !memchr(header, '>', x->in.len - (size_t)(header - x->in.p)))
		return;
	s = player_find(p, &x->in);
	if (s) {
		event_del(x->ev);
		session_on_server(s, x->fd, x->in.p, x->in.len);
		x->fd = -1;
	} else {
		p->result->unknown++;
	}
	stranger_free(x);
}

static void player_on_accept(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct player *p = arg;
	struct stranger *x;
	int client, i;

	for (i = 0; i < 64; i++) {
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client == -1)
			return;
		x = calloc(1, sizeof(*x));
		if (!x) {
			close(client);
			return;
		}
		x->player = p;
		x->fd = client;
		buf_init(&x->in, PLAYER_HELLO_MAX + PLAYER_READ_MAX);
		list_init(&x->link);
		list_add_tail(&p->strangers, &x->link);
		x->ev = event_new(p->base, client, EV_READ | EV_PERSIST, stranger_on_read, x);
		if (!x->ev || event_add(x->ev, NULL) == -1)
			stranger_free(x);
	}
}

static int player_listen(struct player *p, struct err_msg *msg)
{
	const struct player_config *c = p->config;
	int on = 1;

	p->listener = socket(c->listen.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->listener == -1 ||
	    setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(p->listener, (const struct sockaddr *)&c->listen, c->listen_len) == -1 ||
	    listen(p->listener, 4096) == -1)
		return err_msg_set(msg, ERR_IO, "cannot listen: %s", strerror(errno));
	p->accept = event_new(p->base, p->listener, EV_READ | EV_PERSIST, player_on_accept, p);
	if (!p->accept || event_add(p->accept, NULL) == -1)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	return 0;
}

/* --- time --------------------------------------------------------------------------------- */

/* Twice as long steps, when they do not suffice. */
static void series_fold(struct player_result *r)
{
	size_t i;

	for (i = 0; i < r->steps_n / 2; i++) {
		const struct player_step *a = &r->steps[2 * i], *b = a + 1;

		r->steps[i] = (struct player_step){ a->units + b->units, a->bytes + b->bytes,
						    b->open, MAX_OF(a->p99_us, b->p99_us) };
	}
	r->steps_n /= 2;
	r->step_us *= 2;
}

static void player_step(struct player *p)
{
	struct player_result *r = p->result;
	struct player_step *s;
	uint64_t units = 0, bytes = 0;
	size_t i;

	if (r->steps_n == PLAYER_SERIES_MAX)
		series_fold(r);
	for (i = 0; i < r->steps_n; i++) {
		units += r->steps[i].units;
		bytes += r->steps[i].bytes;
	}
	s = &r->steps[r->steps_n++];
	*s = (struct player_step){ r->units_arrived - units, r->bytes_arrived - bytes, p->open,
				   histogram_quantile(p->now, 0.99) };
	*p->now = (struct histogram){ .count = 0 };
}

static void player_say(const struct player *p)
{
	const struct player_result *r = p->result;
	const struct player_step *s = &r->steps[r->steps_n - 1];
	uint64_t bad = 0;
	int i;

	for (i = CHECKER_CHANGED; i < CHECKER_RESULT_COUNT; i++)
		bad += r->sums.n[i];
	fprintf(stderr,
		"%5.0f s  %zu open  %llu of %zu done  %llu units/s  %.1f MB/s  p50 %.1f ms  p99 "
		"%.1f ms  "
		"differences %llu  failed %llu\n",
		(double)(clock_us() - p->start_us) / 1e6, p->open, (unsigned long long)r->finished,
		p->n * MAX_OF(p->config->loops, 1), (unsigned long long)s->units,
		(double)s->bytes / 1e6, (double)histogram_quantile(&r->latency, 0.5) / 1e3,
		(double)s->p99_us / 1e3, (unsigned long long)bad, (unsigned long long)r->failed);
}

static void player_on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct player *p = arg;
	int64_t now = clock_us();
	size_t i;

	if (now - p->start_us >= (int64_t)(p->result->steps_n + 1) * p->result->step_us) {
		player_step(p);
		if (p->config->progress)
			player_say(p);
		for (i = 0; i < p->n; i++)
			session_check(&p->v[i], now);
	}
}

static void player_on_signal(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct player *p = arg;

	p->stopping = true;
	p->result->interrupted = true;
	event_base_loopbreak(p->base);
}

/* --- the run ------------------------------------------------------------------------------ */

/* Two sockets a session, and a media server. */
static int player_raise_files(size_t sessions, bool with_media, struct err_msg *msg)
{
	rlim_t spare = SPARE_FILES + (with_media ? MEDIA_FILES : 0);
	rlim_t want = 2 * (rlim_t)sessions + spare;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur >= want)
		return 0;
	files.rlim_cur = want;
	files.rlim_max = MAX_OF(files.rlim_max, want);
	if (setrlimit(RLIMIT_NOFILE, &files) == 0)
		return 0;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= want)
		return 0;
	return err_msg_set(
		msg, ERR_FULL,
		"%zu sessions need %llu descriptors, and no more than %llu may be had here "
		"(hard limit, ulimit -Hn): enough for %llu sessions",
		sessions, (unsigned long long)want, (unsigned long long)files.rlim_max,
		(unsigned long long)((files.rlim_max - MIN_OF(spare, files.rlim_max)) / 2));
}

/* Gives every player's session one of the capture, under a name of its own. */
static int player_cast(struct player *p, struct err_msg *msg)
{
	const struct trace_session **playable = calloc(p->trace->n + 1, sizeof(*playable));
	int64_t first = INT64_MAX, ramp = p->config->ramp_us;
	size_t i, k = 0;

	if (!playable)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	for (i = 0; i < p->trace->n; i++)
		if (!p->trace->v[i].error && !p->trace->v[i].blind && !p->trace->v[i].after &&
		    p->trace->v[i].lane[0].n)
			playable[k++] = &p->trace->v[i];
	p->result->capture_sessions = (unsigned)k;
	p->n = p->config->sessions ? p->config->sessions : k;
	p->v = k ? calloc(p->n, sizeof(*p->v)) : NULL;
	if (!p->v) {
		free(playable);
		return k ? err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM))
			 : err_msg_set(msg, ERR_NOT_FOUND,
				       "no session in it that could be played: none is whole and "
				       "in the clear");
	}
	for (i = 0; i < k; i++)
		first = MIN_OF(first, playable[i]->start_us);
	if (ramp < 0)
		ramp = (int64_t)p->n * 1000000 / STARTS_A_S;
	for (i = 0; i < p->n; i++) {
		struct player_session *s = &p->v[i];
		double t;

		session_init(s, p, i);
		s->trace = playable[i % k];
		s->clone = (unsigned)(i / k);
		t = p->config->speed > 0 ? (double)(s->trace->start_us - first) / p->config->speed
					 : 0;
		s->base_us = (int64_t)t + (int64_t)(ramp * (int64_t)i / (int64_t)p->n);
	}
	free(playable);
	return 0;
}

static int player_open(struct player *p, struct err_msg *msg)
{
	struct event_config *config = event_config_new();
	size_t i;
	int rc;

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER |
							    EVENT_BASE_FLAG_NOLOCK) == 0)
		p->base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	p->read_buffer = malloc(PLAYER_READ_MAX);
	p->now = calloc(1, sizeof(*p->now));
	p->result->steps = calloc(PLAYER_SERIES_MAX, sizeof(*p->result->steps));
	p->result->step_us = STEP_US;
	for (i = 0; i < ARRAY_SIZE(p->scratch); i++)
		buf_init(&p->scratch[i], 2 * (size_t)TRACE_UNIT_MAX);
	if (!p->base || !p->read_buffer || !p->now || !p->result->steps)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	rc = player_cast(p, msg);
	if (!rc)
		rc = player_raise_files(p->n, p->config->with_media, msg);
	if (!rc && p->config->tls)
		rc = secure_open(p->config->ca_file, &p->secure, msg);
	if (!rc)
		rc = player_listen(p, msg);
	if (!rc && p->config->with_media) {
		rc = media_open(&p->media, p->base, &p->config->media, msg);
		if (!rc)
			p->origin = media_origin(p->media);
	}
	return rc;
}

static void player_close(struct player *p)
{
	size_t i;
	int k;

	for (i = 0; i < p->n && p->v; i++)
		session_fini(&p->v[i]);
	while (!list_is_empty(&p->strangers))
		stranger_free(CONTAINER_OF(list_first(&p->strangers), struct stranger, link));
	for (k = 0; p->media && k < MEDIA_FAULT_COUNT; k++)
		p->result->media[k] = media_count(p->media, (enum media_fault)k);
	media_close(&p->media);
	secure_close(&p->secure);
	if (p->accept)
		event_free(p->accept);
	if (p->tick)
		event_free(p->tick);
	if (p->listener != -1)
		close(p->listener);
	if (p->base)
		event_base_free(p->base);
	for (i = 0; i < ARRAY_SIZE(p->scratch); i++)
		buf_fini(&p->scratch[i]);
	free(p->read_buffer);
	free(p->now);
	free(p->v);
}

static void player_loop(struct player *p)
{
	static const int signals[] = { SIGINT, SIGTERM };
	const struct timeval tick = { 0, TICK_US };
	struct event *ends[ARRAY_SIZE(signals)];
	struct timespec now;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		ends[i] = evsignal_new(p->base, signals[i], player_on_signal, p);
		if (ends[i])
			event_add(ends[i], NULL);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	p->result->started_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	p->start_us = clock_us();
	for (i = 0; i < p->n; i++) {
		int64_t wait = p->v[i].base_us;
		struct timeval tv = { wait / 1000000, wait % 1000000 };

		p->v[i].base_us += p->start_us;
		event_add(&p->v[i].timer, &tv);
	}
	p->tick = event_new(p->base, -1, EV_PERSIST, player_on_tick, p);
	if (p->tick && event_add(p->tick, &tick) == 0)
		event_base_dispatch(p->base);
	p->result->took_us = clock_us() - p->start_us;
	for (i = 0; i < p->n; i++)
		p->result->in_flight += session_in_flight(&p->v[i]);
	player_step(p);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		if (ends[i])
			event_free(ends[i]);
}

int player_run(const struct player_config *config, const struct trace *trace,
	       struct player_result *out, struct err_msg *msg)
{
	struct player p = { .config = config, .trace = trace, .result = out, .listener = -1 };
	int rc;

	*out = (struct player_result){ .took_us = 0 };
	list_init(&p.strangers);
	rc = player_open(&p, msg);
	if (!rc)
		player_loop(&p);
	player_close(&p);
	return rc;
}

void player_result_fini(struct player_result *r)
{
	free(r->steps);
	checker_sums_fini(&r->sums);
	r->steps = NULL;
}

bool player_is_clean(const struct player_config *config, const struct player_result *r)
{
	if (!checker_is_clean(&r->sums) || r->failed || r->unknown)
		return false;
	if (config->expect == PLAYER_EXPECT_ALL && r->sums.present < r->sums.expected &&
	    !r->interrupted)
		return false;
	return config->expect != PLAYER_EXPECT_NONE || !r->sums.present;
}
