/* SPDX-License-Identifier: MIT */
/*
 * json - texts as JSON writes them. The rest of the syntax is its writers' own.
 */
#pragma once

#include "base/buf.h"

/* With its quotes; what is no UTF-8 becomes U+FFFD. 0, ERR_FULL or ERR_NOMEM. */
int json_text(struct buf *out, const char *text) MUSTCHECK;
