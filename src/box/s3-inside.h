/* SPDX-License-Identifier: MIT */
/*
 * s3-inside - what s3.c and s3-*.c know of each other. Not for anybody else.
 */
#pragma once

#include "base/list.h"
#include "box/bucket.h"
#include "box/s3.h"

#define S3_THUMBNAIL_MAX 65535 /* bytes */
#define S3_GONE_NAME_LEN 96

enum s3_step {
	STEP_LOOK,        /* an upload: what is there under this id? */
	STEP_PUT_CONTENT, /* the bytes */
	STEP_PUT_FACTS,   /* the facts, if there are none */
	STEP_PUT_ANYWAY,  /* the same for a server that has no conditions */
	STEP_LOOK_AGAIN,  /* somebody was faster: who? */
	STEP_DROP,        /* somebody else: our bytes are nobody's */
	STEP_FIND,        /* a fetch: the facts */
	STEP_GET_CONTENT, /* the bytes */
	STEP_PUT_THUMBNAIL,
	STEP_GET_THUMBNAIL,
	STEP_DELETE_CONTENT, /* an upload that is over */
	STEP_DELETE_FACTS,
	STEP_LOOK_THUMBNAIL, /* does another box still use it? */
	STEP_DELETE_THUMBNAIL,
};

struct s3 {
	struct bucket *bucket; /* owned */
	struct list jobs;      /* under way */
	struct list queue;     /* not begun, in order */
	size_t n;              /* of both */
	size_t running;
	size_t deletes;
	bool stopped;
};

struct s3_job {
	struct list link;
	struct list waiters;
	struct s3 *s3;             /* borrowed */
	struct conf *conf;         /* owned reference */
	struct store *store;       /* borrowed */
	struct store_draft *draft; /* owned; NULL */
	struct bucket_request request;
	struct store_file file; /* sha256 alone of a thumbnail */
	enum s3_step step;
	char kind; /* m, p: fetches it; g, q: deletes it (the local store's names); 0 */
	bool begun;
	bool deletes;
	int rc;         /* of the local store's, in a transfer */
	uint8_t *bytes; /* owned: a thumbnail; NULL */
	size_t len;     /* of text or bytes */
	char text[STORE_FACTS_MAX];
	char gone[S3_GONE_NAME_LEN]; /* what the local store calls what is deleted */
};

/* --- s3-jobs.c ------------------------------------------------------------------------- */

/* Not added yet; first: its first step. 0; ERR_SHUTDOWN, ERR_AGAIN: too many; ERR_NOMEM. */
int s3_job_new(struct s3 *s, struct conf *conf, struct store *store, enum s3_step first,
	       struct s3_job **out) MUSTCHECK;
/* done is told of its end: 0 or ERR_NOMEM. */
int s3_job_wait(struct s3_job *j, s3_done_fn done, void *arg) MUSTCHECK;
/* Begins now, or when it is its turn. With an error it never was: the caller's to drop. */
int s3_job_add(struct s3_job *j) MUSTCHECK;
/* One that was not added; nobody is told. */
void s3_job_drop(struct s3_job **j);
/* Frees it and tells all who wait. */
void s3_job_end(struct s3_job *j, int rc);
/* The job of this kind that fetches or deletes the same; NULL. l: of jobs. */
struct s3_job *s3_job_find(struct list *l, char kind, const struct store_file *f) MUSTCHECK;
/* bucket_done_fn of all requests, whose arg is the job. */
void s3_on_answer(struct bucket_request *r, int rc, long status);

/* --- s3-steps.c ------------------------------------------------------------------------ */

/* Starts the request of this step: 0 or ERR_NOMEM. */
int s3_request(struct s3_job *j, enum s3_step step) MUSTCHECK;
/* The same of STEP_GET_CONTENT, with room in the local store; or as store_begin_copy(). */
int s3_get_content(struct s3_job *j) MUSTCHECK;
/* What an answer means: starts the next request, or the job is over: the code. */
int s3_next(struct s3_job *j, long status) MUSTCHECK;
