/* SPDX-License-Identifier: MIT */
/*
 * chain - the filters of one session, in order, and a unit's way through them.
 *
 * Knows no lanes and no sockets: the lane asks whether a unit is wanted, hands over
 * collected ones, and takes back either "as it came" or new bytes.
 */
#pragma once

#include "filter/filter.h"
#include "filter/plan.h"

struct chain;

/* A chain for this listener's filters, or NULL when out of memory. conf is referenced, host
 * borrowed. */
struct chain *chain_new(struct conf *conf, const struct conf_listen *listen,
			const struct filter_host *host) MUSTCHECK;
void chain_free(struct chain **c);

/*
 * Another configuration in the middle of a session: what the filters of old that are in c as
 * well know of the session (requests under way, what the server announced) is c's from now on.
 * No unit may be on its way. old is to be freed.
 */
void chain_inherit(struct chain *c, struct chain *old);

/* Is a unit of this kind wanted whole? For an iq ask first with child NULL, then with its first
 * child's namespace. */
enum chain_want chain_wants(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
			    enum iq_type iq, const struct tag_span *child_ns);

/* Is this reply (an iq of type result or error, by its start tag) one that a filter waits for? Then
 * it is wanted and needs no needle. */
bool chain_awaits(struct chain *c, enum lane_dir dir, enum iq_type iq, const struct tag *tag);

/* Does a complete, wanted unit hold a needle of any filter that wants it (or has one of them none)?
 */
bool chain_has_needle(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
		      const uint8_t *p, size_t len);

/* One unit on its way. */
struct chain_unit;

struct chain_input {
	enum unit_kind kind;
	enum lane_dir dir;
	const uint8_t *bytes; /* borrowed until chain_unit_free() */
	size_t len;
	const struct nsctx *ctx;
	const char *from; /* may be NULL; borrowed */
	uint64_t connection;
	size_t max_final;
	bool cached_only;
	void *host_unit; /* comes back in filter_unit.host_unit */
};

enum chain_result {
	CHAIN_PASS,   /* the original goes out */
	CHAIN_EDITED, /* chain_unit_bytes() goes out */
	CHAIN_WAIT    /* later: chain_unit_result() or, at the deadline, the original */
};

/*
 * Parses the unit and runs the filters. With CHAIN_WAIT *out is the unit, to be kept; with
 * CHAIN_EDITED too, until its bytes have been written; with CHAIN_PASS it is NULL.
 */
enum chain_result chain_run(struct chain *c, const struct chain_input *in, struct chain_unit **out);

/* The job of a waiting unit has ended: goes on with the filters. */
enum chain_result chain_unit_result(struct chain_unit *u, const struct job_result *r);

/* The edited bytes, after CHAIN_EDITED. Live as long as the unit. */
const uint8_t *chain_unit_bytes(const struct chain_unit *u, size_t *len_out);

void chain_unit_free(struct chain_unit **u);
