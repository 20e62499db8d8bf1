/* SPDX-License-Identifier: MIT */
/*
 * strip - takes thumbnails that came with a message out of it.
 *
 * What source.c takes for a thumbnail, and placeholders as well: picture data in band and bits
 * of binary that are children of the message, <thumbnail/> elements anywhere in it. Never asked
 * for encrypted messages. File offers are offer.c's.
 */
#pragma once

#include "filter/filter.h"

/* Is there anything to take out? */
bool strip_applies(const struct outline *o, int root);

/* Queues the cuts: how many, or negative and then the edits must not be used. */
int strip_message(struct filter_unit *u, int root) MUSTCHECK;
