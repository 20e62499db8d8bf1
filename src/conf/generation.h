/* SPDX-License-Identifier: MIT */
/*
 * generation - a configuration as bytes, from the master to the other processes.
 *
 * Travels in a sealed memfd (ipc GENERATION). Only the build that printed it can parse it:
 * the bytes begin with a hash of the option table and end with their own. Not a format for
 * files.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"

#define GENERATION_MAX (16 * 1024 * 1024)

/*
 * Appends c to buf, which should allow GENERATION_MAX: 0, ERR_FULL or ERR_NOMEM. Without
 * secrets (for processes that end no TLS) keys and authorities are left out.
 */
int generation_print(const struct conf *c, bool secrets, struct buf *out) MUSTCHECK;

/* One reference in *out; 0, or ERR_BAD_MESSAGE or ERR_NOMEM with msg. */
int generation_parse(const uint8_t *p, size_t len, struct conf **out,
		     struct err_msg *msg) MUSTCHECK;
