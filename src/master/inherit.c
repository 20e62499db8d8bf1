/* SPDX-License-Identifier: MIT */
/*
 * inherit - see inherit.h.
 */
#include "config.h"

#include "master/inherit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/notify.h"
#include "master/reload.h"

#define MESSAGES_PER_TURN 16
#define RECHECK_MS        20
#define STALE_MS          500 /* its children see its end at the same time, and then die */

/* --- the description ------------------------------------------------------------------- */

/* NULL: there is none, or with msg it cannot be used. The variable is gone afterwards. */
static json_t *description(struct err_msg *msg)
{
	const char *text = getenv(HANDOVER_ENV);
	const uint8_t *p = NULL;
	json_t *root = NULL;
	size_t len;
	int fd;

	if (!text)
		return NULL;
	fd = atoi(text);
	(void)unsetenv(HANDOVER_ENV);
	if (fd <= STDERR_FILENO || ipc_memfd_map(fd, HANDOVER_MAX, &p, &len)) {
		err_msg_set(msg, ERR_BAD_FORMAT, "%s names no description of a handover",
			    HANDOVER_ENV);
		return NULL;
	}
	root = p ? json_loadb((const char *)p, len, 0, NULL) : NULL;
	if (p)
		munmap((void *)(uintptr_t)p, len);
	close(fd);
	if (!root)
		err_msg_set(msg, ERR_BAD_FORMAT, "the description of the handover is damaged");
	return root;
}

static void say_failed(int fd, const char *why)
{
	json_t *o = json_pack("{s:s, s:o}", "say", "failed", "why", control_text(why));

	/* An old one that does not hear it sees our end. */
	(void)!handover_send(fd, o);
}

int inherit_open(struct handover *out, struct err_msg *msg)
{
	struct err_msg none = { 0 };
	json_t *root;
	int channel, rc;

	*out = (struct handover){ .channel = -1, .counters = -1 };
	root = description(&none);
	if (!root && none.text[0])
		return err_msg_set(msg, ERR_BAD_FORMAT, "%s", none.text);
	if (!root)
		return 0;
	channel = dup((int)json_integer_value(json_object_get(root, "channel")));
	rc = handover_parse(root, out, msg);
	if (rc && channel != -1)
		say_failed(channel, msg->text);
	if (channel != -1)
		close(channel);
	return rc;
}

void inherit_refuse(const char *why)
{
	struct err_msg msg = { 0 };
	json_t *root = description(&msg);
	int channel = (int)json_integer_value(json_object_get(root, "channel"));

	if (root && channel > STDERR_FILENO)
		say_failed(channel, why);
	json_decref(root);
}

/* --- before it counts ------------------------------------------------------------------ */

void inherit_fail(struct master *m, const char *why)
{
	if (!m->takes_over || m->stopping)
		return;
	log_error("this insetd does not take over: %s", why);
	if (m->elders_n)
		say_failed(m->elders[0].fd, why);
	if (m->base)
		master_stop(m, 1);
}

void inherit_on_exit(const struct proc *p)
{
	char why[64];

	snprintf(why, sizeof(why), "%s has ended", p->name);
	inherit_fail(p->master, why);
}

static void on_recheck(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	inherit_advance(arg);
}

/* The scaler is up before it has tried all its formats; a thumbnail is not to fail for that. */
static bool has_formats(struct master *m)
{
	static const struct timeval soon = { .tv_usec = RECHECK_MS * 1000 };

	if (!m->scaler_needed || fleet_formats(m))
		return true;
	if (event_base_once(m->base, -1, EV_TIMEOUT, on_recheck, m, &soon) == -1)
		inherit_fail(m, "out of memory");
	return false;
}

/* Is each process up, or each but the proxies? */
static bool are_up(const struct master *m, bool proxies)
{
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		const struct proc *p = &m->procs[i];

		if (!p->unwanted && p->state != PROC_UP && (proxies || p->role != ROLE_PROXY) &&
		    !(p->role == ROLE_SCALER && !m->scaler_needed && p->settled))
			return false;
	}
	return true;
}

bool inherit_may_commit(const struct proc *p)
{
	const struct master *m = p->master;

	return !m->takes_over || p->role != ROLE_PROXY ||
	       (are_up(m, false) && (!m->scaler_needed || fleet_formats(m)));
}

void inherit_advance(struct master *m)
{
	json_t *ready;
	size_t i;

	if (!m->takes_over || m->announced || m->stopping || !are_up(m, false) || !has_formats(m))
		return;
	for (i = 0; i < m->procs_n; i++)
		if (m->procs[i].state == PROC_STARTING && m->procs[i].confirmed)
			fleet_commit(&m->procs[i]);
	if (!are_up(m, true))
		return;
	m->announced = true;
	ready = json_pack("{s:s, s:i, s:s}", "say", "ready", "pid", (int)getpid(), "control",
			  m->conf->control);
	if (handover_send(m->elders[0].fd, ready))
		inherit_fail(m, "the old one cannot be told");
}

/* The old one drains: from now on this is insetd. */
static void inherit_take(struct master *m)
{
	m->takes_over = false;
	if (m->control && strcmp(control_path(m->control), m->conf->control) != 0 &&
	    control_move(m->control, m->conf->control, false))
		log_error("control socket %s: %m", m->conf->control);
	log_notice("taken over from pid=%d", (int)m->elders[0].pid);
	master_on_change(m);
	if (!m->sockets.missing)
		return;
	log_notice(
		"more workers than before: the configuration is read once more for their sockets");
	reload_start(m, 0);
}

/* --- elders ---------------------------------------------------------------------------- */

static void elder_close(struct elder *e)
{
	if (e->channel)
		event_free(e->channel);
	if (e->fd != -1)
		close(e->fd);
	*e = (struct elder){ .fd = -1 };
}

static void elder_gone(struct master *m, struct elder *e)
{
	size_t at = (size_t)(e - m->elders);
	unsigned i;

	if (m->takes_over && at == 0) {
		inherit_fail(m, "the old one has ended, or gave up");
		return;
	}
	log_notice("the old insetd has ended pid=%d", (int)e->pid);
	for (i = 0; i < COUNTERS_SLOTS; i++)
		if (e->slots[i])
			m->stale[i] = clock_now() + STALE_MS;
	elder_close(e);
	m->elders_n--;
	memmove(e, e + 1, (m->elders_n - at) * sizeof(*e));
	m->elders[m->elders_n] = (struct elder){ .fd = -1 };
	master_on_change(m);
}

void inherit_tidy(struct master *m)
{
	unsigned i;

	for (i = 0; i < COUNTERS_SLOTS; i++)
		if (m->stale[i] && m->stale[i] <= clock_now()) {
			m->stale[i] = 0;
			m->slots[i] = false;
			counters_forget(i);
		}
}

static void elder_on_message(struct master *m, struct elder *e, const json_t *o)
{
	const char *say = json_string_value(json_object_get(o, "say"));

	if (!say)
		return;
	if (strcmp(say, "go") == 0 && e == m->elders && m->takes_over && m->announced)
		inherit_take(m);
	else if (strcmp(say, "sessions") == 0)
		e->sessions = (uint64_t)MAX_OF(json_integer_value(json_object_get(o, "n")),
					       (json_int_t)0);
}

static struct elder *elder_of(struct master *m, int fd)
{
	size_t i;

	for (i = 0; i < m->elders_n; i++)
		if (m->elders[i].fd == fd)
			return &m->elders[i];
	return NULL;
}

static void on_elder(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct master *m = arg;
	struct elder *e;
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN; i++) {
		json_t *o = handover_recv(fd, &rc);

		e = elder_of(m, fd);
		if (!o || !e) {
			json_decref(o);
			break;
		}
		elder_on_message(m, e, o);
		json_decref(o);
	}
	e = elder_of(m, fd);
	if (e && rc == ERR_CLOSED)
		elder_gone(m, e);
}

int inherit_elders(struct master *m, struct handover *h)
{
	struct elder *first = &m->elders[0];
	size_t i;

	*first = (struct elder){ .pid = h->pid, .fd = h->channel, .since = clock_wall() };
	h->channel = -1;
	if (h->control[0])
		snprintf(first->control, sizeof(first->control), "%.110s.%d", h->control,
			 (int)h->pid);
	memcpy(first->slots, h->slots, sizeof(first->slots));
	m->elders_n = 1;
	for (i = 0; i < h->elders_n && m->elders_n < ELDERS_MAX; i++) {
		m->elders[m->elders_n++] = h->elders[i];
		h->elders[i].fd = -1;
	}
	for (i = 0; i < m->elders_n; i++) {
		struct elder *e = &m->elders[i];

		e->channel = event_new(m->base, e->fd, EV_READ | EV_PERSIST, on_elder, m);
		if (!e->channel || event_add(e->channel, NULL) == -1)
			return ERR_NOMEM;
	}
	return 0;
}

void inherit_end_elders(struct master *m, uint32_t ms)
{
	size_t i;

	for (i = 0; i < m->elders_n; i++)
		/* One that does not hear it ends when its own time has come. */
		(void)!handover_send(m->elders[i].fd,
				     json_pack("{s:s, s:I}", "say", "end", "ms", (json_int_t)ms));
}

void inherit_fini(struct master *m)
{
	while (m->elders_n)
		elder_close(&m->elders[--m->elders_n]);
}
