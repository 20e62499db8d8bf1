/* SPDX-License-Identifier: MIT */
/*
 * offer - thumbnails that file offers bring along: <thumbnail/> in the <file/> of SI
 * (XEP-0096) and Jingle (XEP-0234, all its namespaces).
 *
 * thumbs:0 has cid='X' mime-type, thumbs:1 has uri='cid:X' media-type; clients know one or the
 * other. A twin says the same in the other form, lossless. inset never sees the file, so it
 * makes no thumbnail here. Nothing is judged: who asks for twins or stripping decides that.
 */
#pragma once

#include "filter/filter.h"

/*
 * Queues a twin right behind every thumbs:0 thumbnail that has none, and behind the first
 * cid: thumbnail of thumbs:1 of a file without any thumbs:0 (which implies a single one).
 * Nothing for offers of encrypted transfers. How many were queued.
 */
unsigned offer_add_twins(struct filter_unit *u);

/* Is the transfer encrypted end to end (Jingle <security/>: XTLS, XEP-0391 and others)? */
bool offer_is_encrypted(const struct outline *o);

/* Queues the removal of all thumbnails from an offer: how many, or ERR_NOMEM, ERR_SYNTAX and then
 * the edits must not be used. */
int offer_strip(struct filter_unit *u) MUSTCHECK;
