/* SPDX-License-Identifier: MIT */
/*
 * sandbox - what a decoder child gives up before it sees a picture. Two builds: seccomp
 * (the real one) and none (sanitizer builds, which need more system calls than we allow).
 *
 * After sandbox_enter() the process has one descriptor, 0, and no way to get another.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/picture.h"

/* False: this build confines nothing but resources. */
bool sandbox_is_real(void);

/*
 * For good: closes all but descriptor 0, dies with `parent`, takes the resource limits,
 * then landlock with nothing allowed and the filter. 0, or a code and msg: the caller must
 * not touch a picture then.
 */
int sandbox_enter(const struct picture_limits *limits, pid_t parent, struct err_msg *msg) MUSTCHECK;
