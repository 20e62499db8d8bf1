/* SPDX-License-Identifier: MIT */
/*
 * offer - the channel to the media process: pictures that have arrived go there at once, and
 * files that it asks for by their address.
 *
 * Nothing depends on it: without media, or when it takes too long, an upload goes on.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "box/s3.h"
#include "box/store.h"
#include "conf/conf.h"

struct offers;
struct offer;

/* The thumbnails are there, or will not come in time. The offer is gone. */
typedef void (*offer_done_fn)(void *arg);

struct offers *offers_new(struct event_base *base) MUSTCHECK;
void offers_free(struct offers **o);

/* For what media asks for; borrowed. */
void offers_set_site(struct offers *o, struct conf *conf, struct store *store, struct s3 *s3);

/* A channel to a (new) media process; takes fd. */
void offers_set_channel(struct offers *o, int fd);

/*
 * Offers a file of the store. True: done will be called, from the loop. False: it is no picture,
 * or there is nobody to offer it to.
 */
bool offer_start(struct offers *o, const char *url, const struct store_file *f, offer_done_fn done,
		 void *arg) MUSTCHECK;
/* All that wait are done. */
void offers_end(struct offers *o);
