/* SPDX-License-Identifier: MIT */
/*
 * session-begin - from an accepted connection to a server that is there: the balancer's PROXY
 * header, STARTTLS, handshakes, the connection to the server. See session.h.
 *
 * Nothing of the client's stream passes before; behind it session.c relays.
 */
#include "config.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/value.h"
#include "stream/pool.h"
#include "stream/record.h"
#include "stream/session-inside.h"

/* --- TLS ------------------------------------------------------------------------------- */

static void session_connect(struct session *s)
{
	struct sockaddr_storage ss;
	socklen_t len;
	bool tls;

	if (value_server(s->lanes.listen->upstream, &ss, &len, &tls) ||
	    leg_connect(&s->leg[SESSION_SERVER], (const struct sockaddr *)&ss, len))
		session_refuse(s, "cannot connect");
}

/* The handshake with the client. */
static void session_secure(struct session *s, const char *domain)
{
	struct err_msg msg = { 0 };
	struct tls_context *context = tls_context_get(s->conf, s->lanes.listen, false, &msg);
	int rc = context ? leg_secure(&s->leg[SESSION_CLIENT], context, domain) : ERR_NOMEM;

	if (rc) /* full: a few hundred bytes, and it reads none */
		session_end(s, rc == ERR_FULL ? "client takes nothing" : err_str(rc));
	tls_context_put(&context);
}

/* --- the PROXY protocol ---------------------------------------------------------------- */

/* Why a connection to a listener for balancers ends before it began. */
void session_distrust(struct session *s, const char *why)
{
	static struct log_limit limit;
	unsigned dropped;

	counter_inc(METRIC_PROXY_REFUSED);
	s->outcome = METRIC_SESSIONS_FAILED;
	if (log_limit_ok(&limit, 6, &dropped))
		log_warning("connection closed listener=%s reason=\"%s\" dropped=%u",
			    s->lanes.listen->name, why, dropped);
	session_end(s, why);
}

/* Tells the server who the client is: false if that could not be written. */
static bool session_announce(struct session *s)
{
	struct leg *client = &s->leg[SESSION_CLIENT], *server = &s->leg[SESSION_SERVER];
	struct proxyproto_tls tls = { 0 };
	struct buf b;
	struct iovec v;
	int rc;

	if (s->lanes.listen->proxy_send == CONF_PROXY_OFF)
		return true;
	if (client->tls)
		tls = (struct proxyproto_tls){ .version = tls_version(client->tls),
					       .cipher = tls_cipher(client->tls),
					       .authority = tls_authority(client->tls),
					       .alpn = tls_alpn(client->tls) };
	buf_init(&b, PROXYPROTO_MAX);
	rc = proxyproto_print(
		&b, s->lanes.listen->proxy_send == CONF_PROXY_V1 ? PROXYPROTO_V1 : PROXYPROTO_V2,
		&s->ends->ends, &tls);
	if (!rc) {
		v = (struct iovec){ .iov_base = b.p, .iov_len = b.len };
		leg_writev(server, &v, 1);
	}
	buf_fini(&b);
	return !rc && !leg_backlog(server) && !server->error;
}

/* The server is there: now its handshake, or none. */
void session_on_connected(struct session *s)
{
	struct tls_context *context;
	struct err_msg msg = { 0 };
	int rc;

	if (!session_announce(s)) {
		session_refuse(s, "no PROXY header could be sent");
		return;
	}
	free(s->ends);
	s->ends = NULL;
	if (strncmp(s->lanes.listen->upstream, "tls://", 6) != 0) {
		session_set_state(s, SESSION_HEADER);
		session_settle(s);
		return;
	}
	context = tls_context_get(s->conf, s->lanes.listen, true, &msg);
	rc = context ? leg_secure(&s->leg[SESSION_SERVER], context, NULL) : ERR_NOMEM;
	if (rc)
		session_refuse(s, rc == ERR_FULL ? "no PROXY header could be sent" : err_str(rc));
	tls_context_put(&context);
}

void session_on_secured(struct session *s, const struct leg *leg)
{
	log_debug("session secured sess=%06llx leg=%s version=%s cipher=%s",
		  (unsigned long long)s->id, leg->side == SESSION_CLIENT ? "client" : "server",
		  tls_version(leg->tls), tls_cipher(leg->tls));
	if (leg->side == SESSION_SERVER) {
		session_set_state(s, SESSION_HEADER);
		session_settle(s);
		return;
	}
	leg_set_read(&s->leg[SESSION_CLIENT], false);
	session_set_state(s, SESSION_CONNECTING);
	session_connect(s);
}

void session_on_greeting(struct session *s, const struct leg_news *news)
{
	enum greeting_next next = greeting_feed(s->greeting, news->p, news->len);
	struct iovec v = { .iov_base = (void *)(uintptr_t)greeting_proceed,
			   .iov_len = strlen(greeting_proceed) };
	char *domain;

	session_say_greeting(s);
	if (next == GREETING_MORE)
		return;
	if (next == GREETING_END) {
		s->outcome = METRIC_SESSIONS_FAILED;
		session_begin_closing(s, s->greeting->reason);
		return;
	}
	leg_writev(&s->leg[SESSION_CLIENT], &v, 1);
	domain = s->greeting->to;
	s->greeting->to = NULL;
	greeting_free(&s->greeting);
	session_set_state(s, SESSION_SECURING);
	session_secure(s, domain);
	free(domain);
}

/* What comes first, behind the balancer's header: TLS, or the server. */
static void session_begin(struct session *s)
{
	switch ((enum conf_tls)s->lanes.listen->tls) {
	case CONF_TLS_OFF:
		session_set_state(s, SESSION_CONNECTING);
		session_connect(s);
		return;
	case CONF_TLS_DIRECT:
		session_set_state(s, SESSION_SECURING);
		session_secure(s, NULL);
		return;
	case CONF_TLS_STARTTLS:
		session_set_state(s, SESSION_GREETING);
		s->greeting = greeting_new(2 * s->lanes.conf->limits.header);
		if (s->greeting)
			leg_set_read(&s->leg[SESSION_CLIENT], true);
		else
			session_end(s, err_str(ERR_NOMEM));
		return;
	}
	BUG();
}

void session_on_announcement(struct session *s, const struct leg_news *news)
{
	static const unsigned versions[] = { [CONF_PROXY_V1] = PROXYPROTO_V1,
					     [CONF_PROXY_V2] = PROXYPROTO_V2,
					     [CONF_PROXY_ANY] = PROXYPROTO_V1 | PROXYPROTO_V2 };
	struct leg *client = &s->leg[SESSION_CLIENT];
	struct proxyproto_ends told;
	size_t used;
	int rc = proxyproto_feed(&s->ends->header, versions[s->lanes.listen->proxy_accept], news->p,
				 news->len, &used, &told);

	leg_take(client, used);
	if (rc == ERR_AGAIN)
		return;
	if (rc) {
		session_distrust(s, "no PROXY header, or a malformed one");
		return;
	}
	client->peeks = false;
	leg_set_read(client, false);
	if (told.known)
		memcpy(&s->from, &told.from, sizeof(s->from));
	s->ends->ends = told; /* LOCAL: the balancer itself, nobody's address */
	if (told.known &&
	    !gate_address(&s->pass, &s->lanes.conf->limits, (const struct sockaddr *)&told.from))
		session_end(s, "too many from this address");
	else
		session_begin(s);
}

/* --- birth ------------------------------------------------------------------------------ */

/* Room for the client's address where somebody wants to know it, or tells it. */
static int session_note_ends(struct session *s, int fd, const struct sockaddr *from)
{
	const struct conf_listen *l = s->lanes.listen;
	struct proxyproto_ends *ends;
	socklen_t len = sizeof(ends->to);

	if (l->proxy_accept == CONF_PROXY_OFF && l->proxy_send == CONF_PROXY_OFF)
		return 0;
	s->ends = calloc(1, sizeof(*s->ends));
	if (!s->ends)
		return ERR_NOMEM;
	ends = &s->ends->ends;
	memcpy(&ends->from, from,
	       from->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6));
	ends->known = getsockname(fd, (struct sockaddr *)&ends->to, &len) == 0;
	return 0;
}

/* With a balancer in front the address is still to be told. */
static void session_welcome(struct session *s, const struct sockaddr *from)
{
	const struct conf_listen *l = s->lanes.listen;
	struct leg *client = &s->leg[SESSION_CLIENT];

	if (l->proxy_accept == CONF_PROXY_OFF) {
		if (gate_address(&s->pass, &s->lanes.conf->limits, from))
			session_begin(s);
		else
			session_end(s, "too many from this address");
	} else if (!value_in_networks(&l->proxy_from, from)) {
		session_distrust(s, "not from proxy-from");
	} else {
		client->peeks = true;
		leg_set_read(client, true);
	}
}

void session_start(struct pool *pool, const struct conf_listen *listen, int fd,
		   const struct sockaddr *from)
{
	struct session *s = calloc(1, sizeof(*s));
	const struct conf_limits *limits = &pool->conf->limits;
	int side;

	if (!s || !gate_enter(&s->pass, limits)) {
		free(s);
		close(fd);
		return;
	}
	s->pool = pool;
	s->conf = conf_ref(pool->conf);
	s->generation = s->conf->generation;
	s->id = ++pool->last_id;
	s->since = s->entered = clock_now();
	s->host = (struct filter_host){ .ctx = s,
					.start_job = session_start_job,
					.keep = session_keep,
					.wall_clock = session_wall_clock,
					.rules = &session_rule_env };
	memcpy(&s->from, from,
	       from->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(s->from));
	lanes_init(&s->lanes, &session_lane_ops, s);
	s->lanes.conf = s->conf;
	s->lanes.connection = hash_keyed(&s->id, sizeof(s->id));
	s->lanes.listen = listen;
	s->lanes.keepers = &pool->keepers;
	s->lanes.record = record_open(pool->record, s->id);
	s->lanes.chain = chain_new(s->conf, listen, &s->host);
	for (side = SESSION_CLIENT; side <= SESSION_SERVER; side++) {
		leg_init(&s->leg[side], &pool->legs, limits->write_high, limits->write_low);
		s->leg[side].owner = s;
		s->leg[side].side = (uint8_t)side;
		list_init(&s->held[side].link);
		s->held[side].session = s;
	}
	s->row = listen->row;
	counters_listener_add(s->row, LISTENER_FIGURE_SESSIONS, 1);
	s->outcome = METRIC_SESSIONS_ENDED;
	s->state = SESSION_ANNOUNCING;
	list_init(&s->link);
	list_add_tail(&pool->state[SESSION_ANNOUNCING], &s->link);
	pool->sessions++;
	if (leg_open(&s->leg[SESSION_CLIENT], fd) || !s->lanes.chain ||
	    session_note_ends(s, fd, from))
		session_end(s, err_str(ERR_NOMEM));
	else
		session_welcome(s, from);
}
