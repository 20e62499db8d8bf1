/* SPDX-License-Identifier: MIT */
/*
 * desk - what the web process may ask media: can a thumbnail be made, and which hosts fail?
 *
 * Where the operator wants it (web.thumbnails) it also shows web the thumbnails that were just
 * made: the picture alone, never whose it is or where it came from. Web gets nothing else, and
 * what it sends can neither name a picture nor a host.
 *
 * Invariant: one trial is under way at a time; each PROBE gets one answer, unless another one or
 * a new channel came meanwhile.
 */
#pragma once

#include <event2/event.h>

#include "conf/conf.h"
#include "media/flight.h"

struct desk;

/* flights is borrowed and outlives it. NULL when out of memory. */
struct desk *desk_new(struct event_base *base, struct flights *flights) MUSTCHECK;
void desk_free(struct desk **d);

/* A channel to a (new) web process; takes fd. */
void desk_set_channel(struct desk *d, int fd);
/* Keeps a reference. */
void desk_set_conf(struct desk *d, struct conf *conf);
