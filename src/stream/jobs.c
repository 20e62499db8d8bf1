/* SPDX-License-Identifier: MIT */
/*
 * jobs - see jobs.h.
 */
#include "config.h"

#include "stream/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/log.h"

#define JOBS_BUCKETS    1024
#define JOBS_PER_TURN   32
#define JOBS_ORIGINS    64
#define JOBS_ORIGIN_MAX 300

/* An upload service. */
struct jobs_origin {
	bool told; /* to the media process of today */
	char text[JOBS_ORIGIN_MAX + 1];
};

struct jobs {
	struct jobs_origin origins[JOBS_ORIGINS]; /* a ring */
	size_t origins_n;
	size_t origins_next;
	bool untold; /* some are not told */
	int fd;      /* owned; -1: media is away */
	struct event *ev;
	struct event_base *base;
	jobs_result_fn on_result;
	jobs_lost_fn on_lost;
	uint64_t last_id;
	struct fifo_entry *bucket[JOBS_BUCKETS]; /* by id; borrowed */
	struct ipc_out out;
	struct ipc_in in;
};

static struct fifo_entry **jobs_place(struct jobs *j, uint64_t id)
{
	struct fifo_entry **at = &j->bucket[id % JOBS_BUCKETS];

	while (*at && (*at)->job != id)
		at = &(*at)->next_job;
	return at;
}

/* Takes an entry out of the table; NULL if nobody waits for that job. */
static struct fifo_entry *jobs_take(struct jobs *j, uint64_t id)
{
	struct fifo_entry **at = jobs_place(j, id);
	struct fifo_entry *e = *at;

	if (e) {
		*at = e->next_job;
		e->next_job = NULL;
		e->job = 0;
	}
	return e;
}

static void jobs_lose(struct jobs *j)
{
	size_t i;

	if (j->ev)
		event_free(j->ev);
	j->ev = NULL;
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
	for (i = 0; i < JOBS_BUCKETS; i++)
		while (j->bucket[i])
			j->on_lost(jobs_take(j, j->bucket[i]->job));
}

static int jobs_read_one(struct jobs *j)
{
	struct fifo_entry *e;
	struct job_result r;
	int rc = ipc_recv(j->fd, &j->in, ROLE_PROXY, ROLE_MEDIA);

	if (rc)
		return rc;
	rc = j->in.type == IPC_RESULT ? job_result_get(&j->in, &r) : ERR_BAD_MESSAGE;
	if (!rc) {
		e = jobs_take(j, r.id);
		if (e)
			j->on_result(e, &r);
	}
	ipc_in_fini(&j->in);
	return rc;
}

static void jobs_on_event(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct jobs *j = arg;
	int i, rc = 0;

	clock_update();
	for (i = 0; i < JOBS_PER_TURN && !rc; i++)
		rc = jobs_read_one(j);
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc == ERR_BAD_MESSAGE)
		counter_inc(METRIC_IPC_BAD);
	log_warning("media process gone, messages go on without thumbnails reason=\"%s\"",
		    err_str(rc));
	jobs_lose(j);
}

struct jobs *jobs_new(struct event_base *base, jobs_result_fn on_result, jobs_lost_fn on_lost)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->fd = -1;
	j->base = base;
	j->on_result = on_result;
	j->on_lost = on_lost;
	return j;
}

void jobs_free(struct jobs **j)
{
	if (!*j)
		return;
	jobs_lose(*j);
	free(*j);
	*j = NULL;
}

/* As far as the channel takes them; before the jobs that they are for. */
static void jobs_tell_origins(struct jobs *j)
{
	size_t i;

	if (!j->untold || j->fd == -1)
		return;
	j->untold = false;
	for (i = 0; i < j->origins_n; i++) {
		struct jobs_origin *o = &j->origins[i];

		if (o->told)
			continue;
		ipc_begin(&j->out, IPC_LISTED);
		ipc_put_str(&j->out, o->text);
		o->told = ipc_send(j->fd, &j->out) == 0;
		j->untold |= !o->told;
	}
}

void jobs_set_channel(struct jobs *j, int fd)
{
	size_t i;

	jobs_lose(j);
	j->fd = fd;
	j->ev = event_new(j->base, fd, EV_READ | EV_PERSIST, jobs_on_event, j);
	if (!j->ev || event_add(j->ev, NULL) == -1) {
		log_error("out of memory for the channel to the media process");
		jobs_lose(j);
	}
	for (i = 0; i < j->origins_n; i++)
		j->origins[i].told = false;
	j->untold = j->origins_n > 0;
	jobs_tell_origins(j);
}

void jobs_list(struct jobs *j, const char *origin)
{
	struct jobs_origin *o = NULL;
	size_t i;

	if (strlen(origin) > JOBS_ORIGIN_MAX)
		return;
	for (i = 0; i < j->origins_n && !o; i++)
		if (strcmp(j->origins[i].text, origin) == 0)
			o = &j->origins[i];
	if (!o) {
		o = &j->origins[j->origins_next];
		j->origins_next = (j->origins_next + 1) % JOBS_ORIGINS;
		j->origins_n = MIN_OF(j->origins_n + 1, (size_t)JOBS_ORIGINS);
		snprintf(o->text, sizeof(o->text), "%s", origin);
	}
	o->told = false; /* media forgets whom nobody names for long */
	j->untold = true;
	jobs_tell_origins(j);
}

bool jobs_start(struct jobs *j, struct fifo_entry *e, const struct job *job)
{
	struct job full = *job;
	struct fifo_entry **at;

	BUG_ON(e->job);
	full.id = ++j->last_id;
	jobs_tell_origins(j);
	if (j->fd != -1) {
		ipc_begin(&j->out, IPC_JOB);
		job_put(&j->out, &full);
	}
	/* A broken channel shows when it is read; no callbacks from here. */
	if (j->fd == -1 || ipc_send(j->fd, &j->out)) {
		counter_inc(METRIC_IPC_FULL);
		return false;
	}
	at = jobs_place(j, full.id);
	e->job = full.id;
	*at = e;
	return true;
}

void jobs_keep(struct jobs *j, const struct job_keep *k)
{
	if (j->fd == -1)
		return;
	ipc_begin(&j->out, IPC_KEEP);
	job_keep_put(&j->out, k);
	if (ipc_send(j->fd, &j->out))
		counter_inc(METRIC_IPC_FULL);
}

void jobs_forget(struct jobs *j, struct fifo_entry *e)
{
	uint64_t id = e->job;

	if (!id)
		return;
	(void)jobs_take(j, id);
	if (j->fd == -1)
		return;
	ipc_begin(&j->out, IPC_CANCEL);
	ipc_put_u64(&j->out, id);
	if (ipc_send(j->fd, &j->out))
		log_debug("a job could not be cancelled"); /* it ends by its own deadline */
}
