/* SPDX-License-Identifier: MIT */
/*
 * s3-jobs - which jobs there are, when they begin, and who is told of their end. See s3.h.
 *
 * Those beyond upload.s3-concurrent wait in a queue. What a job does is s3-steps.c's.
 *
 * Invariants
 *   - a job is under way or in the queue, or not counted
 *   - it is gone before those who wait are told, each of them once
 */
#include "config.h"

#include "box/s3-inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"

#define JOBS_MAX 256 /* as many as connections by default: each holds one */

/* Who is told when a job is done. */
struct waiter {
	struct list link;
	s3_done_fn done;
	void *arg;
};

static void job_free(struct s3_job **jp)
{
	struct s3_job *j = *jp;

	*jp = NULL;
	bucket_stop(&j->request);
	store_abort(&j->draft);
	conf_unref(&j->conf);
	free(j->bytes);
	free(j);
}

void s3_job_end(struct s3_job *j, int rc)
{
	struct store_file f = j->file;
	struct list waiters;

	list_remove(&j->link);
	j->s3->n--;
	j->s3->running -= j->begun;
	j->s3->deletes -= j->deletes;
	list_init(&waiters);
	while (!list_is_empty(&j->waiters)) {
		struct list *first = j->waiters.next;

		list_remove(first);
		list_add_tail(&waiters, first);
	}
	job_free(&j);
	while (!list_is_empty(&waiters)) {
		struct waiter *w = CONTAINER_OF(waiters.next, struct waiter, link);
		struct waiter gone = *w;

		list_remove(&w->link);
		free(w);
		gone.done(gone.arg, rc, &f);
	}
}

int s3_job_wait(struct s3_job *j, s3_done_fn done, void *arg)
{
	struct waiter *w = malloc(sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	w->done = done;
	w->arg = arg;
	list_init(&w->link);
	list_add_tail(&j->waiters, &w->link);
	return 0;
}

static bool is_failure(int rc)
{
	return rc && rc != ERR_EXISTS && rc != ERR_NOT_FOUND && rc != ERR_FULL;
}

static int job_begin(struct s3_job *j)
{
	j->begun = true;
	j->s3->running++;
	list_remove(&j->link);
	list_add_tail(&j->s3->jobs, &j->link);
	return j->step == STEP_GET_CONTENT ? s3_get_content(j) : s3_request(j, j->step);
}

static bool has_place(const struct s3 *s, const struct conf *conf)
{
	return s->running < conf->upload.s3_concurrent;
}

static void take_turns(struct s3 *s)
{
	while (!list_is_empty(&s->queue)) {
		struct s3_job *j = CONTAINER_OF(s->queue.next, struct s3_job, link);
		int rc;

		if (!has_place(s, j->conf))
			return;
		rc = job_begin(j);
		if (rc)
			s3_job_end(j, rc);
	}
}

void s3_on_answer(struct bucket_request *r, int rc, long status)
{
	static struct log_limit limit;
	unsigned dropped;
	struct s3_job *j = r->arg;
	struct s3 *s = j->s3;

	if (rc && j->rc)
		rc = j->rc;
	else if (rc && j->step == STEP_DROP)
		rc = ERR_EXISTS;
	else if (!rc)
		rc = s3_next(j, status);
	counter_inc(is_failure(rc) ? METRIC_BOX_S3_FAILED : METRIC_BOX_S3_OK);
	if (is_failure(rc) && status && log_limit_ok(&limit, 10, &dropped))
		log_warning("the bucket failed: status %ld dropped=%u", status, dropped);
	if (!rc && j->deletes && !j->request.transfer)
		store_forget(j->store, j->gone);
	if (rc || !j->request.transfer)
		s3_job_end(j, rc);
	take_turns(s);
}

int s3_job_new(struct s3 *s, struct conf *conf, struct store *store, enum s3_step first,
	       struct s3_job **out)
{
	struct s3_job *j;

	*out = NULL;
	if (s->stopped)
		return ERR_SHUTDOWN;
	if (s->n >= JOBS_MAX)
		return ERR_AGAIN;
	j = calloc(1, sizeof(*j));
	if (!j)
		return ERR_NOMEM;
	j->s3 = s;
	j->conf = conf_ref(conf);
	j->store = store;
	j->step = first;
	list_init(&j->link);
	list_init(&j->waiters);
	*out = j;
	return 0;
}

int s3_job_add(struct s3_job *j)
{
	struct s3 *s = j->s3;
	int rc;

	s->n++;
	list_add_tail(&s->queue, &j->link);
	if (s->queue.next != &j->link || !has_place(s, j->conf))
		return 0;
	rc = job_begin(j);
	if (!rc)
		return 0;
	list_remove(&j->link);
	s->running--;
	s->n--;
	return rc;
}

void s3_job_drop(struct s3_job **jp)
{
	struct s3_job *j = *jp;

	while (!list_is_empty(&j->waiters)) {
		struct waiter *w = CONTAINER_OF(j->waiters.next, struct waiter, link);

		list_remove(&w->link);
		free(w);
	}
	job_free(jp);
}

struct s3_job *s3_job_find(struct list *l, char kind, const struct store_file *f)
{
	struct list *i;

	LIST_EACH(i, l) {
		struct s3_job *j = CONTAINER_OF(i, struct s3_job, link);

		if (j->kind == kind &&
		    (kind == 'p' || kind == 'q'
			     ? memcmp(j->file.sha256, f->sha256, sizeof(f->sha256)) == 0
			     : memcmp(j->file.id, f->id, sizeof(f->id)) == 0))
			return j;
	}
	return NULL;
}
