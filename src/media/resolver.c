/* SPDX-License-Identifier: MIT */
/*
 * resolver - see resolver.h.
 */
#include "config.h"

#include "media/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "media/turn.h"

#define QUERY_MS 1500
#define TRIES    2

struct watch {
	struct list in;
	struct resolver *resolver; /* borrowed */
	struct event *event;       /* owned */
	evutil_socket_t fd;
};

struct resolver {
	struct event_base *base; /* borrowed */
	ares_channel channel;    /* owned */
	struct event *timer;     /* owned */
	struct list watches;
};

struct resolve {
	resolver_done_fn done; /* NULL: nobody waits */
	void *arg;
	struct resolve **slot; /* where the owner keeps us */
};

static void resolver_arm(struct resolver *r)
{
	struct timeval tv;

	if (ares_timeout(r->channel, NULL, &tv))
		(void)evtimer_add(r->timer, &tv);
	else
		(void)evtimer_del(r->timer);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct resolver *r = arg;

	turn_begin();
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolver_arm(r);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = ((struct watch *)arg)->resolver; /* the watch may go away in there */

	turn_begin();
	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	resolver_arm(r);
}

static void watch_free(struct watch *w)
{
	list_remove(&w->in);
	if (w->event)
		event_free(w->event);
	free(w);
}

static struct watch *watch_find(struct resolver *r, evutil_socket_t fd)
{
	struct list *i;

	LIST_EACH(i, &r->watches) {
		struct watch *w = CONTAINER_OF(i, struct watch, in);

		if (w->fd == fd)
			return w;
	}
	return NULL;
}

/* Out of memory here leaves a socket unwatched: its query then times out. */
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct resolver *r = arg;
	struct watch *w = watch_find(r, fd);

	if (!readable && !writable) {
		if (w)
			watch_free(w);
		return;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return;
		w->resolver = r;
		w->fd = fd;
		list_init(&w->in);
		list_add_tail(&r->watches, &w->in);
	} else if (w->event) {
		event_free(w->event);
	}
	w->event = event_new(r->base, fd, what, on_socket, w);
	if (!w->event || event_add(w->event, NULL) == -1)
		watch_free(w);
}

static int resolver_init(struct resolver *r, const struct conf_fetch *f)
{
	struct ares_options o = { .timeout = QUERY_MS,
				  .tries = TRIES,
				  .sock_state_cb = on_state,
				  .sock_state_cb_data = r };
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS;
	char servers[1024] = "";
	size_t i, len = 0;

	if (ares_init_options(&r->channel, &o, mask) != ARES_SUCCESS) {
		r->channel = NULL;
		return ERR_NOMEM;
	}
	for (i = 0; i < f->dns_servers.n && len < sizeof(servers); i++)
		len += (size_t)snprintf(servers + len, sizeof(servers) - len, "%s%s", i ? "," : "",
					f->dns_servers.v[i]);
	if (len && ares_set_servers_ports_csv(r->channel, servers) != ARES_SUCCESS)
		return ERR_CONFIG;
	return 0;
}

struct resolver *resolver_new(struct event_base *base, const struct conf_fetch *f)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->base = base;
	list_init(&r->watches);
	r->timer = evtimer_new(base, on_timer, r);
	if (!r->timer || resolver_init(r, f))
		resolver_free(&r);
	return r;
}

void resolver_free(struct resolver **r)
{
	if (!*r)
		return;
	if ((*r)->channel)
		ares_destroy((*r)->channel);
	while (!list_is_empty(&(*r)->watches))
		watch_free(CONTAINER_OF(list_first(&(*r)->watches), struct watch, in));
	if ((*r)->timer)
		event_free((*r)->timer);
	free(*r);
	*r = NULL;
}

static size_t addresses_copy(struct sockaddr_storage *out, const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *i;
	size_t n = 0;

	for (i = info->nodes; i; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(*out))
			continue;
		if (n == RESOLVER_ADDRESSES)
			return 0;
		memset(&out[n], 0, sizeof(out[n]));
		memcpy(&out[n++], i->ai_addr, i->ai_addrlen);
	}
	return n;
}

static void on_answer(void *arg, int status, int timeouts UNUSED, struct ares_addrinfo *info)
{
	struct sockaddr_storage addrs[RESOLVER_ADDRESSES];
	struct resolve *q = arg;
	size_t n = 0;

	if (status == ARES_SUCCESS && info)
		n = addresses_copy(addrs, info);
	if (info)
		ares_freeaddrinfo(info);
	if (q->done) {
		*q->slot = NULL;
		q->done(q->arg, addrs, n);
	}
	free(q);
}

int resolver_start(struct resolver *r, const char *name, struct resolve **out,
		   resolver_done_fn done, void *arg)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT };
	struct resolve *q = calloc(1, sizeof(*q));

	if (!q)
		return ERR_NOMEM;
	q->done = done;
	q->arg = arg;
	q->slot = out;
	*out = q;
	ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q);
	resolver_arm(r);
	return 0;
}

void resolve_stop(struct resolve **q)
{
	if (!*q)
		return;
	(*q)->done = NULL;
	*q = NULL;
}
