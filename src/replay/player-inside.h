/* SPDX-License-Identifier: MIT */
/*
 * player-inside - what player.c and player-session.c share. Not for anybody else.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/list.h"
#include "replay/player.h"
#include "replay/secure.h"

#define PLAYER_READ_MAX (64 * 1024)

enum { CLIENT = 0, SERVER = 1 }; /* sides; each speaks the lane of its number */

struct player {
	const struct player_config *config;
	const struct trace *trace;
	struct player_result *result;
	struct event_base *base;
	struct event *accept;
	struct event *tick;
	struct media *media;
	struct secure_context *secure; /* owned; NULL: clients connect in the clear */
	const char *origin;            /* of the media server, or NULL */
	struct player_session *v;      /* owned, n */
	struct list strangers;         /* accepted connections whose session is not known yet */
	struct histogram *now;         /* owned; latencies of this step */
	struct buf scratch[3];         /* for printed units */
	uint8_t *read_buffer;          /* owned */
	size_t n;
	size_t done; /* sessions that have played all their loops */
	size_t open;
	int64_t start_us;
	uint64_t tickets;
	uint64_t last_units;
	int listener;
	bool stopping;
};

/* A client's way to its first captured unit; servers are open at once. */
enum player_stage { STAGE_OPEN, STAGE_HELLO, STAGE_PROCEED, STAGE_HANDSHAKE };

struct player_leg {
	struct event ev;
	struct player_session *session; /* borrowed */
	struct buf out;
	size_t out_at;
	struct trace_cut cut;   /* of the lane that it hears */
	struct checker checker; /* of that lane */
	size_t next;            /* unit of its own lane to say */
	int64_t *planned;       /* owned; of its own lane's units */
	uint64_t ticket;        /* of the next unit; 0: none taken */
	struct secure *tls;     /* owned; NULL: in the clear */
	struct buf hello;       /* heard before TLS */
	enum player_stage stage;
	int fd;
	short events;
	bool connecting;
};

struct player_session {
	struct player *player;
	const struct trace_session *trace;
	struct event timer;
	struct player_leg leg[2];
	int64_t base_us;     /* planned start of this turn */
	int64_t progress_us; /* something arrived last */
	unsigned clone;
	unsigned loop;
	size_t number;
	bool open;
	bool done;
};

#define PLAYER_HELLO_MAX 16384 /* heard from a side before it is known, or before TLS */

/* --- player-session.c ---------------------------------------------------------------------- */

void session_init(struct player_session *s, struct player *p, size_t number);
void session_fini(struct player_session *s);
void session_begin(struct player_session *s);
/* A connection from what is tested; these bytes came first. Takes the socket. */
void session_on_server(struct player_session *s, int fd, const uint8_t *p, size_t len);
/* Nothing has come for long. */
void session_check(struct player_session *s, int64_t now);
/* Counts what is under way. */
uint64_t session_in_flight(const struct player_session *s);

/* For player-tls.c: the unit as this session says it, behind what is in out; what is to be said
 * now; what waits in out; the socket's events; the session's end. */
int session_print(const struct player_session *s, int dir, uint64_t number, struct buf *out);
void session_pump(struct player_session *s);
void session_flush(struct player_leg *l);
void session_watch(struct player_leg *l);
void session_fail(struct player_session *s, const char *why);

/* --- player-tls.c -------------------------------------------------------------------------- */

/* The client has connected: session_pump() follows when TLS is there. */
void player_tls_start(struct player_leg *l);
/* An event of a leg that is not STAGE_OPEN. */
void player_tls_on_event(struct player_leg *l);
