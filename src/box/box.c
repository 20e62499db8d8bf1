/* SPDX-License-Identifier: MIT */
/*
 * box - see box.h.
 *
 * One libmicrohttpd daemon for each listening socket, without threads; its epoll
 * descriptor is an event of our loop. A new generation brings new daemons; old ones accept
 * nothing more and go when their last connection has ended. So do all after QUIESCE and STOP.
 *
 * Invariants
 *   - a daemon's site lives as long as the daemon
 *   - every connection has a deadline, whoever is slow
 */
#include "config.h"

#include "box/box.h"

#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/counters.h"
#include "base/stall.h"
#include "box/http.h"
#include "box/serve.h"
#include "box/upload.h"
#include "conf/generation.h"

#define DAEMONS_MAX        8
#define RETIRED_MAX        64 /* older ones are cut off */
#define MESSAGES_PER_TURN  64
#define PAUSE_MS           200
#define CONNECTION_TIMEOUT 30
#define CONNECTION_MEMORY  (32 * 1024)
#define TLS_VERSIONS       "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" /* RFC 8996 */
#define TICK_MS            1000
#define SWEEP_TICKS        60 /* between two sweeps of the store */

struct box_set;

/* A listening socket, served or waiting to be. */
struct box_listener {
	struct list retired;       /* of box.retired */
	struct box_set *set;       /* borrowed: holds the site */
	int fd;                    /* owned; -1 */
	struct MHD_Daemon *daemon; /* owned */
	struct event *event;       /* owned: the daemon's epoll descriptor */
	struct event *timer;       /* owned: the daemon's time-outs */
	bool quiet;                /* accepts nobody any more */
};

/* One generation. Freed with its last listener. */
struct box_set {
	struct http_site site;
	struct box_listener v[DAEMONS_MAX];
	size_t n;
	size_t open; /* listeners that are not closed */
};

static struct box {
	struct event_base *base;
	struct event *channel;
	struct event *tick;
	struct box_set *live;    /* owned; NULL */
	struct box_set *pending; /* owned; NULL */
	struct store *store;
	struct offers *offers;
	struct s3 *s3;
	struct list connections;
	struct list retired;
	size_t retired_n;
	unsigned ticks;
	bool sweeping;
	bool confined;
	bool quiet;     /* another generation serves the sockets and counts what the store holds */
	int64_t end_at; /* ends then, or with the last connection; 0: goes on */
	int exit_code;
} box;

static struct ipc_in in;

/* --- HTTP ------------------------------------------------------------------------------- */

static char no_upload; /* the state of requests that need none */

static enum MHD_Result begin(const struct http_site *site, struct MHD_Connection *connection,
			     const char *path, const char *method, void **state)
{
	struct box_upload *u;

	*state = &no_upload;
	http_allow(connection, site->conf, 0);
	if (http_is_ambiguous(connection))
		return http_reason(connection, MHD_HTTP_BAD_REQUEST, "ambiguous headers");
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		return MHD_YES;
	if (strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0 && site->conf->upload.cors.n)
		return http_preflight(connection);
	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0 && strcmp(method, MHD_HTTP_METHOD_PUT) != 0)
		return http_reason(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "not allowed");
	if (strncmp(path, "/up/", 4) != 0)
		return http_reason(connection, MHD_HTTP_NOT_FOUND, "not found");
	u = box_upload_new(site, connection, path + 4);
	if (!u)
		return MHD_NO;
	*state = u;
	return box_upload_is_refused(u) ? box_upload_end(u) : MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version UNUSED,
				  const char *upload, size_t *upload_size, void **state)
{
	const struct http_site *site = &((struct box_listener *)ctx)->set->site;
	const char *path = http_path(site->conf, url);

	clock_update();
	if (!*state)
		return begin(site, connection, path, method, state);
	if (*upload_size) {
		bool go_on = *state == &no_upload ? http_drop(connection, *upload_size)
						  : box_upload_add(*state, upload, *upload_size);

		*upload_size = 0;
		return go_on ? MHD_YES : MHD_NO;
	}
	return *state != &no_upload ? box_upload_end(*state)
				    : serve(site, connection, path, method);
}

static void on_completed(void *ctx UNUSED, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why UNUSED)
{
	struct http_connection *c = http_context(connection);

	if (*state && *state != &no_upload) {
		struct box_upload *u = *state;

		box_upload_free(&u);
	}
	*state = NULL;
	if (!c)
		return;
	c->deadline = clock_now() + CONNECTION_TIMEOUT * 1000;
	c->asked = false;
	c->dropped = 0;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	const struct box_listener *l = ctx;
	struct http_connection *c = *socket_context;

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
		return; /* libmicrohttpd's own time-out remains */
	c->connection = connection;
	c->wake = l->timer;
	c->conf = l->set->site.conf;
	list_init(&c->link);
	list_add_tail(&box.connections, &c->link);
	http_allow(connection, l->set->site.conf, 0);
	c->deadline = clock_now() + CONNECTION_TIMEOUT * 1000;
}

/* Who is too slow is shut off; libmicrohttpd then sees the end and cleans up. */
static void cut_late(void)
{
	struct list *i;

	LIST_EACH(i, &box.connections) {
		struct http_connection *c = CONTAINER_OF(i, struct http_connection, link);
		const union MHD_ConnectionInfo *info;

		if (c->deadline > clock_now())
			continue;
		info = MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (!info)
			continue;
		counter_inc(METRIC_BOX_LATE);
		c->deadline = clock_now() + CONNECTION_TIMEOUT * 1000;
		(void)shutdown(info->connect_fd, SHUT_RDWR);
	}
}

/* --- daemons ---------------------------------------------------------------------------- */

static void set_put(struct box_set **sp)
{
	struct box_set *s = *sp;

	*sp = NULL;
	if (!s || s->open)
		return;
	conf_unref(&s->site.conf);
	free(s);
}

static bool is_idle(const struct box_listener *l)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return !info || info->num_connections == 0;
}

static void listener_close(struct box_listener *l)
{
	struct box_set *set = l->set;

	if (!list_is_empty(&l->retired))
		box.retired_n--;
	list_remove(&l->retired);
	if (l->event)
		event_free(l->event);
	if (l->daemon) {
		if (!is_idle(l)) { /* nothing may be suspended */
			s3_stop(box.s3);
			offers_end(box.offers);
		}
		MHD_stop_daemon(l->daemon);
		s3_go(box.s3);
	}
	if (l->timer) /* what goes on in the lines above wakes it */
		event_free(l->timer);
	if (l->fd != -1)
		close(l->fd);
	*l = (struct box_listener){ .fd = -1 };
	list_init(&l->retired);
	set->open--;
}

/*
 * Out of descriptors, libmicrohttpd leaves who waits where it is when there is no connection that
 * could end: they would wake us at once again, for ever. That they came just now is seen by a
 * second look.
 */
static bool listener_is_choked(struct box_listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	int looks;

	for (looks = 0;; looks++) {
		if (l->quiet || !is_idle(l) || poll(&p, 1, 0) != 1)
			return false;
		if (looks)
			return true;
		MHD_run(l->daemon);
	}
}

static void listener_pause(struct box_listener *l)
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

static void listener_run(struct box_listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	struct timeval tv;

	MHD_run(l->daemon);
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

/* No new connections; those that are there go on. */
static void listener_quiesce(struct box_listener *l)
{
	l->quiet = true;
	(void)MHD_quiesce_daemon(l->daemon);
}

static void listener_retire(struct box_listener *l)
{
	if (!l->daemon) {
		listener_close(l);
		return;
	}
	listener_quiesce(l);
	list_add_tail(&box.retired, &l->retired);
	if (++box.retired_n > RETIRED_MAX)
		listener_close(CONTAINER_OF(box.retired.next, struct box_listener, retired));
}

/* Takes the set; with `now` whatever its connections are at. */
static void set_end(struct box_set **sp, bool now)
{
	struct box_set *s = *sp;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->n; i++) {
		if (now)
			listener_close(&s->v[i]);
		else
			listener_retire(&s->v[i]);
	}
	set_put(sp);
}

static void reap_retired(bool now)
{
	struct list *i, *tmp;

	LIST_EACH_SAFE(i, tmp, &box.retired) {
		struct box_listener *l = CONTAINER_OF(i, struct box_listener, retired);
		struct box_set *set = l->set;

		if (!now && !is_idle(l))
			continue;
		listener_close(l);
		set_put(&set);
	}
}

static int listener_start(struct box_listener *l)
{
	const struct conf_upload *c = &l->set->site.conf->upload;
	const char *pem = c->pem;
	const union MHD_DaemonInfo *info;
	struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)pem },
					{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)pem },
					{ MHD_OPTION_HTTPS_PRIORITIES, 0,
					  (void *)(uintptr_t)TLS_VERSIONS },
					{ MHD_OPTION_END, 0, NULL } };

	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (pem ? MHD_USE_TLS : MHD_NO_FLAG), 0,
		NULL, NULL, on_request, l, MHD_OPTION_LISTEN_SOCKET, l->fd,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, l, MHD_OPTION_CONNECTION_LIMIT, (unsigned)c->connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)c->connections_per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY,
		pem ? tls : &tls[ARRAY_SIZE(tls) - 1], MHD_OPTION_END);
	info = l->daemon ? MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return ERR_IO;
	l->event = event_new(box.base, info->epoll_fd, EV_READ | EV_PERSIST, on_daemon, l);
	l->timer = evtimer_new(box.base, on_daemon, l);
	if (!l->event || !l->timer || event_add(l->event, NULL) == -1)
		return ERR_NOMEM;
	listener_run(l);
	return 0;
}

/* Nobody new on the sockets that are served now. */
static void quiesce(void)
{
	size_t i;

	for (i = 0; box.live && i < box.live->n; i++)
		if (box.live->v[i].daemon)
			listener_quiesce(&box.live->v[i]);
}

static bool end_is_due(void)
{
	return box.end_at && (list_is_empty(&box.connections) || clock_now() >= box.end_at);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	struct timeval soon = { .tv_usec = 20000 }, tick = { .tv_sec = TICK_MS / 1000 };

	clock_update();
	cut_late();
	reap_retired(false);
	if (end_is_due())
		(void)event_base_loopbreak(box.base);
	if (box.quiet) {
		counter_set(METRIC_BOX_BYTES, 0);
		counter_set(METRIC_BOX_FILES, 0);
	} else if (++box.ticks % SWEEP_TICKS == 0)
		box.sweeping = true;
	if (box.sweeping && box.store)
		box.sweeping = !store_sweep(box.store, http_now());
	if (evtimer_add(box.tick, box.sweeping ? &soon : &tick) == -1)
		log_error("no timer: out of memory");
}

/* --- the master's messages -------------------------------------------------------------- */

static int on_generation(void)
{
	struct err_msg msg = { 0 };
	uint64_t generation = ipc_get_u64(&in);
	int fd = ipc_take_fd(&in);
	const uint8_t *p = NULL;
	size_t len = 0;
	int rc = ipc_end(&in);

	set_end(&box.pending, true);
	box.pending = calloc(1, sizeof(*box.pending));
	if (!rc && !box.pending)
		rc = ERR_NOMEM;
	if (!rc)
		rc = ipc_memfd_map(fd, GENERATION_MAX, &p, &len);
	if (!rc)
		rc = generation_parse(p, len, &box.pending->site.conf, &msg);
	if (!rc && !box.pending->site.conf->upload.key)
		rc = err_msg_set(&msg, ERR_CONFIG, "the key that signs uploads is missing");
	if (rc)
		set_end(&box.pending, true);
	if (p)
		munmap((void *)(uintptr_t)p, len);
	if (fd != -1)
		close(fd);
	child_confirm(generation, rc == 0, rc == 0 ? "" : msg.text[0] ? msg.text : err_str(rc));
	return 0;
}

static int on_listener(void)
{
	struct box_set *s = box.pending;
	uint64_t generation = ipc_get_u64(&in);
	int fd;

	(void)ipc_get_str(&in);
	(void)ipc_get_str(&in);
	fd = ipc_take_fd(&in);
	if (!ipc_end(&in) && !s) { /* of a generation that was refused */
		close(fd);
		return 0;
	}
	if (in.error || generation != s->site.conf->generation || s->n == DAEMONS_MAX) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	s->v[s->n] = (struct box_listener){ .set = s, .fd = fd };
	list_init(&s->v[s->n].retired);
	s->n++;
	s->open++;
	return 0;
}

/* The first generation: gives up all rights but those on the store, and opens it. */
static int settle(const struct conf *conf)
{
	char folder[256];
	const char *write_paths[] = { folder, NULL };
	/* What finding and trusting a bucket takes; a reload may name one. */
	static const char *const read_paths[] = { "/etc/resolv.conf",
						  "/etc/hosts",
						  "/etc/nsswitch.conf",
						  "/etc/host.conf",
						  "/etc/gai.conf",
						  "/etc/ssl/certs",
						  "/etc/ssl/openssl.cnf",
						  "/usr/share/ca-certificates",
						  "/usr/local/share/ca-certificates",
						  NULL };
	const struct confine confine = { .user = conf->box_user[0] ? conf->box_user : conf->user,
					 .read_paths = read_paths,
					 .write_paths = write_paths };
	struct err_msg msg = { 0 };
	bool landlock;

	if (box.confined)
		return 0;
	snprintf(folder, sizeof(folder), "%s/box", conf->state_dir);
	if (confine_apply(&confine, &landlock, &msg)) {
		log_error("cannot confine this process: %s", msg.text);
		return ERR_IO;
	}
	if (!landlock)
		log_notice("this kernel has no landlock, files stay readable");
	box.confined = true;
	box.store = store_open(folder, http_now(), &msg);
	if (!box.store) {
		log_error("cannot open the store: %s", msg.text);
		return ERR_IO;
	}
	return 0;
}

/* It is over here: the bucket has it still. What does not go now the next sweep names again. */
static void on_gone(void *arg UNUSED, const char *name, const struct store_file *f)
{
	int rc = s3_delete(box.s3, box.live->site.conf, box.store, name, f);

	if (rc && rc != ERR_AGAIN && rc != ERR_SHUTDOWN)
		log_warning("nothing could be deleted in the bucket: %s", err_str(rc));
}

static int on_commit(void)
{
	uint64_t generation = ipc_get_u64(&in);
	char versions[128];
	struct box_set *s = box.pending;
	size_t i;

	if (ipc_end(&in) || !s || generation != s->site.conf->generation)
		return ERR_BAD_MESSAGE;
	if (settle(s->site.conf))
		return ERR_IO;
	offers_set_site(box.offers, s->site.conf, box.store, box.s3);
	set_end(&box.live, false);
	box.live = s;
	box.pending = NULL;
	s->site.store = box.store;
	s->site.offers = box.offers;
	s->site.s3 = box.s3;
	log_set_level((enum log_level)s->site.conf->log.level);
	store_set_limits(box.store, s->site.conf->upload.quota, s->site.conf->upload.quota_user);
	store_set_elsewhere(box.store, s->site.conf->upload.s3[0] ? on_gone : NULL, NULL);
	box.sweeping = true;
	for (i = 0; i < s->n; i++)
		if (listener_start(&s->v[i]))
			log_error("cannot serve HTTP: out of memory or descriptors, or the "
				  "certificate cannot be used");
	snprintf(versions, sizeof(versions), "libmicrohttpd=%s libevent=%s", MHD_get_version(),
		 event_get_version());
	child_ready(versions);
	return 0;
}

static int on_rollback(void)
{
	uint64_t generation = ipc_get_u64(&in);
	int rc = ipc_end(&in);

	if (!rc && box.pending && box.pending->site.conf->generation == generation)
		set_end(&box.pending, true);
	return rc;
}

static int on_peer(void)
{
	int fd, rc = child_on_peer(&in, ROLE_MEDIA, &fd);

	if (!rc)
		offers_set_channel(box.offers, fd);
	return rc;
}

/* Uploads that are under way get that long. */
static int on_stop(void)
{
	uint32_t ms = ipc_get_u32(&in);
	int rc = ipc_end(&in);

	if (rc)
		return rc;
	box.exit_code = 0;
	box.end_at = clock_now() + ms;
	quiesce();
	if (end_is_due())
		(void)event_base_loopbreak(box.base);
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
	if (in.type == IPC_QUIESCE) {
		box.quiet = true;
		box.sweeping = false;
		quiesce();
		return ipc_end(&in);
	}
	if (in.type == IPC_STOP)
		return on_stop();
	return ERR_BAD_MESSAGE;
}

static void on_channel(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && !rc; i++) {
		rc = ipc_recv(CHILD_FD, &in, ROLE_BOX, ROLE_MASTER);
		if (rc)
			break;
		rc = on_message();
		ipc_in_fini(&in);
	}
	if (rc == 0 || rc == ERR_AGAIN)
		return;
	box.exit_code = rc == ERR_CLOSED ? 0 : 70; /* the master is gone, or talks nonsense */
	(void)event_base_loopbreak(box.base);
}

/* --- the loop --------------------------------------------------------------------------- */

static bool box_open(void)
{
	struct event_config *config = event_config_new();
	struct timeval tick = { .tv_sec = TICK_MS / 1000 };

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		box.base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!box.base)
		return false;
	box.offers = offers_new(box.base);
	box.s3 = s3_new(box.base);
	box.tick = evtimer_new(box.base, on_tick, NULL);
	box.channel = event_new(box.base, CHILD_FD, EV_READ | EV_PERSIST, on_channel, NULL);
	return box.offers && box.s3 && box.tick && box.channel &&
	       event_add(box.channel, NULL) == 0 && evtimer_add(box.tick, &tick) == 0;
}

static void box_loop(void)
{
	while (event_base_loop(box.base, EVLOOP_ONCE) == 0 && !event_base_got_break(box.base))
		stall_end_of_turn();
}

int box_main(unsigned index)
{
	child_open(ROLE_BOX, index);
	(void)signal(SIGPIPE, SIG_IGN);
	box.exit_code = 70;
	list_init(&box.connections);
	list_init(&box.retired);
	if (box_open())
		box_loop();
	else
		log_error("cannot start: out of memory or descriptors");
	if (box.s3)
		s3_stop(box.s3);
	if (box.offers)
		offers_end(box.offers);
	set_end(&box.pending, true);
	set_end(&box.live, true);
	reap_retired(true);
	s3_free(&box.s3);
	offers_free(&box.offers);
	store_close(&box.store);
	if (box.tick)
		event_free(box.tick);
	if (box.channel)
		event_free(box.channel);
	if (box.base)
		event_base_free(box.base);
	return box.exit_code;
}
