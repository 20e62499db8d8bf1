/* SPDX-License-Identifier: MIT */
/*
 * reload - see reload.h.
 */
#include "config.h"

#include "master/reload.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/generation.h"
#include "master/asks.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/notify.h"
#include "master/pulse.h"
#include "master/statedir.h"

#define CONFIRM_MS 60000 /* without a watchdog */

static int make_memfd(const struct conf *conf, enum generation_for reader)
{
	struct buf b;
	int fd = -1;

	buf_init(&b, GENERATION_MAX);
	if (generation_print(conf, reader, &b) == 0)
		fd = ipc_memfd("inset-generation", b.p, b.len);
	if (b.p)
		explicit_bzero(b.p, b.len);
	buf_fini(&b);
	return fd;
}

int reload_memfds(const struct conf *conf, struct memfds *out)
{
	out->full = make_memfd(conf, GENERATION_FOR_PROXY);
	out->box = make_memfd(conf, GENERATION_FOR_BOX);
	out->media = make_memfd(conf, GENERATION_FOR_MEDIA);
	out->open = make_memfd(conf, GENERATION_FOR_OTHERS);
	if (out->full != -1 && out->box != -1 && out->media != -1 && out->open != -1)
		return 0;
	reload_close(out);
	return ERR_NOMEM;
}

void reload_close(struct memfds *m)
{
	if (m->full != -1)
		close(m->full);
	if (m->box != -1)
		close(m->box);
	if (m->media != -1)
		close(m->media);
	if (m->open != -1)
		close(m->open);
	*m = (struct memfds){ -1, -1, -1, -1 };
}

int reload_settle_users(struct conf *conf)
{
	char **field[] = { &conf->box_user, &conf->media_user, &conf->scaler_user };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		char *user;

		if ((*field[i])[0])
			continue;
		user = strdup(conf->user);
		if (!user)
			return ERR_NOMEM;
		free(*field[i]);
		*field[i] = user;
	}
	return 0;
}

/* --- the answer ------------------------------------------------------------------------ */

static void tell_manager(void)
{
	notify_send("READY=1");
}

static void answer_problems(struct master *m, uint64_t client, const struct conf_problems *p)
{
	json_t *list = json_array();
	size_t i;

	log_error("reload refused, the old configuration stays generation=%llu",
		  (unsigned long long)m->conf->generation);
	for (i = 0; i < p->n; i++) {
		log_error("%s", p->v[i]);
		json_array_append_new(list, control_text(p->v[i]));
	}
	if (p->more)
		log_error("and %zu more", p->more);
	if (m->up && !m->stopping)
		tell_manager();
	if (client)
		control_answer(m->control, client,
			       json_pack("{s:b, s:o}", "ok", 0, "problems", list));
	else
		json_decref(list);
}

static void answer_failure(struct master *m, uint64_t client, const char *why)
{
	char *line = strdup(why);
	struct conf_problems one = { .v = &line, .n = line ? 1 : 0 };

	answer_problems(m, client, &one);
	free(line);
}

/* --- one reload ------------------------------------------------------------------------ */

static void on_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct master *m = arg;

	clock_update();
	if (!m->stopping)
		reload_start(m, 0);
}

static void reload_clear(struct master *m)
{
	struct reload *r = &m->reload;
	size_t i;

	sockets_close(&r->sockets);
	reload_close(&r->memfds);
	conf_unref(&r->conf);
	if (r->timer)
		event_del(r->timer);
	r->active = false;
	r->client = 0;
	for (i = 0; i < m->procs_n; i++)
		m->procs[i].confirmed = false;
	if (r->again && event_base_once(m->base, -1, EV_TIMEOUT, on_again, m, NULL) == -1)
		log_error("the configuration is not read again: out of memory");
	r->again = false;
}

static void reload_fail(struct master *m, const char *why)
{
	uint64_t client = m->reload.client;
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		if (fleet_has_generation(&m->procs[i]) && m->procs[i].state == PROC_UP)
			fleet_send_number(&m->procs[i], IPC_ROLLBACK, m->reload.conf->generation);
	reload_clear(m);
	answer_failure(m, client, why);
}

static void reload_commit(struct master *m)
{
	struct reload *r = &m->reload;
	struct conf *old_conf = m->conf;
	struct sockets old_sockets = m->sockets;
	uint64_t client = r->client;
	size_t i;

	reload_close(&m->memfds);
	m->conf = r->conf;
	m->memfds = r->memfds;
	m->sockets = r->sockets;
	r->conf = NULL;
	r->memfds = (struct memfds){ -1, -1, -1, -1 };
	r->sockets = (struct sockets){ 0 };
	for (i = 0; i < m->procs_n; i++)
		if (fleet_has_generation(&m->procs[i]) && m->procs[i].state == PROC_UP)
			fleet_send_number(&m->procs[i], IPC_COMMIT, m->conf->generation);
	reload_clear(m);
	fleet_recall(m);
	fleet_lend(m);
	sockets_close(&old_sockets);
	log_open("master", (enum log_target)m->conf->log.target,
		 (enum log_format)m->conf->log.format);
	log_set_level((enum log_level)m->conf->log.level);
	asks_on_commit(m);
	fleet_adjust(m, old_conf);
	conf_unref(&old_conf);
	if (pulse_start(m))
		log_error("no watchdog: out of memory");
	tell_manager();
	log_notice("configuration reloaded generation=%llu listeners=%zu",
		   (unsigned long long)m->conf->generation, m->conf->listens_n);
	if (client)
		control_answer(m->control, client,
			       json_pack("{s:b, s:I}", "ok", 1, "generation",
					 (json_int_t)m->conf->generation));
}

static void reload_advance(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		const struct proc *p = &m->procs[i];

		if (fleet_has_generation(p) && p->state == PROC_UP && !p->confirmed)
			return;
	}
	reload_commit(m);
}

static void reload_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	reload_fail(arg, "not all processes confirmed the new configuration in time");
}

/*
 * A child that reads a large configuration on a busy machine is slow, not stuck: it has as long as
 * its loop may stand still. That time begins when it is asked; the loop's own clock stands at the
 * moment when this turn began, before the master read the same files.
 */
static int reload_start_timer(struct master *m)
{
	struct reload *r = &m->reload;
	uint64_t ms = m->conf->watchdog ? m->conf->watchdog : CONFIRM_MS;
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
			      .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	if (!r->timer)
		r->timer = evtimer_new(m->base, reload_on_timer, m);
	if (!r->timer || event_base_update_cache_time(m->base) == -1)
		return ERR_NOMEM;
	return evtimer_add(r->timer, &tv) == -1 ? ERR_NOMEM : 0;
}

int reload_on_confirm(struct proc *p, uint64_t generation, bool ready, const char *why)
{
	struct master *m = p->master;
	char text[512];

	if (generation > m->generations)
		return ERR_BAD_MESSAGE;
	if (!m->reload.active || generation != m->reload.conf->generation)
		return 0; /* of one that was rolled back meanwhile */
	if (p->confirmed)
		return ERR_BAD_MESSAGE;
	if (!ready) {
		snprintf(text, sizeof(text), "%s refused: %.400s", p->name, why);
		reload_fail(m, text);
		return 0;
	}
	p->confirmed = true;
	reload_advance(m);
	return 0;
}

void reload_abort(struct master *m, const char *why)
{
	if (m->reload.active)
		reload_fail(m, why);
}

/* What only a new start can change; NULL: nothing of that kind. */
static const char *fixed_difference(const struct conf *a, const struct conf *b)
{
	if (a->workers != b->workers)
		return "workers";
	if (strcmp(a->control, b->control) != 0)
		return "control";
	if (strcmp(a->user, b->user) != 0)
		return "user";
	if (strcmp(a->box_user, b->box_user) != 0)
		return "box-user";
	if (strcmp(a->state_dir, b->state_dir) != 0)
		return "state-dir";
	if (strcmp(a->media_user, b->media_user) != 0)
		return "media-user";
	if (strcmp(a->scaler_user, b->scaler_user) != 0)
		return "scaler-user";
	return NULL;
}

/* Everything that needs no child: 0, or the reason stands in msg. */
static int reload_prepare(struct master *m, struct err_msg *msg)
{
	struct reload *r = &m->reload;
	const char *fixed;

	if (reload_settle_users(r->conf))
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	fixed = fixed_difference(m->conf, r->conf);
	if (fixed)
		return err_msg_set(msg, ERR_CONFIG,
				   "%s: can only be changed by a new start of insetd", fixed);
	if (statedir_prepare(r->conf, msg))
		return ERR_CONFIG;
	r->conf->generation = ++m->generations;
	conf_number_rules(r->conf, m->conf, counters_rule_clear);
	conf_number_listeners(r->conf, m->conf, counters_listener_clear);
	if (reload_memfds(r->conf, &r->memfds))
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	return sockets_open(&r->sockets, r->conf, m->workers, &m->sockets, msg);
}

static void reload_begin(struct master *m)
{
	struct reload *r = &m->reload;
	struct conf_problems problems = { 0 };
	struct err_msg msg = { 0 };
	uint64_t client = r->client;
	size_t i;

	r->wanted = false;
	notify_send("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_us());
	if (conf_read(m->source, &r->conf, &problems)) {
		reload_clear(m);
		if (problems.n)
			answer_problems(m, client, &problems);
		else
			answer_failure(m, client, "out of memory");
		conf_problems_free(&problems);
		return;
	}
	if (reload_prepare(m, &msg)) {
		reload_clear(m);
		answer_failure(m, client, msg.text);
		return;
	}
	r->active = true;
	if (reload_start_timer(m)) {
		reload_fail(m, "out of memory");
		return;
	}
	for (i = 0; i < m->procs_n && r->active; i++)
		if (fleet_has_generation(&m->procs[i]) && m->procs[i].state == PROC_UP)
			fleet_send_generation(&m->procs[i], r->conf->generation, &r->memfds,
					      &r->sockets);
	if (r->active)
		reload_advance(m); /* nobody there to ask: it counts at once */
}

void reload_start(struct master *m, uint64_t client)
{
	struct reload *r = &m->reload;

	if (r->wanted && !client)
		return; /* the one that waits reads what is there when it begins */
	if (r->active && !client && !m->stopping) {
		r->again = true; /* ... and one under way has read it */
		return;
	}
	if (m->stopping || r->active || r->wanted || m->heir.fd != -1) {
		answer_failure(m, client,
			       m->stopping        ? "insetd is stopping"
			       : m->heir.fd != -1 ? "an upgrade is under way"
						  : "another reload is under way");
		return;
	}
	r->wanted = true;
	r->client = client;
	reload_resume(m);
}

void reload_resume(struct master *m)
{
	size_t i;

	if (!m->reload.wanted || m->reload.active)
		return;
	/* A child between its start and READY can be asked nothing yet. One that is down is told
	 * when it starts. */
	for (i = 0; i < m->procs_n; i++)
		if (m->procs[i].state == PROC_STARTING || m->procs[i].state == PROC_COMMITTED)
			return;
	reload_begin(m);
}
