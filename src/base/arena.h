/* SPDX-License-Identifier: MIT */
/*
 * arena - memory that is freed all at once, with a cap.
 *
 * Everything made while one unit passes the filters comes from the unit's arena. Not
 * for anything that outlives its unit.
 */
#pragma once

#include "base/util.h"

struct arena;

/* An empty arena that will hand out at most max bytes; NULL when out of memory. */
struct arena *arena_new(size_t max) MUSTCHECK;

/* Accepts NULL; sets *a to NULL. */
void arena_free(struct arena **a);

/* n zeroed bytes aligned for any type, or NULL (over the cap, or out of memory). */
void *arena_alloc(struct arena *a, size_t n) MUSTCHECK;

/* A copy of len bytes with a NUL behind it, or NULL. */
char *arena_strndup(struct arena *a, const void *p, size_t len) MUSTCHECK;

/* printf into the arena, or NULL. */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUSTCHECK;

/* Bytes handed out so far. */
size_t arena_used(const struct arena *a);
