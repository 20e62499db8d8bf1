/* SPDX-License-Identifier: MIT */
/*
 * strip - see strip.h.
 */
#include "config.h"

#include "thumbnail/strip.h"

#include <string.h>

#include "thumbnail/source.h"

/* The next element to cut behind index `from` within root, none inside one that is cut; -1. */
static int next_cut(const struct outline *o, int root, int from)
{
	size_t i, end = o->elements[root].end_end;
	size_t behind = from > root ? o->elements[from].end_end : 0;

	for (i = (size_t)from + 1; i < o->elements_n && o->elements[i].start < end; i++)
		if (o->elements[i].start >= behind && source_is_thumbnail(o, root, (int)i))
			return (int)i;
	return -1;
}

bool strip_applies(const struct outline *o, int root)
{
	return next_cut(o, root, root) != -1;
}

int strip_message(struct filter_unit *u, int root)
{
	int i, rc, n = 0;

	for (i = next_cut(u->outline, root, root); i != -1; i = next_cut(u->outline, root, i)) {
		rc = edit_cut(u->edits, u->arena, u->outline, i);
		if (rc)
			return rc;
		n++;
	}
	return n;
}
