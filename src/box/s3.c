/* SPDX-License-Identifier: MIT */
/*
 * s3 - see s3.h. Here is what can be asked for, each a job: s3-jobs.c, whose requests are
 * s3-steps.c's.
 */
#include "config.h"

#include "box/s3-inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "box/http.h"

#define DELETES_MAX 4

int s3_store(struct s3 *s, struct conf *conf, struct store *store, struct store_draft **d,
	     const struct store_file *f, s3_done_fn done, void *arg)
{
	struct s3_job *j;
	int rc = s3_job_new(s, conf, store, STEP_LOOK, &j);

	if (rc)
		return rc;
	j->file = *f;
	rc = store_seal(*d, &j->file);
	if (!rc)
		rc = s3_job_wait(j, done, arg);
	if (!rc)
		rc = s3_job_add(j);
	if (rc) {
		s3_job_drop(&j);
		return rc;
	}
	j->draft = *d;
	*d = NULL;
	return 0;
}

static int fetch(struct s3 *s, struct conf *conf, struct store *store, char kind,
		 enum s3_step first, const struct store_file *f, s3_done_fn done, void *arg)
{
	struct s3_job *j = s3_job_find(&s->jobs, kind, f);
	int rc;

	if (!j)
		j = s3_job_find(&s->queue, kind, f);
	if (j)
		return s3_job_wait(j, done, arg);
	rc = s3_job_new(s, conf, store, first, &j);
	if (rc)
		return rc;
	j->kind = kind;
	j->file = *f;
	j->bytes = kind == 'p' ? malloc(S3_THUMBNAIL_MAX) : NULL;
	rc = kind == 'p' && !j->bytes ? ERR_NOMEM : s3_job_wait(j, done, arg);
	if (!rc)
		rc = s3_job_add(j);
	if (rc)
		s3_job_drop(&j);
	return rc;
}

int s3_fetch(struct s3 *s, struct conf *conf, struct store *store, const uint8_t id[TOKEN_ID_LEN],
	     s3_done_fn done, void *arg)
{
	struct store_file f;
	bool known = store_find(store, id, http_now(), &f) == 0 && f.elsewhere;

	if (!known)
		memcpy(f.id, id, TOKEN_ID_LEN);
	return fetch(s, conf, store, 'm', known ? STEP_GET_CONTENT : STEP_FIND, &f, done, arg);
}

int s3_fetch_thumbnail(struct s3 *s, struct conf *conf, struct store *store,
		       const uint8_t sha256[HASH_SHA256_LEN], s3_done_fn done, void *arg)
{
	struct store_file f = { 0 };

	memcpy(f.sha256, sha256, HASH_SHA256_LEN);
	return fetch(s, conf, store, 'p', STEP_GET_THUMBNAIL, &f, done, arg);
}

int s3_share_thumbnail(struct s3 *s, struct conf *conf, const void *p, size_t len)
{
	struct s3_job *j;
	int rc = len > S3_THUMBNAIL_MAX ? ERR_TOO_BIG
					: s3_job_new(s, conf, NULL, STEP_PUT_THUMBNAIL, &j);

	if (rc)
		return rc;
	j->bytes = malloc(len + !len);
	if (j->bytes) {
		memcpy(j->bytes, p, len);
		j->len = len;
	}
	rc = !j->bytes ? ERR_NOMEM : hash_sha256(p, len, j->file.sha256);
	if (!rc)
		rc = s3_job_add(j);
	if (rc)
		s3_job_drop(&j);
	return rc;
}

int s3_delete(struct s3 *s, struct conf *conf, struct store *store, const char *name,
	      const struct store_file *f)
{
	enum s3_step first = name[0] == 'g' ? STEP_DELETE_CONTENT : STEP_LOOK_THUMBNAIL;
	struct s3_job *j;
	int rc;

	if (s->deletes >= DELETES_MAX || !list_is_empty(&s->queue) ||
	    s3_job_find(&s->jobs, name[0], f))
		return ERR_AGAIN;
	rc = s3_job_new(s, conf, store, first, &j);
	if (rc)
		return rc;
	j->kind = name[0];
	j->file = *f;
	snprintf(j->gone, sizeof(j->gone), "%s", name);
	rc = s3_job_add(j);
	if (rc) {
		s3_job_drop(&j);
		return rc;
	}
	j->deletes = true;
	s->deletes++;
	return 0;
}

/* --- life ------------------------------------------------------------------------------- */

void s3_stop(struct s3 *s)
{
	s->stopped = true;
	while (!list_is_empty(&s->jobs))
		s3_job_end(CONTAINER_OF(s->jobs.next, struct s3_job, link), ERR_SHUTDOWN);
	while (!list_is_empty(&s->queue))
		s3_job_end(CONTAINER_OF(s->queue.next, struct s3_job, link), ERR_SHUTDOWN);
}

void s3_go(struct s3 *s)
{
	s->stopped = false;
}

struct s3 *s3_new(struct event_base *base)
{
	struct s3 *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	list_init(&s->jobs);
	list_init(&s->queue);
	s->bucket = bucket_new(base);
	if (!s->bucket)
		s3_free(&s);
	return s;
}

void s3_free(struct s3 **sp)
{
	struct s3 *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	s3_stop(s);
	bucket_free(&s->bucket);
	free(s);
}
