/* SPDX-License-Identifier: MIT */
/*
 * proxy - see proxy.h.
 *
 * A generation and its listeners wait in `pending` until the master commits them; the live
 * ones are replaced then, sessions stay.
 */
#include "config.h"

#include "stream/proxy.h"

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
#include "base/stall.h"
#include "conf/generation.h"
#include "rule/rule.h"
#include "stream/listener.h"
#include "stream/proxy-asks.h"
#include "stream/record.h"
#include "xmpp/outline.h"

#define LISTENERS_MAX     256
#define MESSAGES_PER_TURN 64

struct proxy_set {
	struct listener v[LISTENERS_MAX];
	size_t n;
	struct conf *conf;                          /* one reference */
	struct tls_context *tls[2 * LISTENERS_MAX]; /* references: built before they are needed */
	size_t tls_n;
};

/* A socket of another proxy that is away. */
struct proxy_loan {
	struct list link;
	struct listener listener;
	uint32_t owner; /* its index */
};

static struct proxy {
	struct event_base *base;
	struct event *channel;
	struct pool *pool;
	struct proxy_set sets[2];
	struct proxy_set *live;
	struct proxy_set *pending;
	struct list loans; /* struct proxy_loan, at most LISTENERS_MAX */
	size_t loans_n;
	unsigned index;
	bool confined;
	bool done;
	int exit_code;
} proxy;

static struct ipc_in in;

static void set_fini(struct proxy_set *s)
{
	while (s->n)
		listener_fini(&s->v[--s->n]);
	while (s->tls_n)
		tls_context_put(&s->tls[--s->tls_n]);
	conf_unref(&s->conf);
}

static void loan_end(struct proxy_loan *loan)
{
	list_remove(&loan->link);
	listener_fini(&loan->listener);
	free(loan);
	proxy.loans_n--;
}

static void loans_end(void)
{
	struct list *it, *tmp;

	LIST_EACH_SAFE(it, tmp, &proxy.loans)
		loan_end(CONTAINER_OF(it, struct proxy_loan, link));
}

/* --- messages of the master ------------------------------------------------------------ */

/* Certificates that cannot be used refuse the generation. */
static int set_open_tls(struct proxy_set *s, struct err_msg *msg)
{
	size_t i;

	for (i = 0; i < s->conf->listens_n && i < LISTENERS_MAX; i++) {
		const struct conf_listen *l = &s->conf->listens[i];

		if (l->tls != CONF_TLS_OFF) {
			s->tls[s->tls_n] = tls_context_get(s->conf, l, false, msg);
			if (!s->tls[s->tls_n])
				return ERR_TLS;
			s->tls_n++;
		}
		if (strncmp(l->upstream, "tls://", 6) == 0) {
			s->tls[s->tls_n] = tls_context_get(s->conf, l, true, msg);
			if (!s->tls[s->tls_n])
				return ERR_TLS;
			s->tls_n++;
		}
	}
	return 0;
}

static int on_generation(void)
{
	uint64_t generation = ipc_get_u64(&in);
	int fd = ipc_take_fd(&in);
	struct err_msg msg = { 0 };
	const uint8_t *p = NULL;
	size_t len = 0;
	int rc = ipc_end(&in);

	set_fini(proxy.pending);
	if (!rc)
		rc = ipc_memfd_map(fd, GENERATION_MAX, &p, &len);
	if (!rc)
		rc = generation_parse(p, len, &proxy.pending->conf, &msg);
	if (!rc)
		rc = rule_attach(proxy.pending->conf, &msg);
	if (!rc)
		rc = set_open_tls(proxy.pending, &msg);
	if (rc)
		set_fini(proxy.pending);
	if (p)
		munmap((void *)(uintptr_t)p, len);
	if (fd != -1)
		close(fd);
	child_confirm(generation, rc == 0, rc == 0 ? "" : msg.text[0] ? msg.text : err_str(rc));
	return 0; /* the master knows; what was live goes on */
}

static int on_listener(void)
{
	struct proxy_set *set = proxy.pending;
	uint64_t generation = ipc_get_u64(&in);
	const char *name = ipc_get_str(&in);
	int fd;

	(void)ipc_get_str(&in);
	fd = ipc_take_fd(&in);
	if (ipc_end(&in))
		goto bad;
	if (!set->conf) { /* a generation that was not accepted: its listeners follow all the same
			   */
		close(fd);
		return 0;
	}
	if (generation != set->conf->generation || set->n == LISTENERS_MAX ||
	    !conf_listen_find(set->conf, name))
		goto bad;
	if (listener_init(&set->v[set->n], proxy.pool, name, fd))
		return ERR_NOMEM;
	set->n++;
	return 0;
bad:
	if (fd != -1)
		close(fd);
	return ERR_BAD_MESSAGE;
}

static int proxy_confine(const struct conf *conf)
{
	/* Authorities for tls:// upstreams, which OpenSSL reads when it needs them. */
	const char *paths[] = { "/etc/ssl/certs", "/usr/lib/ssl", "/usr/share/ca-certificates",
				"/usr/local/share/ca-certificates", NULL };
	/*
	 * The one folder that a proxy may write: captures rotate there for as long as it lives, so
	 * that opening them beforehand would not do, and asking the master for each would make it
	 * a part of what is relayed.
	 */
	const char *const record[] = { conf->record.path, NULL };
	const struct confine confine = { .user = conf->user,
					 .read_paths = paths,
					 .write_paths = conf->record.path[0] ? record : NULL };
	struct err_msg msg = { 0 };

	if (proxy.confined)
		return 0;
	if (confine_apply(&confine, NULL, &msg)) {
		log_error("%s", msg.text);
		return ERR_IO;
	}
	proxy.confined = true;
	return 0;
}

/* Sessions that are there stay with the tap that they began with. */
static void proxy_record(const struct conf_record *conf)
{
	if (record_runs(proxy.pool->record, conf))
		return;
	record_retire(&proxy.pool->record);
	proxy.pool->record = record_new(proxy.base, conf, proxy.index);
}

static int on_commit(void)
{
	uint64_t generation = ipc_get_u64(&in);
	struct proxy_set *old = proxy.live;
	char versions[128];
	size_t i;

	if (ipc_end(&in) || !proxy.pending->conf || generation != proxy.pending->conf->generation)
		return ERR_BAD_MESSAGE;
	if (proxy_confine(proxy.pending->conf))
		return ERR_IO;
	proxy.live = proxy.pending;
	proxy.pending = old;
	set_fini(old);
	log_set_level((enum log_level)proxy.live->conf->log.level);
	pool_set_conf(proxy.pool, proxy.live->conf);
	proxy_record(&proxy.live->conf->record);
	for (i = 0; i < proxy.live->n; i++)
		if (listener_start(&proxy.live->v[i])) {
			log_error("cannot accept clients listener=%s", proxy.live->v[i].name);
			return ERR_NOMEM;
		}
	snprintf(versions, sizeof(versions), "libevent=%s openssl=%s libxml2=%s zlib=%s",
		 event_get_version(), tls_library(), outline_library(), zstream_library());
	child_ready(versions);
	return 0;
}

static int on_lend(void)
{
	struct proxy_loan *loan;
	uint32_t owner = ipc_get_u32(&in);
	const char *name = ipc_get_str(&in);
	int fd = ipc_take_fd(&in);

	if (ipc_end(&in) || fd == -1 || proxy.loans_n == LISTENERS_MAX) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	loan = calloc(1, sizeof(*loan));
	if (!loan || listener_init(&loan->listener, proxy.pool, name, fd)) {
		if (!loan)
			close(fd);
		free(loan);
		return 0; /* without memory its clients wait until their own proxy is back */
	}
	loan->owner = owner;
	list_init(&loan->link);
	list_add_tail(&proxy.loans, &loan->link);
	proxy.loans_n++;
	if (listener_start(&loan->listener))
		loan_end(loan);
	return 0;
}

static int on_recall(void)
{
	uint32_t owner = ipc_get_u32(&in);
	struct list *it, *tmp;

	if (ipc_end(&in))
		return ERR_BAD_MESSAGE;
	LIST_EACH_SAFE(it, tmp, &proxy.loans) {
		struct proxy_loan *loan = CONTAINER_OF(it, struct proxy_loan, link);

		if (loan->owner == owner)
			loan_end(loan);
	}
	return 0;
}

static int on_rollback(void)
{
	uint64_t generation = ipc_get_u64(&in);
	int rc = ipc_end(&in);

	if (!rc && proxy.pending->conf && proxy.pending->conf->generation == generation)
		set_fini(proxy.pending);
	return rc;
}

static int on_peer(void)
{
	int fd, rc = child_on_peer(&in, ROLE_MEDIA, &fd);

	if (!rc)
		jobs_set_channel(proxy.pool->jobs, fd);
	return rc;
}

static int on_stop(void)
{
	uint32_t ms = ipc_get_u32(&in);
	int rc = ipc_end(&in);

	if (rc)
		return rc;
	set_fini(proxy.pending);
	while (proxy.live->n)
		listener_fini(&proxy.live->v[--proxy.live->n]);
	loans_end();
	pool_stop(proxy.pool, ms);
	return 0;
}

static void on_ask(const struct ask *a)
{
	proxy_on_ask(proxy.pool, a);
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
	if (in.type == IPC_PING)
		return child_on_ping(&in);
	if (in.type == IPC_LEND)
		return on_lend();
	if (in.type == IPC_RECALL)
		return on_recall();
	if (in.type == IPC_ASK)
		return child_on_ask(&in, on_ask);
	if (in.type == IPC_STOP)
		return on_stop();
	return ERR_BAD_MESSAGE;
}

static void on_channel(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && !rc; i++) {
		rc = ipc_recv(CHILD_FD, &in, ROLE_PROXY, ROLE_MASTER);
		if (rc)
			break;
		rc = on_message();
		ipc_in_fini(&in);
	}
	if (rc == 0 || rc == ERR_AGAIN)
		return;
	/* The master is gone, or what it says cannot be followed. */
	proxy.exit_code = rc == ERR_CLOSED ? 0 : 70;
	proxy.done = true;
}

/* --- the loop -------------------------------------------------------------------------- */

static void proxy_loop(void)
{
	while (!proxy.done) {
		if (event_base_loop(proxy.base, EVLOOP_ONCE) == -1)
			return;
		pool_reap(proxy.pool);
		stall_end_of_turn();
		if (proxy.pool->stop_at && !proxy.pool->sessions) {
			proxy.exit_code = 0;
			proxy.done = true;
		}
	}
}

static bool proxy_open(void)
{
	struct event_config *config = event_config_new();

	if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		proxy.base = event_base_new_with_config(config);
	if (config)
		event_config_free(config);
	if (!proxy.base)
		return false;
	proxy.pool = pool_new(proxy.base);
	proxy.channel = event_new(proxy.base, CHILD_FD, EV_READ | EV_PERSIST, on_channel, NULL);
	return proxy.pool && proxy.channel && event_add(proxy.channel, NULL) == 0;
}

int proxy_main(unsigned index)
{
	child_open(ROLE_PROXY, index);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN); /* the master decides */
	signal(SIGINT, SIG_IGN);
	outline_setup();
	proxy.live = &proxy.sets[0];
	proxy.pending = &proxy.sets[1];
	proxy.exit_code = 70;
	proxy.index = index;
	list_init(&proxy.loans);
	if (proxy_open())
		proxy_loop();
	else
		log_error("cannot start: out of memory or descriptors");
	set_fini(proxy.pending);
	set_fini(proxy.live);
	loans_end();
	if (proxy.pool)
		pool_free(&proxy.pool);
	if (proxy.channel)
		event_free(proxy.channel);
	if (proxy.base)
		event_base_free(proxy.base);
	return proxy.exit_code;
}
