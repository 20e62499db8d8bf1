/* SPDX-License-Identifier: MIT */
/*
 * record - the tap on the lanes: what a process relays, into capture files (inset-capture(5)).
 *
 * Sees the bytes of a lane before the filters, after them, or both, in the clear, behind TLS.
 * Redacts them unless told not to. Never in the way: when it cannot write or has no memory it
 * stops, says so once, and the lanes go on. What cannot be redacted (a stream that is relayed
 * blind) is only counted.
 */
#pragma once

#include <event2/event.h>
#include <sys/uio.h>

#include "base/capture.h"
#include "conf/conf.h"

/* Of a process. */
struct record;
/* Of a session; NULL: it is not recorded. */
struct record_session;

/* Starts to write, by these options: NULL when path is empty, or it cannot (it is logged). */
struct record *record_new(struct event_base *base, const struct conf_record *conf, unsigned index);
/* Every session must have ended. Accepts NULL. */
void record_free(struct record **r);
/* Are these the options that it runs with? r NULL: is nothing to be recorded? */
bool record_runs(const struct record *r, const struct conf_record *conf);
/* No more sessions, no more bytes: freed when the last one has ended. */
void record_retire(struct record **r);

/* Is anything written? r may be NULL. */
bool record_is_on(const struct record *r);

/* r may be NULL. */
struct record_session *record_open(struct record *r, uint64_t id);
void record_close(struct record_session **s);
void record_bytes(struct record_session *s, enum lane_dir dir, enum capture_where where, bool blind,
		  const struct iovec *v, int n);
