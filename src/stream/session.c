/* SPDX-License-Identifier: MIT */
/*
 * session - see session.h.
 *
 * States, flow between the legs, and what the legs tell. How it begins is session-begin.c, how it
 * ends session-end.c; what its filters ask for session-jobs.c.
 */
#include "config.h"

#include "stream/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/log.h"
#include "stream/pool.h"
#include "stream/record.h"
#include "stream/session-inside.h"

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

/* --- time and death ---------------------------------------------------------------------- */

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
