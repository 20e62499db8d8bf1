/* SPDX-License-Identifier: MIT */
/*
 * shared-inside - what shared.c and shared-*.c know of each other. Not for anybody else.
 */
#pragma once

#include <hiredis/async.h>
#include <netinet/in.h>

#include "base/log.h"
#include "conf/redis.h"
#include "media/host.h"
#include "media/parcel.h"
#include "media/resolver.h"
#include "media/shared.h"

#define SHARED_KEY_MAX (8 + 2 * HASH_SHA256_LEN + 5 + 1)

/* A connection. Lives until hiredis cleans up. */
struct line {
	struct shared *all;     /* borrowed */
	redisAsyncContext *ctx; /* its own: hiredis frees it, then us */
	struct event *read;     /* owned */
	struct event *write;    /* owned */
	size_t stores;          /* under way */
	bool failed;            /* counted already */
};

struct shared {
	struct event_base *base; /* borrowed */
	bool on;
	struct redis_address where;
	char address[INET6_ADDRSTRLEN]; /* of where.host; "": not known */
	struct resolver *resolver;      /* owned; NULL: off */
	struct resolve *naming;
	struct host_table *hosts; /* of one host, for its breaker */
	struct host *host;        /* reference */
	struct conf_limits limits;
	uint64_t lock_ms;
	struct line *line; /* borrowed; NULL: none */
	size_t searches;
	struct log_limit log;
	uint8_t parcel[PARCEL_MAX];
};

/* --- shared.c -------------------------------------------------------------------------- */

/* Counts a failure, and says so once in a while. */
void shared_complain(struct shared *s, const char *why);
/* What key is called there; end: "", or ":lock" for its lock. */
void shared_print_key(const struct cache_key *key, const char *end, char out[SHARED_KEY_MAX]);

/* --- shared-line.c --------------------------------------------------------------------- */

/*
 * The connection, a new one if need be. NULL: off, or there is none, or not yet: its name is asked
 * for. Borrowed, until the next turn.
 */
struct line *shared_line(struct shared *s) MUSTCHECK;
/* Closes it, if there is one, which is no failure: each search that waits for a reply is done. */
void shared_hang_up(struct shared *s);
/* Is there an address to connect to? If not it is asked for. */
bool shared_is_named(struct shared *s);
/* As redisAsyncCommand(): REDIS_OK, and fn is called once, without a reply if the line ends. */
int shared_command(struct line *l, redisCallbackFn *fn, void *arg, const char *format,
		   ...) MUSTCHECK;
/* Once for each connection; no operation may begin on it any more. */
void shared_line_failed(struct line *l, const char *why);
/* Calls back all commands on it, without a reply, and frees it. */
void shared_line_close(struct line *l);
