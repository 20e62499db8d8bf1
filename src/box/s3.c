/* SPDX-License-Identifier: MIT */
/*
 * s3 - see s3.h.
 *
 * A job is a few requests, one after the other, each a transfer of its own. Signed by libcurl
 * (CURLOPT_AWS_SIGV4); the hash of the body is given, since libcurl does not know it, and keys are
 * plain paths, since what it signs of others depends on its release.
 */
#include "config.h"

#include "box/s3.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/list.h"
#include "base/log.h"
#include "box/http.h"

#define JOBS_MAX  256 /* as many as connections by default: each holds one */
#define LOW_SPEED 1024L
#define URL_LEN   320

enum step {
	STEP_LOOK,    /* what is there under this id? */
	STEP_CONTENT, /* the bytes */
	STEP_FACTS,   /* the facts, if there are none */
	STEP_ANYWAY,  /* the same for a server that has no conditions */
	STEP_AGAIN,   /* somebody was faster: who? */
};

struct s3 {
	struct event_base *base; /* borrowed */
	CURLM *multi;            /* owned */
	struct event *timer;     /* owned */
	struct list jobs;
	size_t n;
	bool stopped;
};

struct job {
	struct list link;
	struct s3 *s3;              /* borrowed */
	struct conf *conf;          /* owned reference */
	struct store *store;        /* borrowed */
	struct store_draft *draft;  /* owned; NULL */
	CURL *easy;                 /* owned; NULL between requests */
	struct curl_slist *headers; /* owned */
	struct store_file file;
	enum step step;
	bool fetches;
	int rc; /* of the local store's, in a transfer */
	s3_done_fn done;
	void *arg;
	uint64_t at; /* bytes of the body sent */
	size_t len;  /* of text */
	char text[STORE_FACTS_MAX];
};

static void job_free(struct job **jp)
{
	struct job *j = *jp;

	*jp = NULL;
	if (j->easy) {
		(void)curl_multi_remove_handle(j->s3->multi, j->easy);
		curl_easy_cleanup(j->easy);
	}
	curl_slist_free_all(j->headers);
	store_abort(&j->draft);
	conf_unref(&j->conf);
	free(j);
}

static void job_end(struct job *j, int rc)
{
	struct store_file f = j->file;
	s3_done_fn done = j->done;
	void *arg = j->arg;

	list_remove(&j->link);
	j->s3->n--;
	job_free(&j);
	done(arg, rc, &f);
}

/* --- a request's bytes ------------------------------------------------------------------ */

static bool is_put(const struct job *j)
{
	return !j->fetches && j->step != STEP_LOOK && j->step != STEP_AGAIN;
}

static uint64_t body_size(const struct job *j)
{
	return j->step == STEP_CONTENT ? j->file.size : j->len;
}

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct job *j = arg;
	uint64_t left = body_size(j) - MIN_OF(j->at, body_size(j));
	size_t len = (size_t)MIN_OF(left, (uint64_t)(size * n));
	ssize_t got = (ssize_t)len;

	if (j->step == STEP_CONTENT)
		got = pread(store_draft_fd(j->draft), p, len, (off_t)j->at);
	else
		memcpy(p, j->text + j->at, len);
	if (got < 0 || (len && got == 0))
		return CURL_READFUNC_ABORT;
	j->at += (uint64_t)got;
	return (size_t)got;
}

/* libcurl sends a body again on a new connection where an old one turns out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct job *j = arg;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	j->at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *p, size_t size, size_t n, void *arg)
{
	struct job *j = arg;
	size_t len = size * n;
	long status = 0;

	(void)curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	if (is_put(j) || status != 200)
		return len; /* what servers say for people */
	if (j->step == STEP_CONTENT) {
		j->rc = store_write(j->draft, p, len);
		return j->rc ? 0 : len;
	}
	if (len >= sizeof(j->text) - j->len)
		return 0;
	memcpy(j->text + j->len, p, len);
	j->len += len;
	return len;
}

/* --- requests --------------------------------------------------------------------------- */

static void print_url(const struct job *j, char out[URL_LEN])
{
	bool content = j->step == STEP_CONTENT;
	char key[2 * HASH_SHA256_LEN + 1];

	if (content)
		hash_print_hex(j->file.sha256, sizeof(j->file.sha256), key);
	else
		hash_print_hex(j->file.id, sizeof(j->file.id), key);
	snprintf(out, URL_LEN, "%s/%c-%s", j->conf->upload.s3, content ? 'b' : 'm', key);
}

static int add_header(struct job *j, const char *text)
{
	struct curl_slist *more = curl_slist_append(j->headers, text);

	if (!more)
		return ERR_NOMEM;
	j->headers = more;
	return 0;
}

static int add_headers(struct job *j)
{
	char line[32 + 2 * HASH_SHA256_LEN] = "x-amz-content-sha256: ";
	uint8_t sum[HASH_SHA256_LEN];
	int rc = 0;

	if (is_put(j) && j->step == STEP_CONTENT)
		memcpy(sum, j->file.sha256, sizeof(sum));
	else
		rc = hash_sha256(j->text, is_put(j) ? j->len : 0, sum);
	if (rc)
		return rc;
	hash_print_hex(sum, sizeof(sum), line + strlen(line));
	rc = add_header(j, line);
	if (!rc && is_put(j))
		rc = add_header(j, "Content-Type: application/octet-stream");
	if (!rc && j->step == STEP_FACTS)
		rc = add_header(j, "If-None-Match: *");
	return rc;
}

/* Each goes to the end only if the one before it did. */
#define SET(option, value)                                                       \
	do {                                                                     \
		if (rc == CURLE_OK)                                              \
			rc = curl_easy_setopt(j->easy, CURLOPT_##option, value); \
	} while (0)

static CURLcode set_body(struct job *j)
{
	CURLcode rc = CURLE_OK;

	SET(WRITEFUNCTION, on_write);
	SET(WRITEDATA, j);
	if (!is_put(j))
		return rc;
	SET(UPLOAD, 1L);
	SET(INFILESIZE_LARGE, (curl_off_t)body_size(j));
	SET(READFUNCTION, on_read);
	SET(READDATA, j);
	SET(SEEKFUNCTION, on_seek);
	SET(SEEKDATA, j);
	return rc;
}

static CURLcode set_up(struct job *j)
{
	const struct conf_upload *u = &j->conf->upload;
	uint64_t bytes = j->step == STEP_CONTENT ? j->file.size : 0;
	char url[URL_LEN], provider[128];
	CURLcode rc = CURLE_OK;

	print_url(j, url);
	snprintf(provider, sizeof(provider), "aws:amz:%s:s3", u->s3_region);
	SET(URL, url);
	SET(PRIVATE, j);
	SET(AWS_SIGV4, provider);
	SET(USERPWD, u->s3_key);
	SET(HTTPHEADER, j->headers);
	SET(PROTOCOLS_STR, "http,https");
	SET(PROXY, "");
	SET(NOSIGNAL, 1L);
	SET(CONNECTTIMEOUT_MS, (long)u->s3_timeout);
	SET(LOW_SPEED_LIMIT, LOW_SPEED);
	SET(LOW_SPEED_TIME, (long)MAX_OF(u->s3_timeout / 1000, 1u));
	SET(TIMEOUT_MS, (long)(u->s3_timeout + bytes / u->low_speed * 1000));
	return rc == CURLE_OK ? set_body(j) : rc;
}

static int request(struct job *j, enum step step)
{
	j->step = step;
	j->at = 0;
	if (!is_put(j))
		j->len = 0;
	curl_slist_free_all(j->headers);
	j->headers = NULL;
	j->easy = curl_easy_init();
	if (!j->easy || add_headers(j) || set_up(j) != CURLE_OK)
		return ERR_NOMEM;
	return curl_multi_add_handle(j->s3->multi, j->easy) == CURLM_OK ? 0 : ERR_NOMEM;
}

/* --- jobs ------------------------------------------------------------------------------- */

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
	int rc = store_commit(&j->draft, &j->file, http_now());

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

static int next_put(struct job *j, long status)
{
	bool good = status == 200 || status == 201 || status == 204;

	if (j->step == STEP_CONTENT && good) {
		j->len = (size_t)store_print_facts(&j->file, j->text);
		return request(j, STEP_FACTS);
	}
	if (j->step == STEP_FACTS && (status == 409 || status == 412))
		return request(j, STEP_AGAIN);
	if (j->step == STEP_FACTS && status == 501)
		return request(j, STEP_ANYWAY);
	return good ? keep(j) : ERR_IO;
}

static int next_store(struct job *j, long status)
{
	if (is_put(j))
		return next_put(j, status);
	if (status == 200)
		return compare(j);
	return status == 404 && j->step == STEP_LOOK ? request(j, STEP_CONTENT) : ERR_IO;
}

static int next_fetch(struct job *j, long status)
{
	uint8_t wanted[HASH_SHA256_LEN];
	int rc;

	if (status != 200)
		return status == 404 && j->step == STEP_LOOK ? ERR_NOT_FOUND : ERR_IO;
	memcpy(wanted, j->file.sha256, sizeof(wanted));
	if (j->step == STEP_CONTENT) {
		rc = store_seal(j->draft, &j->file);
		if (rc || memcmp(wanted, j->file.sha256, sizeof(wanted)) != 0)
			return ERR_IO;
		return keep(j);
	}
	rc = take_facts(j, &j->file);
	if (rc)
		return rc;
	if (j->file.expires <= http_now())
		return ERR_NOT_FOUND;
	rc = store_begin(j->store, j->file.user, j->file.size, &j->draft);
	return rc ? rc : request(j, STEP_CONTENT);
}

static bool is_failure(int rc)
{
	return rc && rc != ERR_EXISTS && rc != ERR_NOT_FOUND && rc != ERR_FULL;
}

/* A request has ended. */
static void job_next(struct job *j, CURLcode code)
{
	long status = 0;
	int rc;

	(void)curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(j->s3->multi, j->easy);
	curl_easy_cleanup(j->easy);
	j->easy = NULL;
	if (code != CURLE_OK)
		rc = j->rc ? j->rc : code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_IO;
	else
		rc = j->fetches ? next_fetch(j, status) : next_store(j, status);
	counter_inc(is_failure(rc) ? METRIC_BOX_S3_FAILED : METRIC_BOX_S3_OK);
	if (is_failure(rc))
		log_warning("the bucket failed: %s, status %ld",
			    code != CURLE_OK ? curl_easy_strerror(code) : "no error of transfer",
			    status);
	if (rc || !j->easy)
		job_end(j, rc);
}

static int job_new(struct s3 *s, struct conf *conf, struct store *store, struct job **out)
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
	list_init(&j->link);
	*out = j;
	return 0;
}

static void job_begin(struct job *j, s3_done_fn done, void *arg)
{
	j->done = done;
	j->arg = arg;
	list_add_tail(&j->s3->jobs, &j->link);
	j->s3->n++;
}

int s3_store(struct s3 *s, struct conf *conf, struct store *store, struct store_draft **d,
	     const struct store_file *f, s3_done_fn done, void *arg)
{
	struct job *j;
	int rc = job_new(s, conf, store, &j);

	if (rc)
		return rc;
	j->file = *f;
	rc = store_seal(*d, &j->file);
	if (!rc)
		rc = request(j, STEP_LOOK);
	if (rc) {
		job_free(&j);
		return rc;
	}
	j->draft = *d;
	*d = NULL;
	job_begin(j, done, arg);
	return 0;
}

int s3_fetch(struct s3 *s, struct conf *conf, struct store *store, const uint8_t id[TOKEN_ID_LEN],
	     s3_done_fn done, void *arg)
{
	struct job *j;
	int rc = job_new(s, conf, store, &j);

	if (rc)
		return rc;
	j->fetches = true;
	memcpy(j->file.id, id, TOKEN_ID_LEN);
	rc = request(j, STEP_LOOK);
	if (rc) {
		job_free(&j);
		return rc;
	}
	job_begin(j, done, arg);
	return 0;
}

/* --- libcurl on our loop ---------------------------------------------------------------- */

static void act(struct s3 *s, curl_socket_t fd, int what)
{
	struct CURLMsg *msg;
	int running, left;

	clock_update();
	(void)curl_multi_socket_action(s->multi, fd, what, &running);
	while ((msg = curl_multi_info_read(s->multi, &left))) {
		CURLcode code = msg->data.result;
		char *private = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		job_next((struct job *)(void *)private, code);
	}
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	act(arg, fd,
	    (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_set_timer(CURLM *multi UNUSED, long ms, void *arg)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct s3 *s = arg;

	if (ms < 0)
		(void)evtimer_del(s->timer);
	else if (evtimer_add(s->timer, &tv) == -1)
		return -1;
	return 0;
}

static int on_set_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct s3 *s = arg;
	struct event *event = watch;
	short flags = EV_PERSIST;

	if (event)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		flags |= what & CURL_POLL_IN ? EV_READ : 0;
		flags |= what & CURL_POLL_OUT ? EV_WRITE : 0;
		/* Without its event the transfer runs into its time-out. */
		event = event_new(s->base, fd, flags, on_socket, s);
		if (event && event_add(event, NULL) == -1) {
			event_free(event);
			event = NULL;
		}
	}
	(void)curl_multi_assign(s->multi, fd, event);
	return 0;
}

struct s3 *s3_new(struct event_base *base)
{
	struct s3 *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	list_init(&s->jobs);
	s->timer = evtimer_new(base, on_timer, s);
	s->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
	if (!s->timer || !s->multi ||
	    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_set_timer) != CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s) != CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_set_socket) != CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) != CURLM_OK)
		s3_free(&s);
	return s;
}

void s3_stop(struct s3 *s)
{
	s->stopped = true;
	while (!list_is_empty(&s->jobs))
		job_end(CONTAINER_OF(s->jobs.next, struct job, link), ERR_SHUTDOWN);
}

void s3_go(struct s3 *s)
{
	s->stopped = false;
}

void s3_free(struct s3 **sp)
{
	struct s3 *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	s3_stop(s);
	/* Its last callbacks use the timer. */
	if (s->multi)
		(void)curl_multi_cleanup(s->multi);
	if (s->timer)
		event_free(s->timer);
	free(s);
}
