/* SPDX-License-Identifier: MIT */
/*
 * test_sandbox - what a decoder child cannot do: each forbidden act in a child of its own,
 * inside the real sandbox_enter(). Covers scaler/sandbox-*.c; that decoding still works in it is
 * test_scaler.py's business.
 */
#include "config.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "scaler/sandbox.h"

#define REFUSED 10 /* exit statuses */
#define ALLOWED 11
#define OUTSIDE 12

static const struct picture_limits limits = { 1000000, 1000000, 10000, 64 << 20, 5000, 3000 };

static long try_open(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static long try_openat_write(void)
{
	return openat(AT_FDCWD, "/tmp/inset-sandbox-test", O_CREAT | O_WRONLY, 0600);
}

static long try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_connect(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = 9 };

	return connect(0, (struct sockaddr *)&to, sizeof(to));
}

static long try_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long try_execve(void)
{
	char *argv[] = { NULL };

	return execve("/bin/true", argv, argv);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long try_kill(void)
{
	return syscall(SYS_kill, 1, 0);
}

static long try_tgkill(void)
{
	return syscall(SYS_tgkill, getpid(), getpid(), 0);
}

static long try_mmap_exec(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

static long try_mmap_file(void)
{
	return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) == MAP_FAILED ? -1 : 0;
}

static long try_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static long try_memfd(void)
{
	return memfd_create("x", 0);
}

static long try_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_setrlimit(void)
{
	struct rlimit r = { 1, 1 };

	return setrlimit(RLIMIT_NOFILE, &r);
}

static long try_dup(void)
{
	return dup(0);
}

static long try_setuid(void)
{
	return setuid(0);
}

static long try_process_vm(void)
{
	return syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}

static long try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

static long try_sendmsg(void)
{
	struct msghdr m = { .msg_name = NULL };

	return sendmsg(0, &m, 0);
}

static long try_x32(void)
{
	return syscall(0x40000000 | SYS_getpid);
}

static const struct {
	const char *name;
	long (*act)(void);
} acts[] = {
	{ "open", try_open },
	{ "openat for writing", try_openat_write },
	{ "socket", try_socket },
	{ "unix socket", try_unix_socket },
	{ "connect", try_connect },
	{ "fork", try_fork },
	{ "execve", try_execve },
	{ "ptrace", try_ptrace },
	{ "kill", try_kill },
	{ "tgkill", try_tgkill },
	{ "mmap PROT_EXEC", try_mmap_exec },
	{ "mmap of a file", try_mmap_file },
	{ "mprotect PROT_EXEC", try_mprotect_exec },
	{ "memfd_create", try_memfd },
	{ "prctl", try_prctl },
	{ "setrlimit", try_setrlimit },
	{ "dup", try_dup },
	{ "setuid", try_setuid },
	{ "process_vm_readv", try_process_vm },
	{ "io_uring_setup", try_io_uring },
	{ "sendmsg", try_sendmsg },
	{ "x32 system call", try_x32 },
};

/* How a child ends that does this inside the sandbox. */
static int run(long (*act)(void))
{
	pid_t parent = getpid();
	int status, fd;
	pid_t pid = fork();

	if (pid == 0) {
		struct err_msg msg = { "" };

		fd = open("/dev/null", O_RDWR);
		if (fd == -1 || dup2(fd, 0) == -1 || sandbox_enter(&limits, parent, &msg))
			_exit(OUTSIDE);
		errno = 0;
		if (act() >= 0)
			_exit(ALLOWED);
		_exit(errno == EPERM || errno == EACCES ? REFUSED : ALLOWED);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void forbidden_acts_fail_or_kill(void **state UNUSED)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(acts); i++) {
		int status = run(acts[i].act);
		bool refused = WIFEXITED(status) && WEXITSTATUS(status) == REFUSED;
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;

		if (!refused && !killed)
			fail_msg("%s: wait status %#x", acts[i].name, (unsigned)status);
	}
}

static long harmless(void)
{
	void *p = malloc(4 << 20);

	free(p);
	return p && write(0, "x", 1) == 1 ? 0 : -1;
}

static void harmless_acts_go_on(void **state UNUSED)
{
	int status = run(harmless);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ALLOWED);
}

static long too_much_memory(void)
{
	/* Not malloc(): sanitizers have their own idea of it. */
	return mmap(NULL, (size_t)2 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED &&
			       errno == ENOMEM
		       ? 0
		       : -1;
}

static void memory_is_limited(void **state UNUSED)
{
	int status = run(too_much_memory);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ALLOWED);
}

static void an_orphan_does_not_start(void **state UNUSED)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct err_msg msg = { "" };

		_exit(sandbox_enter(&limits, 1 << 22, &msg) ? REFUSED : ALLOWED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_acts_fail_or_kill),
		cmocka_unit_test(harmless_acts_go_on),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(an_orphan_does_not_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
