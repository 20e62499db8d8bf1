/* SPDX-License-Identifier: MIT */
/*
 * worker - see worker.h. Blocking, one picture, then exit.
 */
#include "config.h"

#include "scaler/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "scaler/sandbox.h"
#include "scaler/scale.h"

#define WORKER_FD 0

/* Exactly len bytes; anything else means that the zygote is gone or wants no answer. */
static void worker_read(void *to, size_t len)
{
	uint8_t *p = to;

	while (len) {
		ssize_t n = read(WORKER_FD, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		p += n;
		len -= (size_t)n;
	}
}

static void worker_write(const void *from, size_t len)
{
	const uint8_t *p = from;

	while (len) {
		ssize_t n = write(WORKER_FD, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(1);
		p += n;
		len -= (size_t)n;
	}
}

/* The zygote's handlers and mask are not the child's. SIGPIPE ends it. */
static void worker_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void worker_answer(const struct picture_result *res, int64_t wall_us)
{
	struct worker_answer a;

	memset(&a, 0, sizeof(a));
	a.status = res->status;
	a.format = res->format;
	a.width = res->width;
	a.height = res->height;
	a.original_width = res->original_width;
	a.original_height = res->original_height;
	a.step = res->step;
	a.wall_us = (uint32_t)MIN_OF(wall_us, (int64_t)UINT32_MAX);
	if (res->status == PICTURE_OK)
		a.thumbhash = res->thumbhash;
	a.len = res->status == PICTURE_OK ? (uint32_t)res->len : 0;
	worker_write(&a, sizeof(a));
	if (a.len)
		worker_write(res->bytes, a.len);
}

void worker_run(int fd, const struct picture_limits *limits, pid_t parent)
{
	struct worker_request req;
	struct picture_result res;
	struct err_msg msg = { "" };
	int64_t start;
	uint8_t *file;

	worker_signals();
	if (dup2(fd, WORKER_FD) == -1)
		_exit(1);
	if (sandbox_enter(limits, parent, &msg)) {
		char said[1 + sizeof(msg.text)] = { WORKER_BROKEN };

		/* In one write: the zygote reads once. */
		memcpy(said + 1, msg.text, strlen(msg.text));
		worker_write(said, 1 + strlen(msg.text));
		_exit(1);
	}
	worker_write(&(char){ WORKER_READY }, 1);
	worker_read(&req, sizeof(req));
	if (req.len == 0 || req.len > IPC_BLOB_MAX)
		_exit(1);
	file = malloc(req.len);
	if (!file)
		_exit(1);
	worker_read(file, req.len);
	start = clock_us();
	scale_picture(&req.picture, file, req.len, &res);
	worker_answer(&res, clock_us() - start);
	scale_result_fini(&res);
	free(file);
	_exit(0);
}
