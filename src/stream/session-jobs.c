/* SPDX-License-Identifier: MIT */
/*
 * session-jobs - what filters and rules get from outside through a session: clocks, rates, jobs and
 * their results. See session.h and filter.h.
 *
 * jobs.h has the channel to the media process; a lane's FIFO has the units that wait.
 */
#include "config.h"

#include "stream/session-inside.h"

#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/rates.h"
#include "stream/pool.h"
#include "stream/tracing.h"
#include "xmpp/jid.h"

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
