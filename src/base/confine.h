/* SPDX-License-Identifier: MIT */
/*
 * confine - what a process gives up for good before it meets a peer.
 *
 * User and groups, new privileges, core dumps and ptrace, file access beyond a short list
 * (landlock). Not the decoder's seccomp filter: that is scaler/sandbox.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct confine {
	const char *user; /* to become when started as root; NULL or "": stay */
	const char *const
		*read_paths; /* NULL-terminated: files and folders that stay readable; NULL: none */
	const char *const
		*write_paths; /* NULL-terminated: folders that stay writable; NULL: none */
	bool executes;        /* may still execute files below read_paths (master) */
};

/*
 * Applies all of it: 0, or a negative code and msg (unknown user, kernel refused). Where the
 * kernel has no landlock this succeeds without it; *landlock_out (may be NULL) says so.
 * Missing paths are skipped.
 */
int confine_apply(const struct confine *c, bool *landlock_out, struct err_msg *msg) MUSTCHECK;

/* Who such a process becomes: 0 and both, or ERR_NOT_FOUND. *uid_out 0: it stays who it is. */
int confine_find_user(const char *user, uid_t *uid_out, gid_t *gid_out) MUSTCHECK;

/* CPUs this process may use: affinity and the quotas of its cgroup, at least 1. */
unsigned confine_cpus(void);

/*
 * Whole CPUs of the smallest quota (cgroup v2, cpu.max) of the group that `self` (a file like
 * /proc/self/cgroup) names and of all groups above it, below `groups`; 0: there is none. A group
 * that is not there, as in a container that sees another part of the tree, has no quota.
 */
unsigned confine_quota(const char *self, const char *groups);
