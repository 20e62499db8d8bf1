/* SPDX-License-Identifier: MIT */
/*
 * source - is a message eligible for a thumbnail, and of which media?
 *
 * Reads the outline of a message and its jabber:x:oob children (XEP-0066 with Kontalk's
 * attributes type and length). Encryption is judged before (encrypted.h); addresses are
 * judged later, by the media process.
 */
#pragma once

#include "conf/conf.h"
#include "xmpp/outline.h"

#define SOURCE_MAX 8 /* limits.urls goes no higher */

struct source {
	const char *url;      /* trimmed, in the arena */
	const char *declared; /* MIME type or "" */
};

struct sources {
	struct source v[SOURCE_MAX];
	size_t n;
	bool delayed;  /* history (XEP-0203): cached thumbnails only */
	bool no_store; /* XEP-0334 */
};

/*
 * NULL and the usable sources, in order, at most conf->limits.urls; or why there is none:
 * "type", "thumbnail-there", "no-source".
 */
const char *source_find(const struct outline *message, const struct conf *conf, struct arena *a,
			struct sources *out);
