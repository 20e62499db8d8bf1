/* SPDX-License-Identifier: MIT */
/*
 * service - see service.h.
 *
 * Receives jobs and sends results; what happens between is flight.c's. A proxy that sends
 * nonsense loses its channel, nothing else.
 */
#include "config.h"

#include "media/service.h"

#include <ares.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/counters.h"
#include "base/err.h"
#include "conf/generation.h"
#include "media/desk.h"
#include "media/flight.h"
#include "media/outbox.h"
#include "media/service-asks.h"
#include "media/turn.h"

#define CLIENTS_MAX       COUNTERS_SLOTS
#define MESSAGES_PER_TURN 64
#define REFRESH_S         60

enum { EXIT_FAULT = 70 };

/* A proxy. */
struct client {
	int fd;              /* owned; -1: none */
	struct event *event; /* owned */
	struct outbox outbox;
	struct list waiters;
};

static struct service {
	struct event_base *base;
	struct event *channel;
	struct event *refresh;
	struct flights *flights;
	struct desk *desk;
	struct conf *conf;    /* owned reference: runs */
	struct conf *pending; /* owned reference: confirmed, not committed */
	uint64_t pending_number;
	bool confined;
	bool ended;
	int exit_code;
	struct client clients[CLIENTS_MAX];
	struct client box;
	struct ipc_in in; /* one at a time */
	struct ipc_out out;
} s;

static void service_end(int code)
{
	s.ended = true;
	s.exit_code = code;
}

/* --- proxies --------------------------------------------------------------------------- */

static void client_close(struct client *c)
{
	flights_leave(&c->waiters);
	outbox_close(&c->outbox);
	if (c->event)
		event_free(c->event);
	c->event = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

/* The box counts these; how many there are it learns from the profiles in use. */
static void on_offered(uint64_t id)
{
	ipc_begin(&s.out, IPC_OFFERED);
	ipc_put_u64(&s.out, id);
	ipc_put_u32(&s.out, flights_profiles(s.flights));
	if (ipc_send(s.box.fd, &s.out))
		log_debug("an answer found the channel to the box full or closed");
}

/* A closed channel, or one that is full for long, loses the answer: the proxy's own deadline lets
 * the message go on. */
static void on_result(void *client, const struct job_result *r)
{
	struct client *c = client;

	if (c == &s.box) {
		on_offered(r->id);
		return;
	}
	ipc_begin(&s.out, IPC_RESULT);
	job_result_put(&s.out, r);
	if (outbox_send(&c->outbox, &s.out))
		log_debug("a result found the channel to its proxy full or closed");
}

static int client_on_message(struct client *c)
{
	struct job_keep keep;
	struct job j;
	uint64_t id;
	int rc;

	if (s.in.type == IPC_KEEP) {
		rc = job_keep_get(&s.in, &keep);
		if (!rc)
			flights_keep(s.flights, &keep);
		return rc;
	}
	if (s.in.type == IPC_LISTED) {
		const char *origin = ipc_get_str(&s.in);

		rc = ipc_end(&s.in);
		if (!rc)
			flights_list(s.flights, origin);
		return rc;
	}
	if (s.in.type == IPC_CANCEL) {
		id = ipc_get_u64(&s.in);
		rc = ipc_end(&s.in);
		if (!rc)
			flights_cancel(&c->waiters, id);
		return rc;
	}
	if (s.in.type != IPC_JOB)
		return ERR_BAD_MESSAGE;
	rc = job_get(&s.in, &j);
	if (!rc)
		flights_ask(s.flights, c, &c->waiters, &j);
	return rc;
}

static void on_client(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct client *c = arg;
	int i, rc = 0;

	turn_begin();
	for (i = 0; i < MESSAGES_PER_TURN && c->fd == fd && !rc; i++) {
		rc = ipc_recv(c->fd, &s.in, ROLE_MEDIA, ROLE_PROXY);
		if (rc)
			break;
		rc = client_on_message(c);
		ipc_in_fini(&s.in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED) {
		counter_inc(METRIC_IPC_BAD);
		log_error("malformed message from a proxy, its channel is closed proxy=%zu",
			  (size_t)(c - s.clients));
	}
	client_close(c);
}

/* --- the box --------------------------------------------------------------------------- */

static int box_on_offer(void)
{
	uint64_t id = ipc_get_u64(&s.in);
	const char *url = ipc_get_str(&s.in);
	int fd = ipc_take_fd(&s.in);

	if (ipc_end(&s.in)) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	if (flights_offer(s.flights, &s.box, &s.box.waiters, id, url, fd) == 0)
		on_offered(id);
	return 0;
}

/* The message with its address leaves behind this one, so that the box has it first. */
static bool on_publish(const struct job_result *r)
{
	if (s.box.fd == -1)
		return false;
	ipc_begin(&s.out, IPC_THUMBNAIL);
	ipc_put_blob(&s.out, r->bytes, r->len);
	return ipc_send(s.box.fd, &s.out) == 0;
}

static void box_close(void)
{
	flights_set_box(s.flights, -1);
	client_close(&s.box);
}

static void on_box(evutil_socket_t fd, short what UNUSED, void *arg UNUSED)
{
	int i, rc = 0;

	turn_begin();
	for (i = 0; i < MESSAGES_PER_TURN && s.box.fd == fd && !rc; i++) {
		rc = ipc_recv(s.box.fd, &s.in, ROLE_MEDIA, ROLE_BOX);
		if (rc)
			break;
		rc = s.in.type == IPC_OFFER    ? box_on_offer()
		     : s.in.type == IPC_LOADED ? flights_on_loaded(s.flights, &s.in)
					       : ERR_BAD_MESSAGE;
		ipc_in_fini(&s.in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED) {
		counter_inc(METRIC_IPC_BAD);
		log_error("malformed message from the box, its channel is closed");
	}
	box_close();
}

static void box_open(int fd)
{
	box_close();
	s.box.fd = fd;
	s.box.event = event_new(s.base, fd, EV_READ | EV_PERSIST, on_box, NULL);
	if (!s.box.event || event_add(s.box.event, NULL) == -1) {
		log_error("no way to the box: out of memory");
		box_close();
		return;
	}
	flights_set_box(s.flights, fd);
	flights_set_publisher(s.flights, on_publish);
}

static int client_open(uint32_t index, int fd)
{
	struct client *c;

	if (index >= CLIENTS_MAX) {
		close(fd);
		return ERR_BAD_MESSAGE;
	}
	c = &s.clients[index];
	client_close(c);
	c->fd = fd;
	c->event = event_new(s.base, fd, EV_READ | EV_PERSIST, on_client, c);
	if (!c->event || event_add(c->event, NULL) == -1 || outbox_open(&c->outbox, s.base, fd)) {
		log_error("no way to a proxy: out of memory");
		client_close(c);
	}
	return 0;
}

/* --- the master ------------------------------------------------------------------------ */

static int on_generation(void)
{
	struct err_msg msg = { 0 };
	uint64_t generation = ipc_get_u64(&s.in);
	int fd = ipc_take_fd(&s.in);
	const uint8_t *p = NULL;
	size_t len = 0;
	int rc = ipc_end(&s.in);

	conf_unref(&s.pending);
	if (!rc)
		rc = ipc_memfd_map(fd, GENERATION_MAX, &p, &len);
	if (!rc)
		rc = generation_parse(p, len, &s.pending, &msg);
	if (p)
		munmap((void *)(uintptr_t)p, len);
	if (fd != -1)
		close(fd);
	s.pending_number = generation;
	child_confirm(generation, rc == 0, rc == 0 ? "" : msg.text[0] ? msg.text : err_str(rc));
	return 0;
}

static int service_confine(const struct conf *conf)
{
	/* For c-ares, and for the certificates, which libcurl reads when it first needs them. */
	const char *paths[] = { "/etc/ssl",
				"/usr/share/ca-certificates",
				"/usr/local/share/ca-certificates",
				"/etc/hosts",
				"/etc/resolv.conf",
				"/etc/nsswitch.conf",
				"/etc/host.conf",
				"/etc/gai.conf",
				NULL };
	struct confine c = { .user = conf->media_user[0] ? conf->media_user : conf->user,
			     .read_paths = paths };
	struct err_msg msg = { 0 };
	bool landlock;
	int rc = confine_apply(&c, &landlock, &msg);

	if (rc)
		log_error("cannot confine this process: %s", msg.text);
	else if (!landlock)
		log_notice("this kernel has no landlock, files stay readable");
	return rc;
}

static void on_commit(uint64_t generation)
{
	char versions[200];

	if (!s.pending || s.pending_number != generation)
		return;
	if (!s.confined && service_confine(s.pending)) {
		service_end(EXIT_FAULT);
		return;
	}
	if (flights_set_conf(s.flights, s.pending)) {
		log_error("cannot take over generation=%llu", (unsigned long long)generation);
		if (!s.confined)
			service_end(EXIT_FAULT);
		return;
	}
	conf_unref(&s.conf);
	s.conf = s.pending;
	desk_set_conf(s.desk, s.conf);
	s.pending = NULL;
	log_set_level((enum log_level)s.conf->log.level);
	if (s.confined)
		return;
	s.confined = true;
	snprintf(versions, sizeof(versions), "curl %s c-ares %s libevent %s",
		 curl_version_info(CURLVERSION_NOW)->version, ares_version(NULL),
		 event_get_version());
	child_ready(versions);
}

static int on_peer(void)
{
	uint8_t role = ipc_get_u8(&s.in);
	uint32_t index = ipc_get_u32(&s.in);
	int fd = ipc_take_fd(&s.in);
	int rc = ipc_end(&s.in);

	if (rc ||
	    (role != ROLE_PROXY && role != ROLE_SCALER && role != ROLE_BOX && role != ROLE_WEB)) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	if (role == ROLE_PROXY)
		return client_open(index, fd);
	if (role == ROLE_BOX)
		box_open(fd);
	else if (role == ROLE_WEB)
		desk_set_channel(s.desk, fd);
	else
		flights_set_scaler(s.flights, fd);
	return 0;
}

static void on_ask(const struct ask *a)
{
	service_on_ask(s.flights, a);
}

static int master_on_message(void)
{
	uint64_t generation;
	int rc;

	switch ((int)s.in.type) {
	case IPC_COUNTERS:
		return child_on_counters(&s.in);
	case IPC_GENERATION:
		return on_generation();
	case IPC_PEER:
		return on_peer();
	case IPC_COMMIT:
		generation = ipc_get_u64(&s.in);
		rc = ipc_end(&s.in);
		if (!rc)
			on_commit(generation);
		return rc;
	case IPC_ROLLBACK:
		conf_unref(&s.pending);
		return 0;
	case IPC_ASK:
		return child_on_ask(&s.in, on_ask);
	case IPC_PING:
		return child_on_ping(&s.in);
	case IPC_STOP:
		service_end(0);
		return 0;
	}
	return ERR_BAD_MESSAGE;
}

static void on_master(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	int i, rc = 0;

	turn_begin();
	for (i = 0; i < MESSAGES_PER_TURN && !s.ended && !rc; i++) {
		rc = ipc_recv(CHILD_FD, &s.in, ROLE_MEDIA, ROLE_MASTER);
		if (rc)
			break;
		rc = master_on_message();
		ipc_in_fini(&s.in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED)
		log_error("malformed message from the master: %s", err_str(rc));
	service_end(rc == ERR_CLOSED ? 0 : EXIT_FAULT);
}

/* --- the loop -------------------------------------------------------------------------- */

static void on_refresh(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	turn_begin();
	flights_refresh(s.flights);
}

static void service_run(void)
{
	while (!s.ended) {
		if (event_base_loop(s.base, EVLOOP_ONCE) == -1)
			service_end(EXIT_FAULT);
		turn_end();
	}
}

static int service_open(void)
{
	struct timeval minute = { .tv_sec = REFRESH_S };
	struct event_config *config;
	size_t i;

	for (i = 0; i < CLIENTS_MAX; i++) {
		s.clients[i].fd = -1;
		outbox_init(&s.clients[i].outbox);
		list_init(&s.clients[i].waiters);
	}
	s.box.fd = -1;
	outbox_init(&s.box.outbox);
	list_init(&s.box.waiters);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return ERR_NOMEM;
	config = event_config_new();
	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		s.base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!s.base)
		return ERR_NOMEM;
	s.flights = flights_new(s.base, on_result);
	s.desk = s.flights ? desk_new(s.base, s.flights) : NULL;
	s.channel = event_new(s.base, CHILD_FD, EV_READ | EV_PERSIST, on_master, NULL);
	s.refresh = event_new(s.base, -1, EV_PERSIST, on_refresh, NULL);
	if (!s.desk || !s.channel || !s.refresh || event_add(s.channel, NULL) == -1 ||
	    event_add(s.refresh, &minute) == -1)
		return ERR_NOMEM;
	return 0;
}

static void service_close(void)
{
	size_t i;

	for (i = 0; i < CLIENTS_MAX; i++)
		client_close(&s.clients[i]);
	if (s.flights)
		box_close();
	desk_free(&s.desk);
	flights_free(&s.flights);
	if (s.channel)
		event_free(s.channel);
	if (s.refresh)
		event_free(s.refresh);
	if (s.base)
		event_base_free(s.base);
	conf_unref(&s.conf);
	conf_unref(&s.pending);
	ares_library_cleanup();
}

int media_main(unsigned index)
{
	child_open(ROLE_MEDIA, index);
	(void)signal(SIGPIPE, SIG_IGN);
	/* No variable may steer libcurl, c-ares or the locale (IDN folding): clearenv, then C. */
	if (clearenv() != 0 || !setlocale(LC_ALL, "C") || service_open()) {
		log_error("out of memory at start");
		return EXIT_FAULT;
	}
	service_run();
	service_close();
	return s.exit_code;
}
