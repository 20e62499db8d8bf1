/* SPDX-License-Identifier: MIT */
/*
 * leg-open - how a leg gets its socket, its TLS and its compression, and loses them. See leg.h.
 *
 * What goes over it is leg.c's.
 */
#include "config.h"

#include "stream/leg-inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

void leg_init(struct leg *leg, struct leg_env *env, size_t high, size_t low)
{
	*leg = (struct leg){ .env = env,
			     .fd = -1,
			     .high = (uint32_t)high,
			     .low = (uint32_t)MIN_OF(low, high - 1),
			     .progress = clock_now() };
	list_init(&leg->waiting);
	buf_init(&leg->out, LEG_OUT_MAX);
}

int leg_open(struct leg *leg, int fd)
{
	int on = 1;

	leg->fd = fd;
	leg->progress = clock_now();
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not on unix sockets */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)); /* peers that vanish */
	leg_register(leg);
	return leg->error ? ERR_NOMEM : 0;
}

int leg_connect(struct leg *leg, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd == -1)
		return ERR_CONNECT;
	/* A unix socket whose backlog is full says EAGAIN and never becomes writable: a failure. */
	if (connect(fd, sa, len) == -1 && errno != EINPROGRESS) {
		close(fd);
		return ERR_CONNECT;
	}
	leg->connecting = true;
	rc = leg_open(leg, fd);
	return rc;
}

void leg_close(struct leg *leg)
{
	leg_flush(leg);
	if (leg->events)
		event_del(&leg->ev);
	leg->events = 0;
	leg->error = 0;
	list_remove(&leg->waiting);
	buf_clear(&leg->out);
	leg->out_at = 0;
	leg->full = false;
	leg->connecting = false;
	leg->shut_due = false;
	leg->securing = false;
	leg->again = false;
	tls_free(&leg->tls);
	zstream_free(&leg->zip);
	if (leg->fd != -1)
		close(leg->fd);
	leg->fd = -1;
}

int leg_secure(struct leg *leg, struct tls_context *context, const char *domain)
{
	BUG_ON(leg->tls);
	leg_flush(leg);
	if (leg_backlog(leg) || leg->error) /* it would leave inside the handshake */
		return ERR_FULL;
	leg->tls = tls_new(context, leg->fd, domain);
	if (!leg->tls)
		return ERR_NOMEM;
	leg->securing = true;
	leg_register(leg);
	return leg->error ? ERR_NOMEM : 0;
}

int leg_compress(struct leg *leg, const uint8_t *rest, size_t len)
{
	BUG_ON(leg->zip);
	leg->zip = zstream_new(LEG_READ_MAX);
	if (!leg->zip || (len && zstream_feed(leg->zip, rest, len)))
		return ERR_NOMEM;
	leg->again |= len > 0;
	leg_wake(leg);
	return 0;
}
