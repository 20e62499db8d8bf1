/* SPDX-License-Identifier: MIT */
/*
 * shared - see shared.h.
 *
 * One connection at a time, opened when it is first needed. When an operation is late the
 * connection is given up, and with it every operation on it: replies come in order, so those
 * behind are late as well. hiredis then calls back each command without a reply, which is
 * where searches end.
 */
#include "config.h"

#include "media/shared.h"

#include <arpa/inet.h>
#include <hiredis/async.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/redis.h"
#include "media/host.h"
#include "media/parcel.h"
#include "media/resolver.h"
#include "media/turn.h"

#define AGAIN_MS     40 /* first pause before others' result is looked for again; doubles */
#define AGAIN_MAX_MS 160
#define SEARCHES_MAX 1024
#define STORES_MAX   64            /* under way */
#define UNREAD_MAX   (1024 * 1024) /* bytes of a reply that is not complete */
#define KEY_MAX      (8 + 2 * HASH_SHA256_LEN + 5 + 1)

/* A connection. Lives until hiredis cleans up. */
struct line {
	struct shared *all;     /* borrowed */
	redisAsyncContext *ctx; /* its own: hiredis frees it, then us */
	struct event *read;     /* owned */
	struct event *write;    /* owned */
	size_t stores;          /* under way */
	bool failed;            /* counted already */
};

struct shared {
	struct event_base *base; /* borrowed */
	bool on;
	struct redis_address where;
	char address[INET6_ADDRSTRLEN]; /* of where.host; "": not known */
	struct resolver *resolver;      /* owned; NULL: off */
	struct resolve *naming;
	struct host_table *hosts; /* of one host, for its breaker */
	struct host *host;        /* reference */
	struct conf_limits limits;
	uint64_t lock_ms;
	struct line *line; /* borrowed; NULL: none */
	size_t searches;
	struct log_limit log;
	uint8_t parcel[PARCEL_MAX];
};

struct search {
	struct shared *all;
	struct search **slot; /* where the owner keeps us */
	struct cache_key key;
	struct job job; /* its texts are not kept */
	struct event *timer;
	int64_t until;    /* when waiting for others ends */
	uint32_t pause;   /* ms; 0: the first look, which asks for no lock */
	unsigned pending; /* replies */
	int64_t ttl;
	bool locked;
	bool cut;            /* out of memory: the last command of a look did not leave */
	shared_done_fn done; /* NULL: nobody waits */
	void *arg;
};

static void shared_complain(struct shared *s, const char *why)
{
	unsigned dropped;

	counter_inc(METRIC_CACHE_SHARED_FAILURES);
	if (log_limit_ok(&s->log, 1, &dropped))
		log_warning("the shared cache fails, media are fetched without it: %s dropped=%u",
			    why, dropped);
}

/* --- the connection -------------------------------------------------------------------- */

/* Once for each connection; no operation may begin on it any more. */
static void line_failed(struct line *l, const char *why)
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

static void line_close(struct line *l)
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
		line_failed(l, "a reply is too long");
		line_close(l);
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
	line_failed(ctx->ev.data, "a reply that nobody asked for");
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

/* As redisAsyncCommand(), and on_surplus() stays the last. */
static int line_command(struct line *l, redisCallbackFn *fn, void *arg, const char *format, ...)
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
		line_failed(l, "no connection");
	} else if (r->type == REDIS_REPLY_ERROR) {
		line_failed(l, "the password or the database is refused");
		redisAsyncFree(ctx);
	}
}

static int line_greet(struct shared *s, struct line *l)
{
	int rc = REDIS_OK;

	if (s->where.password[0])
		rc = line_command(l, on_greeted, NULL, "AUTH %s", s->where.password);
	if (rc == REDIS_OK && s->where.database)
		rc = line_command(l, on_greeted, NULL, "SELECT %u", (unsigned)s->where.database);
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

/* Is there an address to connect to? If not it is asked for. */
static bool shared_is_named(struct shared *s)
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

/* The connection, a new one if need be, or NULL. */
static struct line *shared_line(struct shared *s)
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
		line_failed(l, "no connection");
		line_close(l);
	}
	return s->line;
}

/* --- commands -------------------------------------------------------------------------- */

static void key_print(const struct cache_key *key, const char *end, char out[KEY_MAX])
{
	char hex[2 * HASH_SHA256_LEN + 1];

	hash_print_hex(key->sum, sizeof(key->sum), hex);
	snprintf(out, KEY_MAX, "inset:1:%s%s", hex, end);
}

static void on_stored(redisAsyncContext *ctx, void *reply, void *arg UNUSED)
{
	const redisReply *r = reply;
	struct line *l = ctx->ev.data;

	l->stores--;
	if (!r)
		line_failed(l, "the connection was lost");
	else if (r->type == REDIS_REPLY_ERROR)
		shared_complain(l->all, "a result is refused");
}

void shared_unlock(struct shared *s, const struct cache_key *key)
{
	char name[KEY_MAX];

	/* A lock that outlived its time may be another machine's by now: one fetch more. */
	if (!s->line || s->line->stores >= STORES_MAX)
		return;
	key_print(key, ":lock", name);
	if (line_command(s->line, on_stored, NULL, "DEL %s", name) == REDIS_OK)
		s->line->stores++;
}

void shared_store(struct shared *s, const struct cache_key *key, const struct job_result *r,
		  uint64_t ttl_ms)
{
	char name[KEY_MAX];
	struct line *l;
	size_t len;

	if (!s->on || host_is_blocked(s->host, &s->limits))
		return;
	l = shared_line(s);
	len = l && ttl_ms && l->stores < STORES_MAX ? parcel_put(s->parcel, key, r) : 0;
	if (len) {
		key_print(key, "", name);
		if (line_command(l, on_stored, NULL, "SET %s %b PX %llu", name, s->parcel, len,
				 (unsigned long long)ttl_ms) == REDIS_OK)
			l->stores++;
	}
	shared_unlock(s, key);
}

bool shared_forget(struct shared *s, const struct cache_key *key)
{
	char name[KEY_MAX];
	struct line *l;

	if (!s->on || host_is_blocked(s->host, &s->limits))
		return false;
	l = shared_line(s);
	key_print(key, "", name);
	if (!l || l->stores >= STORES_MAX ||
	    line_command(l, on_stored, NULL, "DEL %s", name) != REDIS_OK)
		return false;
	l->stores++;
	return true;
}

const char *shared_state(const struct shared *s)
{
	return !s->on                                 ? "off"
	       : host_is_blocked(s->host, &s->limits) ? "resting"
	       : s->line                              ? "up"
						      : "idle";
}

/* --- searches -------------------------------------------------------------------------- */

static void search_free(struct search *q)
{
	host_stop(q->all->host);
	q->all->searches--;
	event_free(q->timer);
	free(q);
}

/* r NULL: nothing came of it. */
static void search_finish(struct search *q, const struct job_result *r, uint64_t ttl)
{
	struct shared *s = q->all;
	shared_done_fn done = q->done;
	struct cache_key key = q->key;
	bool locked = q->locked;
	void *arg = q->arg;

	if (done)
		*q->slot = NULL;
	search_free(q);
	if (locked && (r || !done))
		shared_unlock(s, &key);
	if (!done)
		return;
	counter_inc(r ? METRIC_CACHE_SHARED_HITS : METRIC_CACHE_SHARED_MISSES);
	done(arg, r, ttl, locked && !r);
}

void search_stop(struct search **q)
{
	struct search *search = *q;

	if (!search)
		return;
	*q = NULL;
	search->done = NULL;
	if (!search->pending)
		search_finish(search, NULL, 0);
}

static int search_arm(struct search *q, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	return evtimer_add(q->timer, &tv) == -1 ? ERR_NOMEM : 0;
}

static void on_lock(redisAsyncContext *ctx UNUSED, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;

	q->pending--;
	/* "OK", or nil: another has it. An error (full, read only): there are no locks, we fetch.
	 */
	q->locked = r && (r->type == REDIS_REPLY_STATUS || r->type == REDIS_REPLY_ERROR);
	if (r && r->type == REDIS_REPLY_ERROR)
		shared_complain(q->all, "a lock is refused");
	if (q->cut && !q->pending)
		search_finish(q, NULL, 0);
}

static void on_ttl(redisAsyncContext *ctx UNUSED, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;

	q->pending--;
	q->ttl = r && r->type == REDIS_REPLY_INTEGER ? r->integer : 0;
	if (q->cut && !q->pending)
		search_finish(q, NULL, 0);
}

static int search_look(struct search *q);

/* Not there: the lock decides, or we wait for who has it. */
static void search_missed(struct search *q)
{
	if (q->locked || !q->done) {
		search_finish(q, NULL, 0);
	} else if (!q->pause) {
		q->pause = AGAIN_MS;
		if (search_look(q))
			search_finish(q, NULL, 0);
	} else if (clock_now() + q->pause > q->until || search_arm(q, q->pause)) {
		search_finish(q, NULL, 0);
	} else {
		q->pause = MIN_OF(q->pause * 2, (uint32_t)AGAIN_MAX_MS);
	}
}

/* The last reply of a look. */
static void on_value(redisAsyncContext *ctx, void *reply, void *arg)
{
	const redisReply *r = reply;
	struct search *q = arg;
	struct shared *s = q->all;
	struct job_result result;

	q->pending--;
	(void)evtimer_del(q->timer);
	if (!r) {
		line_failed(ctx->ev.data, "the connection was lost");
		search_finish(q, NULL, 0);
		return;
	}
	if (r->type != REDIS_REPLY_STRING) {
		host_failed(s->host, &s->limits);
		shared_complain(s, "a question is refused");
		search_finish(q, NULL, 0);
		return;
	}
	host_succeeded(s->host);
	if (r->len && q->ttl > 0 &&
	    parcel_get((const uint8_t *)r->str, (size_t)r->len, &q->key, &q->job, &result) == 0) {
		search_finish(q, &result, (uint64_t)q->ttl);
		return;
	}
	if (r->len && q->ttl != -2) /* -2: went away between the two questions */
		shared_complain(s, "a value is damaged");
	search_missed(q);
}

static int search_look(struct search *q)
{
	struct line *l = shared_line(q->all);
	char name[KEY_MAX], lock[KEY_MAX];
	int rc = REDIS_OK;

	if (!l)
		return ERR_CLOSED;
	key_print(&q->key, "", name);
	key_print(&q->key, ":lock", lock);
	if (search_arm(q, (int64_t)q->all->limits.shared_wait))
		return ERR_NOMEM;
	if (q->pause) {
		rc = line_command(l, on_lock, q, "SET %s 1 NX PX %llu", lock,
				  (unsigned long long)q->all->lock_ms);
		q->pending += rc == REDIS_OK;
	}
	if (rc == REDIS_OK) {
		rc = line_command(l, on_ttl, q, "PTTL %s", name);
		q->pending += rc == REDIS_OK;
	}
	/* A part, so that a value of any length costs no more than ours. */
	if (rc == REDIS_OK) {
		rc = line_command(l, on_value, q, "GETRANGE %s 0 %d", name, PARCEL_MAX);
		q->pending += rc == REDIS_OK;
	}
	if (rc == REDIS_OK)
		return 0;
	q->cut = q->pending;
	return q->cut ? 0 : ERR_CLOSED;
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct search *q = arg;
	struct line *l = q->all->line;

	turn_begin();
	if (!q->pending) {
		if (search_look(q))
			search_finish(q, NULL, 0);
		return;
	}
	if (!l)
		return;
	line_failed(l, "it is too slow");
	line_close(l); /* frees q */
}

int shared_search(struct shared *s, const struct cache_key *key, const struct job *j,
		  uint32_t wait_ms, struct search **out, shared_done_fn done, void *arg)
{
	struct search *q;
	int rc;

	if (!s->on || s->searches >= SEARCHES_MAX || host_is_blocked(s->host, &s->limits) ||
	    !shared_line(s))
		return ERR_UNSUPPORTED;
	q = calloc(1, sizeof(*q));
	if (!q)
		return ERR_NOMEM;
	*q = (struct search){ .all = s,
			      .slot = out,
			      .key = *key,
			      .job = *j,
			      .until = clock_now() + wait_ms,
			      .done = done,
			      .arg = arg };
	q->timer = evtimer_new(s->base, on_timer, q);
	if (!q->timer) {
		free(q);
		return ERR_NOMEM;
	}
	host_start(s->host);
	s->searches++;
	rc = search_look(q);
	if (rc) {
		search_free(q);
		return rc;
	}
	*out = q;
	return 0;
}

/* --- life ------------------------------------------------------------------------------ */

static void shared_hang_up(struct shared *s)
{
	if (!s->line)
		return;
	s->line->failed = true; /* what is lost now is no failure */
	line_close(s->line);
}

int shared_set_conf(struct shared *s, const struct conf *conf)
{
	struct resolver *resolver = NULL;
	struct redis_address where;
	bool on = redis_parse(conf->cache.redis, &where) == 0;

	if (on) {
		resolver = resolver_new(s->base, &conf->fetch);
		if (!resolver)
			return ERR_NOMEM;
	}
	resolve_stop(&s->naming);
	resolver_free(&s->resolver);
	s->resolver = resolver;
	s->on = false; /* for those who lose their search now */
	shared_hang_up(s);
	host_succeeded(s->host);
	s->on = on;
	s->where = where;
	s->address[0] = '\0';
	s->limits = conf->limits;
	s->lock_ms = conf->fetch.timeout + conf->scale.wall;
	if (on)
		(void)shared_is_named(s);
	return 0;
}

struct shared *shared_new(struct event_base *base)
{
	struct shared *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->hosts = host_table_new();
	s->host = s->hosts ? host_get(s->hosts, "shared", 0) : NULL;
	if (!s->host)
		shared_free(&s);
	return s;
}

void shared_free(struct shared **s)
{
	if (!*s)
		return;
	shared_hang_up(*s);
	resolve_stop(&(*s)->naming);
	resolver_free(&(*s)->resolver);
	host_put(&(*s)->host);
	if ((*s)->hosts)
		host_table_free(&(*s)->hosts);
	free(*s);
	*s = NULL;
}
