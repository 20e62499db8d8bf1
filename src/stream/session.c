/* SPDX-License-Identifier: MIT */
/*
 * session - see session.h.
 */
#include "config.h"

#include "stream/session.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/rates.h"
#include "conf/value.h"
#include "stream/pool.h"
#include "stream/record.h"
#include "stream/session-inside.h"
#include "stream/tracing.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

#define CONNECT_MS 5000
/* For the last bytes, and for the peer to read them before the socket goes. */
#define CLOSING_MS 2000

#define ENDS_REASONS  32  /* of sessions, that are told apart in the log */
#define ENDS_A_MINUTE 300 /* lines for each; the next one counts those left out */

#define S(name) (1u << SESSION_##name)
static const struct {
	const char *name;
	unsigned from;
} states[] = {
#define SESSION_STATE(state, text, f) [SESSION_##state] = { text, f },
#include "stream/session-state.def"
#undef SESSION_STATE
};
#undef S

const char *session_state_name(enum session_state state)
{
	return states[state].name;
}

void session_set_state(struct session *s, enum session_state to)
{
	BUG_ON(!(states[to].from & 1u << s->state));
	log_debug("session %s -> %s sess=%06llx", states[s->state].name, states[to].name,
		  (unsigned long long)s->id);
	s->state = (uint8_t)to;
	s->entered = clock_now();
	list_remove(&s->link);
	list_add_tail(&s->pool->state[to], &s->link);
}

/* Do bytes go from leg to leg? */
static bool session_relays(const struct session *s)
{
	return s->state == SESSION_HEADER || s->state == SESSION_AUTH || s->state == SESSION_OPEN;
}

/* --- the end --------------------------------------------------------------------------- */

/* Each reason has a limit of its own, so that none hides another. */
static struct log_limit *limit_of(const char *reason)
{
	static struct {
		const char *reason;
		struct log_limit limit;
	} rows[ENDS_REASONS];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows) - 1 && rows[i].reason; i++)
		if (rows[i].reason == reason || strcmp(rows[i].reason, reason) == 0)
			break;
	rows[i].reason = reason; /* the last row is for all that found no place */
	return &rows[i].limit;
}

static void session_log_end(const struct session *s)
{
	unsigned dropped;

	if (!log_is_on(LOG_LEVEL_INFO) ||
	    !log_limit_ok(limit_of(s->reason), ENDS_A_MINUTE, &dropped))
		return;
	log_info("session closed sess=%06llx listener=%s reason=\"%s\" age=%llds in=%llu out=%llu "
		 "dropped=%u",
		 (unsigned long long)s->id, s->lanes.listen->name, s->reason,
		 (long long)(clock_now() - s->since) / 1000,
		 (unsigned long long)s->leg[SESSION_CLIENT].received,
		 (unsigned long long)s->leg[SESSION_SERVER].received, dropped);
}

void session_end(struct session *s, const char *reason)
{
	struct leg *client = &s->leg[SESSION_CLIENT], *server = &s->leg[SESSION_SERVER];
	int dir;

	if (s->state == SESSION_CLOSED)
		return;
	if (!s->reason)
		s->reason = reason;
	for (dir = LANE_C2S; dir <= LANE_S2C; dir++) {
		lane_release(&s->lanes.lane[dir]); /* as far as the sockets take it */
		pool_note_deadline(s->pool, &s->held[dir], 0);
	}
	leg_close(client);
	leg_close(server);
	session_set_state(s, SESSION_CLOSED);
	counter_inc(s->outcome);
	session_log_end(s);
}

/* A stream header of our own, for a client that has had none. */
static void session_say_header(struct session *s)
{
	struct buf b;
	struct iovec v;

	buf_init(&b, 16384);
	/* Raw as it came: it has passed the framer. */
	if (greeting_header(&b, s->lanes.lane[LANE_C2S].ctx, s->lanes.to) == 0) {
		v = (struct iovec){ .iov_base = b.p, .iov_len = b.len };
		leg_writev(&s->leg[SESSION_CLIENT], &v, 1);
	}
	buf_fini(&b);
}

/* What the greeting has to say. */
void session_say_greeting(struct session *s)
{
	struct buf *out = &s->greeting->out;
	struct iovec v = { .iov_base = out->p, .iov_len = out->len };

	if (out->len)
		leg_writev(&s->leg[SESSION_CLIENT], &v, 1);
	buf_clear(out);
}

/* One stream error and the stream's end, if that leg's stream is where they can stand. */
static void session_say_error(struct session *s, int side, int err)
{
	struct lane *towards = &s->lanes.lane[!side];
	const char *condition = err_condition(err);
	char text[256];
	struct iovec v = { .iov_base = text };

	if (!condition || s->lanes.opaque || s->leg[side].fd == -1 || s->leg[side].securing)
		return;
	if (s->greeting) {
		greeting_fail(s->greeting, err, s->reason);
		session_say_greeting(s);
		return;
	}
	if (side == SESSION_CLIENT && !towards->headed && !towards->closed && !towards->eof &&
	    towards->mode == LANE_BETWEEN)
		session_say_header(s);
	else if (!lane_is_quiet(towards))
		return;
	v.iov_len = (size_t)snprintf(
		text, sizeof(text), "<stream:error><%s xmlns='%s'/></stream:error></stream:stream>",
		condition, NS_STREAM_ERRORS);
	leg_writev(&s->leg[side], &v, 1);
	counter_inc(METRIC_STREAM_ERRORS);
}

/* What is left of CLOSING: both directions ended, peers' last words discarded. */
static void session_settle_closing(struct session *s)
{
	int side;

	for (side = SESSION_CLIENT; side <= SESSION_SERVER; side++) {
		struct leg *leg = &s->leg[side];

		if (leg->shut && (leg->eof || s->pool->stopping))
			leg_close(leg);
	}
	if (s->leg[SESSION_CLIENT].fd == -1 && s->leg[SESSION_SERVER].fd == -1)
		session_end(s, "closed");
}

/*
 * Flushes, ends both directions without inventing anything, and reads on for a moment: a
 * socket closed with unread bytes would take back what the peer has not read yet.
 */
void session_begin_closing(struct session *s, const char *reason)
{
	int side;

	s->reason = reason;
	for (side = LANE_C2S; side <= LANE_S2C; side++)
		pool_note_deadline(s->pool, &s->held[side], 0);
	session_set_state(s, SESSION_CLOSING);
	for (side = SESSION_CLIENT; side <= SESSION_SERVER; side++) {
		struct leg *leg = &s->leg[side];

		/* Before it can speak there is nothing to flush, and no news of it would fit. */
		if (leg->connecting || leg->securing)
			leg_close(leg);
		leg->peeks = false;
		leg_set_read(leg, true);
		leg_shutdown(leg);
	}
	session_settle_closing(s);
}

/* Stream error for one side, if it can be told; the other leg is closed without a word. */
static void session_tell_and_close(struct session *s, int side, int err, const char *reason)
{
	lane_release(&s->lanes.lane[LANE_C2S]);
	lane_release(&s->lanes.lane[LANE_S2C]);
	session_say_error(s, side, err);
	session_begin_closing(s, reason);
}

/* One peer is at fault. */
static void session_fail(struct session *s, int side, int err, const char *reason)
{
	static struct log_limit limit;
	unsigned dropped;

	if (s->state == SESSION_CLOSING || s->state == SESSION_CLOSED)
		return;
	s->outcome = METRIC_SESSIONS_FAILED;
	if (log_limit_ok(&limit, 60, &dropped))
		log_notice("session failed sess=%06llx leg=%s reason=\"%s\" dropped=%u",
			   (unsigned long long)s->id, side == SESSION_CLIENT ? "client" : "server",
			   reason, dropped);
	session_tell_and_close(s, side, err, reason);
}

void session_close(struct session *s, int err, const char *reason)
{
	if (s->state != SESSION_CLOSING && s->state != SESSION_CLOSED)
		session_tell_and_close(s, SESSION_CLIENT, err, reason);
}

/* --- flow ------------------------------------------------------------------------------ */

/* After everything that may have changed what can be read, written or ended. */
void session_settle(struct session *s)
{
	int dir;

	if (s->state == SESSION_CLOSING)
		session_settle_closing(s);
	if (!session_relays(s))
		return;
	for (dir = LANE_C2S; dir <= LANE_S2C; dir++) {
		struct lane *lane = &s->lanes.lane[dir];
		struct leg *from = &s->leg[dir], *to = &s->leg[!dir];

		leg_set_read(from, !lane_is_full(lane) && !leg_is_full(to));
		if (lane->eof && lane_is_drained(lane))
			leg_shutdown(to);
		pool_note_deadline(s->pool, &s->held[dir], lane_deadline(lane));
	}
	if (s->leg[SESSION_CLIENT].shut && s->leg[SESSION_SERVER].shut)
		session_end(s, "ended");
}

static bool session_emit(void *ctx, enum lane_dir dir, const struct iovec *v, int n)
{
	struct session *s = ctx;
	struct leg *to = &s->leg[!dir];

	leg_writev(to, v, n);
	return !leg_is_full(to);
}

static void session_unhold(void *ctx, struct fifo_entry *e)
{
	struct session *s = ctx;

	jobs_forget(s->pool->jobs, e);
}

static int session_compress(void *ctx, const uint8_t *rest, size_t len)
{
	struct session *s = ctx;

	counter_inc(METRIC_SESSIONS_COMPRESSED);
	log_debug("session compressed sess=%06llx", (unsigned long long)s->id);
	if (leg_compress(&s->leg[SESSION_CLIENT], NULL, 0))
		return ERR_NOMEM;
	return leg_compress(&s->leg[SESSION_SERVER], rest, len);
}

static void session_listed(void *ctx, const char *origin)
{
	struct session *s = ctx;

	jobs_list(s->pool->jobs, origin);
}

const struct lane_ops session_lane_ops = { .emit = session_emit,
					   .unhold = session_unhold,
					   .compress = session_compress,
					   .listed = session_listed };

/* Takes the newest configuration over, when nothing of the old one is in use. */
static void session_renew(struct session *s)
{
	struct conf *conf = s->pool->conf;
	const struct conf_listen *listen;
	struct chain *chain;

	if (s->generation == conf->generation || !lane_is_drained(&s->lanes.lane[LANE_C2S]) ||
	    !lane_is_drained(&s->lanes.lane[LANE_S2C]))
		return;
	s->generation = conf->generation;
	listen = conf_listen_find(conf, s->lanes.listen->name);
	chain = listen ? chain_new(conf, listen, &s->host) : NULL;
	if (!chain)
		return; /* listener gone, or no memory: goes on with what it has */
	chain_inherit(chain, s->lanes.chain);
	chain_free(&s->lanes.chain);
	conf_unref(&s->conf);
	s->conf = conf_ref(conf);
	s->lanes.conf = conf;
	s->lanes.listen = listen;
	s->lanes.chain = chain;
}

/* What the bytes just framed mean for the state. */
static void session_advance(struct session *s)
{
	static struct log_limit limit;
	unsigned dropped;

	if (s->state == SESSION_HEADER && (s->lanes.lane[LANE_C2S].headed || s->lanes.opaque))
		session_set_state(s, SESSION_AUTH);
	if (s->state == SESSION_AUTH && (s->lanes.authenticated || s->lanes.opaque))
		session_set_state(s, SESSION_OPEN);
	if (s->lanes.opaque && !s->told) {
		s->told = true;
		if (log_limit_ok(&limit, 60, &dropped))
			log_notice("session is relayed blind: encryption or compression past inset "
				   "sess=%06llx dropped=%u",
				   (unsigned long long)s->id, dropped);
	}
}

static void session_on_data(struct session *s, int side, const struct leg_news *news)
{
	int rc;

	if (s->state == SESSION_CLOSING)
		return; /* nothing is forwarded any more */
	counter_add(side == SESSION_CLIENT ? METRIC_BYTES_C2S : METRIC_BYTES_S2C, news->len);
	counters_listener_add(s->row,
			      side == SESSION_CLIENT ? LISTENER_FIGURE_BYTES_C2S
						     : LISTENER_FIGURE_BYTES_S2C,
			      news->len);
	session_renew(s);
	rc = lane_feed(&s->lanes.lane[side], news->p, news->len);
	if (rc) {
		session_fail(s, side, rc, err_str(rc));
		return;
	}
	if (s->state == SESSION_REFUSING) {
		if (s->lanes.lane[LANE_C2S].headed || s->lanes.opaque)
			session_close(s, ERR_CONNECT, err_str(ERR_CONNECT));
		return;
	}
	session_advance(s);
	session_settle(s);
}

/* No server: the client is told so, once it has said hello. */
void session_refuse(struct session *s, const char *why)
{
	static struct log_limit limit;
	unsigned dropped;

	s->outcome = METRIC_SESSIONS_REFUSED;
	if (log_limit_ok(&limit, 10, &dropped))
		log_warning("upstream unreachable listener=%s upstream=%s reason=\"%s\" dropped=%u",
			    s->lanes.listen->name, s->lanes.listen->upstream, why, dropped);
	leg_close(&s->leg[SESSION_SERVER]);
	session_set_state(s, SESSION_REFUSING);
	leg_set_read(&s->leg[SESSION_CLIENT], true);
}

static void session_on_eof(struct session *s, int side)
{
	if (s->state == SESSION_REFUSING)
		session_end(s, err_str(ERR_CONNECT));
	else if (s->state == SESSION_ANNOUNCING)
		session_distrust(s, "no PROXY header");
	else if (s->state == SESSION_GREETING || s->state == SESSION_SECURING)
		session_end(s, "client left before TLS");
	else if (session_relays(s) && lane_end(&s->lanes.lane[side]))
		session_end(s, err_str(ERR_NOMEM));
	session_settle(s);
}

/* --- legs ------------------------------------------------------------------------------ */

/*
 * What a peer said before it broke off is on its way, not lost: without us the other one would
 * have it. False if all of it has left.
 */
static bool session_deliver(struct session *s, const struct leg *leg, const char *reason)
{
	struct lane *lane = &s->lanes.lane[leg->side];

	if (!session_relays(s) || (lane_is_drained(lane) && !leg_backlog(&s->leg[!leg->side])))
		return false;
	lane_release(lane);
	session_begin_closing(s, reason);
	return true;
}

static void session_on_broken(struct session *s, struct leg *leg, const struct leg_news *news)
{
	const char *why = news->why ? news->why : strerror(news->err);

	if (s->state == SESSION_CONNECTING && leg->side == SESSION_SERVER) {
		session_refuse(s, why);
		return;
	}
	if (s->state == SESSION_SECURING) {
		counter_inc(METRIC_TLS_FAILED);
		s->outcome = METRIC_SESSIONS_FAILED;
		session_end(s, why);
		return;
	}
	leg_close(leg);
	if (s->state == SESSION_CLOSING) {
		session_settle(s);
		return;
	}
	s->outcome = METRIC_SESSIONS_FAILED;
	why = leg->side == SESSION_CLIENT ? "client broke off" : "server broke off";
	if (!session_deliver(s, leg, why))
		session_end(s, why);
}

static void session_on_corrupt(struct session *s, const struct leg *leg, int err)
{
	if (s->state == SESSION_CLOSING)
		return;
	if (err != ERR_NOMEM)
		counter_inc(err == ERR_RATIO ? METRIC_COMPRESSION_RATIO
					     : METRIC_COMPRESSION_CORRUPT);
	session_fail(s, leg->side, err, err_str(err));
}

void session_on_leg(struct leg *leg, const struct leg_news *news)
{
	struct session *s = leg->owner;

	switch (news->event) {
	case LEG_CONNECTED:
		session_on_connected(s);
		break;
	case LEG_SECURED:
		session_on_secured(s, leg);
		break;
	case LEG_DATA:
		if (s->state == SESSION_ANNOUNCING)
			session_on_announcement(s, news);
		else if (s->state == SESSION_GREETING)
			session_on_greeting(s, news);
		else
			session_on_data(s, leg->side, news);
		break;
	case LEG_DRAINED:
		lane_resume(&s->lanes.lane[!leg->side]);
		session_settle(s);
		break;
	case LEG_EOF:
		session_on_eof(s, leg->side);
		break;
	case LEG_CORRUPT:
		session_on_corrupt(s, leg, news->err);
		break;
	case LEG_ERROR:
		session_on_broken(s, leg, news);
		break;
	}
}

/* --- jobs ------------------------------------------------------------------------------ */

int64_t session_wall_clock(void *ctx UNUSED)
{
	return clock_wall();
}

static int64_t rule_now(void *ctx UNUSED)
{
	return clock_us();
}

static time_t rule_wall(void *ctx UNUSED)
{
	return time(NULL);
}

static bool rule_rate(void *ctx UNUSED, uint64_t key, uint32_t count, uint32_t per_ms, bool take)
{
	return rates_has(key, count, per_ms, clock_us(), take);
}

struct rule_env session_rule_env = { .now_us = rule_now, .wall = rule_wall, .rate = rule_rate };

void session_trace_rules(void (*fn)(void *ctx, const struct rule_step *step))
{
	session_rule_env.trace = fn;
}

bool session_start_job(void *ctx, struct filter_unit *u, const struct job *job)
{
	struct session *s = ctx;
	struct fifo_entry *e = u->host_unit;
	const struct conf_rate *rate = &s->lanes.conf->limits.per_sender;
	struct job full = *job;
	int64_t left = e->deadline - clock_now();
	bool sent;

	full.deadline_ms = (uint32_t)MAX_OF(left, 1);
	full.cached_only = job->cached_only || e->cached_only;
	full.sender = u->from ? hash_keyed(u->from, jid_bare_len(u->from))
			      : hash_keyed(&s->id, sizeof(s->id));
	if (rate->count && rate->per_ms) {
		full.rate_per_min =
			(uint32_t)MAX_OF(1, (uint64_t)rate->count * 60000 / rate->per_ms);
		full.rate_burst = MAX_OF(1, rate->count / 2);
	}
	sent = jobs_start(s->pool->jobs, e, &full);
	if (UNLIKELY(e->traced))
		tracing_job(e, &full, sent);
	return sent;
}

void session_keep(void *ctx, const struct job_keep *k)
{
	struct session *s = ctx;

	jobs_keep(s->pool->jobs, k);
}

void session_on_result(struct fifo_entry *e, const struct job_result *r)
{
	struct session *s = e->lane->both->ctx;

	lane_result(e, r);
	session_settle(s);
}

void session_on_lost(struct fifo_entry *e)
{
	struct session *s = e->lane->both->ctx;

	lane_give_up(e);
	session_settle(s);
}

void session_on_deadline(struct session *s, enum lane_dir dir)
{
	lane_expire(&s->lanes.lane[dir]);
	session_settle(s);
}

void session_on_slow(struct session *s, struct lane *l)
{
	int rc = lane_let_go(l);

	if (rc == ERR_NOMEM)
		session_end(s, err_str(ERR_NOMEM));
	else if (rc)
		session_fail(s, l->dir, rc, err_str(rc));
	else
		session_settle(s);
}

/* --- birth and time -------------------------------------------------------------------- */

bool session_check_timeout(struct session *s)
{
	const struct conf_limits *c = &s->lanes.conf->limits;
	int64_t age = clock_now() - s->entered;

	switch ((enum session_state)s->state) {
	case SESSION_ANNOUNCING:
	case SESSION_GREETING:
	case SESSION_SECURING:
		if (age < c->handshake_timeout)
			return false;
		session_fail(s, SESSION_CLIENT, ERR_TIMEOUT, "no TLS in time");
		return true;
	case SESSION_CONNECTING:
		if (age < CONNECT_MS)
			return false;
		session_refuse(s, err_str(ERR_TIMEOUT));
		return true;
	case SESSION_HEADER:
		if (age < c->header_timeout)
			return false;
		session_fail(s, SESSION_CLIENT, ERR_TIMEOUT, "no stream header in time");
		return true;
	case SESSION_AUTH:
		if (age < c->auth_timeout)
			return false;
		session_fail(s, SESSION_CLIENT, ERR_POLICY, "not authenticated in time");
		return true;
	case SESSION_REFUSING:
		if (age < c->header_timeout)
			return false;
		session_end(s, err_str(ERR_CONNECT));
		return true;
	case SESSION_CLOSING:
		if (age < CLOSING_MS)
			return false;
		session_end(s, s->reason);
		return true;
	case SESSION_OPEN:
	case SESSION_CLOSED:
	case SESSION_STATE_COUNT:
		break;
	}
	return false;
}

void session_free(struct session **s)
{
	if (!*s)
		return;
	list_remove(&(*s)->link);
	free((*s)->ends);
	greeting_free(&(*s)->greeting);
	record_close(&(*s)->lanes.record);
	lanes_fini(&(*s)->lanes);
	chain_free(&(*s)->lanes.chain);
	conf_unref(&(*s)->conf);
	(*s)->pool->sessions--;
	gate_leave(&(*s)->pass);
	counters_listener_add((*s)->row, LISTENER_FIGURE_SESSIONS, (uint64_t)-1);
	free(*s);
	*s = NULL;
}
