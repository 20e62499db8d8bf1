/* SPDX-License-Identifier: MIT */
/*
 * source - is a message eligible for a thumbnail, and of which media?
 *
 * Reads the outline of a message: jabber:x:oob children (XEP-0066 with Kontalk's attributes
 * type and length), media sharing (XEP-0385), file sharing (XEP-0447) and, if asked for, a body
 * that is nothing but an address. Encryption is judged before (encrypted.h); addresses are
 * judged later, by the media process.
 */
#pragma once

#include "conf/conf.h"
#include "xmpp/outline.h"

#define SOURCE_MAX 8 /* limits.urls goes no higher */

enum source_kind { SOURCE_OOB, SOURCE_SIMS, SOURCE_SFS, SOURCE_LINK };

struct source {
	enum source_kind kind; /* where it was found first */
	const char *url;       /* trimmed, in the arena */
	const char *declared;  /* MIME type or "" */
	bool exact;            /* there was nothing to trim */
};

struct sources {
	int root; /* index of the <message/>: 0, or one that is forwarded in it */
	struct source v[SOURCE_MAX];
	size_t n;
	bool several;        /* there are more addresses in the message than one, usable or not */
	bool delayed;        /* history (XEP-0203): cached thumbnails only */
	bool no_store;       /* XEP-0334 */
	const char *box_url; /* upload.public-url, set by the same; NULL: none */
	bool captions; /* the profile's, set by who chose it: a file may be shared beside text */
};

/*
 * NULL and the usable sources, in order, at most conf->limits.urls; or why there is none:
 * "type", "thumbnail-there" (with the sources, if any), "no-source". links: the body counts, where
 * nothing else does.
 */
const char *source_find(const struct outline *o, int root, bool links, const struct conf *conf,
			struct arena *a, struct sources *out);

/* Is this element of the message a thumbnail, or a placeholder for one? */
bool source_is_thumbnail(const struct outline *o, int root, int element);

/* Messages that are forwarded in the unit: carbons, archive results, plain forwards. The first
 * behind index `from`, or -1. */
int source_forwarded(const struct outline *o, int from);

/* Is that media shared in the message already (SOURCE_SIMS or SOURCE_SFS)? */
enum source_shared { SHARED_NONE, SHARED_OTHER /* only other media is */, SHARED_SAME };

/* With SHARED_SAME *file_out is the index of its <file/>. */
enum source_shared source_shared(const struct outline *o, int root, enum source_kind kind,
				 const char *url, int *file_out);

/* Can a thumbnail be put into this <file/>, and is there none? */
bool source_file_is_open(const struct outline *o, int file);
