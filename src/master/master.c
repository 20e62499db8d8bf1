/* SPDX-License-Identifier: MIT */
/*
 * master - see master.h. Here: start, signals, the end.
 */
#include "config.h"

#include "master/master.h"

#include <errno.h>
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
#include "master/asks.h"
#include "master/commands.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/proc.h"
#include "master/reload.h"
#include "master/statedir.h"

#define EXIT_FAULT  70
#define END_SOON_MS 2000

/* --- the end --------------------------------------------------------------------------- */

/* Proxies first: while they drain, media and the scaler still work for them. */
static void stop_others(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		if (m->procs[i].role == ROLE_PROXY || m->procs[i].unwanted)
			continue;
		fleet_send_stop(&m->procs[i], 0);
		proc_end_within(&m->procs[i], END_SOON_MS);
	}
}

static void stop_advance(struct master *m)
{
	size_t i, left = 0;

	if (fleet_running(m, ROLE_PROXY) == 0)
		stop_others(m);
	for (i = 0; i < m->procs_n; i++)
		left += m->procs[i].pid != 0;
	if (left == 0)
		(void)event_base_loopbreak(m->base);
}

static void stop_proxies(struct master *m, uint32_t drain_ms)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		if (m->procs[i].role != ROLE_PROXY)
			continue;
		fleet_send_stop(&m->procs[i], drain_ms);
		proc_end_within(&m->procs[i], drain_ms + END_SOON_MS);
	}
	stop_advance(m);
}

void master_stop(struct master *m, int code)
{
	if (m->stopping)
		return;
	reload_abort(m, "insetd is stopping");
	m->stopping = true;
	m->exit_code = code;
	stop_proxies(m, code ? 0 : m->conf->drain_timeout);
}

/* --- events ---------------------------------------------------------------------------- */

/* One line that says what runs: the first thing to look for in a log. */
static void log_up(const struct master *m)
{
	char listeners[1024] = "";
	size_t i, n = 0;

	for (i = 0; i < m->conf->listens_n && n < sizeof(listeners); i++)
		n += (size_t)snprintf(listeners + n, sizeof(listeners) - n, "%s%s=%s->%s",
				      i ? "," : "", m->conf->listens[i].name,
				      m->conf->listens[i].bind.v[0], m->conf->listens[i].upstream);
	log_notice("up version=%s pid=%d workers=%u listeners=%s libevent=%s max-bytes=%llu "
		   "cache=%llu descriptors=%llu",
		   PACKAGE_VERSION, (int)getpid(), m->workers, listeners, event_get_version(),
		   (unsigned long long)m->conf->fetch.max_bytes,
		   (unsigned long long)m->conf->cache.memory, (unsigned long long)m->descriptors);
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
	if (!m->up && fleet_is_settled(m)) {
		m->up = true;
		log_up(m);
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
	} else if (m->stopping) {
		log_notice("stopping at once");
		stop_proxies(m, 0);
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
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
		if (!m->signals[i] || evsignal_add(m->signals[i], NULL) == -1)
			return ERR_NOMEM;
	}
	return 0;
}

/* A chosen path must work; the default one need not, so that insetd also runs without any rights.
 */
static int open_control(struct master *m)
{
	bool chosen = strcmp(m->conf->control, conf_option_find(CONF_GLOBAL, "control")->def) != 0;
	struct err_msg msg = { 0 };

	if (m->conf->control[0] == '\0')
		return 0;
	m->control = control_new(m->base, m->conf->control, on_command, on_gone, m, &msg);
	if (m->control)
		return 0;
	if (chosen) {
		log_error("control socket %s: %s", m->conf->control, msg.text);
		return ERR_IO;
	}
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

static int open_all(struct master *m)
{
	struct err_msg msg = { 0 };

	if (reload_settle_users(m->conf))
		return EXIT_FAULT;
	if (statedir_prepare(m->conf, &msg)) {
		log_error("%s", msg.text);
		return 1;
	}
	m->workers = m->conf->workers ? (unsigned)m->conf->workers : MIN_OF(confine_cpus(), 64u);
	m->generations = 1;
	m->conf->generation = 1;
	conf_number_rules(m->conf, NULL, counters_rule_clear);
	conf_number_listeners(m->conf, NULL, counters_listener_clear);
	m->counters = counters_create();
	if (reload_memfds(m->conf, &m->memfds) || m->counters == -1 ||
	    counters_map(m->counters, 0)) {
		log_error("no shared memory: %s", strerror(errno));
		return EXIT_FAULT;
	}
	if (sockets_open(&m->sockets, m->conf, m->workers, NULL, &msg)) {
		log_error("%s", msg.text);
		return 1;
	}
	m->base = event_base_new();
	if (!m->base || open_signals(m)) {
		log_error("no event loop");
		return EXIT_FAULT;
	}
	return open_control(m) ? 1 : 0;
}

static void master_fini(struct master *m)
{
	size_t i;

	control_free(&m->control);
	asks_fini(m);
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

int master_run(struct conf *conf, const struct conf_source *source)
{
	static struct master m; /* large, and one per process */
	int code;

	m.source = source;
	m.conf = conf_ref(conf);
	m.memfds = m.reload.memfds = (struct memfds){ -1, -1, -1, -1 };
	m.counters = -1;
	log_open("master", (enum log_target)conf->log.target, (enum log_format)conf->log.format);
	log_set_level((enum log_level)conf->log.level);
	clock_update();
	m.started_ms = clock_now();
	m.descriptors = raise_descriptors();
	/* Inherited by every child; dropping users is not hindered by it. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		log_warning("prctl: %s", strerror(errno));
	code = open_all(&m);
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
