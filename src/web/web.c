/* SPDX-License-Identifier: MIT */
/*
 * web - see web.h.
 *
 * One libmicrohttpd daemon for each listening socket, without threads; its epoll
 * descriptor is an event of our loop. A new generation brings new daemons; answers under
 * way on old ones are cut off.
 */
#include "config.h"

#include "web/web.h"

#include <event2/event.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/list.h"
#include "base/stall.h"
#include "conf/generation.h"
#include "web/history.h"
#include "web/inquiry.h"
#include "web/site.h"

#define DAEMONS_MAX        8
#define MESSAGES_PER_TURN  64
#define PAUSE_MS           200
#define CONNECTIONS        64
#define CONNECTION_TIMEOUT 10
#define REQUEST_MS                                                                    \
	30000 /* from a connection's begin, or the last answer, to the next one's end \
	       */
#define CONNECTION_MEMORY (16 * 1024)
#define ENDING_MS         20 /* between two looks whether all has been answered */

/* A connection, and when it is too late for its request. */
struct web_connection {
	struct list link;
	struct MHD_Connection *connection; /* borrowed */
	int64_t deadline;
};

/* A listening socket, served or waiting to be. */
struct web_listener {
	int fd;                    /* owned */
	struct MHD_Daemon *daemon; /* owned */
	struct event *event;       /* owned: the daemon's epoll descriptor */
	struct event *timer;       /* owned: the daemon's time-outs */
	bool quiet;                /* accepts nobody any more */
};

struct web_set {
	struct web_listener v[DAEMONS_MAX];
	size_t n;
	struct conf *conf; /* owned reference */
};

static struct web {
	struct event_base *base;
	struct event *channel;
	struct event *tick; /* owned: a sample of the history */
	struct site site;
	struct web_set live;
	struct web_set pending;
	struct list connections; /* struct web_connection */
	bool confined;
	int64_t end_at; /* ends then, or when nothing is being answered; 0: goes on */
	int exit_code;
} web;

static struct ipc_in in;

/* --- daemons --------------------------------------------------------------------------- */

static unsigned connections_of(const struct web_listener *l)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/*
 * Out of descriptors, libmicrohttpd leaves who waits where it is when there is no connection that
 * could end: they would wake us at once again, for ever. That they came just now is seen by a
 * second look.
 */
static bool listener_is_choked(struct web_listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	int looks;

	for (looks = 0;; looks++) {
		if (l->quiet || connections_of(l) || poll(&p, 1, 0) != 1)
			return false;
		if (looks)
			return true;
		MHD_run(l->daemon);
	}
}

static void listener_pause(struct web_listener *l)
{
	static const struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };
	static struct log_limit limit;
	unsigned dropped;

	counter_inc(METRIC_ACCEPT_PAUSES);
	if (log_limit_ok(&limit, 6, &dropped))
		log_warning("accepting pauses, out of descriptors or memory dropped=%u", dropped);
	if (evtimer_add(l->timer, &tv) == 0)
		event_del(l->event);
}

static void listener_run(struct web_listener *l)
{
	unsigned before = connections_of(l), after;
	MHD_UNSIGNED_LONG_LONG ms;
	struct timeval tv;

	MHD_run(l->daemon);
	/* With too many connections it stops listening, and only the run after the one in which one
	 * has ended goes on with that. */
	for (after = connections_of(l); after < before; after = connections_of(l)) {
		before = after;
		MHD_run(l->daemon);
	}
	if (listener_is_choked(l)) {
		listener_pause(l);
		return;
	}
	if (event_add(l->event, NULL) == -1)
		log_error("no event: out of memory");
	if (MHD_get_timeout(l->daemon, &ms) != MHD_YES)
		return;
	ms = MIN_OF(ms, 60000u);
	tv = (struct timeval){ .tv_sec = (time_t)(ms / 1000),
			       .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	if (evtimer_add(l->timer, &tv) == -1)
		log_error("no timer: out of memory");
}

static void on_daemon(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	listener_run(arg);
}

/* Its epoll descriptor does not tell of a connection that goes on. */
static void on_wake(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_DAEMON);
	size_t i;

	for (i = 0; info && i < web.live.n; i++)
		if (web.live.v[i].daemon == info->daemon)
			event_active(web.live.v[i].timer, EV_TIMEOUT, 0);
}

static void listener_fini(struct web_listener *l)
{
	if (l->event)
		event_free(l->event);
	if (l->timer)
		event_free(l->timer);
	/* First taken from the daemon, which might shut down what the master and the next
	 * generation share. */
	if (l->daemon) {
		(void)MHD_quiesce_daemon(l->daemon);
		MHD_run(l->daemon); /* who was woken has an answer yet */
		MHD_stop_daemon(l->daemon);
	}
	if (l->fd != -1)
		close(l->fd);
	*l = (struct web_listener){ .fd = -1 };
}

static void set_fini(struct web_set *s)
{
	size_t i;

	/* Nothing may be suspended when a daemon stops. */
	if (s == &web.live && web.site.inquiry)
		inquiry_wake_all(web.site.inquiry);
	for (i = 0; i < s->n; i++)
		listener_fini(&s->v[i]);
	if (web.site.conf == s->conf)
		web.site.conf = NULL;
	conf_unref(&s->conf);
	*s = (struct web_set){ 0 };
}

/* --- connections ------------------------------------------------------------------------ */

/* libmicrohttpd's own time-out is for those who say nothing: who drips could stay for ever. */
static void on_connection(void *arg UNUSED, struct MHD_Connection *connection,
			  void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	struct web_connection *c = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (c)
			list_remove(&c->link);
		free(c);
		*socket_context = NULL;
		return;
	}
	c = calloc(1, sizeof(*c));
	*socket_context = c;
	if (!c)
		return;
	c->connection = connection;
	c->deadline = clock_now() + REQUEST_MS;
	list_init(&c->link);
	list_add_tail(&web.connections, &c->link);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode how)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct web_connection *c = info ? info->socket_context : NULL;

	site_on_completed(arg, connection, state, how);
	if (c)
		c->deadline = clock_now() + REQUEST_MS;
}

/* libmicrohttpd then sees the end and cleans up. */
static void cut_late(void)
{
	struct list *i;

	LIST_EACH(i, &web.connections) {
		struct web_connection *c = CONTAINER_OF(i, struct web_connection, link);
		const union MHD_ConnectionInfo *info =
			MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		if (c->deadline > clock_now() || !info)
			continue;
		c->deadline = clock_now() + REQUEST_MS;
		(void)shutdown(info->connect_fd, SHUT_RDWR);
	}
}

/* --- listeners -------------------------------------------------------------------------- */

static int listener_start(struct web_listener *l)
{
	const union MHD_DaemonInfo *info;

	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK, 0, NULL,
		NULL, site_on_request, &web.site, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_LISTEN_SOCKET, l->fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
	info = l->daemon ? MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return ERR_IO;
	l->event = event_new(web.base, info->epoll_fd, EV_READ | EV_PERSIST, on_daemon, l);
	l->timer = evtimer_new(web.base, on_daemon, l);
	if (!l->event || !l->timer || event_add(l->event, NULL) == -1)
		return ERR_NOMEM;
	listener_run(l);
	return 0;
}

/* --- the master's messages ------------------------------------------------------------- */

static int on_generation(void)
{
	struct err_msg msg = { 0 };
	uint64_t generation = ipc_get_u64(&in);
	int fd = ipc_take_fd(&in);
	const uint8_t *p = NULL;
	size_t len = 0;
	int rc = ipc_end(&in);

	if (!rc)
		rc = ipc_memfd_map(fd, GENERATION_MAX, &p, &len);
	set_fini(&web.pending);
	if (!rc)
		rc = generation_parse(p, len, &web.pending.conf, &msg);
	if (p)
		munmap((void *)(uintptr_t)p, len);
	if (fd != -1)
		close(fd);
	child_confirm(generation, rc == 0, rc == 0 ? "" : msg.text[0] ? msg.text : err_str(rc));
	return rc;
}

static int on_listener(void)
{
	uint64_t generation = ipc_get_u64(&in);
	int fd;

	(void)ipc_get_str(&in);
	(void)ipc_get_str(&in);
	fd = ipc_take_fd(&in);
	if (ipc_end(&in) || !web.pending.conf || generation != web.pending.conf->generation ||
	    web.pending.n == DAEMONS_MAX) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	web.pending.v[web.pending.n++] = (struct web_listener){ .fd = fd };
	return 0;
}

static bool is_same_socket(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino &&
	       sa.st_dev == sb.st_dev;
}

/*
 * The pending sockets become the live ones. A daemon whose socket stays goes on, and with it who
 * is being answered; nothing of the configuration is in it.
 */
static void take_listeners(void)
{
	struct web_set *live = &web.live, *next = &web.pending;
	bool kept[DAEMONS_MAX] = { false };
	size_t i, k;

	for (i = 0; i < next->n; i++)
		for (k = 0; k < live->n && next->v[i].fd != -1; k++)
			if (live->v[k].daemon && is_same_socket(live->v[k].fd, next->v[i].fd)) {
				kept[k] = true;
				close(next->v[i].fd);
				next->v[i].fd = -1;
			}
	for (k = 0; k < live->n; k++) {
		if (kept[k])
			continue;
		inquiry_wake_all(web.site.inquiry);
		listener_fini(&live->v[k]);
	}
	for (i = 0; i < next->n; i++) {
		for (k = 0; k < live->n && live->v[k].fd != -1; k++)
			;
		if (next->v[i].fd == -1)
			continue;
		BUG_ON(k == DAEMONS_MAX); /* as many as are pending, or kept */
		live->v[k] = next->v[i];
		live->n = MAX_OF(live->n, k + 1);
	}
}

static int on_commit(void)
{
	uint64_t generation = ipc_get_u64(&in);
	struct confine confine = { 0 };
	struct err_msg msg = { 0 };
	char versions[128];
	size_t i;

	if (ipc_end(&in) || !web.pending.conf || generation != web.pending.conf->generation)
		return ERR_BAD_MESSAGE;
	take_listeners();
	web.site.conf = web.pending.conf;
	conf_unref(&web.live.conf);
	web.live.conf = web.pending.conf;
	web.pending = (struct web_set){ 0 };
	inquiry_set_thumbnails(web.site.inquiry, web.live.conf->web.thumbnails);
	log_set_level((enum log_level)web.live.conf->log.level);
	confine.user = web.live.conf->user;
	if (!web.confined && confine_apply(&confine, NULL, &msg)) {
		log_error("%s", msg.text);
		return ERR_IO;
	}
	if (!web.confined) /* the figures are there: something to draw at once */
		history_sample(web.site.history, clock_wall());
	web.confined = true;
	for (i = 0; i < web.live.n; i++)
		if (web.live.v[i].fd != -1 && !web.live.v[i].daemon &&
		    listener_start(&web.live.v[i]))
			log_error("cannot serve HTTP: out of memory or descriptors");
	snprintf(versions, sizeof(versions), "libmicrohttpd=%s libevent=%s", MHD_get_version(),
		 event_get_version());
	child_ready(versions);
	return 0;
}

static int on_rollback(void)
{
	uint64_t generation = ipc_get_u64(&in);
	int rc = ipc_end(&in);

	if (!rc && web.pending.conf && web.pending.conf->generation == generation)
		set_fini(&web.pending);
	return rc;
}

/* Another generation serves these sockets now; what is being answered goes on. */
static int on_quiesce(void)
{
	int rc = ipc_end(&in);
	size_t i;

	for (i = 0; !rc && i < web.live.n; i++)
		if (web.live.v[i].daemon) {
			web.live.v[i].quiet = true;
			(void)MHD_quiesce_daemon(web.live.v[i].daemon);
		}
	return rc;
}

static int on_peer(void)
{
	int fd, rc = child_on_peer(&in, ROLE_MEDIA, &fd);

	if (!rc)
		inquiry_set_channel(web.site.inquiry, fd);
	return rc;
}

static bool is_idle(void)
{
	const union MHD_DaemonInfo *info;
	size_t i;

	for (i = 0; i < web.live.n; i++) {
		if (!web.live.v[i].daemon)
			continue;
		info = MHD_get_daemon_info(web.live.v[i].daemon,
					   MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (info && info->num_connections)
			return false;
	}
	return true;
}

static void on_ending(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	static const struct timeval soon = { .tv_usec = ENDING_MS * 1000 };

	clock_update();
	if (is_idle() || clock_now() >= web.end_at ||
	    event_base_once(web.base, -1, EV_TIMEOUT, on_ending, NULL, &soon) == -1)
		(void)event_base_loopbreak(web.base);
}

/* What is being answered gets that long. */
static int on_stop(void)
{
	uint32_t ms = ipc_get_u32(&in);

	web.end_at = clock_now() + ms;
	web.exit_code = 0;
	if (on_quiesce())
		return ERR_BAD_MESSAGE;
	on_ending(-1, 0, NULL);
	return 0;
}

static int on_message(void)
{
	if (in.type == IPC_COUNTERS)
		return child_on_counters(&in);
	if (in.type == IPC_GENERATION)
		return on_generation();
	if (in.type == IPC_LISTENER)
		return on_listener();
	if (in.type == IPC_PEER)
		return on_peer();
	if (in.type == IPC_COMMIT)
		return on_commit();
	if (in.type == IPC_ROLLBACK)
		return on_rollback();
	if (in.type == IPC_ASK)
		return child_on_ask(&in, NULL);
	if (in.type == IPC_PING)
		return child_on_ping(&in);
	if (in.type == IPC_QUIESCE)
		return on_quiesce();
	if (in.type == IPC_STOP)
		return on_stop();
	return ERR_BAD_MESSAGE;
}

static void on_channel(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && !rc; i++) {
		rc = ipc_recv(CHILD_FD, &in, ROLE_WEB, ROLE_MASTER);
		if (rc)
			break;
		rc = on_message();
		ipc_in_fini(&in);
	}
	if (rc == 0 || rc == ERR_AGAIN)
		return;
	web.exit_code = rc == ERR_CLOSED ? 0 : 70; /* the master is gone, or talks nonsense */
	(void)event_base_loopbreak(web.base);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	clock_update();
	cut_late();
	history_sample(web.site.history, clock_wall());
}

static bool web_open(void)
{
	const struct timeval step = { .tv_sec = HISTORY_STEP_S };
	struct event_config *config = event_config_new();

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		web.base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!web.base)
		return false;
	web.site.wake = on_wake;
	web.site.history = history_new();
	web.site.inquiry = inquiry_new(web.base);
	web.tick = event_new(web.base, -1, EV_PERSIST, on_tick, NULL);
	web.channel = event_new(web.base, CHILD_FD, EV_READ | EV_PERSIST, on_channel, NULL);
	return web.site.history && web.site.inquiry && web.tick && web.channel &&
	       event_add(web.channel, NULL) == 0 && event_add(web.tick, &step) == 0;
}

static void web_close(void)
{
	set_fini(&web.pending);
	set_fini(&web.live);
	inquiry_free(&web.site.inquiry);
	history_free(&web.site.history);
	if (web.tick)
		event_free(web.tick);
	if (web.channel)
		event_free(web.channel);
	if (web.base)
		event_base_free(web.base);
}

int web_main(unsigned index)
{
	child_open(ROLE_WEB, index);
	web.exit_code = 70;
	list_init(&web.connections);
	if (web_open())
		while (event_base_loop(web.base, EVLOOP_ONCE) == 0 &&
		       !event_base_got_break(web.base))
			stall_end_of_turn();
	else
		log_error("cannot start: out of memory or descriptors");
	web_close();
	return web.exit_code;
}
