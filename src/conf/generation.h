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

#define GENERATION_MAX (96 * 1024 * 1024) /* mostly list files */

/*
 * Whose secrets are in it: the listeners' keys and authorities, the box's certificate and its key
 * to a bucket, and for both the key that signs uploads; cache.redis and the keys of
 * fetch.origins are for media alone, web.token for web, the only one of the others. What rules
 * say is only for who sees
 * streams.
 */
enum generation_for {
	GENERATION_FOR_OTHERS,
	GENERATION_FOR_PROXY,
	GENERATION_FOR_BOX,
	GENERATION_FOR_MEDIA
};

/* Appends c to buf, which should allow GENERATION_MAX: 0, ERR_FULL or ERR_NOMEM. */
int generation_print(const struct conf *c, enum generation_for reader, struct buf *out) MUSTCHECK;

/* One reference in *out; 0, or ERR_BAD_MESSAGE or ERR_NOMEM with msg. */
int generation_parse(const uint8_t *p, size_t len, struct conf **out,
		     struct err_msg *msg) MUSTCHECK;
