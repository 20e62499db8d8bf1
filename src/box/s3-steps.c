/* SPDX-License-Identifier: MIT */
/*
 * s3-steps - the requests of a job, one after the other, and what their answers mean. See s3.h.
 *
 * A job's step says which request is under way; s3_next() judges its answer and starts the one that
 * follows. When jobs begin and who is told of their end is s3-jobs.c's.
 *
 * Invariants
 *   - the table has each step's method and key, s3_next() each step's way on
 *   - nothing that the bucket says of bytes is believed: their hash is
 */
#include "config.h"

#include "box/s3-inside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "box/http.h"

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

/* --- a request's bytes ------------------------------------------------------------------ */

static ssize_t on_read(void *arg, void *p, size_t len, uint64_t at)
{
	struct s3_job *j = arg;

	if (j->step == STEP_PUT_CONTENT)
		return pread(store_draft_fd(j->draft), p, len, (off_t)at);
	memcpy(p, j->bytes ? (const char *)j->bytes + at : j->text + at, len);
	return (ssize_t)len;
}

static int on_write(void *arg, const void *p, size_t len)
{
	struct s3_job *j = arg;
	size_t room = j->bytes ? S3_THUMBNAIL_MAX : sizeof(j->text) - 1;

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

static void print_key(const struct s3_job *j, char kind, char out[BUCKET_KEY_LEN])
{
	char id[2 * TOKEN_ID_LEN + 1], sum[2 * HASH_SHA256_LEN + 1];

	hash_print_hex(j->file.id, sizeof(j->file.id), id);
	hash_print_hex(j->file.sha256, sizeof(j->file.sha256), sum);
	if (kind == 'c')
		snprintf(out, BUCKET_KEY_LEN, "c-%s-%s", id, sum);
	else
		snprintf(out, BUCKET_KEY_LEN, "%c-%s", kind, kind == 'p' ? sum : id);
}

int s3_request(struct s3_job *j, enum s3_step step)
{
	struct bucket_request *r = &j->request;
	bool content = steps[step].kind == 'c';

	j->step = step;
	*r = (struct bucket_request){ .method = steps[step].method,
				      .exclusive = step == STEP_PUT_FACTS,
				      .read = on_read,
				      .write = on_write,
				      .done = s3_on_answer,
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
static int take_facts(struct s3_job *j, struct store_file *f)
{
	*f = j->file;
	j->text[j->len] = '\0';
	return store_parse_facts(j->text, f) ? 0 : ERR_IO;
}

/* The bucket has it; so has the local store then. What that says is only about the cache. */
static int keep(struct s3_job *j)
{
	int rc;

	j->file.elsewhere = true;
	rc = store_commit(&j->draft, &j->file, http_now());
	return rc == ERR_BAD_FORMAT ? ERR_IO : rc;
}

/* An upload finds facts under its id. */
static int compare(struct s3_job *j)
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

static int put_facts(struct s3_job *j)
{
	j->len = (size_t)store_print_facts(&j->file, j->text);
	return s3_request(j, STEP_PUT_FACTS);
}

static int on_facts_put(struct s3_job *j, long status)
{
	if (status == 409 || status == 412)
		return s3_request(j, STEP_LOOK_AGAIN);
	if (status == 501)
		return s3_request(j, STEP_PUT_ANYWAY);
	return is_good(status) ? keep(j) : ERR_IO;
}

static int on_looked_again(struct s3_job *j)
{
	int rc = compare(j);

	return rc == ERR_EXISTS ? s3_request(j, STEP_DROP) : rc;
}

int s3_get_content(struct s3_job *j)
{
	int rc = store_begin_copy(j->store, j->file.user, j->file.size, &j->draft);

	return rc ? rc : s3_request(j, STEP_GET_CONTENT);
}

static int on_found(struct s3_job *j)
{
	int rc = take_facts(j, &j->file);

	if (rc)
		return rc;
	return j->file.expires <= http_now() ? ERR_NOT_FOUND : s3_get_content(j);
}

static int on_content(struct s3_job *j)
{
	uint8_t wanted[HASH_SHA256_LEN];
	int rc;

	memcpy(wanted, j->file.sha256, sizeof(wanted));
	rc = store_seal(j->draft, &j->file);
	return rc || memcmp(wanted, j->file.sha256, sizeof(wanted)) != 0 ? ERR_IO : keep(j);
}

/* Its life counts from when it was put last. */
static int on_thumbnail(struct s3_job *j)
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
static int on_thumbnail_seen(struct s3_job *j, long status)
{
	uint64_t life = j->conf->upload.expire / 1000;

	if (status != 200)
		return status == 404 ? 0 : ERR_IO;
	if (j->request.modified < 0 || (uint64_t)j->request.modified + life > http_now())
		return 0;
	return s3_request(j, STEP_DELETE_THUMBNAIL);
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

int s3_next(struct s3_job *j, long status)
{
	int rc;

	switch (j->step) {
	case STEP_LOOK:
		if (status == 200)
			return compare(j);
		return status == 404 ? s3_request(j, STEP_PUT_CONTENT) : ERR_IO;
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
		return rc ? rc : s3_request(j, STEP_DELETE_FACTS);
	case STEP_LOOK_THUMBNAIL:
		return on_thumbnail_seen(j, status);
	case STEP_DELETE_FACTS:
	case STEP_DELETE_THUMBNAIL:
		return on_deleted(status);
	}
	BUG();
}
