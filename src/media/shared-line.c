/* SPDX-License-Identifier: MIT */
/*
 * shared-line - the connection to the shared cache. See shared-inside.h.
 *
 * One at a time, opened when it is first needed; a name is resolved before that. Not for what is
 * asked over it.
 *
 * Invariants
 *   - a command that was taken is called back once
 *   - a reply that nobody asked for, a list, a reply without end: each ends the connection
 */
#include "config.h"

#include "media/shared-inside.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "media/turn.h"

#define UNREAD_MAX (1024 * 1024) /* bytes of a reply that is not complete */

void shared_line_failed(struct line *l, const char *why)
{
	struct shared *s = l->all;

	if (s->line == l)
		s->line = NULL;
	if (l->failed)
		return;
	l->failed = true;
	s->address[0] = '\0';
	host_failed(s->host, &s->limits);
	shared_complain(s, why);
}

void shared_line_close(struct line *l)
{
	if (l->all->line == l)
		l->all->line = NULL;
	redisAsyncFree(l->ctx);
}

static void on_readable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct line *l = arg;
	redisAsyncContext *ctx = l->ctx;
	struct shared *s = l->all;

	turn_begin();
	redisAsyncHandleRead(ctx); /* may free l and ctx */
	if (s->line == l && l->ctx == ctx && ctx->c.reader->len > UNREAD_MAX) {
		shared_line_failed(l, "a reply is too long");
		shared_line_close(l);
	}
}

static void on_writable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct line *l = arg;

	turn_begin();
	redisAsyncHandleWrite(l->ctx);
}

static void line_add_read(void *arg)
{
	(void)event_add(((struct line *)arg)->read, NULL);
}

static void line_del_read(void *arg)
{
	(void)event_del(((struct line *)arg)->read);
}

static void line_add_write(void *arg)
{
	(void)event_add(((struct line *)arg)->write, NULL);
}

static void line_del_write(void *arg)
{
	(void)event_del(((struct line *)arg)->write);
}

static void line_cleanup(void *arg)
{
	struct line *l = arg;

	if (l->all->line == l)
		l->all->line = NULL;
	if (l->read)
		event_free(l->read);
	if (l->write)
		event_free(l->write);
	free(l);
}

/* hiredis has an assertion against replies that nobody waits for; so somebody always does, last. */
static void on_surplus(redisAsyncContext *ctx, void *reply, void *arg UNUSED)
{
	if (!reply)
		return;
	shared_line_failed(ctx->ev.data, "a reply that nobody asked for");
	redisAsyncFree(ctx);
}

static int line_watch_surplus(redisAsyncContext *ctx)
{
	redisCallback *cb = calloc(1, sizeof(*cb)); /* hiredis frees it */

	if (!cb)
		return ERR_NOMEM;
	cb->fn = on_surplus;
	ctx->replies.head = ctx->replies.tail = cb;
	return 0;
}

/* on_surplus() stays the last. */
int shared_command(struct line *l, redisCallbackFn *fn, void *arg, const char *format, ...)
{
	redisCallback *surplus = l->ctx->replies.tail, *cb;
	va_list ap;
	int rc;

	va_start(ap, format);
	rc = redisvAsyncCommand(l->ctx, fn, arg, format, ap);
	va_end(ap);
	cb = l->ctx->replies.tail;
	if (rc == REDIS_OK && surplus && cb != surplus) {
		cb->fn = surplus->fn;
		cb->privdata = surplus->privdata;
		surplus->fn = fn;
		surplus->privdata = arg;
	}
	return rc;
}

#if HIREDIS_MAJOR >= 1
#define MEMBERS size_t
#else
#define MEMBERS int
#endif

static void *refuse_array(const redisReadTask *task UNUSED, MEMBERS n UNUSED)
{
	return NULL;
}

/* No question of ours is answered by a list, and one without end would be memory without end: to
 * hiredis there is none for any. */
static void line_refuse_arrays(redisAsyncContext *ctx)
{
	static redisReplyObjectFunctions functions;

	functions = *ctx->c.reader->fn;
	functions.createArray = refuse_array;
	ctx->c.reader->fn = &functions;
}

static struct line *line_new(struct shared *s, redisAsyncContext *ctx)
{
	struct line *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->all = s;
	l->ctx = ctx;
	l->read = event_new(s->base, ctx->c.fd, EV_READ | EV_PERSIST, on_readable, l);
	l->write = event_new(s->base, ctx->c.fd, EV_WRITE | EV_PERSIST, on_writable, l);
	if (!l->read || !l->write || line_watch_surplus(ctx)) {
		line_cleanup(l);
		return NULL;
	}
	line_refuse_arrays(ctx);
	ctx->ev.data = l;
	ctx->ev.addRead = line_add_read;
	ctx->ev.delRead = line_del_read;
	ctx->ev.addWrite = line_add_write;
	ctx->ev.delWrite = line_del_write;
	ctx->ev.cleanup = line_cleanup;
	return l;
}

/* Only tells hiredis to look for the end of a connection attempt; failures show in the replies. */
static void on_connected(const redisAsyncContext *ctx UNUSED, int status UNUSED)
{
}

static void on_greeted(redisAsyncContext *ctx, void *reply, void *arg UNUSED)
{
	const redisReply *r = reply;
	struct line *l = ctx->ev.data;

	if (!r) {
		shared_line_failed(l, "no connection");
	} else if (r->type == REDIS_REPLY_ERROR) {
		shared_line_failed(l, "the password or the database is refused");
		redisAsyncFree(ctx);
	}
}

static int line_greet(struct shared *s, struct line *l)
{
	int rc = REDIS_OK;

	if (s->where.password[0])
		rc = shared_command(l, on_greeted, NULL, "AUTH %s", s->where.password);
	if (rc == REDIS_OK && s->where.database)
		rc = shared_command(l, on_greeted, NULL, "SELECT %u", (unsigned)s->where.database);
	return rc == REDIS_OK ? 0 : ERR_IO;
}

static void on_named(void *arg, const struct sockaddr_storage *addrs, size_t n)
{
	struct shared *s = arg;
	size_t i;

	/* IPv4 first, as for the XMPP server: most listen there. */
	for (i = 0; i < n; i++) {
		const struct sockaddr_storage *a = &addrs[i];

		if (a->ss_family == AF_INET) {
			inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, s->address,
				  sizeof(s->address));
			return;
		}
		if (a->ss_family == AF_INET6 && !s->address[0])
			inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr,
				  s->address, sizeof(s->address));
	}
	if (!s->address[0]) {
		host_failed(s->host, &s->limits);
		shared_complain(s, "its name has no address");
	}
}

bool shared_is_named(struct shared *s)
{
	uint8_t raw[16];
	int family = AF_INET;

	if (s->where.path[0] || s->address[0])
		return true;
	if (inet_pton(family, s->where.host, raw) != 1)
		family = AF_INET6;
	if (family == AF_INET || inet_pton(family, s->where.host, raw) == 1)
		return inet_ntop(family, raw, s->address, sizeof(s->address)) != NULL;
	if (!s->naming && resolver_start(s->resolver, s->where.host, &s->naming, on_named, s))
		shared_complain(s, "out of memory");
	return s->address[0] != '\0';
}

struct line *shared_line(struct shared *s)
{
	redisAsyncContext *ctx;
	struct line *l;

	if (s->line || !s->on || !shared_is_named(s))
		return s->line;
	ctx = s->where.path[0] ? redisAsyncConnectUnix(s->where.path)
			       : redisAsyncConnect(s->address, s->where.port);
	l = ctx && !ctx->err ? line_new(s, ctx) : NULL;
	if (!l) {
		if (ctx)
			redisAsyncFree(ctx);
		s->address[0] = '\0';
		host_failed(s->host, &s->limits);
		shared_complain(s, "no connection");
		return NULL;
	}
	s->line = l;
	if (redisAsyncSetConnectCallback(ctx, on_connected) != REDIS_OK || line_greet(s, l)) {
		shared_line_failed(l, "no connection");
		shared_line_close(l);
	}
	return s->line;
}

void shared_hang_up(struct shared *s)
{
	if (!s->line)
		return;
	s->line->failed = true; /* what is lost now is no failure */
	shared_line_close(s->line);
}
