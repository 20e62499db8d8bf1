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
	uint32_t max_age; /* seconds, or REPLY_AGE_NONE */
	/* With JOB_OK: */
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

/* max: bytes of the body. *out is set to NULL when the fetch ends. 0 or ERR_NOMEM. */
int fetch_start(struct fetcher *fr, const char *url, uint64_t max, struct fetch **out,
		fetch_done_fn done, void *arg) MUSTCHECK;
/* Accepts NULL. */
void fetch_stop(struct fetch **f);
