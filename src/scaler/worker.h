/* SPDX-License-Identifier: MIT */
/*
 * worker - the child's side of one picture, and what it and the zygote say to each other.
 *
 * Over a stream socket: child WORKER_READY (or WORKER_BROKEN and a reason, without NUL, to
 * the end of file); zygote a struct worker_request and the file; child a struct
 * worker_answer and the thumbnail, then end of file. Both ends are one executable, so
 * structs travel as they are. The zygote believes nothing of what comes back.
 */
#pragma once

#include <sys/types.h>

#include "base/picture.h"

#define WORKER_READY  'R'
#define WORKER_BROKEN 'E'

struct worker_request {
	struct picture_request picture;
	uint64_t len;
};

struct worker_answer {
	uint32_t status; /* enum picture_status */
	uint32_t format; /* enum picture_format */
	uint32_t width;
	uint32_t height;
	uint32_t original_width;
	uint32_t original_height;
	uint32_t step;
	uint32_t wall_us;
	uint32_t len;
	struct picture_thumbhash thumbhash;
};

/* In the child, right after fork(): fd is its end of the pair. */
NORETURN void worker_run(int fd, const struct picture_limits *limits, pid_t parent);
