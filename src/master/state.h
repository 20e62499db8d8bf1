/* SPDX-License-Identifier: MIT */
/*
 * state - what the master's parts share. Not for anything outside master/.
 *
 * Invariants
 *   - conf, memfds and sockets are the committed generation's; a child that comes back
 *     always gets these.
 *   - a slot of the counter pages has one process at a time, whichever insetd it belongs to
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

#define PROCS_MAX  80 /* web, media, scaler, box and up to 64 proxies */
#define ELDERS_MAX 8

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
	unsigned slot; /* of the counter pages */
	unsigned owed; /* answers to PING */
};

/*
 * An insetd that was here before this one: accepts nobody, and ends with its last session. Its
 * channel carries JSON (master/handover.h).
 */
struct elder {
	pid_t pid;
	int fd;                /* owned */
	struct event *channel; /* owned */
	char control[128];     /* its socket now; "" for none */
	int64_t since;         /* seconds since 1970: the upgrade */
	uint64_t sessions;
	bool slots[COUNTERS_SLOTS]; /* of our counter pages that are its */
};

/* The insetd that is to follow this one, while it starts. */
struct heir {
	int fd;                /* owned; -1: none */
	int pidfd;             /* owned: its process, until it has taken over; -1 */
	struct event *channel; /* owned, as the next */
	struct event *timer;
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
	bool again; /* a signal came meanwhile: the file may have changed since it was read */
	struct conf *conf; /* owned while active, as are the next two */
	struct memfds memfds;
	struct sockets sockets;
	struct event *timer; /* owned */
	uint64_t client;     /* of the control socket that asked; 0: a signal */
};

struct master {
	const struct conf_source *source; /* borrowed */
	struct event_base *base;          /* owned */
	struct event *signals[5];         /* owned */
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
	char *const *argv;    /* borrowed: what a new insetd is started with */
	char *program;        /* owned: its path */
	/*
	 * owned: the scaler's program as it was when this insetd started, -1: none then. What a
	 * package puts in its place speaks with the insetd that comes with it, not with us.
	 */
	int scaler;
	unsigned slot; /* of the counter pages, this process's */
	bool slots[COUNTERS_SLOTS];
	int64_t stale[COUNTERS_SLOTS]; /* when to clear what an elder has left; 0: nothing */
	struct event *pulse;           /* owned */
	unsigned pulse_ms;
	struct heir heir;
	struct elder elders[ELDERS_MAX]; /* elders[0] is the latest */
	size_t elders_n;
	bool takes_over;    /* elders[0] serves still, until all here is up */
	bool announced;     /* ... and it has been told so */
	bool scaler_needed; /* ... the scaler, too */
	bool handed;        /* another insetd serves now */
	uint64_t heir_told; /* sessions, plus 1 */
	bool hurried;       /* it was told to stop all the same */
	int64_t drain_until;
	char said[256]; /* the last STATUS */
	bool up;
	bool stopping;
	int exit_code;
};

/* master.c: sessions may go on for ms, nobody new is accepted. */
void master_drain(struct master *m, uint32_t ms);

/* master.c: the service manager's STATUS, if it has changed. */
void master_notify_status(struct master *m);

/* "starting", "up", "draining", "stopping". */
const char *master_state(const struct master *m);

/* Room for another process in the counter pages, or -1. */
int master_take_slot(struct master *m);

/* master.c: ends everything in order; code is what master_run() returns. */
void master_stop(struct master *m, int code);

/* master.c: a child has settled, ended or come up. */
void master_on_change(struct master *m);
