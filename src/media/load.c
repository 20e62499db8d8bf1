/* SPDX-License-Identifier: MIT */
/*
 * load - see load.h.
 */
#include "config.h"

#include "media/load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "media/turn.h"

#define LOADS_MAX 256
#define WAIT_MS   5000

struct loads {
	struct event *timer; /* owned: time-outs, and failures that may not be told at once */
	int fd;              /* borrowed; -1 */
	struct list under_way;
	size_t n;
	uint64_t last_id;
	struct ipc_out out;
};

struct load {
	struct list link;
	struct loads *all; /* borrowed */
	struct load **self;
	uint64_t id;
	uint64_t max;
	int64_t deadline;
	fetch_done_fn done;
	void *arg;
};

static struct load *load_of(struct list *l)
{
	return CONTAINER_OF(l, struct load, link);
}

static void load_free(struct load *l)
{
	*l->self = NULL;
	list_remove(&l->link);
	l->all->n--;
	free(l);
}

void load_stop(struct load **l)
{
	if (*l)
		load_free(*l);
}

static void load_finish(struct load *l, const struct fetch_result *r)
{
	fetch_done_fn done = l->done;
	void *arg = l->arg;

	load_free(l);
	done(arg, r);
}

void load_examine(int fd, uint64_t max, struct fetch_result *out)
{
	const uint8_t *p = NULL;
	size_t len = 0;
	int rc = ipc_memfd_map(fd, max, &p, &len);

	*out = (struct fetch_result){
		.status = JOB_NOT_PICTURE, .max_age = FRESHNESS_NONE, .size = len, .fd = -1
	};
	if (!rc && p && len >= 16) {
		out->format = picture_sniff(p, len);
		if (out->format != PICTURE_NONE)
			out->status = hash_sha256(p, len, out->sha256) ? JOB_OVERLOAD : JOB_OK;
	}
	if (p)
		munmap((void *)(uintptr_t)p, len);
	if (out->status == JOB_OK)
		out->fd = fd;
	else
		close(fd);
}

int loads_on_reply(struct loads *l, struct ipc_in *in)
{
	uint64_t id = ipc_get_u64(in);
	uint8_t there = ipc_get_u8(in);
	struct fetch_result r = { .status = JOB_HTTP, .gone = true, .fd = -1 };
	int fd = there ? ipc_take_fd(in) : -1;
	struct list *i;

	if (ipc_end(in) || there > 1) {
		if (fd != -1)
			close(fd);
		return ERR_BAD_MESSAGE;
	}
	LIST_EACH(i, &l->under_way) {
		struct load *load = load_of(i);

		if (load->id != id)
			continue;
		if (fd != -1)
			load_examine(fd, load->max, &r);
		load_finish(load, &r);
		return 0;
	}
	if (fd != -1)
		close(fd);
	return 0;
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	const struct fetch_result lost = { .status = JOB_UNAVAILABLE, .fd = -1 };
	struct loads *l = arg;
	struct timeval tv;
	int64_t ms;

	turn_begin();
	while (!list_is_empty(&l->under_way) &&
	       (l->fd == -1 || load_of(l->under_way.next)->deadline <= clock_now()))
		load_finish(load_of(l->under_way.next), &lost);
	if (list_is_empty(&l->under_way))
		return;
	ms = MAX_OF(load_of(l->under_way.next)->deadline - clock_now(), 1);
	tv = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	(void)evtimer_add(l->timer, &tv); /* the waiters have deadlines of their own */
}

void loads_set_channel(struct loads *l, int fd)
{
	l->fd = fd;
	if (fd == -1)
		event_active(l->timer, EV_TIMEOUT, 0);
}

int load_start(struct loads *l, const char *url, uint64_t max, struct load **out,
	       fetch_done_fn done, void *arg)
{
	struct load *load;

	if (l->n >= LOADS_MAX)
		return ERR_FULL;
	load = calloc(1, sizeof(*load));
	if (!load)
		return ERR_NOMEM;
	*load = (struct load){ .all = l,
			       .self = out,
			       .id = ++l->last_id,
			       .max = max,
			       .deadline = clock_now() + WAIT_MS,
			       .done = done,
			       .arg = arg };
	list_init(&load->link);
	list_add_tail(&l->under_way, &load->link);
	l->n++;
	*out = load;
	ipc_begin(&l->out, IPC_LOAD);
	ipc_put_u64(&l->out, load->id);
	ipc_put_u64(&l->out, max);
	ipc_put_str(&l->out, url);
	if (l->fd == -1 || ipc_send(l->fd, &l->out))
		load->deadline = clock_now();
	event_active(l->timer, EV_TIMEOUT, 0); /* sets itself, and tells of a failure */
	return 0;
}

struct loads *loads_new(struct event_base *base)
{
	struct loads *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fd = -1;
	list_init(&l->under_way);
	l->timer = evtimer_new(base, on_timer, l);
	if (!l->timer)
		loads_free(&l);
	return l;
}

void loads_free(struct loads **l)
{
	if (!*l)
		return;
	if ((*l)->timer)
		event_free((*l)->timer);
	free(*l);
	*l = NULL;
}
