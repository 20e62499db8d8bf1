/* SPDX-License-Identifier: MIT */
/*
 * multi - see multi.h.
 */
#include "config.h"

#include "loop/multi.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"

struct multi {
	struct event_base *base; /* borrowed */
	CURLM *handle;           /* owned */
	struct event *timer;     /* owned */
	multi_done_fn done;
};

static void multi_collect(struct multi *m)
{
	struct CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m->handle, &left))) {
		CURLcode code = msg->data.result;
		char *private = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		m->done(private, code);
	}
}

static void multi_act(struct multi *m, curl_socket_t fd, int what)
{
	int running;

	clock_update();
	(void)curl_multi_socket_action(m->handle, fd, what, &running);
	multi_collect(m);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	multi_act(arg, fd,
		  (what & EV_READ ? CURL_CSELECT_IN : 0) |
			  (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int multi_on_timer(CURLM *handle UNUSED, long ms, void *arg)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct multi *m = arg;

	if (ms < 0)
		(void)evtimer_del(m->timer);
	else if (evtimer_add(m->timer, &tv) == -1)
		return -1;
	return 0;
}

static int multi_on_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct multi *m = arg;
	struct event *event = watch;
	short flags = EV_PERSIST;

	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		flags |= what & CURL_POLL_IN ? EV_READ : 0;
		flags |= what & CURL_POLL_OUT ? EV_WRITE : 0;
		/* Without its event the transfer runs into its time-out. */
		event = event_new(m->base, fd, flags, on_socket, m);
		if (event && event_add(event, NULL) == -1) {
			event_free(event);
			event = NULL;
		}
	}
	(void)curl_multi_assign(m->handle, fd, event);
	return 0;
}

static CURLMcode multi_set_up(struct multi *m, enum multi_connections connections)
{
	CURLMcode rc = curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, multi_on_timer);

	if (rc == CURLM_OK)
		rc = curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m);
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, multi_on_socket);
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m);
	if (connections == MULTI_CONNECTIONS_KEPT)
		return rc;
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(m->handle, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	if (rc == CURLM_OK)
		rc = curl_multi_setopt(m->handle, CURLMOPT_MAXCONNECTS, 1L);
	return rc;
}

struct multi *multi_new(struct event_base *base, enum multi_connections connections,
			multi_done_fn done)
{
	struct multi *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(m);
		return NULL;
	}
	m->base = base;
	m->done = done;
	m->timer = evtimer_new(base, on_timer, m);
	m->handle = curl_multi_init();
	if (!m->timer || !m->handle || multi_set_up(m, connections) != CURLM_OK)
		multi_free(&m);
	return m;
}

void multi_free(struct multi **m)
{
	if (!*m)
		return;
	/* Its last callbacks use the timer. */
	curl_multi_cleanup((*m)->handle);
	if ((*m)->timer)
		event_free((*m)->timer);
	curl_global_cleanup();
	free(*m);
	*m = NULL;
}

int multi_add(struct multi *m, CURL *easy)
{
	return curl_multi_add_handle(m->handle, easy) == CURLM_OK ? 0 : ERR_NOMEM;
}

void multi_remove(struct multi *m, CURL *easy)
{
	(void)curl_multi_remove_handle(m->handle, easy);
}
