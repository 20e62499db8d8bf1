/* SPDX-License-Identifier: MIT */
/*
 * byterange - the Range header of a download.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

struct byterange {
	uint64_t from;
	uint64_t len;
	bool partial;
};

/*
 * One range of bytes (RFC 9110 14.1.2) of a file of size bytes, 1 or more. What is not understood,
 * or is several ranges, is as if it were not there (text NULL). False: understood, and there is
 * nothing of it.
 */
bool byterange_parse(const char *text, uint64_t size, struct byterange *r) MUSTCHECK;
