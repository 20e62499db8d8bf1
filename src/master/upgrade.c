/* SPDX-License-Identifier: MIT */
/*
 * upgrade - see upgrade.h.
 */
#include "config.h"

#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/handover.h"
#include "master/notify.h"
#include "master/pulse.h"

#ifndef READY_SECONDS    /* a test has others */
#define READY_SECONDS 60 /* for the new one, scaler's self-test and store included */
#define END_SECONDS   10 /* for it to end by itself when it is not wanted any more */
#endif
#define END_AT_ONCE_MS    500
#define MESSAGES_PER_TURN 16
#define EXIT_FAULT        70

/* --- starting it ----------------------------------------------------------------------- */

static void let_through(int fd)
{
	(void)fcntl(fd, F_SETFD, 0);
}

/* In the grandchild. */
NORETURN static void heir_exec(struct master *m, const json_t *root, int memfd)
{
	int channel = (int)json_integer_value(json_object_get(root, "channel"));
	char number[16], why[256];
	sigset_t none;
	int s;

	for (s = 1; s < NSIG; s++)
		(void)signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	handover_each_fd(root, let_through);
	let_through(memfd);
	snprintf(number, sizeof(number), "%d", memfd);
	if (setenv(HANDOVER_ENV, number, 1) == 0)
		execv(m->program, m->argv);
	snprintf(why, sizeof(why), "cannot execute %.200s: %s", m->program, strerror(errno));
	(void)!handover_send(channel, json_pack("{s:s, s:s}", "say", "failed", "why", why));
	_exit(EXIT_FAULT);
}

/* In between: starts the new one, and stays until we have got hold of it, which keeps its number
 * from becoming another's. */
NORETURN static void heir_spawn(struct master *m, const json_t *root, int memfd, int report)
{
	pid_t pid = fork();
	char none;

	if (pid == 0) {
		close(report);
		heir_exec(m, root, memfd);
	}
	if (pid == -1 || write(report, &pid, sizeof(pid)) != sizeof(pid))
		_exit(EXIT_FAULT);
	(void)!read(report, &none, 1);
	_exit(0);
}

/*
 * By way of a process in between, which ends at once: the new one is no child of ours, but of
 * whoever looks after orphans, the service manager where there is one.
 */
static int heir_fork(struct master *m, const json_t *root, int memfd)
{
	int status, report[2];
	sigset_t all, old;
	pid_t pid, heir;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, report) == -1)
		return ERR_IO;
	/* No signal may reach the new process while it still has this one's handlers. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid == 0) {
		close(report[0]);
		heir_spawn(m, root, memfd, report[1]);
	}
	close(report[1]);
	if (pid > 0 && read(report[0], &heir, sizeof(heir)) == sizeof(heir))
		m->heir.pidfd = pidfd_open(heir, 0);
	close(report[0]);
	while (pid > 0 && waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid == -1 || !WIFEXITED(status) || WEXITSTATUS(status) ? ERR_IO : 0;
}

static int heir_start(struct master *m, int channel)
{
	json_t *root = handover_new(m, channel);
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	int memfd = text ? ipc_memfd("inset-handover", text, strlen(text)) : -1;
	int rc = memfd == -1 ? ERR_NOMEM : heir_fork(m, root, memfd);

	if (memfd != -1)
		close(memfd);
	free(text);
	json_decref(root);
	return rc;
}

/* --- its end ---------------------------------------------------------------------------- */

static void heir_close(struct master *m)
{
	struct heir *h = &m->heir;

	if (h->channel)
		event_free(h->channel);
	h->channel = NULL;
	if (h->fd != -1)
		close(h->fd);
	h->fd = -1;
	if (h->timer)
		event_del(h->timer);
}

static void heir_let_go(struct heir *h)
{
	if (h->pidfd != -1)
		close(h->pidfd);
	h->pidfd = -1;
}

/* It has our listening sockets: who is hanging would keep them, and clients in them, for ever. */
static void heir_kill(struct heir *h)
{
	if (h->pidfd != -1 && pidfd_send_signal(h->pidfd, SIGKILL, NULL, 0) == 0)
		log_warning("the new insetd did not end and was killed");
	heir_let_go(h);
}

void upgrade_abort(struct master *m, const char *why)
{
	const struct timeval tv = { .tv_sec = END_SECONDS };

	if (m->heir.fd == -1 || m->handed)
		return;
	heir_close(m); /* which it sees, and ends */
	if (m->heir.pidfd != -1 && (!m->heir.timer || evtimer_add(m->heir.timer, &tv) == -1))
		heir_kill(&m->heir);
	log_error("upgrade failed, this insetd goes on: %s", why);
	notify_send("READY=1");
	m->said[0] = '\0';
	master_notify_status(m);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct master *m = arg;

	clock_update();
	if (m->heir.fd == -1)
		heir_kill(&m->heir);
	else
		upgrade_abort(m, "the new one was not ready in time");
}

/* --- handing over ----------------------------------------------------------------------- */

/* insetctl -s PATH.PID reaches this one from now on. */
static void move_control(struct master *m, const char *wanted)
{
	bool same = strcmp(wanted, m->conf->control) == 0;
	char path[160];

	if (!m->control)
		return;
	snprintf(path, sizeof(path), "%s.%d", m->conf->control, (int)getpid());
	if (control_move(m->control, path, same))
		log_warning("control socket %s: %m", path);
}

/* Elders belong to the new one, which has its own descriptors of their channels. */
static void leave_elders(struct master *m)
{
	memset(m->stale, 0, sizeof(m->stale)); /* free for the new one */
	while (m->elders_n) {
		struct elder *e = &m->elders[--m->elders_n];

		event_free(e->channel);
		close(e->fd);
		*e = (struct elder){ .fd = -1 };
	}
}

static void hand_over(struct master *m, pid_t pid, const char *control)
{
	event_del(m->heir.timer);
	move_control(m, control);
	notify_send("MAINPID=%d", (int)pid);
	if (handover_send(m->heir.fd, json_pack("{s:s}", "say", "go"))) {
		notify_send("MAINPID=%d", (int)getpid());
		if (m->control && control_move(m->control, m->conf->control, false))
			log_error("control socket %s: %m", m->conf->control);
		upgrade_abort(m, "the new one has ended");
		return;
	}
	notify_close();
	m->handed = true;
	heir_let_go(&m->heir);
	leave_elders(m);
	log_notice("handed over pid=%d timeout=%ums", (int)pid, m->conf->upgrade_timeout);
	fleet_quiesce(m);
	fleet_count(m);
	upgrade_tell_sessions(m);
	/* More often than before: the heir shows what is left. Without memory it shows less. */
	(void)!pulse_start(m);
	master_drain(m, m->conf->upgrade_timeout);
}

void upgrade_tell_sessions(struct master *m)
{
	uint64_t n = fleet_sessions(m);

	if (!m->handed || m->heir.fd == -1 || m->heir_told == n + 1)
		return;
	/* One that is full or gone need not know. */
	if (handover_send(m->heir.fd,
			  json_pack("{s:s, s:I}", "say", "sessions", "n", (json_int_t)n)) == 0)
		m->heir_told = n + 1;
}

static void on_message(struct master *m, const json_t *o)
{
	const char *say = json_string_value(json_object_get(o, "say"));
	const char *text = json_string_value(json_object_get(o, "why"));
	const char *control = json_string_value(json_object_get(o, "control"));
	json_int_t pid = json_integer_value(json_object_get(o, "pid"));
	json_int_t ms = json_integer_value(json_object_get(o, "ms"));

	if (!say)
		return;
	if (strcmp(say, "failed") == 0)
		upgrade_abort(m, text ? text : "the new one does not say why");
	else if (strcmp(say, "ready") == 0 && !m->handed && pid > 1 && pid <= 0x7fffffff)
		hand_over(m, (pid_t)pid, control ? control : "");
	else if (strcmp(say, "end") == 0 && m->handed && ms >= 0)
		master_drain(m, (uint32_t)MIN_OF(ms, (json_int_t)UINT32_MAX / 2));
}

static void on_heir(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct master *m = arg;
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && m->heir.fd == fd; i++) {
		json_t *o = handover_recv(fd, &rc);

		if (!o)
			break;
		on_message(m, o);
		json_decref(o);
	}
	if (m->heir.fd != fd || (rc != ERR_CLOSED && rc != ERR_BAD_MESSAGE))
		return;
	if (m->handed)
		heir_close(m); /* it may have handed us on to its own heir */
	else
		upgrade_abort(m, "the new one has ended; its own lines say why");
}

/* NULL: it may be. */
static const char *obstacle(const struct master *m)
{
	if (m->stopping)
		return "insetd is stopping";
	if (m->heir.fd != -1)
		return "another upgrade is under way";
	if (!m->up)
		return "not all processes are up yet";
	if (m->reload.active || m->reload.wanted)
		return "a reload is under way";
	if (m->elders_n == ELDERS_MAX)
		return "too many old insetd have sessions still";
	if (getpid() == 1)
		return "process 1 cannot be followed by another one";
	if (!m->program)
		return "the path of the program is not known";
	return NULL;
}

void upgrade_start(struct master *m)
{
	struct timeval tv = { .tv_sec = READY_SECONDS };
	const char *why = obstacle(m);
	int fds[2];

	if (why) {
		log_error("no upgrade now: %s", why);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == -1) {
		log_error("no upgrade now: %m");
		return;
	}
	heir_kill(&m->heir); /* of an upgrade that has failed just now */
	notify_send("RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=upgrade: a new insetd starts",
		    (long long)clock_us());
	m->heir.fd = fds[0];
	m->heir.channel = event_new(m->base, fds[0], EV_READ | EV_PERSIST, on_heir, m);
	if (!m->heir.timer)
		m->heir.timer = evtimer_new(m->base, on_timer, m);
	if (!m->heir.channel || event_add(m->heir.channel, NULL) == -1 || !m->heir.timer ||
	    evtimer_add(m->heir.timer, &tv) == -1)
		upgrade_abort(m, "out of memory");
	else if (heir_start(m, fds[1]))
		upgrade_abort(m, "no process, or out of memory");
	close(fds[1]);
}

void upgrade_fini(struct master *m)
{
	struct pollfd p = { .fd = m->heir.pidfd, .events = POLLIN };

	heir_close(m);
	if (p.fd != -1 && pidfd_send_signal(p.fd, SIGTERM, NULL, 0) == 0 &&
	    poll(&p, 1, END_AT_ONCE_MS) < 1)
		heir_kill(&m->heir);
	heir_let_go(&m->heir);
	if (m->heir.timer)
		event_free(m->heir.timer);
	m->heir.timer = NULL;
}
