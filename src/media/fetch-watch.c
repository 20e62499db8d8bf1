/* SPDX-License-Identifier: MIT */
/*
 * fetch-watch - what libcurl asks and tells while it transfers. See fetch-inside.h.
 *
 * To connect to what, which replies are of interest, how much of a body: the fetch notes why not,
 * and the transfer is aborted. What follows from that is fetch-end.c's.
 *
 * Invariants
 *   - no fetch ends in here: libcurl is on the stack
 *   - a socket is opened, and used, to a vetted address or to the proxy alone
 */
#include "config.h"

#include "media/fetch-inside.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/counters.h"
#include "base/err.h"

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
			      &((const struct sockaddr_in *)b)->sin_addr,
			      sizeof(struct in_addr)) == 0;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool has_address(const struct sockaddr_storage *all, size_t n,
			const struct sockaddr_storage *a)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (same_address(&all[i], a))
			return true;
	return false;
}

/* Only to the addresses that were vetted, and only while the guard still thinks so; or only to the
 * proxy. */
static bool fetch_may_connect(const struct fetch *f, const struct sockaddr_storage *to,
			      uint16_t port)
{
	if (to->ss_family != AF_INET && to->ss_family != AF_INET6)
		return false;
	if (f->proxied)
		return port == f->proxy_port && has_address(f->proxy, f->proxy_n, to);
	if (port != f->target.port ||
	    (!f->exempt && !guard_allows_address(f->fetcher->guard, (const struct sockaddr *)to)))
		return false;
	return has_address(f->addrs, f->addrs_n, to);
}

curl_socket_t fetch_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct sockaddr_storage to = { 0 };
	struct fetch *f = arg;
	uint16_t port;

	memcpy(&to, &a->addr, MIN_OF((size_t)a->addrlen, sizeof(to)));
	port = ntohs(to.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&to)->sin6_port
					      : ((struct sockaddr_in *)&to)->sin_port);
	if (purpose != CURLSOCKTYPE_IPCXN || a->socktype != SOCK_STREAM ||
	    !fetch_may_connect(f, &to, port)) {
		f->denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->protocol);
}

int fetch_on_prereq(void *arg, char *ip, char *local UNUSED, int port, int local_port UNUSED)
{
	struct sockaddr_storage to = { 0 };
	struct fetch *f = arg;

	if (inet_pton(AF_INET, ip, &((struct sockaddr_in *)&to)->sin_addr) == 1)
		to.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &((struct sockaddr_in6 *)&to)->sin6_addr) == 1)
		to.ss_family = AF_INET6;
	if (fetch_may_connect(f, &to, (uint16_t)port))
		return CURL_PREREQFUNC_OK;
	f->denied = true;
	return CURL_PREREQFUNC_ABORT;
}
size_t fetch_on_header(char *p, size_t size, size_t n, void *arg)
{
	bool ended = ((struct fetch *)arg)->reply.ended;
	struct fetch *f = arg;

	f->stop = reply_add(&f->reply, p, size * n);
	if (f->stop)
		return 0;
	if (f->reply.ended && !ended && !fetch_is_unchanged(f)) {
		if (f->reply.status != 200)
			f->stop =
				ERR_NOT_FOUND; /* its body is of no interest; nor is a redirect's */
		else if (!reply_may_be_picture(&f->reply))
			f->stop = ERR_UNSUPPORTED;
		else if (fetch_is_useless(f))
			f->stop = ERR_CLOSED;
	}
	return f->stop ? 0 : size * n;
}

size_t fetch_on_write(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;

	counter_add(METRIC_FETCH_BYTES, size * n);
	f->stop = f->reply.status == 200 ? body_add(&f->body, (const uint8_t *)p, size * n)
					 : ERR_NOT_FOUND;
	return f->stop ? 0 : size * n;
}
