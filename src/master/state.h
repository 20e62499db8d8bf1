/* SPDX-License-Identifier: MIT */
/*
 * state - what the master's parts share. Not for anything outside master/.
 *
 * Invariants
 *   - conf, memfds and sockets are the committed generation's; a child that comes back
 *     always gets these.
 *   - a proc has a pid exactly while it has a channel, except while it is being killed.
 *   - while a reload is under way no other one starts.
 */
#pragma once

#include <event2/event.h>
#include <sys/types.h>

#include "base/counters.h"
#include "base/ipc.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/read.h"
#include "master/sockets.h"

#define PROCS_MAX COUNTERS_SLOTS

enum proc_state {
	PROC_DOWN,      /* no process; perhaps its restart timer runs */
	PROC_STARTING,  /* generation sent, CONFIRM awaited */
	PROC_COMMITTED, /* COMMIT sent, READY awaited */
	PROC_UP,
	PROC_ENDING /* killed or told to stop; its end is awaited */
};

struct proc {
	enum role role;
	unsigned index;
	char name[32];         /* "proxy/0" */
	struct master *master; /* borrowed */
	enum proc_state state;
	pid_t pid;             /* 0: none */
	int fd;                /* channel, owned; -1 */
	struct event *channel; /* owned; NULL */
	struct event *timer;   /* owned; the next start, or SIGKILL while ENDING by request */
	int64_t started_ms;
	unsigned backoff_ms; /* before the next start */
	unsigned restarts;
	bool settled;         /* was UP or failed once */
	bool replaced;        /* ends because it was asked to, and comes back at once */
	bool unwanted;        /* is not started again */
	bool confirmed;       /* the generation under way */
	struct proc *lent_to; /* a proxy that serves this one's sockets while it is away; NULL */
	struct log_limit log_limit;
	char versions[256];
};

/*
 * A configuration, sealed: with keys for proxies, with the box's, with media's
 * password, without for the others.
 */
struct memfds {
	int full;
	int box;
	int media;
	int open;
};

struct reload {
	bool wanted; /* as soon as all children have settled */
	bool active;
	struct conf *conf; /* owned while active, as are the next two */
	struct memfds memfds;
	struct sockets sockets;
	struct event *timer; /* owned */
	uint64_t client;     /* of the control socket that asked; 0: a signal */
};

struct master {
	const struct conf_source *source; /* borrowed */
	struct event_base *base;          /* owned */
	struct event *signals[4];         /* owned */
	struct conf *conf;                /* owned reference */
	struct memfds memfds;             /* owned */
	struct sockets sockets;
	uint64_t generations; /* number of the newest, committed or not */
	int counters;         /* memfd, owned */
	struct proc procs[PROCS_MAX];
	size_t procs_n;
	unsigned workers;
	struct reload reload;
	struct control *control; /* owned; NULL: none */
	struct asks *asks;       /* owned; NULL: none were needed (asks.h) */
	int64_t started_ms;
	uint64_t descriptors; /* that a process may have */
	bool up;
	bool stopping;
	int exit_code;
};

/* master.c: ends everything in order; code is what master_run() returns. */
void master_stop(struct master *m, int code);

/* master.c: a child has settled, ended or come up. */
void master_on_change(struct master *m);
