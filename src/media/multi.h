/* SPDX-License-Identifier: MIT */
/*
 * multi - libcurl's multi interface on libevent.
 */
#pragma once

#include <curl/curl.h>
#include <event2/event.h>

#include "base/util.h"

struct multi;

/* A transfer ended; called from the loop, outside of libcurl. private is its CURLOPT_PRIVATE. */
typedef void (*multi_done_fn)(void *private, CURLcode code);

struct multi *multi_new(struct event_base *base, multi_done_fn done) MUSTCHECK;
void multi_free(struct multi **m); /* no transfer may be left */

/* 0 or ERR_NOMEM. */
int multi_add(struct multi *m, CURL *easy) MUSTCHECK;
void multi_remove(struct multi *m, CURL *easy);
