/* SPDX-License-Identifier: MIT */
/*
 * http - what the box's answers have in common: headers, reasons, deadlines of connections.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>

#include "base/list.h"
#include "box/offer.h"
#include "box/s3.h"
#include "box/store.h"
#include "conf/conf.h"

#define HTTP_DROP_MAX (1024 * 1024) /* of a body that is not wanted, so that the answer is read */

/* What requests work on. One per generation; the store and the offers are the process's. */
struct http_site {
	struct conf *conf;     /* owned reference */
	struct store *store;   /* borrowed */
	struct offers *offers; /* borrowed */
	struct s3 *s3;         /* borrowed */
};

/* A connection, by its deadline: a request gets time for its bytes, an idle one a moment. */
struct http_connection {
	struct list link;
	struct MHD_Connection *connection; /* borrowed */
	struct event *wake;                /* borrowed: runs its daemon */
	const struct conf *conf;           /* borrowed: its daemon's */
	int64_t deadline;
	bool asked; /* the bucket, for what this request wants; the answer: */
	int answer;
	uint64_t dropped; /* bytes of this request's body that nobody wanted */
};

/* Time for so many bytes from now on. */
void http_allow(struct MHD_Connection *connection, const struct conf *conf, uint64_t bytes);

/* What the box knows of a connection; NULL when it was out of memory then. */
struct http_connection *http_context(struct MHD_Connection *connection);

/*
 * Could somebody in front of us take the request's end for another place, or its host for another
 * one? RFC 9112 sections 3.2, 5.1 and 6.3.
 */
bool http_is_ambiguous(struct MHD_Connection *connection);

/* Bytes that nobody wants; false: so many that the connection is to end. */
bool http_drop(struct MHD_Connection *connection, size_t len);

/*
 * The headers that keep a browser from running what it gets, and those that let pages of
 * upload.cors read it (Fetch 3.2): false when out of memory.
 */
bool http_harden(struct MHD_Connection *connection, struct MHD_Response *r);

/* OPTIONS: what a page of another origin may send. */
enum MHD_Result http_preflight(struct MHD_Connection *connection);

/* One line of text. */
enum MHD_Result http_reason(struct MHD_Connection *connection, unsigned code, const char *text);

/* The part of a request's path behind upload.public-url's own, or the path. */
const char *http_path(const struct conf *conf, const char *url);

/* 32 digits at the start of text, then its end, a dot or a slash: the id. */
bool http_parse_id(const char *text, uint8_t id[TOKEN_ID_LEN]);

/* The connection was suspended and goes on; what hung on it may be gone behind this call. */
void http_resume(struct MHD_Connection *connection);

/* Seconds since 1970. */
uint64_t http_now(void);
