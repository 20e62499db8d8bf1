/* SPDX-License-Identifier: MIT */
/*
 * s3 - see s3.h.
 *
 * A job is a few requests, one after the other; its step says which one is under way and
 * next() what its answer means. Jobs beyond upload.s3-concurrent wait in a queue.
 */
#include "config.h"

#include "box/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/list.h"
#include "base/log.h"
#include "box/bucket.h"
#include "box/http.h"

#define JOBS_MAX      256 /* as many as connections by default: each holds one */
#define DELETES_MAX   4
#define THUMBNAIL_MAX 65535
#define GONE_NAME_LEN 96

enum step {
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

static const struct {
	enum bucket_method method;
	char kind; /* of key */
} steps[] = {
	[STEP_LOOK] = { BUCKET_GET, 'm' },
	[STEP_PUT_CONTENT] = { BUCKET_PUT, 'c' },
	[STEP_PUT_FACTS] = { BUCKET_PUT, 'm' },
	[STEP_PUT_ANYWAY] = { BUCKET_PUT, 'm' },
	[STEP_LOOK_AGAIN] = { BUCKET_GET, 'm' },
	[STEP_DROP] = { BUCKET_DELETE, 'c' },
	[STEP_FIND] = { BUCKET_GET, 'm' },
	[STEP_GET_CONTENT] = { BUCKET_GET, 'c' },
	[STEP_PUT_THUMBNAIL] = { BUCKET_PUT, 'p' },
	[STEP_GET_THUMBNAIL] = { BUCKET_GET, 'p' },
	[STEP_DELETE_CONTENT] = { BUCKET_DELETE, 'c' },
	[STEP_DELETE_FACTS] = { BUCKET_DELETE, 'm' },
	[STEP_LOOK_THUMBNAIL] = { BUCKET_HEAD, 'p' },
	[STEP_DELETE_THUMBNAIL] = { BUCKET_DELETE, 'p' },
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

/* Who is told when a job is done. */
struct waiter {
	struct list link;
	s3_done_fn done;
	void *arg;
};

struct job {
	struct list link;
	struct list waiters;
	struct s3 *s3;             /* borrowed */
	struct conf *conf;         /* owned reference */
	struct store *store;       /* borrowed */
	struct store_draft *draft; /* owned; NULL */
	struct bucket_request request;
	struct store_file file; /* sha256 alone of a thumbnail */
	enum step step;
	char kind; /* m, p: fetches it; g, q: deletes it (the local store's names); 0 */
	bool begun;
	bool deletes;
	int rc;         /* of the local store's, in a transfer */
	uint8_t *bytes; /* owned: a thumbnail; NULL */
	size_t len;     /* of text or bytes */
	char text[STORE_FACTS_MAX];
	char gone[GONE_NAME_LEN]; /* what the local store calls what is deleted */
};

static void job_free(struct job **jp)
{
	struct job *j = *jp;

	*jp = NULL;
	bucket_stop(&j->request);
	store_abort(&j->draft);
	conf_unref(&j->conf);
	free(j->bytes);
	free(j);
}

static void job_end(struct job *j, int rc)
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

static int job_wait(struct job *j, s3_done_fn done, void *arg)
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

/* --- a request's bytes ------------------------------------------------------------------ */

static ssize_t on_read(void *arg, void *p, size_t len, uint64_t at)
{
	struct job *j = arg;

	if (j->step == STEP_PUT_CONTENT)
		return pread(store_draft_fd(j->draft), p, len, (off_t)at);
	memcpy(p, j->bytes ? (const char *)j->bytes + at : j->text + at, len);
	return (ssize_t)len;
}

static int on_write(void *arg, const void *p, size_t len)
{
	struct job *j = arg;
	size_t room = j->bytes ? THUMBNAIL_MAX : sizeof(j->text) - 1;

	if (j->step == STEP_GET_CONTENT) {
		j->rc = store_write(j->draft, p, len);
		return j->rc;
	}
	if (len > room - j->len)
		return ERR_TOO_BIG;
	memcpy(j->bytes ? (char *)j->bytes + j->len : j->text + j->len, p, len);
	j->len += len;
	return 0;
}

/* --- requests --------------------------------------------------------------------------- */

static void print_key(const struct job *j, char kind, char out[BUCKET_KEY_LEN])
{
	char id[2 * TOKEN_ID_LEN + 1], sum[2 * HASH_SHA256_LEN + 1];

	hash_print_hex(j->file.id, sizeof(j->file.id), id);
	hash_print_hex(j->file.sha256, sizeof(j->file.sha256), sum);
	if (kind == 'c')
		snprintf(out, BUCKET_KEY_LEN, "c-%s-%s", id, sum);
	else
		snprintf(out, BUCKET_KEY_LEN, "%c-%s", kind, kind == 'p' ? sum : id);
}

static void on_answer(struct bucket_request *r, int rc, long status);

static int request(struct job *j, enum step step)
{
	struct bucket_request *r = &j->request;
	bool content = steps[step].kind == 'c';

	j->step = step;
	*r = (struct bucket_request){ .method = steps[step].method,
				      .exclusive = step == STEP_PUT_FACTS,
				      .read = on_read,
				      .write = on_write,
				      .done = on_answer,
				      .arg = j };
	print_key(j, steps[step].kind, r->key);
	if (r->method != BUCKET_PUT)
		j->len = 0;
	if (r->method == BUCKET_PUT || content)
		r->size = content ? j->file.size : j->len;
	if (step == STEP_PUT_CONTENT || step == STEP_PUT_THUMBNAIL)
		memcpy(r->sha256, j->file.sha256, sizeof(r->sha256));
	else if (hash_sha256(j->text, r->method == BUCKET_PUT ? j->len : 0, r->sha256))
		return ERR_NOMEM;
	return bucket_start(j->s3->bucket, j->conf, r);
}

/* --- what answers mean ------------------------------------------------------------------ */

static bool is_good(long status)
{
	return status == 200 || status == 201 || status == 204;
}

/* The facts that came: 0 and *f, which keeps its id. */
static int take_facts(struct job *j, struct store_file *f)
{
	*f = j->file;
	j->text[j->len] = '\0';
	return store_parse_facts(j->text, f) ? 0 : ERR_IO;
}

/* The bucket has it; so has the local store then. What that says is only about the cache. */
static int keep(struct job *j)
{
	int rc;

	j->file.elsewhere = true;
	rc = store_commit(&j->draft, &j->file, http_now());
	return rc == ERR_BAD_FORMAT ? ERR_IO : rc;
}

/* An upload finds facts under its id. */
static int compare(struct job *j)
{
	struct store_file there;
	int rc = take_facts(j, &there);

	if (rc)
		return rc;
	if (there.expires <= http_now() || there.size != j->file.size ||
	    memcmp(there.sha256, j->file.sha256, sizeof(there.sha256)) != 0)
		return ERR_EXISTS;
	j->file = there;
	return keep(j);
}

static int put_facts(struct job *j)
{
	j->len = (size_t)store_print_facts(&j->file, j->text);
	return request(j, STEP_PUT_FACTS);
}

static int on_facts_put(struct job *j, long status)
{
	if (status == 409 || status == 412)
		return request(j, STEP_LOOK_AGAIN);
	if (status == 501)
		return request(j, STEP_PUT_ANYWAY);
	return is_good(status) ? keep(j) : ERR_IO;
}

static int on_looked_again(struct job *j)
{
	int rc = compare(j);

	return rc == ERR_EXISTS ? request(j, STEP_DROP) : rc;
}

static int get_content(struct job *j)
{
	int rc = store_begin_copy(j->store, j->file.user, j->file.size, &j->draft);

	return rc ? rc : request(j, STEP_GET_CONTENT);
}

static int on_found(struct job *j)
{
	int rc = take_facts(j, &j->file);

	if (rc)
		return rc;
	return j->file.expires <= http_now() ? ERR_NOT_FOUND : get_content(j);
}

static int on_content(struct job *j)
{
	uint8_t wanted[HASH_SHA256_LEN];
	int rc;

	memcpy(wanted, j->file.sha256, sizeof(wanted));
	rc = store_seal(j->draft, &j->file);
	return rc || memcmp(wanted, j->file.sha256, sizeof(wanted)) != 0 ? ERR_IO : keep(j);
}

/* Its life counts from when it was put last. */
static int on_thumbnail(struct job *j)
{
	uint64_t now = http_now(), life = j->conf->upload.expire / 1000, end = now + life;
	uint8_t sum[HASH_SHA256_LEN];
	bool fresh;

	if (j->request.modified >= 0)
		end = MIN_OF(end, (uint64_t)j->request.modified + life);
	if (hash_sha256(j->bytes, j->len, sum) || memcmp(sum, j->file.sha256, sizeof(sum)) != 0)
		return ERR_IO;
	if (end <= now)
		return ERR_NOT_FOUND;
	return store_keep(j->store, j->bytes, j->len, end, now, &fresh);
}

/* What another box has put later is its to delete. */
static int on_thumbnail_seen(struct job *j, long status)
{
	uint64_t life = j->conf->upload.expire / 1000;

	if (status != 200)
		return status == 404 ? 0 : ERR_IO;
	if (j->request.modified < 0 || (uint64_t)j->request.modified + life > http_now())
		return 0;
	return request(j, STEP_DELETE_THUMBNAIL);
}

/* 0: it is not there any more, or not ours to delete. */
static int on_deleted(long status)
{
	bool forbidden = status == 401 || status == 403 || status == 405 || status == 501;
	static struct log_limit limit;
	unsigned dropped;

	if (forbidden && log_limit_ok(&limit, 1, &dropped))
		log_notice("the bucket lets nothing be deleted, its own rules have to, status %ld "
			   "dropped=%u",
			   status, dropped);
	return forbidden || is_good(status) || status == 404 ? 0 : ERR_IO;
}

/* Starts the next request, or the job is over: the code. */
static int next(struct job *j, long status)
{
	int rc;

	switch (j->step) {
	case STEP_LOOK:
		if (status == 200)
			return compare(j);
		return status == 404 ? request(j, STEP_PUT_CONTENT) : ERR_IO;
	case STEP_PUT_CONTENT:
		return is_good(status) ? put_facts(j) : ERR_IO;
	case STEP_PUT_FACTS:
		return on_facts_put(j, status);
	case STEP_PUT_ANYWAY:
		return is_good(status) ? keep(j) : ERR_IO;
	case STEP_LOOK_AGAIN:
		return status == 200 ? on_looked_again(j) : ERR_IO;
	case STEP_DROP:
		return ERR_EXISTS;
	case STEP_FIND:
		if (status != 200)
			return status == 404 ? ERR_NOT_FOUND : ERR_IO;
		return on_found(j);
	case STEP_GET_CONTENT:
		return status == 200 ? on_content(j) : ERR_IO;
	case STEP_PUT_THUMBNAIL:
		return is_good(status) ? 0 : ERR_IO;
	case STEP_GET_THUMBNAIL:
		if (status != 200)
			return status == 404 ? ERR_NOT_FOUND : ERR_IO;
		return on_thumbnail(j);
	case STEP_DELETE_CONTENT:
		rc = on_deleted(status);
		return rc ? rc : request(j, STEP_DELETE_FACTS);
	case STEP_LOOK_THUMBNAIL:
		return on_thumbnail_seen(j, status);
	case STEP_DELETE_FACTS:
	case STEP_DELETE_THUMBNAIL:
		return on_deleted(status);
	}
	BUG();
}

static bool is_failure(int rc)
{
	return rc && rc != ERR_EXISTS && rc != ERR_NOT_FOUND && rc != ERR_FULL;
}

/* --- jobs ------------------------------------------------------------------------------- */

static int job_begin(struct job *j)
{
	j->begun = true;
	j->s3->running++;
	list_remove(&j->link);
	list_add_tail(&j->s3->jobs, &j->link);
	return j->step == STEP_GET_CONTENT ? get_content(j) : request(j, j->step);
}

static bool has_place(const struct s3 *s, const struct conf *conf)
{
	return s->running < conf->upload.s3_concurrent;
}

static void take_turns(struct s3 *s)
{
	while (!list_is_empty(&s->queue)) {
		struct job *j = CONTAINER_OF(s->queue.next, struct job, link);
		int rc;

		if (!has_place(s, j->conf))
			return;
		rc = job_begin(j);
		if (rc)
			job_end(j, rc);
	}
}

static void on_answer(struct bucket_request *r, int rc, long status)
{
	static struct log_limit limit;
	unsigned dropped;
	struct job *j = r->arg;
	struct s3 *s = j->s3;

	if (rc && j->rc)
		rc = j->rc;
	else if (rc && j->step == STEP_DROP)
		rc = ERR_EXISTS;
	else if (!rc)
		rc = next(j, status);
	counter_inc(is_failure(rc) ? METRIC_BOX_S3_FAILED : METRIC_BOX_S3_OK);
	if (is_failure(rc) && status && log_limit_ok(&limit, 10, &dropped))
		log_warning("the bucket failed: status %ld dropped=%u", status, dropped);
	if (!rc && j->deletes && !j->request.transfer)
		store_forget(j->store, j->gone);
	if (rc || !j->request.transfer)
		job_end(j, rc);
	take_turns(s);
}

static int job_new(struct s3 *s, struct conf *conf, struct store *store, enum step first,
		   struct job **out)
{
	struct job *j;

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

/* Begins now, or when it is its turn. With an error it never was. */
static int job_add(struct job *j)
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

static void job_drop(struct job **jp)
{
	struct job *j = *jp;

	while (!list_is_empty(&j->waiters)) {
		struct waiter *w = CONTAINER_OF(j->waiters.next, struct waiter, link);

		list_remove(&w->link);
		free(w);
	}
	job_free(jp);
}

int s3_store(struct s3 *s, struct conf *conf, struct store *store, struct store_draft **d,
	     const struct store_file *f, s3_done_fn done, void *arg)
{
	struct job *j;
	int rc = job_new(s, conf, store, STEP_LOOK, &j);

	if (rc)
		return rc;
	j->file = *f;
	rc = store_seal(*d, &j->file);
	if (!rc)
		rc = job_wait(j, done, arg);
	if (!rc)
		rc = job_add(j);
	if (rc) {
		job_drop(&j);
		return rc;
	}
	j->draft = *d;
	*d = NULL;
	return 0;
}

/* The job of this kind that fetches or deletes the same; NULL. */
static struct job *job_find(struct list *l, char kind, const struct store_file *f)
{
	struct list *i;

	LIST_EACH(i, l) {
		struct job *j = CONTAINER_OF(i, struct job, link);

		if (j->kind == kind &&
		    (kind == 'p' || kind == 'q'
			     ? memcmp(j->file.sha256, f->sha256, sizeof(f->sha256)) == 0
			     : memcmp(j->file.id, f->id, sizeof(f->id)) == 0))
			return j;
	}
	return NULL;
}

static int fetch(struct s3 *s, struct conf *conf, struct store *store, char kind, enum step first,
		 const struct store_file *f, s3_done_fn done, void *arg)
{
	struct job *j = job_find(&s->jobs, kind, f);
	int rc;

	if (!j)
		j = job_find(&s->queue, kind, f);
	if (j)
		return job_wait(j, done, arg);
	rc = job_new(s, conf, store, first, &j);
	if (rc)
		return rc;
	j->kind = kind;
	j->file = *f;
	j->bytes = kind == 'p' ? malloc(THUMBNAIL_MAX) : NULL;
	rc = kind == 'p' && !j->bytes ? ERR_NOMEM : job_wait(j, done, arg);
	if (!rc)
		rc = job_add(j);
	if (rc)
		job_drop(&j);
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
	struct job *j;
	int rc = len > THUMBNAIL_MAX ? ERR_TOO_BIG : job_new(s, conf, NULL, STEP_PUT_THUMBNAIL, &j);

	if (rc)
		return rc;
	j->bytes = malloc(len + !len);
	if (j->bytes) {
		memcpy(j->bytes, p, len);
		j->len = len;
	}
	rc = !j->bytes ? ERR_NOMEM : hash_sha256(p, len, j->file.sha256);
	if (!rc)
		rc = job_add(j);
	if (rc)
		job_drop(&j);
	return rc;
}

int s3_delete(struct s3 *s, struct conf *conf, struct store *store, const char *name,
	      const struct store_file *f)
{
	enum step first = name[0] == 'g' ? STEP_DELETE_CONTENT : STEP_LOOK_THUMBNAIL;
	struct job *j;
	int rc;

	if (s->deletes >= DELETES_MAX || !list_is_empty(&s->queue) ||
	    job_find(&s->jobs, name[0], f))
		return ERR_AGAIN;
	rc = job_new(s, conf, store, first, &j);
	if (rc)
		return rc;
	j->kind = name[0];
	j->file = *f;
	snprintf(j->gone, sizeof(j->gone), "%s", name);
	rc = job_add(j);
	if (rc) {
		job_drop(&j);
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
		job_end(CONTAINER_OF(s->jobs.next, struct job, link), ERR_SHUTDOWN);
	while (!list_is_empty(&s->queue))
		job_end(CONTAINER_OF(s->queue.next, struct job, link), ERR_SHUTDOWN);
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
