/* SPDX-License-Identifier: MIT */
/*
 * player - plays captured sessions through whatever stands between its two sides.
 *
 * The client's side connects to an address, the server's side listens on its own; each says what
 * it said in the capture, and the checker compares what arrives. Times come from one absolute
 * monotonic clock: a unit has a planned time, and its latency counts from there, however late it
 * was really written.
 *
 * One process, one loop. Clients may speak TLS, direct or by STARTTLS (player-tls.c); our server
 * speaks in the clear: what is tested ends TLS itself, or not at all.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "replay/checker.h"
#include "replay/histogram.h"
#include "replay/media.h"
#include "replay/trace.h"

#define PLAYER_SERIES_MAX 7200 /* steps of the series; they get longer when they do not suffice */

enum player_expect { PLAYER_EXPECT_ANY, PLAYER_EXPECT_ALL, PLAYER_EXPECT_NONE };

enum player_tls { PLAYER_TLS_OFF, PLAYER_TLS_DIRECT, PLAYER_TLS_STARTTLS };

struct player_config {
	struct sockaddr_storage connect;
	socklen_t connect_len;
	struct sockaddr_storage listen;
	socklen_t listen_len;
	unsigned sessions;  /* all together; those of the capture again and again */
	unsigned loops;     /* times that each session plays; 0: until told to stop */
	double speed;       /* 0: as fast as it goes */
	double rate;        /* units a second behind the login, over all sessions; 0: any */
	int64_t ramp_us;    /* over which sessions start */
	int64_t timeout_us; /* without anything arriving: then what is due is lost */
	enum player_expect expect;
	enum player_tls tls; /* of the clients */
	const char *ca_file; /* authorities to verify by; NULL: any certificate will do */
	bool with_media;
	bool progress; /* on standard error */
	struct media_config media;
};

/* One step of the series. */
struct player_step {
	uint64_t units; /* arrived */
	uint64_t bytes;
	uint64_t open; /* sessions at its end */
	uint64_t p99_us;
};

struct player_result {
	struct checker_sums sums;
	struct histogram latency;  /* units that no filter looked at for long */
	struct histogram held;     /* candidates */
	struct player_step *steps; /* owned */
	size_t steps_n;
	int64_t step_us;
	int64_t took_us;
	int64_t started_ms; /* since 1970 */
	uint64_t units_sent;
	uint64_t units_arrived;
	uint64_t bytes_sent;
	uint64_t bytes_arrived;
	uint64_t in_flight; /* when it was interrupted */
	uint64_t sessions;  /* started */
	uint64_t finished;
	uint64_t failed;  /* broken off by others, refused, malformed */
	uint64_t unknown; /* connections to our server that belong to no session */
	uint64_t late_us; /* longest time that a unit was written behind its plan */
	uint64_t media[MEDIA_FAULT_COUNT];
	unsigned capture_sessions;
	bool interrupted;
	char why[160]; /* of the first failure */
};

/*
 * Plays until all is said, or SIGINT or SIGTERM. 0 when it could play, whatever the verdict;
 * or a negative code and msg.
 */
int player_run(const struct player_config *config, const struct trace *trace,
	       struct player_result *out, struct err_msg *msg) MUSTCHECK;
void player_result_fini(struct player_result *r);
/* Nothing but known edits, thumbnails as expected, every session to its end? */
bool player_is_clean(const struct player_config *config, const struct player_result *r);
