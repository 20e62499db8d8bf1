/* SPDX-License-Identifier: MIT */
/*
 * leg - see leg.h.
 *
 * Events, reading, writing. How it gets its socket is leg-open.c, TLS and zlib leg-wrap.c.
 */
#include "config.h"

#include "stream/leg-inside.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

/* Reads of what a broken connection still has: more than a socket's buffer holds by default. */
#define LAST_READS 32

static void leg_on_event(evutil_socket_t fd, short what, void *arg);

static short leg_events(const struct leg *leg)
{
	bool reads = leg->wants_read && !leg->eof && !leg->connecting;
	bool writes = leg->connecting || leg_backlog(leg) || leg->shut_due;

	if (LIKELY(!leg->tls))
		return (short)((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0));
	if (leg->securing)
		return tls_wants_write(leg->tls) ? EV_WRITE : EV_READ;
	if (leg->read_wants_write && reads)
		return EV_WRITE;
	if (leg->write_wants_read && writes)
		return EV_READ;
	return (short)((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0));
}

void leg_wake(struct leg *leg)
{
	bool here = leg->again || (leg->tls && !leg->securing && tls_has_pending(leg->tls));

	if (here && leg->wants_read && !leg->eof && leg->events)
		event_active(&leg->ev, EV_READ, 0);
}

void leg_register(struct leg *leg)
{
	short events = leg_events(leg);

	if (leg->fd == -1)
		return;
	if (events != leg->events) {
		if (leg->events)
			event_del(&leg->ev);
		leg->events = 0;
		if (events) {
			event_assign(&leg->ev, leg->env->base, leg->fd, events | EV_PERSIST,
				     leg_on_event, leg);
			if (event_add(&leg->ev, NULL) == -1) {
				leg->error = ENOMEM;
				event_assign(&leg->ev, leg->env->base, -1, 0, leg_on_event, leg);
			} else {
				leg->events = events;
			}
		}
		if (UNLIKELY(leg->tls || leg->zip)) /* event_del() has undone what was active */
			leg_wake(leg);
	}
	if (leg->error) {
		if (!leg->events)
			event_assign(&leg->ev, leg->env->base, leg->fd, EV_WRITE | EV_PERSIST,
				     leg_on_event, leg);
		leg->events |= EV_WRITE; /* so that leg_close() removes it */
		event_active(&leg->ev, EV_WRITE, 0);
	}
}

static void leg_tell(struct leg *leg, enum leg_event event, int err)
{
	struct leg_news news = { .event = event, .err = err };

	if (event == LEG_ERROR && leg->tls && !err)
		news.why = tls_error(leg->tls);
	leg->env->fn(leg, &news);
}

/* --- bytes, in the clear or by TLS, compressed or not --------------------------------------- */

static ssize_t leg_receive(struct leg *leg, int *bad)
{
	if (LIKELY(!leg->zip))
		return leg_receive_plain(leg, leg->env->read_buffer, LEG_READ_MAX);
	return leg_receive_zip(leg, bad);
}

static ssize_t leg_send(struct leg *leg, const uint8_t *p, size_t len)
{
	if (LIKELY(!leg->tls))
		return send(leg->fd, p, len, MSG_NOSIGNAL);
	return leg_send_tls(leg, p, len);
}

static ssize_t leg_sendv(struct leg *leg, const struct iovec *v, int n)
{
	if (n == 1)
		return leg_send(leg, v[0].iov_base, v[0].iov_len);
	return LIKELY(!leg->tls) ? writev(leg->fd, v, n) : leg_sendv_tls(leg, v, n);
}

/* --- events ------------------------------------------------------------------------------ */

/*
 * A write has failed. What the peer said before it went may still be there to be read; whoever
 * hears of it may close the leg.
 */
static void leg_on_broken(struct leg *leg, int err)
{
	struct leg_news news = { .event = LEG_DATA, .p = leg->env->read_buffer };
	bool talks = !leg->connecting && !leg->securing && !leg->peeks;
	int bad = 0, i;
	ssize_t n;

	leg->error = err; /* nothing more is written */
	for (i = 0; talks && i < LAST_READS && leg->wants_read && !leg->eof; i++) {
		n = leg_receive(leg, &bad);
		if (n <= 0)
			break;
		leg->received += (size_t)n;
		news.len = (size_t)n;
		leg->env->fn(leg, &news);
		if (leg->fd == -1)
			return;
	}
	leg->error = 0;
	leg_tell(leg, LEG_ERROR, err);
}

static void leg_on_read(struct leg *leg)
{
	struct leg_news news = { .event = LEG_DATA, .p = leg->env->read_buffer };
	int bad = 0;
	ssize_t n;

	leg->again = false;
	n = leg_receive(leg, &bad);
	if (UNLIKELY(leg->again))
		leg_wake(leg);
	if (bad) {
		leg_tell(leg, LEG_CORRUPT, bad);
	} else if (n > 0) {
		leg->received += (size_t)n;
		news.len = (size_t)n;
		leg->env->fn(leg, &news);
	} else if (n == 0) {
		leg->eof = true;
		leg_register(leg);
		leg_tell(leg, LEG_EOF, 0);
	} else if (errno != EAGAIN && errno != EINTR) {
		leg_tell(leg, LEG_ERROR, errno);
	}
}

/* The backlog got smaller, or the socket took all. */
static void leg_note(struct leg *leg)
{
	leg->progress = clock_now();
	list_remove(&leg->waiting);
	if (leg_backlog(leg)) {
		list_add_tail(&leg->env->waiting, &leg->waiting);
	} else {
		buf_clear(&leg->out);
		leg->out_at = 0;
	}
}

static void leg_do_shutdown(struct leg *leg)
{
	if (!leg->shut_due || leg_backlog(leg))
		return;
	leg->shut_due = false;
	leg->shut = true;
	if (leg->tls)
		tls_close_notify(leg->tls);
	(void)shutdown(leg->fd, SHUT_WR); /* fails only if the peer is gone; reading will tell */
}

static void leg_on_write(struct leg *leg)
{
	bool told = false;

	if (leg_backlog(leg)) {
		ssize_t n = leg_send(leg, leg->out.p + leg->out_at, leg_backlog(leg));

		if (n == -1) {
			if (errno != EAGAIN && errno != EINTR)
				leg_on_broken(leg, errno);
			return;
		}
		leg->out_at += (size_t)n;
		leg_note(leg);
	}
	if (!leg_backlog(leg) || (leg->full && leg_backlog(leg) <= leg->low)) {
		leg->full = false;
		told = true;
	}
	leg_do_shutdown(leg);
	leg_register(leg);
	if (told)
		leg_tell(leg, LEG_DRAINED, 0);
}

static void leg_on_connect(struct leg *leg)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(leg->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (!err)
		leg->connecting = false;
	leg_register(leg);
	leg_tell(leg, err ? LEG_ERROR : LEG_CONNECTED, err);
}

static void leg_on_handshake(struct leg *leg)
{
	int rc = tls_handshake(leg->tls);

	if (rc == 0)
		leg->securing = false;
	leg_register(leg);
	if (rc == 0)
		leg_tell(leg, LEG_SECURED, 0);
	else if (rc != ERR_AGAIN)
		leg_tell(leg, LEG_ERROR, 0);
}

/* TLS can need the one to do the other. */
static short leg_turn_round(const struct leg *leg, short what)
{
	if (leg->read_wants_write && (what & EV_WRITE))
		what |= EV_READ;
	if (leg->write_wants_read && (what & EV_READ))
		what |= EV_WRITE;
	return what;
}

static void leg_on_event(evutil_socket_t fd UNUSED, short what, void *arg)
{
	struct leg *leg = arg;

	clock_begin_turn();
	if (leg->error) {
		leg_on_broken(leg, leg->error);
		return;
	}
	if (leg->connecting) {
		leg_on_connect(leg);
		return;
	}
	if (leg->securing) {
		leg_on_handshake(leg);
		return;
	}
	if (leg->tls)
		what = leg_turn_round(leg, what);
	if (what & EV_WRITE)
		leg_on_write(leg);
	if ((what & EV_READ) && leg->fd != -1 && leg->wants_read && !leg->eof)
		leg_on_read(leg);
}

void leg_set_read(struct leg *leg, bool on)
{
	if (leg->wants_read == on)
		return;
	leg->wants_read = on;
	leg_register(leg);
	if (UNLIKELY(leg->tls || leg->zip))
		leg_wake(leg);
}

void leg_take(struct leg *leg, size_t len)
{
	/* They are there; if not, what follows will be found out. */
	while (len) {
		ssize_t n =
			recv(leg->fd, leg->env->read_buffer, MIN_OF(len, (size_t)LEG_READ_MAX), 0);

		if (n <= 0)
			return;
		len -= (size_t)n;
	}
}

static void leg_queue(struct leg *leg, const struct iovec *v, int n, size_t skip)
{
	int i;

	if (leg->out_at && leg->out_at >= leg->out.len / 2) {
		buf_drop(&leg->out, leg->out_at);
		leg->out_at = 0;
	}
	for (i = 0; i < n; i++) {
		size_t cut = MIN_OF(skip, v[i].iov_len);

		skip -= cut;
		if (buf_add(&leg->out, (const uint8_t *)v[i].iov_base + cut, v[i].iov_len - cut)) {
			leg->error = ENOMEM;
			return;
		}
	}
}

/* These bytes as they go into TLS or the socket. */
static void leg_put_now(struct leg *leg, const struct iovec *v, int n, size_t len)
{
	bool was_idle = !leg_backlog(leg);
	ssize_t done = 0;

	if (was_idle && !leg->connecting && !leg->securing) {
		done = leg_sendv(leg, v, n);
		if (done == -1 && errno != EAGAIN && errno != EINTR) {
			leg->error = errno;
			leg_register(leg);
			return;
		}
		done = MAX_OF(done, 0);
		if ((size_t)done == len)
			return;
	}
	leg_queue(leg, v, n, (size_t)done);
	if (was_idle)
		leg_note(leg);
	if (leg_backlog(leg) >= leg->high)
		leg->full = true;
	leg_register(leg);
}

void leg_write_batched(struct leg *leg, const struct iovec *piece)
{
	leg->batched = false;
	leg_put_now(leg, piece, 1, piece->iov_len);
}

void leg_flush(struct leg *leg)
{
	if (UNLIKELY(leg->batched))
		batch_flush(leg->env->batch);
}

static void leg_put(struct leg *leg, const struct iovec *v, int n)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += v[i].iov_len;
	leg_flush(leg);
	if (!leg_backlog(leg) && !leg->connecting && !leg->securing && !leg->error &&
	    batch_add(leg->env->batch, leg, v, n, len))
		leg->batched = true;
	else
		leg_put_now(leg, v, n, len);
}

/* One call, one flush: all of it leaves now. */
static void leg_put_zip(struct leg *leg, const struct iovec *v, int n)
{
	struct iovec one;
	struct buf b;

	buf_init(&b, LEG_OUT_MAX);
	if (zstream_deflate(leg->zip, v, n, &b)) {
		leg->error = ENOMEM;
		leg_register(leg);
	} else {
		one = (struct iovec){ .iov_base = b.p, .iov_len = b.len };
		leg_put(leg, &one, 1);
	}
	buf_fini(&b);
}

void leg_writev(struct leg *leg, const struct iovec *v, int n)
{
	if (leg->fd == -1 || leg->error || leg->shut || leg->shut_due)
		return;
	if (LIKELY(!leg->zip))
		leg_put(leg, v, n);
	else
		leg_put_zip(leg, v, n);
}

void leg_shutdown(struct leg *leg)
{
	if (leg->fd == -1 || leg->shut || leg->shut_due)
		return;
	leg_flush(leg);
	leg->shut_due = true;
	leg_do_shutdown(leg);
	leg_register(leg);
}
