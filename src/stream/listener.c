/* SPDX-License-Identifier: MIT */
/*
 * listener - see listener.h.
 */
#include "config.h"

#include "stream/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"

#define ACCEPT_PER_TURN 32
#define PAUSE_MS        200

static void listener_pause(struct listener *l, int err)
{
	static struct log_limit limit;
	const struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };
	unsigned dropped;

	counter_inc(METRIC_ACCEPT_PAUSES);
	if (log_limit_ok(&limit, 6, &dropped))
		log_warning("accepting pauses listener=%s reason=\"%s\" dropped=%u", l->name,
			    strerror(err), dropped);
	/* Without the timer nothing would start it again: then rather go on at once. */
	if (event_add(l->pause, &tv) == 0)
		event_del(l->ev);
}

static void listener_on_pause(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct listener *l = arg;

	if (event_add(l->ev, NULL) == -1)
		listener_pause(l, ENOMEM);
}

static void listener_on_accept(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct listener *l = arg;
	const struct conf_listen *listen = conf_listen_find(l->pool->conf, l->name);
	int i;

	clock_update();
	for (i = 0; listen && i < ACCEPT_PER_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		int client = accept4(l->fd, (struct sockaddr *)&from, &len,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client != -1) {
			counter_inc(METRIC_ACCEPTED);
			counters_listener_add(listen->row, LISTENER_FIGURE_ACCEPTED, 1);
			session_start(l->pool, listen, client, (struct sockaddr *)&from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			listener_pause(l, errno);
		if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	pool_reap(l->pool);
}

int listener_init(struct listener *l, struct pool *pool, const char *name, int fd)
{
	*l = (struct listener){ .pool = pool, .fd = fd, .name = strdup(name) };
	l->ev = event_new(pool->base, fd, EV_READ | EV_PERSIST, listener_on_accept, l);
	l->pause = event_new(pool->base, -1, 0, listener_on_pause, l);
	if (!l->name || !l->ev || !l->pause) {
		listener_fini(l);
		return ERR_NOMEM;
	}
	return 0;
}

int listener_start(struct listener *l)
{
	int flags = fcntl(l->fd, F_GETFL);

	if (flags == -1 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) == -1)
		return ERR_IO;
	return event_add(l->ev, NULL) == -1 ? ERR_NOMEM : 0;
}

void listener_fini(struct listener *l)
{
	if (l->ev)
		event_free(l->ev);
	if (l->pause)
		event_free(l->pause);
	if (l->fd != -1)
		close(l->fd);
	free(l->name);
	*l = (struct listener){ .fd = -1 };
}
