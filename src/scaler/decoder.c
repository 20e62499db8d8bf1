/* SPDX-License-Identifier: MIT */
/*
 * decoder - see decoder.h.
 */
#include "config.h"

#include "scaler/decoder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

/* For fork and sandbox; a machine that needs longer has no time for pictures. */
#define DECODER_START_MS 10000

#define DECODER_CHUNK (256 * 1024) /* bytes given to one child before others get a turn */

void decoder_init(struct decoder *d)
{
	memset(d, 0, sizeof(*d));
	d->fd = -1;
}

static void decoder_close(struct decoder *d)
{
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
	if (d->file && d->file_is_mapped)
		munmap((void *)(uintptr_t)d->file, d->request.len);
	d->file = NULL;
}

int decoder_start(struct decoder *d, const struct picture_limits *limits)
{
	int pair[2];
	pid_t parent = getpid(), pid;

	BUG_ON(d->state != DECODER_FREE || d->pid);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return ERR_IO;
	pid = fork();
	if (pid == 0)
		worker_run(pair[1], limits, parent);
	close(pair[1]);
	if (pid == -1) {
		close(pair[0]);
		return ERR_NOMEM;
	}
	decoder_init(d);
	d->state = DECODER_STARTING;
	d->pid = pid;
	d->fd = pair[0];
	d->deadline = clock_now() + DECODER_START_MS;
	return 0;
}

int decoder_give(struct decoder *d, const struct picture_request *req, const uint8_t *p, size_t len,
		 bool mapped)
{
	BUG_ON(d->state != DECODER_READY);
	d->in_size = sizeof(struct worker_answer) + req->max_bytes + 1;
	d->in = malloc(d->in_size);
	if (!d->in)
		return ERR_NOMEM;
	memset(&d->request, 0, sizeof(d->request));
	d->request.picture = *req;
	d->request.len = len;
	d->file = p;
	d->file_is_mapped = mapped;
	d->state = DECODER_BUSY;
	d->deadline = clock_now() + req->limits.wall_ms;
	return 0;
}

/* The child is through: a result that says how it failed, until a better one is there. */
static void decoder_done(struct decoder *d, enum picture_status status)
{
	memset(&d->result, 0, sizeof(d->result));
	d->result.id = d->request.picture.id;
	d->result.status = status;
	decoder_close(d);
	d->state = DECODER_DONE;
}

static bool answer_is_sane(const struct worker_answer *a, const struct picture_request *req,
			   const uint8_t *p, size_t len)
{
	static const enum picture_format wanted[] = {
		[PICTURE_OUT_AUTO] = PICTURE_NONE,
		[PICTURE_OUT_JPEG] = PICTURE_JPEG,
		[PICTURE_OUT_PNG] = PICTURE_PNG,
		[PICTURE_OUT_WEBP] = PICTURE_WEBP,
	};

	if (a->len != len || a->original_width > INT32_MAX || a->original_height > INT32_MAX ||
	    a->step > UINT8_MAX)
		return false;
	if (a->status == PICTURE_FAILED || a->status == PICTURE_TOO_BIG ||
	    a->status == PICTURE_NO_FIT)
		return len == 0;
	if (a->status != PICTURE_OK || len > req->max_bytes || a->width > req->width ||
	    a->height > req->height || a->width > a->original_width ||
	    a->height > a->original_height)
		return false;
	if (req->output == PICTURE_OUT_AUTO ? a->format != PICTURE_JPEG && a->format != PICTURE_PNG
					    : a->format != wanted[req->output])
		return false;
	if (!picture_thumbhash_is_sane(&a->thumbhash))
		return false;
	return picture_is_clean((enum picture_format)a->format, p, len, a->width, a->height);
}

/* End of file from a busy child: a whole and honest answer, or a failure. */
static void decoder_judge(struct decoder *d)
{
	struct worker_answer a;
	const uint8_t *p = d->in + sizeof(a);

	if (d->got < sizeof(a)) {
		/* It broke off: how is known when it is reaped. */
		decoder_close(d);
		return;
	}
	memcpy(&a, d->in, sizeof(a));
	decoder_done(d, PICTURE_FAILED);
	if (!answer_is_sane(&a, &d->request.picture, p, d->got - sizeof(a)))
		return;
	d->result.status = (enum picture_status)a.status;
	d->result.original_width = a.original_width;
	d->result.original_height = a.original_height;
	d->result.wall_us = a.wall_us;
	if (a.status != PICTURE_OK)
		return;
	d->result.format = (enum picture_format)a.format;
	d->result.width = (uint16_t)a.width;
	d->result.height = (uint16_t)a.height;
	d->result.step = (uint8_t)a.step;
	d->result.thumbhash = a.thumbhash;
	d->result.bytes = p;
	d->result.len = a.len;
}

static void decoder_signal(struct decoder *d)
{
	if (d->pid)
		kill(d->pid, SIGKILL);
	d->killed = true;
}

static void decoder_send(struct decoder *d)
{
	size_t head = sizeof(d->request), budget = DECODER_CHUNK;

	while (d->file && budget) {
		bool in_head = d->sent < head;
		const uint8_t *from = in_head ? (const uint8_t *)&d->request + d->sent
					      : d->file + (d->sent - head);
		size_t left = in_head ? head - d->sent : d->request.len - (d->sent - head);
		ssize_t n = send(d->fd, from, MIN_OF(left, budget), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			return; /* full; or gone, which reading finds out */
		d->sent += (size_t)n;
		budget -= (size_t)n;
		if (d->sent == head + d->request.len) {
			if (d->file_is_mapped)
				munmap((void *)(uintptr_t)d->file, d->request.len);
			d->file = NULL;
		}
	}
}

static void decoder_on_start(struct decoder *d)
{
	char text[sizeof(d->why)];
	ssize_t i, n = recv(d->fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && text[0] == WORKER_READY) {
		d->state = DECODER_READY;
		return;
	}
	decoder_signal(d);
	decoder_close(d);
	if (n < 1 || text[0] != WORKER_BROKEN)
		return; /* FREE when reaped */
	for (i = 1; i < n; i++)
		d->why[i - 1] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	d->state = DECODER_BROKEN;
}

/* False: nothing there now. */
static bool decoder_on_answer(struct decoder *d)
{
	ssize_t n = recv(d->fd, d->in + d->got, d->in_size - d->got, MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		decoder_judge(d);
		return true;
	}
	d->got += (size_t)n;
	if (d->got == d->in_size) { /* more than was asked for */
		decoder_signal(d);
		decoder_done(d, PICTURE_FAILED);
	}
	return true;
}

short decoder_events(const struct decoder *d)
{
	return d->state == DECODER_BUSY && d->file ? POLLIN | POLLOUT : POLLIN;
}

void decoder_on_io(struct decoder *d, short revents)
{
	if (d->fd == -1 || !revents)
		return;
	switch (d->state) {
	case DECODER_STARTING:
		decoder_on_start(d);
		break;
	case DECODER_READY: /* it has nothing to say yet: it died or lies */
		decoder_signal(d);
		decoder_close(d);
		d->state = DECODER_STARTING;
		break;
	case DECODER_BUSY:
		if (revents & POLLOUT)
			decoder_send(d);
		if (revents & (POLLIN | POLLHUP | POLLERR))
			(void)decoder_on_answer(d);
		break;
	case DECODER_FREE:
	case DECODER_DONE:
	case DECODER_BROKEN:
		break;
	}
}

static void decoder_free(struct decoder *d)
{
	pid_t pid = d->pid;

	decoder_close(d);
	free(d->in);
	decoder_init(d);
	d->pid = pid;
}

void decoder_on_exit(struct decoder *d, int status)
{
	d->pid = 0;
	if (WIFSIGNALED(status))
		d->killed = true;
	/* What it wrote before it ended is still in the socket. */
	while (d->state == DECODER_BUSY && d->fd != -1)
		if (!decoder_on_answer(d))
			break;
	if (d->state == DECODER_BUSY)
		decoder_done(d, d->killed ? PICTURE_KILLED : PICTURE_FAILED);
	else if (d->state != DECODER_DONE && d->state != DECODER_BROKEN)
		decoder_free(d);
}

void decoder_check_deadline(struct decoder *d, int64_t now)
{
	if ((d->state != DECODER_STARTING && d->state != DECODER_BUSY) || now < d->deadline ||
	    d->killed)
		return;
	decoder_signal(d);
	if (d->state == DECODER_BUSY)
		decoder_done(d, PICTURE_KILLED);
}

void decoder_kill(struct decoder *d)
{
	if (d->state == DECODER_FREE)
		return;
	decoder_signal(d);
	decoder_free(d);
	d->killed = true;
}

void decoder_answered(struct decoder *d)
{
	BUG_ON(d->state != DECODER_DONE);
	decoder_kill(d);
}
