/* SPDX-License-Identifier: MIT */
/*
 * load - media of inset's own box: read by the box process, never fetched over HTTP.
 *
 * The result looks like a fetch's, so that a flight need not know the difference.
 */
#pragma once

#include "base/ipc.h"
#include "media/fetch.h"

struct loads;
struct load;

struct loads *loads_new(struct event_base *base) MUSTCHECK;
void loads_free(struct loads **l); /* no load may be left */

/* The channel to the box, borrowed; -1: it is away. What is under way fails, from the loop. */
void loads_set_channel(struct loads *l, int fd);

/* LOADED has come: 0 or ERR_BAD_MESSAGE. */
int loads_on_reply(struct loads *l, struct ipc_in *in) MUSTCHECK;

/* As fetch_start() and fetch_stop(). */
int load_start(struct loads *l, const char *url, uint64_t max, struct load **out,
	       fetch_done_fn done, void *arg) MUSTCHECK;
void load_stop(struct load **l);

/* What a sealed memfd with a picture holds; takes fd. status is not JOB_OK: it is none. */
void load_examine(int fd, uint64_t max, struct fetch_result *out);
