/* SPDX-License-Identifier: MIT */
/*
 * pulse - see pulse.h.
 */
#include "config.h"

#include "master/pulse.h"

#include "base/clock.h"
#include "master/inherit.h"
#include "master/notify.h"
#include "master/proc.h"
#include "master/upgrade.h"

#define ASKED_WITHIN 3     /* times within the option's time */
#define TICK_MAX_MS  10000 /* STATUS is renewed so often */
#define TELL_MS      500   /* an heir about sessions */
#define TICK_MIN_MS  50

static struct ipc_out out;

/* Ticks that a child may owe; 0: any number. */
static unsigned patience(const struct master *m)
{
	uint64_t ticks = (m->conf->watchdog + m->pulse_ms - 1) / m->pulse_ms;

	return m->conf->watchdog ? (unsigned)MAX_OF(ticks, ASKED_WITHIN) : 0;
}

bool pulse_is_stuck(const struct master *m, const struct proc *p)
{
	unsigned most = patience(m);

	return most && p->owed > most;
}

void pulse_on_pong(struct proc *p)
{
	p->owed = 0;
}

static void ask(struct master *m, struct proc *p)
{
	if (p->state == PROC_ENDING && p->pid && !p->unwanted) {
		p->owed++; /* until it is gone */
		return;
	}
	if (p->state != PROC_UP) {
		p->owed = 0;
		return;
	}
	if (pulse_is_stuck(m, p)) {
		log_error("%s is stuck: its loop has not turned for %ums", p->name,
			  p->owed * m->pulse_ms);
		p->owed = 0;
		counter_inc(METRIC_STUCK);
		proc_kill(p, NULL);
		return;
	}
	p->owed++;
	ipc_begin(&out, IPC_PING);
	proc_send(p, &out);
}

void pulse_tick(struct master *m)
{
	bool alive = true;
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		ask(m, &m->procs[i]);
		if (m->procs[i].state == PROC_ENDING && pulse_is_stuck(m, &m->procs[i]))
			alive = false;
	}
	if (notify_watchdog_ms() && alive && !m->takes_over)
		notify_send("WATCHDOG=1");
	inherit_tidy(m);
	if (m->stopping)
		master_on_change(m);
	master_notify_status(m);
	upgrade_tell_sessions(m);
}

static void on_tick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	pulse_tick(arg);
}

int pulse_start(struct master *m)
{
	uint64_t ms = TICK_MAX_MS;
	struct timeval tv;

	if (m->conf->watchdog)
		ms = MIN_OF(ms, m->conf->watchdog / ASKED_WITHIN);
	if (m->handed)
		ms = MIN_OF(ms, TELL_MS);
	if (notify_watchdog_ms())
		ms = MIN_OF(ms, notify_watchdog_ms() / ASKED_WITHIN);
	m->pulse_ms = (unsigned)MAX_OF(ms, TICK_MIN_MS);
	tv = (struct timeval){ .tv_sec = m->pulse_ms / 1000, .tv_usec = m->pulse_ms % 1000 * 1000 };
	if (!m->pulse)
		m->pulse = event_new(m->base, -1, EV_PERSIST, on_tick, m);
	return !m->pulse || event_add(m->pulse, &tv) == -1 ? ERR_NOMEM : 0;
}

void pulse_stop(struct master *m)
{
	if (m->pulse)
		event_free(m->pulse);
	m->pulse = NULL;
}
