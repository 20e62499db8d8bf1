/* SPDX-License-Identifier: MIT */
/*
 * arena - see arena.h. Blocks of at least 4 KiB in a chain; an allocation that does not
 * fit the newest block gets a new one. Freeing walks the chain.
 */
#include "config.h"

#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK 4064 /* with malloc's own header still one page */

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) uint8_t data[];
};

struct arena {
	struct arena_block *blocks; /* owned; newest first */
	size_t used;
	size_t max;
};

struct arena *arena_new(size_t max)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a)
		a->max = max;
	return a;
}

void arena_free(struct arena **ap)
{
	struct arena *a = *ap;
	struct arena_block *b;

	*ap = NULL;
	if (!a)
		return;
	while ((b = a->blocks) != NULL) {
		a->blocks = b->next;
		free(b);
	}
	free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	size_t size;
	void *p;

	if (n > a->max)
		return NULL;
	n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (a->used + n > a->max)
		return NULL;
	if (!b || b->size - b->used < n) {
		size = MAX_OF(n, (size_t)ARENA_BLOCK - sizeof(*b));
		b = malloc(sizeof(*b) + size);
		if (!b)
			return NULL;
		b->next = a->blocks;
		b->size = size;
		b->used = 0;
		a->blocks = b;
	}
	p = b->data + b->used;
	b->used += n;
	a->used += n;
	return memset(p, 0, n);
}

char *arena_strndup(struct arena *a, const void *p, size_t len)
{
	char *s = arena_alloc(a, len + 1);

	if (s && len)
		memcpy(s, p, len);
	return s;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = arena_alloc(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
