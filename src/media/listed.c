/* SPDX-License-Identifier: MIT */
/*
 * listed - see listed.h.
 */
#include "config.h"

#include "media/listed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/target.h"

struct listed {
	size_t n;
	char origins[LISTED_MAX][TARGET_ORIGIN_MAX + 1]; /* the latest first */
};

struct listed *listed_new(void)
{
	return calloc(1, sizeof(struct listed));
}

void listed_free(struct listed **l)
{
	free(*l);
	*l = NULL;
}

static size_t listed_at(const struct listed *l, const char *origin)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->origins[i], origin) == 0)
			break;
	return i;
}

void listed_add(struct listed *l, const char *origin)
{
	size_t at = listed_at(l, origin);

	if (at == l->n)
		l->n = MIN_OF(l->n + 1, (size_t)LISTED_MAX);
	at = MIN_OF(at, (size_t)LISTED_MAX - 1);
	memmove(l->origins[1], l->origins[0], at * sizeof(l->origins[0]));
	snprintf(l->origins[0], sizeof(l->origins[0]), "%s", origin);
}

bool listed_has(const struct listed *l, const char *origin)
{
	return listed_at(l, origin) < l->n;
}
