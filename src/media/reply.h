/* SPDX-License-Identifier: MIT */
/*
 * reply - the header of an HTTP response, line by line as libcurl hands it over.
 *
 * Capped in bytes and lines over all responses of a transfer, 1xx and trailers included.
 * Pure: no libcurl, no I/O.
 */
#pragma once

#include <stdbool.h>

#include "base/job.h"
#include "media/freshness.h"

#define REPLY_BYTES (64 * 1024)
#define REPLY_LINES 200

struct reply {
	size_t bytes;
	unsigned lines;
	unsigned status;
	bool ended;     /* the final header is complete */
	bool delimited; /* its end is announced: Content-Length or chunked */
	struct freshness fresh;
	char type[128];                 /* Content-Type, cut; "" if none */
	char location[JOB_URL_MAX + 1]; /* "" if none or too long */
};

void reply_init(struct reply *r);

/* One line with its end: 0 or ERR_TOO_BIG. */
int reply_add(struct reply *r, const char *line, size_t len) MUSTCHECK;

/* Is it a redirect with a place to go? */
bool reply_is_redirect(const struct reply *r);

/* May the body be a picture, as far as Content-Type says? Types that say nothing: yes. */
bool reply_may_be_picture(const struct reply *r);
