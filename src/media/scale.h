/* SPDX-License-Identifier: MIT */
/*
 * scale - the way to the scaler process and back, with a cap on what is under way.
 *
 * Nothing that comes back is believed: ids, sizes, formats and the bytes themselves are
 * checked. A picture that killed its decoder is not tried again for a while, and a format whose
 * decoders crash one after the other is off for a while (media/crash.h).
 */
#pragma once

#include <event2/event.h>

#include "base/hash.h"
#include "base/picture.h"
#include "conf/conf.h"

struct scale;
struct scale_job;

/* status PICTURE_OK: bytes are borrowed for the call. Called from the loop; the job is gone by
 * then. */
typedef void (*scale_done_fn)(void *arg, const struct picture_result *r);

struct scale *scale_new(struct event_base *base) MUSTCHECK;
void scale_free(struct scale **s); /* no job may be left */

/* A channel to a (new) scaler process; takes fd. What was under way at the old one fails. */
void scale_set_channel(struct scale *s, int fd);

/* Is there a scaler that decodes anything? */
bool scale_is_up(const struct scale *s);

/*
 * Takes fd in every case. *out is set to NULL when the job ends. 0, ERR_FULL (queue),
 * ERR_UNSUPPORTED (away, or the format is off, for good or for a while), ERR_IO (killed its decoder
 * lately) or ERR_NOMEM.
 */
int scale_start(struct scale *s, const struct conf_scale *conf, const struct picture_request *what,
		int fd, const uint8_t sha256[HASH_SHA256_LEN], struct scale_job **out,
		scale_done_fn done, void *arg) MUSTCHECK;
/* Nobody waits any more; accepts NULL. */
void scale_stop(struct scale_job **j);
