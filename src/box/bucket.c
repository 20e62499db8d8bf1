/* SPDX-License-Identifier: MIT */
/*
 * bucket - see bucket.h.
 */
#include "config.h"

#include "box/bucket.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loop/multi.h"

#define LOW_SPEED 1024L
#define URL_LEN   (256 + BUCKET_KEY_LEN)

struct bucket {
	struct multi *multi; /* owned */
};

struct bucket_transfer {
	struct bucket *bucket;      /* borrowed */
	struct bucket_request *r;   /* borrowed */
	CURL *easy;                 /* owned */
	struct curl_slist *headers; /* owned */
	uint64_t at;                /* bytes of the body sent */
};

static void transfer_free(struct bucket_transfer *t)
{
	if (t->easy) {
		multi_remove(t->bucket->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	free(t);
}

void bucket_stop(struct bucket_request *r)
{
	if (r->transfer)
		transfer_free(r->transfer);
	r->transfer = NULL;
}

/* --- a request's bytes ------------------------------------------------------------------ */

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct bucket_transfer *t = arg;
	uint64_t left = t->r->size - MIN_OF(t->at, t->r->size);
	size_t len = (size_t)MIN_OF(left, (uint64_t)(size * n));
	ssize_t got = len ? t->r->read(t->r->arg, p, len, t->at) : 0;

	if (got < 0 || (len && got == 0))
		return CURL_READFUNC_ABORT;
	t->at += (uint64_t)got;
	return (size_t)got;
}

/* libcurl sends a body again on a new connection where an old one turns out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct bucket_transfer *t = arg;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	t->at = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *p, size_t size, size_t n, void *arg)
{
	struct bucket_transfer *t = arg;
	size_t len = size * n;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->r->method != BUCKET_GET || status != 200)
		return len; /* what servers say for people */
	return t->r->write(t->r->arg, p, len) ? 0 : len;
}

/* --- requests --------------------------------------------------------------------------- */

static int add_header(struct bucket_transfer *t, const char *text)
{
	struct curl_slist *more = curl_slist_append(t->headers, text);

	if (!more)
		return ERR_NOMEM;
	t->headers = more;
	return 0;
}

static int add_headers(struct bucket_transfer *t)
{
	char line[32 + 2 * HASH_SHA256_LEN] = "x-amz-content-sha256: ";
	bool puts = t->r->method == BUCKET_PUT;
	uint8_t sum[HASH_SHA256_LEN];
	int rc = 0;

	if (puts)
		memcpy(sum, t->r->sha256, sizeof(sum));
	else
		rc = hash_sha256("", 0, sum);
	if (rc)
		return rc;
	hash_print_hex(sum, sizeof(sum), line + strlen(line));
	rc = add_header(t, line);
	if (!rc && puts)
		rc = add_header(t, "Content-Type: application/octet-stream");
	if (!rc && t->r->exclusive)
		rc = add_header(t, "If-None-Match: *");
	return rc;
}

/* Each goes to the end only if the one before it did. */
#define SET(option, value)                                                       \
	do {                                                                     \
		if (rc == CURLE_OK)                                              \
			rc = curl_easy_setopt(t->easy, CURLOPT_##option, value); \
	} while (0)

static CURLcode set_method(struct bucket_transfer *t)
{
	CURLcode rc = CURLE_OK;

	SET(WRITEFUNCTION, on_write);
	SET(WRITEDATA, t);
	switch (t->r->method) {
	case BUCKET_GET:
		SET(FILETIME, 1L);
		break;
	case BUCKET_HEAD:
		SET(NOBODY, 1L);
		SET(FILETIME, 1L);
		break;
	case BUCKET_DELETE:
		SET(CUSTOMREQUEST, "DELETE");
		break;
	case BUCKET_PUT:
		SET(UPLOAD, 1L);
		SET(INFILESIZE_LARGE, (curl_off_t)t->r->size);
		SET(READFUNCTION, on_read);
		SET(READDATA, t);
		SET(SEEKFUNCTION, on_seek);
		SET(SEEKDATA, t);
		break;
	}
	return rc;
}

/* Our own authorities are the only ones then. */
static CURLcode set_authorities(struct bucket_transfer *t, const char *cas)
{
	struct curl_blob blob = { (void *)(uintptr_t)cas, strlen(cas), CURL_BLOB_COPY };
	CURLcode rc = CURLE_OK;

	SET(CAINFO_BLOB, &blob);
	SET(CAPATH, NULL);
	return rc;
}

/* An id may hold a colon, so that this is two options. */
static CURLcode set_key(struct bucket_transfer *t, const char *key)
{
	size_t len = strcspn(key, "\n");
	CURLcode rc = CURLE_OK;
	char id[512];

	snprintf(id, sizeof(id), "%.*s", (int)MIN_OF(len, sizeof(id) - 1), key);
	SET(USERNAME, id);
	SET(PASSWORD, key + len + (key[len] != '\0'));
	return rc;
}

static CURLcode set_up(struct bucket_transfer *t, const struct conf_upload *u)
{
	char url[URL_LEN], provider[128];
	CURLcode rc = CURLE_OK;

	snprintf(url, sizeof(url), "%s/%s", u->s3, t->r->key);
	snprintf(provider, sizeof(provider), "aws:amz:%s:s3", u->s3_region);
	SET(URL, url);
	SET(PRIVATE, t);
	SET(AWS_SIGV4, provider);
	SET(HTTPHEADER, t->headers);
	SET(PROTOCOLS_STR, "http,https");
	SET(PROXY, "");
	SET(NOSIGNAL, 1L);
	SET(CONNECTTIMEOUT_MS, (long)u->s3_timeout);
	SET(LOW_SPEED_LIMIT, LOW_SPEED);
	SET(LOW_SPEED_TIME, (long)MAX_OF(u->s3_timeout / 1000, 1u));
	SET(TIMEOUT_MS, (long)(u->s3_timeout + t->r->size / u->low_speed * 1000));
	if (rc == CURLE_OK)
		rc = set_key(t, u->s3_key);
	if (rc == CURLE_OK && u->s3_cas)
		rc = set_authorities(t, u->s3_cas);
	return rc == CURLE_OK ? set_method(t) : rc;
}

int bucket_start(struct bucket *b, const struct conf *conf, struct bucket_request *r)
{
	struct bucket_transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->bucket = b;
	t->r = r;
	r->modified = -1;
	t->easy = curl_easy_init();
	if (!t->easy || add_headers(t) || set_up(t, &conf->upload) != CURLE_OK ||
	    multi_add(b->multi, t->easy)) {
		transfer_free(t);
		return ERR_NOMEM;
	}
	r->transfer = t;
	return 0;
}

static void transfer_on_done(void *private, CURLcode code)
{
	static struct log_limit limit;
	struct bucket_transfer *t = private;
	struct bucket_request *r = t->r;
	curl_off_t modified = -1;
	unsigned dropped;
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(t->easy, CURLINFO_FILETIME_T, &modified);
	if (code != CURLE_OK && log_limit_ok(&limit, 10, &dropped))
		log_warning("the bucket failed: %s, status %ld dropped=%u",
			    curl_easy_strerror(code), status, dropped);
	r->modified = modified;
	bucket_stop(r);
	r->done(r,
		code == CURLE_OK                   ? 0
		: code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT
						   : ERR_IO,
		status);
}

/* --- life ------------------------------------------------------------------------------- */

struct bucket *bucket_new(struct event_base *base)
{
	struct bucket *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->multi = multi_new(base, MULTI_CONNECTIONS_KEPT, transfer_on_done);
	if (!b->multi)
		bucket_free(&b);
	return b;
}

void bucket_free(struct bucket **bp)
{
	struct bucket *b = *bp;

	*bp = NULL;
	if (!b)
		return;
	multi_free(&b->multi);
	free(b);
}
