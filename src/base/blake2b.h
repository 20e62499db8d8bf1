/* SPDX-License-Identifier: MIT */
/*
 * blake2b - BLAKE2b without a key (RFC 7693), for sums that libcrypto has in one length only.
 */
#pragma once

#include "base/util.h"

/* The sum of len_out bytes, 1 to 64. */
void blake2b(const void *p, size_t len, uint8_t *out, size_t len_out);
