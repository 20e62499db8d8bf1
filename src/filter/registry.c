/* SPDX-License-Identifier: MIT */
/*
 * registry - the filters that configure chose to build in.
 */
#include "config.h"

#include <string.h>

#include "filter/builtin.h"
#include "filter/filter.h"

const struct filter_ops *const filter_registry[] = { BUILTIN_FILTERS NULL };

const struct filter_ops *filter_find(const char *name)
{
	size_t i;

	for (i = 0; filter_registry[i]; i++)
		if (strcmp(filter_registry[i]->name, name) == 0)
			return filter_registry[i];
	return NULL;
}
