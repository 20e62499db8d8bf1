/* SPDX-License-Identifier: MIT */
/*
 * fetch - one media file over HTTP, from hosts that are not trusted.
 *
 * Each hop (the first address and every redirect) is judged in full: scheme, port, name,
 * all its addresses, and once more the address that is really connected. The body is
 * bounded, must be a picture by its first bytes, and comes in a sealed memfd.
 *
 * Invariant: a fetch calls done exactly once, from the event loop and never from
 * fetch_start(), and is gone by then; after fetch_stop() never.
 */
#pragma once

#include <event2/event.h>

#include "base/job.h"
#include "conf/conf.h"
#include "media/freshness.h"
#include "media/guard.h"
#include "media/resolver.h"
#include "media/target.h"

struct fetcher;
struct fetch;

struct fetch_result {
	enum job_status status;
	bool host_failed; /* a reason to leave the host alone: not answering, or broken */
	bool gone;        /* 404 or 410 */
	bool no_store;    /* the host says: do not keep */
	uint32_t max_age; /* seconds, or FRESHNESS_NONE */
	uint32_t retry;   /* seconds for which the host wants to be left alone; 0: not said */
	struct validator validator;
	/* With JOB_OK: */
	bool not_modified; /* what the validator given at the start is of; nothing below is valid */
	enum picture_format format; /* by its first bytes */
	uint64_t size;
	bool whole; /* its end was announced, so that none of it can be missing */
	uint8_t sha256[HASH_SHA256_LEN];
	int fd; /* sealed memfd; becomes done's; -1 */
};

typedef void (*fetch_done_fn)(void *arg, const struct fetch_result *r);

struct fetcher *fetcher_new(struct event_base *base) MUSTCHECK;
void fetcher_free(struct fetcher **f); /* no fetch may be left */

/* A new configuration, for fetches that start from now on: 0, ERR_NOMEM, and the old one stays. */
int fetcher_set_conf(struct fetcher *f, struct conf *conf) MUSTCHECK;

/* This machine's addresses may have changed. */
void fetcher_refresh(struct fetcher *f);

/* A user of this server was sent there to get an upload: counts where fetch.from = "listed". What
 * is no address is passed over. */
void fetcher_list(struct fetcher *f, const char *url);

/*
 * max: bytes of the body. known: of what is there already, so that only a change need be
 * transferred; NULL: nothing is. *out is set to NULL when the fetch ends. 0 or ERR_NOMEM.
 */
int fetch_start(struct fetcher *fr, const char *url, uint64_t max, const struct validator *known,
		struct fetch **out, fetch_done_fn done, void *arg) MUSTCHECK;
/* Does anybody wait for it? While nobody does, it ends once it is known that nobody may keep the
 * result. */
void fetch_set_wanted(struct fetch *f, bool wanted);
/* Is that known already? Then it may be stopped. */
bool fetch_is_useless(const struct fetch *f);
/* Accepts NULL. */
void fetch_stop(struct fetch **f);
