/* SPDX-License-Identifier: MIT */
/*
 * sandbox-none - resource limits only, for sanitizer builds: see sandbox.h.
 *
 * Standard error stays open for the sanitizers' reports, and RLIMIT_AS is left alone: they
 * reserve terabytes.
 */
#include "config.h"

#include "scaler/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

bool sandbox_is_real(void)
{
	return false;
}

int sandbox_enter(const struct picture_limits *limits, pid_t parent, struct err_msg *msg)
{
	struct rlimit cpu = { .rlim_cur = ((rlim_t)limits->cpu_ms + 999) / 1000 };
	struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

	cpu.rlim_max = cpu.rlim_cur + 1;
	close(1);
	if (close_range(3, ~0U, 0) == -1 || prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_msg_set(msg, ERR_IO, "prctl: %s", strerror(errno));
	if (getppid() != parent)
		return err_msg_set(msg, ERR_CLOSED, "the parent is gone");
	if (setrlimit(RLIMIT_CPU, &cpu) == -1 || setrlimit(RLIMIT_CORE, &none) == -1 ||
	    setrlimit(RLIMIT_FSIZE, &none) == -1)
		return err_msg_set(msg, ERR_IO, "setrlimit: %s", strerror(errno));
	return 0;
}
