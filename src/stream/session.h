/* SPDX-License-Identifier: MIT */
/*
 * session - a client's connection and its upstream connection, joined by two lanes.
 *
 * Owns both legs and both lanes, moves through the states of session-state.def, and ends
 * with one line in the log. Nothing is freed inside a callback: an ended session goes to
 * the reap list of its pool (pool.h), which the loop frees after each turn.
 *
 * Invariants
 *   - leg[d] feeds lane[d], whose bytes leave on leg[!d]
 *   - a leg is read only while its lane and the other leg are not full
 *   - after session_end() both legs are closed and nothing waits
 */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/counters.h"
#include "stream/gate.h"
#include "stream/greeting.h"
#include "stream/lane.h"
#include "stream/leg.h"
#include "stream/proxyproto.h"

enum { SESSION_CLIENT = LANE_C2S, SESSION_SERVER = LANE_S2C };

enum session_state {
#define SESSION_STATE(name, text, from) SESSION_##name,
#include "stream/session-state.def"
#undef SESSION_STATE
	SESSION_STATE_COUNT
};

struct pool;

struct session_held { /* a lane whose head waits, in the pool's list by deadline */
	struct list link;
	int64_t at;
	struct session *session;
};

/* Who the client is, for the PROXY protocol. */
struct session_ends {
	struct proxyproto_ends ends;
	struct proxyproto header; /* from the balancer, so far */
};

struct session {
	struct list link;  /* in its state's list, oldest first */
	struct pool *pool; /* borrowed */
	struct conf *conf; /* one reference */
	int64_t entered;   /* this state, ms */
	int64_t since;     /* accepted, ms */
	struct sockaddr_in6
		from; /* of the client, perhaps by a balancer's word; or a sockaddr_in */
	struct gate_pass pass;
	uint64_t id;
	uint64_t generation; /* newest that it has looked at */
	struct filter_host host;
	struct lanes lanes;
	struct session_ends *ends; /* owned; until the server has been told; NULL: not wanted */
	struct greeting *greeting; /* owned; while the client has no TLS yet */
	struct leg leg[2];
	struct session_held held[2];
	uint32_t row;        /* of its listener, in the shared figures */
	uint8_t state;       /* enum session_state */
	bool told;           /* that it is opaque, in the log */
	enum metric outcome; /* how it is counted when it ends */
	const char *reason;  /* why it ends; static text */
};

/*
 * Takes the client's socket, which came from this address, unless a limit is reached: then it is
 * closed. Ends the session itself when something is missing.
 */
void session_start(struct pool *pool, const struct conf_listen *listen, int fd,
		   const struct sockaddr *from);
/* Server gone, told to stop ...: tells the client if it can, then closes both legs. */
void session_close(struct session *s, int err, const char *reason);
/* Both legs closed, on the reap list. Later calls do nothing. */
void session_end(struct session *s, const char *reason);
/* Frees an ended session. */
void session_free(struct session **s);

/* "open" ... */
const char *session_state_name(enum session_state state);

/* From now on rules tell what they do; NULL: they do not. */
void session_trace_rules(void (*fn)(void *ctx, const struct rule_step *step));

/* Its state has lasted for long enough? Then acts. */
bool session_check_timeout(struct session *s);
/* The deadline of a lane's head has come. */
void session_on_deadline(struct session *s, enum lane_dir dir);

/* A lane has kept something back for too long. */
void session_on_slow(struct session *s, struct lane *l);

/* For jobs.h and leg.h. */
void session_on_result(struct fifo_entry *e, const struct job_result *r);
void session_on_lost(struct fifo_entry *e);
void session_on_leg(struct leg *leg, const struct leg_news *news);
