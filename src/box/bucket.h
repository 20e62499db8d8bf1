/* SPDX-License-Identifier: MIT */
/*
 * bucket - one signed request to an S3-compatible bucket, by libcurl on our loop.
 *
 * Not for what is asked for and why: that is s3.c. Signed by libcurl (CURLOPT_AWS_SIGV4); the hash
 * of the body is given, since libcurl does not know it, and keys are plain paths, since what it
 * signs of others depends on its release.
 *
 * Invariants
 *   - a request that was started is done once, within upload.s3-timeout and its bytes' time
 *   - done is called from the loop, never by bucket_start()
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "base/hash.h"
#include "conf/conf.h"

#define BUCKET_KEY_LEN 128

struct bucket;
struct bucket_request;
struct bucket_transfer;

enum bucket_method { BUCKET_GET, BUCKET_HEAD, BUCKET_PUT, BUCKET_DELETE };

/* Up to len bytes of the body from there on: their number, or -1. */
typedef ssize_t (*bucket_read_fn)(void *arg, void *p, size_t len, uint64_t at);
/* Bytes of a GET's answer of status 200: 0, or the request ends. */
typedef int (*bucket_write_fn)(void *arg, const void *p, size_t len);
/* rc: 0 and a status; ERR_TIMEOUT or ERR_IO: the bucket cannot be had, or write failed. */
typedef void (*bucket_done_fn)(struct bucket_request *r, int rc, long status);

struct bucket_request {
	/* Set by who starts it. */
	enum bucket_method method;
	char key[BUCKET_KEY_LEN];        /* letters, digits and - */
	bool exclusive;                  /* PUT: only if there is nothing */
	uint8_t sha256[HASH_SHA256_LEN]; /* PUT: of the body */
	uint64_t size;                   /* of the body; GET: as far as it is known */
	bucket_read_fn read;
	bucket_write_fn write;
	bucket_done_fn done;
	void *arg;
	/* The answer's. */
	int64_t modified; /* seconds since 1970; -1: not said */
	/* bucket.c's; NULL: not started. */
	struct bucket_transfer *transfer;
};

struct bucket *bucket_new(struct event_base *base) MUSTCHECK;
/* No request may be under way. */
void bucket_free(struct bucket **b);

/* r is borrowed until it is done or stopped. 0 or ERR_NOMEM. */
int bucket_start(struct bucket *b, const struct conf *conf, struct bucket_request *r) MUSTCHECK;
/* Nothing is called any more. */
void bucket_stop(struct bucket_request *r);
