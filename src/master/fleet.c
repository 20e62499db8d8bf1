/* SPDX-License-Identifier: MIT */
/*
 * fleet - see fleet.h.
 */
#include "config.h"

#include "master/fleet.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/picture.h"
#include "master/asks.h"
#include "master/inherit.h"
#include "master/proc.h"
#include "master/pulse.h"
#include "master/reload.h"

#define END_SOON_MS 2000

static struct ipc_out out; /* one at a time, too large for a stack */

static void fleet_add(struct master *m, enum role role, unsigned index)
{
	struct proc *p = &m->procs[m->procs_n++];
	int slot;

	BUG_ON(m->procs_n > PROCS_MAX);
	*p = (struct proc){ .role = role, .index = index, .master = m, .fd = -1 };
	slot = master_take_slot(m);
	BUG_ON(slot == -1); /* the pages were chosen to have room */
	p->slot = (unsigned)slot;
	counters_forget(p->slot); /* what a process of an older insetd may have left */
	if (role == ROLE_PROXY)
		snprintf(p->name, sizeof(p->name), "proxy/%u", index);
	else
		snprintf(p->name, sizeof(p->name), "%s", role_name(role));
}

void fleet_init(struct master *m)
{
	unsigned i;

	fleet_add(m, ROLE_SCALER, 0);
	fleet_add(m, ROLE_MEDIA, 0);
	for (i = 0; i < m->workers; i++)
		fleet_add(m, ROLE_PROXY, i);
	fleet_add(m, ROLE_WEB, 0);
	m->procs[m->procs_n - 1].unwanted = m->conf->web.bind.n == 0;
	fleet_add(m, ROLE_BOX, 0);
	m->procs[m->procs_n - 1].unwanted = m->conf->upload.bind.n == 0;
}

bool fleet_has_generation(const struct proc *p)
{
	return p->role != ROLE_SCALER;
}

/* --- what a child is told -------------------------------------------------------------- */

static void send_counters(struct proc *p)
{
	ipc_begin(&out, IPC_COUNTERS);
	ipc_put_u32(&out, p->slot);
	ipc_put_fd(&out, p->master->counters);
	proc_send(p, &out);
}

void fleet_send_generation(struct proc *p, uint64_t generation, const struct memfds *memfds,
			   const struct sockets *sockets)
{
	size_t i;

	ipc_begin(&out, IPC_GENERATION);
	ipc_put_u64(&out, generation);
	ipc_put_fd(&out, p->role == ROLE_PROXY   ? memfds->full
			 : p->role == ROLE_BOX   ? memfds->box
			 : p->role == ROLE_MEDIA ? memfds->media
						 : memfds->open);
	proc_send(p, &out);
	for (i = 0; i < sockets->n; i++) {
		const struct socket_row *s = &sockets->v[i];

		if (s->role != p->role || s->index != p->index)
			continue;
		ipc_begin(&out, IPC_LISTENER);
		ipc_put_u64(&out, generation);
		ipc_put_str(&out, s->listener);
		ipc_put_str(&out, s->address);
		ipc_put_fd(&out, s->fd);
		proc_send(p, &out);
	}
}

static void send_setup(struct proc *p)
{
	const struct conf_scale *s = &p->master->conf->scale;
	struct picture_setup setup = {
		.children = s->children ? (uint32_t)s->children : MIN_OF(confine_cpus(), 64),
		.limits = { .max_pixels = s->max_pixels,
			    .max_pixels_jpeg = s->max_pixels_jpeg,
			    .max_side = (uint32_t)s->max_side,
			    .memory = s->memory,
			    .wall_ms = s->wall,
			    .cpu_ms = s->cpu },
	};

	ipc_begin(&out, IPC_SETUP);
	picture_setup_put(&out, &setup);
	proc_send(p, &out);
}

void fleet_send_number(struct proc *p, enum ipc_type type, uint64_t generation)
{
	ipc_begin(&out, type);
	ipc_put_u64(&out, generation);
	proc_send(p, &out);
}

void fleet_send_stop(struct proc *p, uint32_t ms)
{
	ipc_begin(&out, IPC_STOP);
	ipc_put_u32(&out, ms);
	proc_send(p, &out);
}

static void send_peer(struct proc *p, const struct proc *other, int fd)
{
	ipc_begin(&out, IPC_PEER);
	ipc_put_u8(&out, (uint8_t)other->role);
	ipc_put_u32(&out, other->index);
	ipc_put_fd(&out, fd);
	proc_send(p, &out);
}

static bool are_peers(const struct proc *a, const struct proc *b)
{
	const unsigned of_media = R_PROXY | R_SCALER | R_BOX | R_WEB;

	if (a->role == ROLE_MEDIA)
		return of_media & 1u << b->role;
	return b->role == ROLE_MEDIA && (of_media & 1u << a->role);
}

/* New channels between p and everyone it talks to who is there. */
static void connect_peers(struct proc *p)
{
	struct master *m = p->master;
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		struct proc *other = &m->procs[i];
		int fds[2];

		if (!are_peers(p, other) || other->fd == -1)
			continue;
		if (ipc_pair(fds)) {
			log_error("no channel between %s and %s: %m", p->name, other->name);
			continue;
		}
		send_peer(p, other, fds[0]);
		send_peer(other, p, fds[1]);
		close(fds[0]);
		close(fds[1]);
	}
}

void fleet_start(struct proc *p)
{
	struct master *m = p->master;

	p->confirmed = false;
	if (proc_spawn(p)) {
		p->settled = true;
		proc_restart_later(p);
		return;
	}
	send_counters(p);
	if (fleet_has_generation(p))
		fleet_send_generation(p, m->conf->generation, &m->memfds, &m->sockets);
	else
		send_setup(p);
	connect_peers(p);
}

void fleet_start_all(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		if (!m->procs[i].unwanted && m->procs[i].pid == 0)
			fleet_start(&m->procs[i]);
}

/* --- sockets of proxies that are away --------------------------------------------------- */

/*
 * The kernel spreads connections over all SO_REUSEPORT sockets, those of a proxy in back-off
 * included; there they would wait. So another proxy accepts from them meanwhile.
 */
static struct proc *lender_for(struct master *m, const struct proc *away)
{
	size_t i, n = m->procs_n, at = (size_t)(away - m->procs);

	for (i = 1; i < n; i++) {
		struct proc *p = &m->procs[(at + i) % n];

		if (p->role == ROLE_PROXY && p->state == PROC_UP)
			return p;
	}
	return NULL;
}

static void lend(struct proc *away, struct proc *to)
{
	const struct sockets *sockets = &away->master->sockets;
	size_t i;

	away->lent_to = to;
	log_debug("%s serves the sockets of %s", to->name, away->name);
	for (i = 0; i < sockets->n; i++) {
		const struct socket_row *s = &sockets->v[i];

		if (s->role != ROLE_PROXY || s->index != away->index)
			continue;
		ipc_begin(&out, IPC_LEND);
		ipc_put_u32(&out, away->index);
		ipc_put_str(&out, s->listener);
		ipc_put_fd(&out, s->fd);
		proc_send(to, &out);
	}
}

static void recall(struct proc *p)
{
	struct proc *from = p->lent_to;

	p->lent_to = NULL;
	if (!from || from->state != PROC_UP)
		return; /* it has ended, and the loan with it */
	ipc_begin(&out, IPC_RECALL);
	ipc_put_u32(&out, p->index);
	proc_send(from, &out);
}

void fleet_recall(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		recall(&m->procs[i]);
}

void fleet_lend(struct master *m)
{
	size_t i;

	if (!m->up || m->stopping)
		return;
	for (i = 0; i < m->procs_n; i++) {
		struct proc *p = &m->procs[i];
		struct proc *to;

		if (p->role != ROLE_PROXY)
			continue;
		if (p->state == PROC_UP) {
			recall(p);
			continue;
		}
		if (p->lent_to && p->lent_to->state == PROC_UP)
			continue;
		p->lent_to = NULL;
		to = lender_for(m, p);
		if (to)
			lend(p, to);
	}
}

void fleet_forget(const struct proc *p)
{
	counters_forget(p->slot);
}

/* --- what a child says ----------------------------------------------------------------- */

static int on_log(struct proc *p, struct ipc_in *in)
{
	uint8_t level = ipc_get_u8(in);
	const char *line = ipc_get_str(in);

	if (ipc_end(in) || level > LOG_LEVEL_DEBUG)
		return ERR_BAD_MESSAGE;
	if (log_is_on((enum log_level)level))
		log_relay(p->name, (enum log_level)level, line);
	return 0;
}

void fleet_commit(struct proc *p)
{
	p->confirmed = false;
	p->state = PROC_COMMITTED;
	fleet_send_number(p, IPC_COMMIT, p->master->conf->generation);
}

static int on_confirm(struct proc *p, struct ipc_in *in)
{
	struct master *m = p->master;
	uint64_t generation = ipc_get_u64(in);
	uint8_t ready = ipc_get_u8(in);
	const char *why = ipc_get_str(in);
	char text[512];

	if (ipc_end(in) || ready > 1)
		return ERR_BAD_MESSAGE;
	if (p->state == PROC_UP)
		return reload_on_confirm(p, generation, ready, why);
	if (p->state == PROC_ENDING)
		return 0;
	if (p->state != PROC_STARTING ||
	    (fleet_has_generation(p) && generation != m->conf->generation))
		return ERR_BAD_MESSAGE;
	if (ready) {
		p->confirmed = true;
		if (inherit_may_commit(p))
			fleet_commit(p);
		return 0;
	}
	log_error("%s cannot run: %s", p->name, why);
	if (m->takes_over) {
		snprintf(text, sizeof(text), "%s cannot run: %.400s", p->name, why);
		inherit_fail(m, text);
		return 0;
	}
	/* At the first start somebody is there to read it; later the others go on. */
	if (!m->up && p->role != ROLE_SCALER)
		master_stop(m, 1);
	else
		proc_kill(p, "refused its configuration");
	return 0;
}

static int on_ready(struct proc *p, struct ipc_in *in)
{
	const char *versions = ipc_get_str(in);

	if (ipc_end(in) ||
	    (p->state != PROC_COMMITTED && p->state != PROC_UP && p->state != PROC_ENDING))
		return ERR_BAD_MESSAGE;
	if (p->state != PROC_COMMITTED)
		return 0;
	snprintf(p->versions, sizeof(p->versions), "%s", versions);
	p->state = PROC_UP;
	p->settled = true;
	log_debug("%s is up pid=%d %s", p->name, (int)p->pid, p->versions);
	asks_on_up(p);
	master_on_change(p->master);
	return 0;
}

int fleet_on_message(struct proc *p, struct ipc_in *in)
{
	/* ipc_recv() has let only what children may send to a master through. */
	if (in->type == IPC_LOG)
		return on_log(p, in);
	if (in->type == IPC_CONFIRM)
		return on_confirm(p, in);
	if (in->type == IPC_READY)
		return on_ready(p, in);
	if (in->type == IPC_ANSWER)
		return asks_on_answer(p, in);
	if (in->type == IPC_PONG) {
		pulse_on_pong(p);
		return ipc_end(in);
	}
	return ERR_BAD_MESSAGE;
}

/* --- after a commit -------------------------------------------------------------------- */

static bool is_same_scale(const struct conf_scale *a, const struct conf_scale *b)
{
	return a->children == b->children && a->max_pixels == b->max_pixels &&
	       a->max_pixels_jpeg == b->max_pixels_jpeg && a->max_side == b->max_side &&
	       a->memory == b->memory && a->wall == b->wall && a->cpu == b->cpu;
}

/* web and box run only where they are configured. */
static bool is_optional(const struct proc *p)
{
	return p->role == ROLE_WEB || p->role == ROLE_BOX;
}

static bool is_configured(const struct proc *p, const struct conf *conf)
{
	return p->role == ROLE_WEB ? conf->web.bind.n > 0 : conf->upload.bind.n > 0;
}

void fleet_adjust(struct master *m, const struct conf *old)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		struct proc *p = &m->procs[i];

		if (p->role == ROLE_SCALER && p->pid &&
		    !is_same_scale(&old->scale, &m->conf->scale)) {
			log_notice("the scaler is started anew for its new limits");
			p->replaced = true;
			proc_kill(p, NULL);
		} else if (is_optional(p) && !is_configured(p, m->conf)) {
			fleet_send_stop(p, 0);
			proc_end_within(p, END_SOON_MS);
		} else if (is_optional(p) && p->unwanted) {
			p->unwanted = false;
			p->replaced = p->pid != 0; /* still ending: proc_on_exit() brings it back */
			if (p->pid == 0)
				fleet_start(p);
		}
	}
}

bool fleet_is_settled(const struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		const struct proc *p = &m->procs[i];

		if (p->unwanted)
			continue;
		if (p->role == ROLE_PROXY ? p->state != PROC_UP : !p->settled)
			return false;
	}
	return true;
}

/* For the status page. */
static void note_processes(const struct master *m)
{
	static const enum counters_process_state states[] = {
		[PROC_DOWN] = COUNTERS_DOWN,          [PROC_STARTING] = COUNTERS_STARTING,
		[PROC_COMMITTED] = COUNTERS_STARTING, [PROC_UP] = COUNTERS_UP,
		[PROC_ENDING] = COUNTERS_ENDING,
	};
	struct counters_process row = { .role = ROLE_MASTER,
					.pid = (uint32_t)getpid(),
					.state = COUNTERS_UP };
	int64_t ago = clock_wall() - clock_now() / 1000;
	size_t i;

	row.since = ago + m->started_ms / 1000;
	counters_process_set(m->slot, &row);
	for (i = 0; i < m->procs_n; i++) {
		const struct proc *p = &m->procs[i];

		row = (struct counters_process){ .role = (uint32_t)p->role,
						 .index = p->index,
						 .pid = (uint32_t)p->pid,
						 .state = p->unwanted && !p->pid ? COUNTERS_UNUSED
										 : states[p->state],
						 .restarts = p->restarts,
						 .since = p->pid ? ago + p->started_ms / 1000 : 0 };
		counters_process_set(p->slot, &row);
	}
}

void fleet_count(const struct master *m)
{
	uint64_t up[ROLE_COUNT] = { 0 };
	size_t i;

	/* Those of an old insetd serve nobody new. */
	for (i = 0; i < m->procs_n && !m->handed; i++)
		up[m->procs[i].role] += m->procs[i].state == PROC_UP;
	counter_set(METRIC_PROCS_BOX, up[ROLE_BOX]);
	counter_set(METRIC_PROCS_MEDIA, up[ROLE_MEDIA]);
	counter_set(METRIC_PROCS_PROXY, up[ROLE_PROXY]);
	counter_set(METRIC_PROCS_SCALER, up[ROLE_SCALER]);
	counter_set(METRIC_PROCS_WEB, up[ROLE_WEB]);
	note_processes(m);
}

uint64_t fleet_formats(const struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		if (m->procs[i].role == ROLE_MEDIA)
			return counters_of(m->procs[i].slot, METRIC_SCALER_FORMATS);
	return 0;
}

uint64_t fleet_sessions(const struct master *m)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		if (m->procs[i].role == ROLE_PROXY)
			n += counters_of(m->procs[i].slot, METRIC_SESSIONS);
	return n;
}

void fleet_quiesce(struct master *m)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++)
		if (is_optional(&m->procs[i])) {
			ipc_begin(&out, IPC_QUIESCE);
			proc_send(&m->procs[i], &out);
		}
}

bool fleet_is_needed(const struct proc *p)
{
	const struct master *m = p->master;

	if (p->unwanted)
		return false;
	if (!m->stopping)
		return true;
	/* What the sessions that are left use. */
	return fleet_running(m, ROLE_PROXY) && !(m->handed && is_optional(p));
}

size_t fleet_running(const struct master *m, enum role role)
{
	size_t i, n = 0;

	for (i = 0; i < m->procs_n; i++)
		n += m->procs[i].role == role && m->procs[i].pid != 0;
	return n;
}
