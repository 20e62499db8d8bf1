/* SPDX-License-Identifier: MIT */
/*
 * session-end - how a session ends, why, and who is told. See session.h.
 *
 * session_fail() and session_close() say a stream error, if there is a place for it, and begin to
 * close; session_refuse() waits with that until the client has said hello. While it closes, last
 * bytes leave, and what still comes is discarded. session_end() closes at once, without a word.
 *
 * Invariants
 *   - in closing no leg connects or is in its handshake
 *   - nothing that is told to the innocent side is invented
 */
#include "config.h"

#include "stream/session-inside.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "stream/pool.h"
#include "xmpp/ns.h"

#define CONNECT_MS 5000
/* For the last bytes, and for the peer to read them before the socket goes. */
#define CLOSING_MS 2000

#define ENDS_REASONS  32  /* of sessions, that are told apart in the log */
#define ENDS_A_MINUTE 300 /* lines for each; the next one counts those left out */

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

void session_settle_closing(struct session *s)
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

void session_fail(struct session *s, int side, int err, const char *reason)
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
