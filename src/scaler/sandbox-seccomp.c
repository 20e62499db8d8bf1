/* SPDX-License-Identifier: MIT */
/*
 * sandbox-seccomp - the real sandbox: see sandbox.h.
 *
 * The order is that of security.md 3.5: later steps forbid what earlier ones need. The
 * filter is an allow-list; what libraries merely try (GraphicsMagick looks for a file
 * called "JPEG:") fails with EPERM, everything else kills. oom_score_adj is inherited: the
 * zygote set it before landlock took /proc away.
 */
#include "config.h"

#include "scaler/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Program, libraries, the codecs' own buffers and the file itself, beside GraphicsMagick's pixels.
 */
#define SANDBOX_AS_EXTRA (512ULL * 1024 * 1024)

/* clang-format off */
static const char *const allowed[] = {
	"brk", "clock_getres", "clock_gettime", "close", "exit", "exit_group", "futex", "getpid", "getrandom",
	"gettid", "gettimeofday", "madvise", "mremap", "munmap", "read", "restart_syscall", "rt_sigprocmask",
	"rt_sigreturn", "sched_getaffinity", "sched_yield", "time", "times", "write", "writev",
};
static const char *const refused[] = {
	"access", "faccessat", "faccessat2", "fcntl", "fcntl64", "fstat", "fstat64", "fstatat64", "getcwd", "getrlimit",
	"ioctl", "lseek", "lstat", "newfstatat", "open", "openat", "prlimit64", "readlink", "readlinkat", "stat", "statx",
	"sysinfo", "ugetrlimit", "uname", "unlink",
};
/* clang-format on */

bool sandbox_is_real(void)
{
	return true;
}

static int sandbox_close(void)
{
	long fd, end;

	if (close_range(1, ~0U, 0) == 0)
		return 0;
	/* Kernels and container profiles without close_range(). */
	end = sysconf(_SC_OPEN_MAX);
	if (end < 0)
		return ERR_IO;
	for (fd = 1; fd < end; fd++)
		close((int)fd);
	return 0;
}

static int sandbox_limit(int which, uint64_t soft, uint64_t hard)
{
	struct rlimit r = { .rlim_cur = soft, .rlim_max = hard };

	return setrlimit((__rlimit_resource_t)which, &r) == -1 ? ERR_IO : 0;
}

static int sandbox_limits(const struct picture_limits *l)
{
	uint64_t cpu = ((uint64_t)l->cpu_ms + 999) / 1000;
	int rc = sandbox_limit(RLIMIT_AS, 2 * l->memory + SANDBOX_AS_EXTRA,
			       2 * l->memory + SANDBOX_AS_EXTRA);

	/* The soft limit's SIGXCPU ends the child; the hard one's SIGKILL is for one that took over
	 * and blocks it. */
	rc = rc ? rc : sandbox_limit(RLIMIT_CPU, cpu, cpu + 1);
	rc = rc ? rc : sandbox_limit(RLIMIT_CORE, 0, 0);
	rc = rc ? rc : sandbox_limit(RLIMIT_NOFILE, 2, 2); /* 0, and landlock's for a moment */
	rc = rc ? rc : sandbox_limit(RLIMIT_FSIZE, 0, 0);
	/* Root is not bound by it anyway, and a count per user is no one else's business then. */
	if (!rc && geteuid() != 0)
		rc = sandbox_limit(RLIMIT_NPROC, 0, 0);
	return rc;
}

/* The kernel's landlock_ruleset_attr as of ABI 6; headers may be older. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* A rule set without rules denies everything that it handles. No landlock: seccomp denies the same.
 */
static int sandbox_landlock(void)
{
	static const uint8_t fs_rights[] = { 0, 13, 14, 15, 15, 16 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r = { .fs = 0 };
	size_t size = sizeof(r.fs);
	int fd, rc = 0;

	if (abi < 1)
		return 0;
	r.fs = (1ULL << fs_rights[MIN_OF((size_t)abi, ARRAY_SIZE(fs_rights) - 1)]) - 1;
	if (abi >= 4) { /* TCP: bind, connect */
		r.net = 3;
		size += sizeof(r.net);
	}
	if (abi >= 6) { /* abstract sockets, signals */
		r.scoped = 3;
		size += sizeof(r.scoped);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd == -1 || syscall(SYS_landlock_restrict_self, fd, 0) == -1)
		rc = ERR_IO;
	if (fd != -1)
		close(fd);
	return rc;
}

static int sandbox_add(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);

		if (nr < 0) /* not a system call of this architecture */
			continue;
		if (seccomp_rule_add(ctx, action, nr, 0) != 0)
			return ERR_IO;
	}
	return 0;
}

static int sandbox_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!ctx)
		return ERR_NOMEM;
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) != 0) {
		seccomp_release(ctx);
		return ERR_IO;
	}
	rc = sandbox_add(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));
	rc = rc ? rc : sandbox_add(ctx, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_SIZE(refused));
	/* Memory: never from a file, never executable. */
	if (!rc && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) != 0)
		rc = ERR_IO;
	if (!rc && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0)
		rc = ERR_IO;
	if (!rc && seccomp_load(ctx) != 0)
		rc = ERR_IO;
	seccomp_release(ctx);
	return rc;
}

int sandbox_enter(const struct picture_limits *limits, pid_t parent, struct err_msg *msg)
{
	if (sandbox_close())
		return err_msg_set(msg, ERR_IO, "cannot close descriptors");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_msg_set(msg, ERR_IO, "prctl: %s", strerror(errno));
	if (getppid() != parent) /* it died before PDEATHSIG was set */
		return err_msg_set(msg, ERR_CLOSED, "the parent is gone");
	if (sandbox_limits(limits))
		return err_msg_set(msg, ERR_IO, "setrlimit: %s", strerror(errno));
	if (sandbox_landlock())
		return err_msg_set(msg, ERR_IO, "landlock: %s", strerror(errno));
	if (sandbox_filter())
		return err_msg_set(msg, ERR_IO, "the seccomp filter cannot be installed");
	return 0;
}
