/* SPDX-License-Identifier: MIT */
/*
 * asks - see asks.h.
 */
#include "config.h"

#include "master/asks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/proc.h"

#define ASKS_MAX     20 /* at a time: more than the control socket has clients */
#define PROBLEMS_MAX (2 * PROCS_MAX)

static struct ipc_out out; /* one at a time, too large for a stack */

/* A question under way, in m->asks. */
struct asks_row {
	uint64_t id; /* 0: free */
	struct asked asked;
	uint8_t choice;
	char *text;            /* owned */
	struct event *timer;   /* owned; NULL: a stream */
	struct master *master; /* borrowed */
	asks_done_fn done;     /* NULL: a stream */
	uint64_t lost;         /* parts that the client had no room for */
	bool due[PROCS_MAX];   /* whose answer is awaited */
};

struct asks {
	uint64_t last_id;
	bool level_set; /* by insetctl */
	enum log_level level;
	struct asks_row rows[ASKS_MAX];
};

/* Made when first needed: NULL without memory. */
static struct asks *asks_of(struct master *m)
{
	if (!m->asks)
		m->asks = calloc(1, sizeof(*m->asks));
	return m->asks;
}

static void row_free(struct asks_row *r)
{
	if (r->timer)
		event_free(r->timer);
	json_decref(r->asked.answers);
	json_decref(r->asked.problems);
	free(r->text);
	*r = (struct asks_row){ 0 };
}

static struct asks_row *row_find(struct master *m, uint64_t id)
{
	size_t i;

	for (i = 0; m->asks && id && i < ASKS_MAX; i++)
		if (m->asks->rows[i].id == id)
			return &m->asks->rows[i];
	return NULL;
}

static void note_problem(struct asks_row *r, const struct proc *p, const char *why, size_t len)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %.*s", p->name, (int)MIN_OF(len, (size_t)200), why);
	if (json_array_size(r->asked.problems) < PROBLEMS_MAX)
		json_array_append_new(r->asked.problems, control_text(text));
}

static void note_silence(struct asks_row *r, const struct proc *p, const char *why)
{
	r->asked.silence = true;
	note_problem(r, p, why, strlen(why));
}

/* Has everybody answered? Then it is over. */
static void row_advance(struct asks_row *r)
{
	size_t i;

	if (!r->done)
		return;
	for (i = 0; i < PROCS_MAX; i++)
		if (r->due[i])
			return;
	r->done(r->master, &r->asked);
	row_free(r);
}

static void row_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct asks_row *r = arg;
	struct master *m = r->master;
	size_t i;

	clock_update();
	for (i = 0; i < m->procs_n; i++) {
		if (r->due[i])
			note_silence(r, &m->procs[i], "did not answer in time");
		r->due[i] = false;
	}
	row_advance(r);
}

/* --- asking ---------------------------------------------------------------------------- */

static void row_send(const struct asks_row *r, struct proc *p)
{
	const struct ask a = { .id = r->id,
			       .command = r->asked.command,
			       .number = r->asked.number,
			       .choice = r->choice,
			       .text = r->text };

	ask_put(&out, &a);
	proc_send(p, &out);
}

static struct asks_row *row_new(struct master *m, uint64_t client, const struct ask *q)
{
	struct asks *all = asks_of(m);
	struct asks_row *r = NULL;
	size_t i;

	for (i = 0; all && i < ASKS_MAX && !r; i++)
		if (all->rows[i].id == 0)
			r = &all->rows[i];
	if (!r)
		return NULL;
	r->asked = (struct asked){ .client = client,
				   .command = q->command,
				   .number = q->number,
				   .order = (enum ask_order)q->choice,
				   .answers = json_array(),
				   .problems = json_array() };
	r->choice = q->choice;
	r->master = m;
	r->text = strdup(q->text);
	if (!r->asked.answers || !r->asked.problems || !r->text) {
		row_free(r);
		return NULL;
	}
	r->id = ++all->last_id;
	return r;
}

static void row_ask_all(struct asks_row *r)
{
	struct master *m = r->master;
	unsigned roles = ask_roles(r->asked.command);
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		struct proc *p = &m->procs[i];

		if (!(roles & 1u << p->role) || (p->unwanted && p->pid == 0))
			continue;
		if (p->state == PROC_UP || (p->state == PROC_ENDING && p->fd != -1)) {
			r->due[i] = true;
			row_send(r, p); /* kills a child that does not read: its end is told */
		} else {
			note_silence(r, p, "is not up");
		}
	}
}

int asks_start(struct master *m, uint64_t client, const struct ask *q, unsigned deadline_ms,
	       asks_done_fn done)
{
	struct timeval tv = { .tv_sec = deadline_ms / 1000, .tv_usec = deadline_ms % 1000 * 1000 };
	struct asks_row *r = row_new(m, client, q);

	if (!r)
		return ERR_FULL;
	r->done = done;
	r->timer = evtimer_new(m->base, row_on_timer, r);
	if (!r->timer || evtimer_add(r->timer, &tv) == -1) {
		row_free(r);
		return ERR_NOMEM;
	}
	row_ask_all(r);
	row_advance(r);
	return 0;
}

int asks_stream(struct master *m, uint64_t client, const struct ask *q)
{
	struct asks_row *r = row_new(m, client, q);

	if (!r)
		return ERR_FULL;
	row_ask_all(r);
	return 0;
}

/* --- answers --------------------------------------------------------------------------- */

static void row_take_part(struct asks_row *r, json_t *o)
{
	struct master *m = r->master;
	uint64_t id = r->id, client = r->asked.client;

	uint64_t lost = r->lost + (uint64_t)json_integer_value(json_object_get(o, "lost"));

	if (lost)
		json_object_set_new(o, "lost", json_integer((json_int_t)lost));
	if (control_say(m->control, client, o)) {
		r = row_find(m, id); /* the client may have been closed, and this with it */
		if (r)
			r->lost = 0;
	} else if ((r = row_find(m, id)) != NULL) {
		r->lost = lost + 1;
	}
}

/* The end of a child's part in it: what it said, or that it refused. */
static int row_take(struct asks_row *r, const struct proc *p, enum ask_state state,
		    const char *text, size_t len)
{
	json_t *o;

	if (state == ASK_REFUSED) {
		r->due[p - r->master->procs] = false;
		if (r->done) {
			note_problem(r, p, text, len);
			row_advance(r);
		} else {
			row_take_part(
				r, json_pack("{s:s, s:s}", "stage", "refused", "process", p->name));
		}
		return 0;
	}
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		json_decref(o);
		return ERR_BAD_MESSAGE;
	}
	json_object_set_new(o, "process", json_string(p->name));
	if (!r->done) {
		row_take_part(r, o);
		return 0;
	}
	json_array_append_new(r->asked.answers, o);
	r->due[p - r->master->procs] = false;
	row_advance(r);
	return 0;
}

int asks_on_answer(struct proc *p, struct ipc_in *in)
{
	struct asks *all = p->master->asks;
	struct asks_row *r;
	enum ask_state state;
	const char *text;
	uint64_t id;
	size_t len;

	if (ask_answer_get(in, &id, &state, &text, &len) || id > (all ? all->last_id : 0))
		return ERR_BAD_MESSAGE;
	r = row_find(p->master, id);
	if (!r)
		return 0; /* over meanwhile, or nobody wants to know */
	if (!r->due[p - p->master->procs] ||
	    (state != ASK_REFUSED && (state == ASK_MORE) == (r->done != NULL)))
		return ERR_BAD_MESSAGE;
	return row_take(r, p, state, text ? text : "", len);
}

void asks_on_exit(const struct proc *p)
{
	struct master *m = p->master;
	size_t i;

	for (i = 0; m->asks && i < ASKS_MAX; i++) {
		struct asks_row *r = &m->asks->rows[i];

		if (!r->id || !r->due[p - m->procs])
			continue;
		r->due[p - m->procs] = false;
		if (r->done)
			note_silence(r, p, "ended meanwhile");
		row_advance(r);
	}
}

void asks_on_gone(struct master *m, uint64_t client)
{
	size_t i, k;

	for (i = 0; m->asks && i < ASKS_MAX; i++) {
		struct asks_row *r = &m->asks->rows[i];

		if (!r->id || r->asked.client != client)
			continue;
		for (k = 0; k < m->procs_n && !r->done; k++) {
			const struct ask stop = { .id = r->id,
						  .command = ASK_TRACE_STOP,
						  .text = "" };

			if (!r->due[k])
				continue;
			ask_put(&out, &stop);
			proc_send(&m->procs[k], &out);
		}
		row_free(r);
	}
}

/* --- the log's level -------------------------------------------------------------------- */

static void send_level(struct proc *p, enum log_level level)
{
	const struct ask a = { .command = ASK_LOG, .number = (uint32_t)level, .text = "" };

	ask_put(&out, &a);
	proc_send(p, &out);
}

void asks_on_up(struct proc *p)
{
	struct master *m = p->master;
	size_t i;

	/* The scaler gets no configuration that would tell it. */
	if (m->asks && m->asks->level_set)
		send_level(p, m->asks->level);
	else if (!fleet_has_generation(p))
		send_level(p, (enum log_level)m->conf->log.level);
	for (i = 0; m->asks && i < ASKS_MAX; i++) {
		struct asks_row *r = &m->asks->rows[i];

		if (!r->id || r->done || !(ask_roles(r->asked.command) & 1u << p->role))
			continue;
		r->due[p - m->procs] = true;
		row_send(r, p);
	}
}

void asks_set_level(struct master *m, enum log_level level)
{
	struct asks *all = asks_of(m);

	if (all) {
		all->level_set = true;
		all->level = level;
	}
	log_set_level(level);
}

void asks_on_commit(struct master *m)
{
	size_t i;

	if (m->asks)
		m->asks->level_set = false;
	for (i = 0; i < m->procs_n; i++)
		if (!fleet_has_generation(&m->procs[i]) && m->procs[i].state == PROC_UP)
			send_level(&m->procs[i], (enum log_level)m->conf->log.level);
}

void asks_fini(struct master *m)
{
	size_t i;

	for (i = 0; m->asks && i < ASKS_MAX; i++)
		if (m->asks->rows[i].id)
			row_free(&m->asks->rows[i]);
	free(m->asks);
	m->asks = NULL;
}
