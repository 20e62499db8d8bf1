/* SPDX-License-Identifier: MIT */
/*
 * range - numbers from..to with units, both ends included, either left out.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct range {
	uint64_t from;
	uint64_t to;
};

/* bytes: KiB MiB GiB, else k M. 0, or ERR_SYNTAX and msg. */
int range_parse(struct range *out, const char *text, bool bytes, struct err_msg *msg) MUSTCHECK;

bool range_has(const struct range *r, uint64_t v);
