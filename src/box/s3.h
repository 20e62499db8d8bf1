/* SPDX-License-Identifier: MIT */
/*
 * s3 - files in an S3-compatible bucket that several boxes share; the local store is its cache.
 *
 *   BUCKET/c-ID-SHA256  an upload's content
 *   BUCKET/m-ID         its facts, as in store; made last and exclusively
 *   BUCKET/p-SHA256     a thumbnail
 *
 * A content belongs to one upload alone: the same bytes of two uploads are there twice, so that
 * any box may delete an upload that is over without asking what else refers to its bytes. A
 * thumbnail is put anew as long as it is in use; who put it last deletes it.
 *
 * Invariants
 *   - what is known to have been stored is in the bucket, content before facts
 *   - nothing is taken from the bucket whose hash is not what the facts or its key say
 *   - facts are deleted after their content: an id is free again when nothing of it is left
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

/*
 * An upload from the bucket into the local store; the same. Those who want it while it is on its
 * way get it with the first.
 */
int s3_fetch(struct s3 *s, struct conf *conf, struct store *store, const uint8_t id[TOKEN_ID_LEN],
	     s3_done_fn done, void *arg) MUSTCHECK;
/* The same of a thumbnail by its hash. */
int s3_fetch_thumbnail(struct s3 *s, struct conf *conf, struct store *store,
		       const uint8_t sha256[HASH_SHA256_LEN], s3_done_fn done, void *arg) MUSTCHECK;

/* A thumbnail for the other boxes; nobody waits for it. 0 or as s3_store(). */
int s3_share_thumbnail(struct s3 *s, struct conf *conf, const void *p, size_t len) MUSTCHECK;

/*
 * What store_gone_fn names; f: of an upload. Forgotten by the store when it is not there any more,
 * or is not ours to delete. 0; ERR_AGAIN: it is under way, or others go first; or as s3_store().
 */
int s3_delete(struct s3 *s, struct conf *conf, struct store *store, const char *name,
	      const struct store_file *f) MUSTCHECK;
