/* SPDX-License-Identifier: MIT */
/*
 * status - what insetctl status and insetctl rules show.
 */
#pragma once

#include <jansson.h>

#include "master/asks.h"
#include "master/state.h"

/* A new object; NULL when out of memory. */
json_t *status_new(const struct master *m) MUSTCHECK;
/* Adds what the children said (asks.h) to it. */
void status_add(json_t *status, const struct master *m, const struct asked *asked);

/* The same for insetctl rules: each rule with its figures. */
json_t *status_rules_new(const struct master *m) MUSTCHECK;
