/* SPDX-License-Identifier: MIT */
/*
 * proc - see proc.h.
 */
#include "config.h"

#include "master/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/log.h"
#include "master/asks.h"
#include "master/fleet.h"
#include "master/inherit.h"

#define SCALER_FD         (CHILD_FD + 1) /* until it is executed */
#define BACKOFF_FIRST_MS  100
#define BACKOFF_MAX_MS    10000
#define LIFE_GOOD_MS      60000
#define MESSAGES_PER_TURN 64

static struct ipc_in in; /* one at a time, too large for a stack */

/* What a child may know of the environment. */
static const char *const kept[] = { "TZ",
#ifdef __SANITIZE_ADDRESS__
				    "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
#endif
				    NULL };

static void child_environment(void)
{
	char *keep[ARRAY_SIZE(kept)] = { NULL };
	size_t i;

	for (i = 0; kept[i]; i++)
		keep[i] = getenv(kept[i]);
	if (clearenv() || setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) ||
	    setenv("LC_ALL", "C", 1))
		_exit(70);
	for (i = 0; kept[i]; i++)
		if (keep[i] && setenv(kept[i], keep[i], 1))
			_exit(70);
}

/* The scaler: beside this executable (a build folder), else where it was installed. */
void proc_scaler_path(char out[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		snprintf(out, PATH_MAX, "%.*s/inset-scaler", PATH_MAX - 20, dirname(self));
		if (access(out, X_OK) == 0)
			return;
	}
	snprintf(out, PATH_MAX, "%s/inset-scaler", PKGLIBEXECDIR);
}

/* In the child, after fork. */
NORETURN static void child_exec(const struct proc *p, int fd, pid_t master)
{
	char path[PATH_MAX], role[32], index[32];
	const char *user = p->master->conf->scaler_user;
	sigset_t none;
	unsigned kept_fds = 1;
	int null, s;

	/*
	 * libevent's handlers would write into the master's own pipe. When to end says the master,
	 * not who sends SIGTERM to a whole control group.
	 */
	for (s = 1; s < NSIG; s++)
		(void)signal(s, s == SIGPIPE || s == SIGTERM || s == SIGINT ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal's Ctrl-C is for the master alone; it tells the others. */
	(void)setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 || getppid() != master)
		_exit(70);
	null = open("/dev/null", O_RDWR);
	if (null == -1 || dup2(null, STDIN_FILENO) == -1)
		_exit(70);
	if (fd == CHILD_FD ? fcntl(fd, F_SETFD, 0) == -1 : dup2(fd, CHILD_FD) == -1)
		_exit(70);
	if (p->role == ROLE_SCALER && p->master->scaler != -1 &&
	    (p->master->scaler == SCALER_FD ||
	     dup3(p->master->scaler, SCALER_FD, O_CLOEXEC) == SCALER_FD))
		kept_fds++;
	(void)close_range(CHILD_FD + kept_fds, ~0U, 0);
	child_environment();
	if (p->role == ROLE_SCALER) {
		char name[] = "inset-scaler", option[] = "--user", none_given[] = "";
		char *argv[] = { name, option, user ? (char *)(uintptr_t)user : none_given, NULL };

		execveat(SCALER_FD, "", argv, environ, AT_EMPTY_PATH);
		proc_scaler_path(path);
		execv(path, argv);
	} else {
		char name[] = "insetd";
		char *argv[] = { name, role, index, NULL };

		snprintf(role, sizeof(role), "--role=%s", role_name(p->role));
		snprintf(index, sizeof(index), "--index=%u", p->index);
		snprintf(path, sizeof(path), "/proc/self/exe");
		execv(path, argv);
	}
	fprintf(stderr, "insetd: cannot execute %s: %s\n", path, strerror(errno));
	_exit(70);
}

static void proc_close(struct proc *p)
{
	if (p->channel)
		event_free(p->channel);
	p->channel = NULL;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
}

void proc_kill(struct proc *p, const char *why)
{
	unsigned dropped;

	if (p->pid == 0)
		return;
	if (why && log_limit_ok(&p->log_limit, 10, &dropped))
		log_error("killing %s: %s", p->name, why);
	if (!p->unwanted)
		p->state = PROC_ENDING;
	proc_close(p);
	(void)kill(p->pid, SIGKILL);
}

static void proc_on_channel(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct proc *p = arg;
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && p->fd == fd; i++) {
		rc = ipc_recv(p->fd, &in, ROLE_MASTER, p->role);
		if (rc)
			break;
		rc = fleet_on_message(p, &in);
		ipc_in_fini(&in);
		if (rc)
			break;
	}
	if (rc == 0 || rc == ERR_AGAIN || p->fd != fd)
		return;
	if (rc == ERR_CLOSED) {
		proc_kill(p, NULL); /* has ended, or is as good as dead without its channel */
		return;
	}
	counter_inc(METRIC_IPC_BAD);
	proc_kill(p, "malformed message");
}

static void proc_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct proc *p = arg;

	clock_update();
	if (p->pid)
		proc_kill(p, "did not end in time");
	else if (fleet_is_needed(p))
		fleet_start(p);
}

static void proc_arm(struct proc *p, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	if (!p->timer)
		p->timer = evtimer_new(p->master->base, proc_on_timer, p);
	/* Nothing else can be done about it; status shows what is down. */
	if (!p->timer || evtimer_add(p->timer, &tv) == -1)
		log_error("no timer for %s: out of memory", p->name);
}

int proc_spawn(struct proc *p)
{
	pid_t master = getpid(), pid;
	sigset_t all, old;
	int fds[2];

	if (ipc_pair(fds)) {
		log_error("no channel for %s: %m", p->name);
		return ERR_IO;
	}
	p->channel = event_new(p->master->base, fds[0], EV_READ | EV_PERSIST, proc_on_channel, p);
	if (!p->channel || event_add(p->channel, NULL) == -1)
		goto fail;
	/* No signal may reach the new process while it still has the master's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0)
		child_exec(p, fds[1], master);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid == -1)
		goto fail;
	close(fds[1]);
	p->fd = fds[0];
	p->pid = pid;
	p->state = PROC_STARTING;
	p->started_ms = clock_now();
	return 0;
fail:
	log_error("cannot start %s: %m", p->name);
	if (p->channel)
		event_free(p->channel);
	p->channel = NULL;
	close(fds[0]);
	close(fds[1]);
	return ERR_IO;
}

void proc_send(struct proc *p, struct ipc_out *out)
{
	if (p->fd == -1)
		return;
	switch (ipc_send(p->fd, out)) {
	case 0:
	case ERR_CLOSED: /* its end is on the way */
		return;
	case ERR_AGAIN:
		proc_kill(p, "does not read its channel");
		return;
	default:
		proc_kill(p, "cannot be written to");
	}
}

void proc_restart_later(struct proc *p)
{
	if (clock_now() - p->started_ms >= LIFE_GOOD_MS || p->backoff_ms == 0)
		p->backoff_ms = BACKOFF_FIRST_MS;
	else
		p->backoff_ms = MIN_OF(p->backoff_ms * 2, BACKOFF_MAX_MS);
	proc_arm(p, p->backoff_ms);
}

void proc_end_within(struct proc *p, unsigned ms)
{
	p->unwanted = true;
	if (p->pid == 0) {
		if (p->timer)
			event_del(p->timer);
		return;
	}
	p->state = PROC_ENDING;
	proc_arm(p, ms);
}

static void proc_log_end(struct proc *p, int status)
{
	bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	unsigned dropped = 0;

	if ((p->unwanted && clean) || p->replaced) {
		log_debug("%s ended", p->name);
		return;
	}
	if (!log_limit_ok(&p->log_limit, 10, &dropped))
		return;
	if (WIFSIGNALED(status))
		log_error("%s was ended by signal %d (%s) pid=%d", p->name, WTERMSIG(status),
			  strsignal(WTERMSIG(status)), (int)p->pid);
	else
		log_error("%s ended with status %d pid=%d", p->name, WEXITSTATUS(status),
			  (int)p->pid);
}

void proc_on_exit(struct proc *p, int status)
{
	proc_log_end(p, status);
	proc_close(p);
	if (p->timer)
		event_del(p->timer);
	p->pid = 0;
	p->state = PROC_DOWN;
	p->settled = true;
	p->confirmed = false;
	p->owed = 0;
	fleet_forget(p);
	asks_on_exit(p);
	if (!p->unwanted && (p->role != ROLE_SCALER || p->master->scaler_needed))
		inherit_on_exit(p);
	if (!fleet_is_needed(p))
		return;
	if (p->replaced) {
		p->replaced = false;
		fleet_start(p);
		return;
	}
	p->restarts++;
	counter_inc(METRIC_RESTARTS);
	proc_restart_later(p);
}

void proc_fini(struct proc *p)
{
	proc_close(p);
	if (p->timer)
		event_free(p->timer);
	p->timer = NULL;
}
