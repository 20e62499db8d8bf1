/* SPDX-License-Identifier: MIT */
/*
 * status - what insetctl status shows.
 */
#pragma once

#include <jansson.h>

#include "master/state.h"

/* A new object; NULL when out of memory. */
json_t *status_new(const struct master *m) MUSTCHECK;
