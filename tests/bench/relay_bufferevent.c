/* SPDX-License-Identifier: MIT */
/*
 * relay_bufferevent - a TCP relay as one would write it on bufferevents: a yardstick, no more.
 *
 *     relay_bufferevent LISTEN-PORT CONNECT-PORT
 */
#include "config.h"

#include <arpa/inet.h>
#include <err.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/util.h"

#define HIGH (256 * 1024)

static struct sockaddr_in upstream;

static struct bufferevent *other(struct bufferevent *b)
{
	struct bufferevent *o;

	bufferevent_getcb(b, NULL, NULL, NULL, (void **)&o);
	return o;
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		bufferevent_free(arg);
		bufferevent_free(b);
	}
}

static void on_write(struct bufferevent *b, void *arg UNUSED)
{
	bufferevent_enable(other(b), EV_READ);
}

static void on_read(struct bufferevent *b, void *arg)
{
	struct evbuffer *out = bufferevent_get_output(arg);

	evbuffer_add_buffer(out, bufferevent_get_input(b));
	if (evbuffer_get_length(out) > HIGH)
		bufferevent_disable(b, EV_READ);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from UNUSED,
		      int len UNUSED, void *arg UNUSED)
{
	struct event_base *base = evconnlistener_get_base(l);
	struct bufferevent *a = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	int on = 1;

	if (!a || !b ||
	    bufferevent_socket_connect(b, (struct sockaddr *)&upstream, sizeof(upstream)) == -1)
		errx(1, "no memory, or no way to the server");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(bufferevent_getfd(b), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	bufferevent_setcb(a, on_read, on_write, on_event, b);
	bufferevent_setcb(b, on_read, on_write, on_event, a);
	bufferevent_enable(a, EV_READ | EV_WRITE);
	bufferevent_enable(b, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	struct event_base *base = event_base_new();
	struct rlimit files;

	if (argc != 3 || !base)
		errx(2, "usage: relay_bufferevent LISTEN-PORT CONNECT-PORT");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	upstream = here;
	here.sin_port = htons((uint16_t)atoi(argv[1]));
	upstream.sin_port = htons((uint16_t)atoi(argv[2]));
	if (!evconnlistener_new_bind(base, on_accept, NULL,
				     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 1024,
				     (struct sockaddr *)&here, sizeof(here)))
		err(1, "port %s", argv[1]);
	return event_base_dispatch(base) == -1;
}
