/* SPDX-License-Identifier: MIT */
/*
 * s3 - files in an S3-compatible bucket that several boxes share; the local store is its cache.
 *
 *   BUCKET/b-SHA256  a content
 *   BUCKET/m-ID      an upload's facts, as in store; made last and exclusively
 *
 * Nothing is deleted here: a content's age begins anew with each upload of it, so a rule of the
 * bucket that removes what is older than upload.expire removes nothing that is in use, and the
 * key needs no right to delete.
 *
 * Invariants
 *   - what is known to have been stored is in the bucket, content before facts
 *   - nothing is taken from the bucket whose hash is not what the facts say
 */
#pragma once

#include <event2/event.h>

#include "box/store.h"
#include "conf/conf.h"

struct s3;

/*
 * f: the upload, valid with rc 0 only. rc: 0; ERR_EXISTS: other bytes are there; ERR_NOT_FOUND;
 * ERR_FULL: no room in the local store; ERR_IO or ERR_TIMEOUT: the bucket cannot be had.
 */
typedef void (*s3_done_fn)(void *arg, int rc, const struct store_file *f);

struct s3 *s3_new(struct event_base *base) MUSTCHECK;
void s3_free(struct s3 **s); /* all jobs are done with ERR_SHUTDOWN */

/* All jobs are done with ERR_SHUTDOWN, and none begins until s3_go(). */
void s3_stop(struct s3 *s);
void s3_go(struct s3 *s);

/*
 * A whole draft into the bucket, then into the local store. Takes the draft with 0, and calls done
 * from the loop. ERR_AGAIN: too many jobs; ERR_SHUTDOWN; ERR_NOMEM; or as store_seal().
 */
int s3_store(struct s3 *s, struct conf *conf, struct store *store, struct store_draft **d,
	     const struct store_file *f, s3_done_fn done, void *arg) MUSTCHECK;

/* An upload from the bucket into the local store; the same. */
int s3_fetch(struct s3 *s, struct conf *conf, struct store *store, const uint8_t id[TOKEN_ID_LEN],
	     s3_done_fn done, void *arg) MUSTCHECK;
