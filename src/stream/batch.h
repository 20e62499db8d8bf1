/* SPDX-License-Identifier: MIT */
/*
 * batch - small writes of a loop turn, put off until a few have come together.
 *
 * Sixteen reads in a row and then sixteen writes cost less than both in turn: the kernel's
 * code for either stays in the caches, and whoever waits for the bytes is woken once
 * (doc/PERFORMANCE.md has the figures). What is put off is copied; it leaves behind the events
 * that the loop had in hand, or sooner: when no more fits, or when its leg writes again, is shut
 * down or closed. Knows neither sockets nor order: a leg has at most one piece here and lets it
 * leave before anything else of its own.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "base/util.h"

#define BATCH_PIECES 16
#define BATCH_SMALL  2048        /* what is larger is not worth the copy */
#define BATCH_BYTES  (16 * 1024) /* all pieces together: they are to stay in the first cache */

struct batch;
struct leg;

/* Writes one piece that had been put off. Calls nothing of this file. */
typedef void (*batch_fn)(struct leg *leg, const struct iovec *piece);

/* NULL when out of memory. */
struct batch *batch_new(struct event_base *base, batch_fn fn) MUSTCHECK;
void batch_free(struct batch **b);

/* Takes a copy of these len bytes. False: they are too many, and nothing was done. */
bool batch_add(struct batch *b, struct leg *leg, const struct iovec *v, int n, size_t len);
/* Everything that was put off leaves now. */
void batch_flush(struct batch *b);
