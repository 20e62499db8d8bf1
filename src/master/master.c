/* SPDX-License-Identifier: MIT */
/*
 * master - see master.h. Here: start, signals, the end.
 */
#include "config.h"

#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/stall.h"
#include "master/activation.h"
#include "master/asks.h"
#include "master/commands.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/inherit.h"
#include "master/notify.h"
#include "master/proc.h"
#include "master/pulse.h"
#include "master/reload.h"
#include "master/statedir.h"
#include "master/status.h"
#include "master/upgrade.h"

#define EXIT_FAULT  70
#define END_SOON_MS 2000
#define OTHERS      5 /* processes beside the proxies */

/* --- the end --------------------------------------------------------------------------- */

/* Proxies first: while they drain, the others still work for them. */
static void stop_others(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		if (m->procs[i].role == ROLE_PROXY || m->procs[i].unwanted)
			continue;
		fleet_send_stop(&m->procs[i], END_SOON_MS / 2);
		proc_end_within(&m->procs[i], END_SOON_MS);
	}
}

static void stop_advance(struct master *m)
{
	bool patient = clock_now() < m->drain_until + 2 * END_SOON_MS;
	size_t i, left = 0;

	if (fleet_running(m, ROLE_PROXY) == 0)
		stop_others(m);
	for (i = 0; i < m->procs_n; i++)
		left += m->procs[i].pid != 0;
	/* Older ones are ours to wait for: where we are the service, it ends with us. */
	if (left == 0 && !(m->elders_n && !m->takes_over && patient))
		(void)event_base_loopbreak(m->base);
}

static void stop_proxies(struct master *m, uint32_t drain_ms)
{
	size_t i;

	m->drain_until = clock_now() + drain_ms;
	for (i = 0; i < m->procs_n; i++) {
		if (m->procs[i].role != ROLE_PROXY)
			continue;
		fleet_send_stop(&m->procs[i], drain_ms);
		proc_end_within(&m->procs[i], drain_ms + END_SOON_MS);
	}
	if (!m->takes_over)
		inherit_end_elders(m, drain_ms);
	stop_advance(m);
}

void master_drain(struct master *m, uint32_t ms)
{
	if (m->stopping && clock_now() + ms >= m->drain_until)
		return; /* it ends sooner anyway */
	reload_abort(m, "insetd is stopping");
	upgrade_abort(m, "insetd is stopping");
	m->stopping = true;
	sockets_close_proxies(&m->sockets);
	/* The service manager would lose its patience after its own TimeoutStopSec. */
	if (!m->takes_over)
		notify_send("STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
			    ((unsigned long long)ms + 3 * END_SOON_MS) * 1000);
	stop_proxies(m, ms);
	master_notify_status(m);
}

void master_stop(struct master *m, int code)
{
	if (m->stopping)
		return;
	m->exit_code = code;
	master_drain(m, code ? 0 : m->conf->drain_timeout);
}

const char *master_state(const struct master *m)
{
	if (m->stopping)
		return fleet_running(m, ROLE_PROXY) ? "draining" : "stopping";
	return m->up ? "up" : "starting";
}

void master_notify_status(struct master *m)
{
	char text[sizeof(m->said)];
	size_t i, up = 0;

	for (i = 0; i < m->procs_n; i++)
		up += m->procs[i].state == PROC_UP;
	snprintf(text, sizeof(text), "%s: %zu processes, %llu sessions", master_state(m), up,
		 (unsigned long long)fleet_sessions(m));
	if (m->heir.fd != -1 || m->takes_over || strcmp(text, m->said) == 0)
		return;
	snprintf(m->said, sizeof(m->said), "%s", text);
	notify_send("STATUS=%s", text);
}

/* --- events ---------------------------------------------------------------------------- */

/* One line that says what runs: the first thing to look for in a log. */
static void log_up(const struct master *m)
{
	char listeners[512] = "", versions[1024] = "";
	size_t i, n = 0;

	for (i = 0; i < m->conf->listens_n && n < sizeof(listeners); i++)
		n += (size_t)snprintf(listeners + n, sizeof(listeners) - n, "%s%s=%s->%s",
				      i ? "," : "", m->conf->listens[i].name,
				      m->conf->listens[i].bind.v[0], m->conf->listens[i].upstream);
	/* One of each role says it for all. */
	for (i = 0, n = 0; i < m->procs_n && n < sizeof(versions); i++)
		if (m->procs[i].versions[0] && m->procs[i].index == 0)
			n += (size_t)snprintf(versions + n, sizeof(versions) - n, " %s=\"%.200s\"",
					      role_name(m->procs[i].role), m->procs[i].versions);
	log_notice("up version=%s pid=%d workers=%u listeners=%s libevent=%s max-bytes=%llu "
		   "cache=%llu max-pixels=%llu sessions=%llu per-address=%llu descriptors=%llu%s",
		   PACKAGE_VERSION, (int)getpid(), m->workers, listeners, event_get_version(),
		   (unsigned long long)m->conf->fetch.max_bytes,
		   (unsigned long long)m->conf->cache.memory,
		   (unsigned long long)m->conf->scale.max_pixels,
		   (unsigned long long)m->conf->limits.sessions,
		   (unsigned long long)m->conf->limits.per_address,
		   (unsigned long long)m->descriptors, versions);
	for (i = 0; i < m->procs_n; i++)
		if (m->procs[i].pid)
			log_info("%s pid=%d %s", m->procs[i].name, (int)m->procs[i].pid,
				 m->procs[i].versions);
}

void master_on_change(struct master *m)
{
	fleet_count(m);
	if (m->stopping) {
		stop_advance(m);
		return;
	}
	inherit_advance(m);
	if (!m->up && !m->takes_over && fleet_is_settled(m)) {
		m->up = true;
		log_up(m);
		notify_send("READY=1");
		master_notify_status(m);
	}
	fleet_lend(m);
	reload_resume(m);
}

static void on_child(struct master *m)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < m->procs_n; i++) {
			if (m->procs[i].pid != pid)
				continue;
			if (fleet_has_generation(&m->procs[i]) && !m->procs[i].unwanted)
				reload_abort(m, "a process ended meanwhile");
			proc_on_exit(&m->procs[i], status);
		}
	}
	master_on_change(m);
}

static void on_signal(evutil_socket_t number, short what UNUSED, void *arg)
{
	struct master *m = arg;

	clock_update();
	if (number == SIGCHLD) {
		on_child(m);
	} else if (number == SIGHUP) {
		log_notice("reload asked for by SIGHUP");
		reload_start(m, 0);
	} else if (number == SIGUSR2) {
		log_notice("upgrade asked for by SIGUSR2");
		upgrade_start(m);
	} else if (m->handed && !m->hurried) {
		m->hurried = true; /* meant for whoever serves now; then we are to end as well */
		log_notice("stopping drain=%ums", m->conf->drain_timeout);
		master_drain(m, m->conf->drain_timeout);
	} else if (m->stopping) {
		log_notice("stopping at once");
		master_drain(m, 0);
	} else {
		log_notice("stopping drain=%ums", m->conf->drain_timeout);
		master_stop(m, 0);
	}
}

static void on_command(void *ctx, uint64_t client, const char *command, const json_t *request)
{
	struct master *m = ctx;

	if (commands_run(m, client, command, request)) {
		; /* answered, or will be */
	} else if (strcmp(command, "reload") == 0) {
		log_notice("reload asked for by insetctl");
		reload_start(m, client);
	} else {
		control_answer(m->control, client,
			       json_pack("{s:b, s:[s]}", "ok", 0, "problems", "no such command"));
	}
}

static void on_gone(void *ctx, uint64_t client)
{
	asks_on_gone(ctx, client);
}

/* --- the start ------------------------------------------------------------------------- */

static int open_signals(struct master *m)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
		if (!m->signals[i] || evsignal_add(m->signals[i], NULL) == -1)
			return ERR_NOMEM;
	}
	return 0;
}

/*
 * A chosen path must work; the default one need not, so that insetd also runs without any rights.
 * old_path: that of the insetd which serves still; its name is taken when it gives it away.
 */
static int open_control(struct master *m, const char *old_path, struct err_msg *why)
{
	bool chosen = strcmp(m->conf->control, conf_option_find(CONF_GLOBAL, "control")->def) != 0;
	struct err_msg msg = { 0 };
	char path[128];

	if (m->conf->control[0] == '\0')
		return 0;
	snprintf(path, sizeof(path), "%s%s", m->conf->control,
		 strcmp(old_path, m->conf->control) == 0 ? ".new" : "");
	m->control = control_new(m->base, path, on_command, on_gone, m, &msg);
	if (m->control)
		return 0;
	if (chosen)
		return err_msg_set(why, ERR_IO, "control socket %s: %s", m->conf->control,
				   msg.text);
	log_warning("no control socket, insetctl will not work: %s: %s (-o control=PATH chooses "
		    "another one)",
		    m->conf->control, msg.text);
	return 0;
}

/* Each session takes two descriptors: as many as the system lets us have. Returns how many. */
static uint64_t raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit more = { .rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			limit = more;
	}
	return limit.rlim_cur;
}

int master_take_slot(struct master *m)
{
	int i;

	for (i = 0; i < COUNTERS_SLOTS; i++)
		if (!m->slots[i]) {
			m->slots[i] = true;
			return i;
		}
	return -1;
}

/* Marks what older insetd use; is there room beside them for us? */
static bool slots_suffice(struct master *m, const struct handover *h)
{
	size_t i, k, left = 0;

	for (i = 0; i < COUNTERS_SLOTS; i++) {
		m->slots[i] = h->slots[i];
		for (k = 0; k < h->elders_n; k++)
			m->slots[i] = m->slots[i] || h->elders[k].slots[i];
		left += !m->slots[i];
	}
	return left >= m->workers + OTHERS;
}

/* The old insetd's figures go on, if this one understands them and has room among them. */
static int open_counters(struct master *m, struct handover *h)
{
	size_t i;

	if (h->counters != -1 && slots_suffice(m, h)) {
		m->counters = h->counters;
		h->counters = -1;
	} else {
		if (h->root)
			log_notice("figures begin anew: the old insetd counts in another way, or "
				   "too many processes do");
		memset(m->slots, 0, sizeof(m->slots));
		memset(h->slots, 0, sizeof(h->slots));
		for (i = 0; i < h->elders_n; i++)
			memset(h->elders[i].slots, 0, sizeof(h->elders[i].slots));
		conf_unref(&h->rules);
		m->counters = counters_create();
	}
	m->slot = (unsigned)master_take_slot(m);
	if (m->counters == -1 || counters_map(m->counters, m->slot))
		return ERR_NOMEM;
	conf_number_rules(m->conf, h->rules, counters_rule_clear);
	conf_number_listeners(m->conf, h->rules, counters_listener_clear);
	return 0;
}

static int open_sockets(struct master *m, struct handover *h, struct err_msg *msg)
{
	int rc = 0;

	if (!h->root)
		rc = activation_take(m->conf, &h->sockets, msg);
	return rc ? rc : sockets_open(&m->sockets, m->conf, m->workers, &h->sockets, msg);
}

/* msg says why it is not 0. */
static int open_all(struct master *m, struct handover *h, struct err_msg *msg)
{
	notify_open(h->root);
	if (reload_settle_users(m->conf)) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		return EXIT_FAULT;
	}
	if (statedir_prepare(m->conf, msg))
		return 1;
	m->workers = m->conf->workers ? (unsigned)m->conf->workers : MIN_OF(confine_cpus(), 64u);
	m->generations = m->conf->generation = h->generation + 1;
	if (open_counters(m, h) || reload_memfds(m->conf, &m->memfds)) {
		err_msg_set(msg, ERR_NOMEM, "no shared memory: %s", strerror(errno));
		return EXIT_FAULT;
	}
	if (open_sockets(m, h, msg))
		return 1;
	m->base = event_base_new();
	if (!m->base || open_signals(m)) {
		err_msg_set(msg, ERR_NOMEM, "no event loop");
		return EXIT_FAULT;
	}
	if (open_control(m, h->root ? h->control : "", msg))
		return 1;
	if ((h->root && inherit_elders(m, h)) || pulse_start(m)) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		return EXIT_FAULT;
	}
	m->takes_over = h->root;
	m->scaler_needed = h->scaler;
	return 0;
}

/*
 * What an upgrade executes: the path as it was given, so that a link which points to another
 * version by then is followed; else where this program was found.
 */
static char *find_program(char *const *argv)
{
	char path[PATH_MAX];
	ssize_t n;

	if (strchr(argv[0], '/'))
		return strdup(argv[0]);
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	return n > 0 ? strndup(path, (size_t)n) : NULL;
}

static void master_fini(struct master *m)
{
	size_t i;

	control_free(&m->control);
	asks_fini(m);
	pulse_stop(m);
	upgrade_fini(m);
	inherit_fini(m);
	free(m->program);
	if (m->scaler != -1)
		close(m->scaler);
	for (i = 0; i < m->procs_n; i++)
		proc_fini(&m->procs[i]);
	for (i = 0; i < ARRAY_SIZE(m->signals); i++)
		if (m->signals[i])
			event_free(m->signals[i]);
	if (m->reload.timer)
		event_free(m->reload.timer);
	sockets_close(&m->sockets);
	reload_close(&m->memfds);
	if (m->counters != -1)
		close(m->counters);
	if (m->base)
		event_base_free(m->base);
	conf_unref(&m->conf);
}

static int master_loop(struct event_base *base)
{
	int rc;

	do {
		rc = event_base_loop(base, EVLOOP_ONCE);
		stall_end_of_turn();
	} while (rc == 0 && !event_base_got_break(base));
	return rc == -1 ? ERR_IO : 0;
}

/* Out of the way of the numbers that a child expects its descriptors at. */
static int open_scaler(void)
{
	char path[PATH_MAX];
	int fd, high = -1;

	proc_scaler_path(path);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd != -1) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		close(fd);
	}
	return high;
}

/* Whoever waits for this one to be up is told that it will not be. */
static int cannot_start(struct master *m, struct handover *h, const struct err_msg *msg, int code)
{
	log_error("%s", msg->text);
	if (!m->elders_n && h->channel != -1) {
		m->elders[0].fd = h->channel;
		h->channel = -1;
		m->elders_n = 1;
	}
	m->takes_over = m->elders_n;
	m->stopping = false;
	inherit_fail(m, msg->text);
	return code;
}

int master_run(struct conf *conf, const struct conf_source *source, char *const *argv)
{
	static struct master m; /* large, and one per process */
	struct handover h;
	struct err_msg msg = { 0 };
	int code;

	m.source = source;
	m.conf = conf_ref(conf);
	m.memfds = m.reload.memfds = (struct memfds){ -1, -1, -1, -1 };
	m.counters = m.heir.fd = m.heir.pidfd = -1;
	m.argv = argv;
	m.scaler = open_scaler();
	m.program = find_program(argv);
	log_open("master", (enum log_target)conf->log.target, (enum log_format)conf->log.format);
	log_set_level((enum log_level)conf->log.level);
	clock_update();
	m.started_ms = clock_now();
	m.descriptors = raise_descriptors();
	/* Inherited by every child; dropping users is not hindered by it. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		log_warning("prctl: %s", strerror(errno));
	code = inherit_open(&h, &msg) ? 1 : open_all(&m, &h, &msg);
	if (code)
		code = cannot_start(&m, &h, &msg, code);
	handover_fini(&h);
	if (code == 0) {
		fleet_init(&m);
		fleet_start_all(&m);
		stall_open(ROLE_MASTER);
		if (master_loop(m.base))
			m.exit_code = EXIT_FAULT;
		code = m.exit_code;
		log_notice("stopped");
	}
	master_fini(&m);
	return code;
}

void master_refuse(const char *why)
{
	inherit_refuse(why);
}
