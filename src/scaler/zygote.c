/* SPDX-License-Identifier: MIT */
/*
 * zygote - see zygote.h.
 *
 * Invariants:
 *   - every SCALE of the present media process gets exactly one SCALED;
 *   - a child gets one picture; FREE slots are filled again at once, with back-off when
 *     children die before they got one;
 *   - `out` holds at most one message that media's socket had no room for; nothing else is
 *     made while it waits.
 */
#include "config.h"

#include "scaler/zygote.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/stall.h"
#include "scaler/decoder.h"
#include "scaler/sandbox.h"
#include "scaler/scale.h"
#include "scaler/selftest.h"

#define CHILDREN_MAX  64
#define QUEUE_MAX     256
#define MESSAGES_MAX  32 /* from one channel a turn */
#define DEATHS_MAX    20 /* a minute, before a picture */
#define DEATHS_MS     60000
#define TRIAL_NONE    (-1)
#define EXIT_INTERNAL 70

/* A picture that waits for a child. */
struct waiting {
	struct picture_request req;
	int fd;           /* owned */
	int64_t deadline; /* ms; UNAVAILABLE then */
};

struct slot {
	struct decoder decoder;
	int trial; /* of the self-test, or TRIAL_NONE */
};

static struct zygote {
	const char *user;
	struct picture_setup setup; /* runs */
	struct picture_setup next;  /* between SETUP and COMMIT */
	bool have_next;
	bool live;
	bool stop;
	int exit_code;
	int media; /* -1: none */
	int signals;

	struct slot slots[CHILDREN_MAX];
	struct waiting queue[QUEUE_MAX]; /* ring */
	unsigned queue_at;
	unsigned queued;

	struct selftest test;
	bool off;      /* the sandbox cannot be installed */
	bool paused;   /* until pause_until: too many died before they got a picture */
	bool announce; /* FORMATS is due */
	char why[160];

	int64_t deaths_since;
	unsigned deaths;
	int64_t pause_until; /* no forks before; 0: none */
	struct log_limit killed_log;

	bool out_waits;
	struct ipc_out out;
	struct ipc_in in;
} zygote;

/* --- media ----------------------------------------------------------------------------- */

static void waiting_drop(struct zygote *z)
{
	close(z->queue[z->queue_at].fd);
	z->queue_at = (z->queue_at + 1) % QUEUE_MAX;
	z->queued--;
}

/* Nobody waits for its pictures any more. */
static void media_lost(struct zygote *z)
{
	unsigned i;

	if (z->media != -1)
		close(z->media);
	z->media = -1;
	z->out_waits = false;
	while (z->queued)
		waiting_drop(z);
	for (i = 0; i < CHILDREN_MAX; i++) {
		struct slot *s = &z->slots[i];

		if (s->trial == TRIAL_NONE &&
		    (s->decoder.state == DECODER_BUSY || s->decoder.state == DECODER_DONE))
			decoder_kill(&s->decoder);
	}
}

static void media_send(struct zygote *z)
{
	int rc = ipc_send(z->media, &z->out);

	z->out_waits = rc == ERR_AGAIN;
	if (rc && rc != ERR_AGAIN) {
		if (rc != ERR_CLOSED)
			log_error("cannot answer the media process error=%s", err_name(rc));
		media_lost(z);
	}
}

static void media_answer(struct zygote *z, const struct picture_result *res)
{
	BUG_ON(z->out_waits);
	if (z->media == -1)
		return;
	ipc_begin(&z->out, IPC_SCALED);
	picture_result_put(&z->out, res);
	media_send(z);
}

static void media_refuse(struct zygote *z, uint64_t id, enum picture_status status)
{
	struct picture_result res;

	memset(&res, 0, sizeof(res));
	res.id = id;
	res.status = status;
	media_answer(z, &res);
}

static void media_announce(struct zygote *z)
{
	uint32_t mask = z->off || z->paused ? 0 : selftest_mask(&z->test);

	if (!z->announce || z->out_waits || z->media == -1)
		return;
	z->announce = false;
	ipc_begin(&z->out, IPC_FORMATS);
	ipc_put_u32(&z->out, mask);
	ipc_put_str(&z->out, mask ? "" : z->why);
	media_send(z);
}

static void limits_clamp(struct picture_limits *l, const struct picture_limits *most)
{
	l->max_pixels = MIN_OF(l->max_pixels, most->max_pixels);
	l->max_pixels_jpeg = MIN_OF(l->max_pixels_jpeg, most->max_pixels_jpeg);
	l->max_side = MIN_OF(l->max_side, most->max_side);
	l->memory = MIN_OF(l->memory, most->memory);
	l->wall_ms = MIN_OF(l->wall_ms, most->wall_ms);
	l->cpu_ms = MIN_OF(l->cpu_ms, most->cpu_ms);
}

static int media_on_scale(struct zygote *z)
{
	struct picture_request req;
	struct waiting *w;
	int rc = picture_request_get(&z->in, &req);
	int fd = ipc_take_fd(&z->in);

	if (rc || fd == -1) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	if (z->queued == QUEUE_MAX) {
		close(fd);
		media_refuse(z, req.id, PICTURE_UNAVAILABLE);
		return 0;
	}
	limits_clamp(&req.limits, &z->setup.limits);
	w = &z->queue[(z->queue_at + z->queued++) % QUEUE_MAX];
	w->req = req;
	w->fd = fd;
	w->deadline = clock_now() + req.limits.wall_ms;
	return 0;
}

static void media_on_io(struct zygote *z, short revents)
{
	unsigned i;

	if (z->media == -1 || !revents)
		return;
	if (z->out_waits)
		media_send(z);
	for (i = 0; i < MESSAGES_MAX && z->media != -1 && !z->out_waits; i++) {
		int rc = ipc_recv(z->media, &z->in, ROLE_SCALER, ROLE_MEDIA);

		if (rc == ERR_AGAIN)
			return;
		if (!rc) {
			/* SCALE is all that media may send us; ipc_recv() saw to it. */
			rc = media_on_scale(z);
			ipc_in_fini(&z->in);
		}
		if (rc) {
			if (rc != ERR_CLOSED) {
				counter_inc(METRIC_IPC_BAD);
				log_error("closing the channel to the media process error=%s",
					  err_name(rc));
			}
			media_lost(z);
		}
	}
}

/* --- children -------------------------------------------------------------------------- */

/* One that never got a picture. Many of them: something is wrong here, not with pictures. */
static void children_count_death(struct zygote *z)
{
	int64_t now = clock_now();

	if (now - z->deaths_since > DEATHS_MS) {
		z->deaths_since = now;
		z->deaths = 0;
	}
	if (++z->deaths <= DEATHS_MAX)
		return;
	log_error("decoders die before they get a picture; the next are started in a minute");
	z->pause_until = now + DEATHS_MS;
	z->deaths = 0;
	z->paused = true;
	z->announce = true;
	snprintf(z->why, sizeof(z->why), "decoders die before they get a picture");
}

static void children_reap(struct zygote *z)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;
	unsigned i;

	while (read(z->signals, &si, sizeof(si)) > 0)
		continue;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < CHILDREN_MAX; i++) {
			struct decoder *d = &z->slots[i].decoder;

			if (d->pid != pid)
				continue;
			if (d->state == DECODER_STARTING || d->state == DECODER_READY)
				children_count_death(z);
			decoder_on_exit(d, status);
			break;
		}
}

/* Fail closed: no filter, no pictures. Said once. */
static void children_off(struct zygote *z, const char *why)
{
	unsigned i;

	z->off = true;
	z->announce = true;
	snprintf(z->why, sizeof(z->why), "no sandbox: %s", why);
	log_error("thumbnails are off: decoders cannot be confined reason=\"%s\"", why);
	for (i = 0; i < CHILDREN_MAX; i++)
		decoder_kill(&z->slots[i].decoder);
}

static void children_start(struct zygote *z)
{
	unsigned i;

	if (z->off || !z->live || clock_now() < z->pause_until)
		return;
	if (z->paused) {
		z->paused = false;
		z->announce = selftest_is_done(&z->test);
		log_notice("decoders are started again");
	}
	for (i = 0; i < z->setup.children; i++) {
		struct decoder *d = &z->slots[i].decoder;

		if (d->state != DECODER_FREE || d->pid)
			continue;
		z->slots[i].trial = TRIAL_NONE;
		if (decoder_start(d, &z->setup.limits)) {
			log_error("cannot start a decoder error=\"%s\"", strerror(errno));
			z->pause_until = clock_now() + 1000;
			return;
		}
	}
}

/* --- pictures -------------------------------------------------------------------------- */

static void test_finish(struct zygote *z)
{
	uint32_t mask = selftest_mask(&z->test);
	enum picture_format f;

	for (f = PICTURE_NONE + 1; f < PICTURE_FORMAT_COUNT; f++)
		if (selftest_has(f) && !(mask & 1u << f))
			log_error("the self-test failed, this format is off format=%s",
				  picture_mime(f));
	if (!mask)
		snprintf(z->why, sizeof(z->why), "no format passed the self-test");
	if (!sandbox_is_real())
		log_warning("built without the decoder sandbox: for tests only");
	log_info("ready for pictures formats=%d children=%u", __builtin_popcount(mask),
		 z->setup.children);
	z->announce = true;
}

static void pictures_finish(struct zygote *z, struct slot *s)
{
	struct decoder *d = &s->decoder;
	unsigned dropped;

	if (d->state == DECODER_BROKEN) {
		children_off(z, d->why);
		return;
	}
	if (d->state != DECODER_DONE)
		return;
	if (s->trial != TRIAL_NONE) {
		selftest_result(&z->test, (unsigned)s->trial, &d->result);
		decoder_answered(d);
		if (selftest_is_done(&z->test))
			test_finish(z);
		return;
	}
	if (z->out_waits)
		return;
	if (d->result.status == PICTURE_KILLED && log_limit_ok(&z->killed_log, 5, &dropped))
		log_notice("a decoder was killed format=%s left_out=%u",
			   picture_mime(d->request.picture.format), dropped);
	media_answer(z, &d->result);
	if (d->state == DECODER_DONE)
		decoder_answered(d);
}

/* The oldest waiting picture into this child; a picture that cannot be had is answered. */
static void pictures_give(struct zygote *z, struct decoder *d)
{
	struct waiting *w = &z->queue[z->queue_at];
	const uint8_t *p;
	size_t len;
	int rc = ipc_memfd_map(w->fd, IPC_BLOB_MAX, &p, &len);

	if (!rc && len == 0)
		rc = ERR_SYNTAX;
	if (!rc) {
		rc = decoder_give(d, &w->req, p, len, true);
		if (rc)
			munmap((void *)(uintptr_t)p, len);
	}
	if (rc)
		media_refuse(z, w->req.id, PICTURE_FAILED);
	if (z->queued) /* the refusal may have found media gone */
		waiting_drop(z);
}

static bool pictures_refuse(struct zygote *z)
{
	struct waiting *w = &z->queue[z->queue_at];
	uint64_t id = w->req.id;

	if (!z->off && !z->paused && clock_now() < w->deadline &&
	    (!selftest_is_done(&z->test) || selftest_mask(&z->test) & 1u << w->req.format))
		return false;
	waiting_drop(z);
	media_refuse(z, id, PICTURE_UNAVAILABLE);
	return true;
}

static void pictures_step(struct zygote *z)
{
	unsigned i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		decoder_check_deadline(&z->slots[i].decoder, clock_now());
		pictures_finish(z, &z->slots[i]);
	}
	children_start(z);
	while (z->queued && !z->out_waits && pictures_refuse(z))
		continue;
	for (i = 0; i < CHILDREN_MAX; i++) {
		struct slot *s = &z->slots[i];

		if (s->decoder.state != DECODER_READY)
			continue;
		s->trial = selftest_next(&z->test, &s->decoder, &z->setup.limits);
		if (s->trial == TRIAL_NONE && selftest_is_done(&z->test) && z->queued &&
		    !z->out_waits)
			pictures_give(z, &s->decoder);
	}
	media_announce(z);
}

/* --- master ---------------------------------------------------------------------------- */

static int master_on_peer(struct zygote *z)
{
	uint8_t role = ipc_get_u8(&z->in);
	uint32_t index = ipc_get_u32(&z->in);
	int fd = ipc_take_fd(&z->in);
	int rc = ipc_end(&z->in);

	if (!rc && (role != ROLE_MEDIA || index != 0))
		rc = ERR_BAD_MESSAGE;
	if (rc) {
		if (fd != -1)
			close(fd);
		return rc;
	}
	media_lost(z);
	z->media = fd;
	z->announce = selftest_is_done(&z->test) || z->off;
	return 0;
}

static int zygote_go_live(struct zygote *z)
{
	const struct confine confine = { .user = z->user };
	struct err_msg msg = { "" };
	int rc = confine_apply(&confine, NULL, &msg);

	if (rc) {
		log_error("cannot give up privileges: %s", msg.text);
		return rc;
	}
	scale_init();
	z->live = true;
	child_ready(scale_version());
	return 0;
}

static int master_on_commit(struct zygote *z)
{
	unsigned i;
	int rc;

	(void)ipc_get_u64(&z->in);
	rc = ipc_end(&z->in);
	if (rc || (!z->live && !z->have_next))
		return ERR_BAD_MESSAGE;
	if (z->have_next) {
		z->setup = z->next;
		z->have_next = false;
	}
	if (!z->live)
		return zygote_go_live(z);
	/* A reload: children that wait were started with the old limits. */
	for (i = 0; i < CHILDREN_MAX; i++)
		if (z->slots[i].decoder.state == DECODER_READY ||
		    z->slots[i].decoder.state == DECODER_STARTING)
			decoder_kill(&z->slots[i].decoder);
	return 0;
}

static int master_on_message(struct zygote *z)
{
	int rc = ERR_BAD_MESSAGE;

	if (z->in.type == IPC_COUNTERS)
		return child_on_counters(&z->in);
	if (z->in.type == IPC_PEER)
		return master_on_peer(z);
	if (z->in.type == IPC_COMMIT)
		return master_on_commit(z);
	if (z->in.type == IPC_ASK)
		return child_on_ask(&z->in, NULL);
	if (z->in.type == IPC_PING)
		return child_on_ping(&z->in);
	if (z->in.type == IPC_SETUP) {
		rc = picture_setup_get(&z->in, &z->next);
		z->have_next = !rc;
		if (!rc)
			child_confirm(0, true, "");
	} else if (z->in.type == IPC_ROLLBACK) {
		z->have_next = false;
		rc = 0;
	} else if (z->in.type == IPC_STOP) {
		z->stop = true;
		rc = 0;
	}
	return rc;
}

static void master_on_io(struct zygote *z)
{
	unsigned i;

	for (i = 0; i < MESSAGES_MAX && !z->stop; i++) {
		int rc = ipc_recv(CHILD_FD, &z->in, ROLE_SCALER, ROLE_MASTER);

		if (rc == ERR_AGAIN)
			return;
		if (rc == ERR_CLOSED) {
			z->stop = true;
			return;
		}
		if (!rc) {
			rc = master_on_message(z);
			ipc_in_fini(&z->in);
		}
		if (rc) {
			log_error("a message of the master is of no use error=%s", err_name(rc));
			z->exit_code = EXIT_INTERNAL;
			z->stop = true;
		}
	}
}

/* --- loop ------------------------------------------------------------------------------ */

static void sooner(int64_t *at, int64_t when)
{
	if (*at == 0 || when < *at)
		*at = when;
}

static int zygote_timeout(const struct zygote *z)
{
	int64_t at = 0, left;
	unsigned i;

	for (i = 0; i < CHILDREN_MAX; i++) {
		const struct decoder *d = &z->slots[i].decoder;

		if ((d->state == DECODER_STARTING || d->state == DECODER_BUSY) && !d->killed)
			sooner(&at, d->deadline);
	}
	if (z->queued && !z->out_waits)
		sooner(&at, z->queue[z->queue_at].deadline);
	if (z->pause_until > clock_now())
		sooner(&at, z->pause_until);
	if (at == 0)
		return -1;
	clock_update();
	left = at - clock_now();
	return (int)MAX_OF(MIN_OF(left, (int64_t)60000), 0);
}

static void zygote_turn(struct zygote *z)
{
	struct pollfd fds[3 + CHILDREN_MAX];
	struct decoder *decoders[CHILDREN_MAX];
	unsigned i, n = 0;
	int timeout;

	fds[0] = (struct pollfd){ .fd = CHILD_FD, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = z->signals, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = z->live ? z->media : -1,
				  .events = z->out_waits ? POLLOUT : POLLIN };
	for (i = 0; i < CHILDREN_MAX; i++) {
		struct decoder *d = &z->slots[i].decoder;

		if (d->fd == -1) /* poll() refuses more entries than there may be descriptors */
			continue;
		fds[3 + n] = (struct pollfd){ .fd = d->fd, .events = decoder_events(d) };
		decoders[n++] = d;
	}
	timeout = zygote_timeout(z);
	stall_end_of_turn();
	if (poll(fds, 3 + n, timeout) == -1) {
		if (errno != EINTR && errno != ENOMEM) {
			log_error("poll: %s", strerror(errno));
			z->exit_code = EXIT_INTERNAL;
			z->stop = true;
		}
		return;
	}
	clock_update();
	for (i = 0; i < n; i++)
		decoder_on_io(decoders[i], fds[3 + i].revents);
	if (fds[1].revents)
		children_reap(z);
	media_on_io(z, fds[2].revents);
	if (fds[0].revents)
		master_on_io(z);
	if (z->live && !z->stop)
		pictures_step(z);
}

static int zygote_signals(void)
{
	sigset_t set;

	/* Ctrl-C goes to the whole group; the master tells us what it means. */
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int zygote_run(const char *user)
{
	struct zygote *z = &zygote;
	unsigned i;

	z->user = user;
	z->media = -1;
	selftest_init(&z->test);
	for (i = 0; i < CHILDREN_MAX; i++) {
		decoder_init(&z->slots[i].decoder);
		z->slots[i].trial = TRIAL_NONE;
	}
	z->signals = zygote_signals();
	if (z->signals == -1) {
		log_error("signalfd: %s", strerror(errno));
		return EXIT_INTERNAL;
	}
	while (!z->stop)
		zygote_turn(z);
	media_lost(z);
	for (i = 0; i < CHILDREN_MAX; i++)
		decoder_kill(&z->slots[i].decoder);
	return z->exit_code;
}
