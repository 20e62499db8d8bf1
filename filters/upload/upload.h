/* SPDX-License-Identifier: MIT */
/*
 * upload - what the files of this filter share. See upload.md.
 *
 * Invariants
 *   - a request passes as it came (but for a caps node that inset itself gave out); only its
 *     reply changes, and only if it came from whom the request went to
 *   - a genuine answer of the server's is left alone; so is everything of a session whose
 *     server has the feature itself
 */
#pragma once

#include "base/buf.h"
#include "filter/filter.h"
#include "filter/track.h"
#include "xmpp/caps.h"

#define UPLOAD_TRACKED  32   /* requests under way in a session */
#define UPLOAD_TEXT_MAX 1024 /* bytes of each text kept of a request; longer ones are not ours */

enum upload_ask {
	UPLOAD_ASK_INFO,  /* disco#info; text: the node as the client wrote it, if inset changed it
			   */
	UPLOAD_ASK_ITEMS, /* disco#items of the feature's node */
	UPLOAD_ASK_FILE,  /* <upload/>; texts: node, type */
	UPLOAD_ASK_SLOT   /* XEP-0363 <request/>; texts: file name, type */
};

/* A tracked request: track_request.data. */
struct upload_request {
	enum upload_ask ask;
	bool old;       /* the namespace with www. */
	bool plain;     /* info: without node */
	bool has_first; /* the first text was there */
	uint64_t size;  /* slot */
	char first[UPLOAD_TEXT_MAX];
	char second[UPLOAD_TEXT_MAX];
};

/* The stream's capabilities as the server announced them; "" for none. */
struct upload_announced {
	char node[256];
	char ver[CAPS_ALGO_COUNT][CAPS_HASH_MAX];
};

/* One per session. */
struct upload {
	struct track track;
	struct upload_announced announced;
	bool native;      /* the server has the feature itself */
	bool native_slot; /* the server has HTTP File Upload itself, at the domain */
};

/* --- disco.c: features, capabilities, results of disco#info ------------------------------- */

bool upload_is_domain(const struct conf *conf, const char *to);
enum filter_verdict upload_on_features(struct filter_instance *f, struct filter_unit *u);
/* A disco#info get to a domain: *r is filled and true when the reply is wanted. Edits the node. */
bool upload_ask_info(struct filter_instance *f, struct filter_unit *u, int query,
		     struct upload_request *r, enum filter_verdict *verdict_out);
enum filter_verdict upload_on_info(struct filter_instance *f, struct filter_unit *u,
				   const struct upload_request *r);

/* --- answer.c: what replaces the server's errors ------------------------------------------ */

enum filter_verdict upload_on_items(struct filter_instance *f, struct filter_unit *u,
				    const struct track_request *t);
enum filter_verdict upload_on_file(struct filter_instance *f, struct filter_unit *u,
				   const struct track_request *t);
enum filter_verdict upload_on_slot(struct filter_instance *f, struct filter_unit *u,
				   const struct track_request *t);

/* --- known.c: hashes of this process's servers ---------------------------------------------- */

/* What a verified hash becomes, or NULL; extras tells which features are added. */
const char *known_find(enum caps_algo algo, const char *ver, unsigned extras);
/* The server's hash behind one that inset gave out, or NULL. */
const char *known_original(enum caps_algo algo, const char *ver, unsigned extras);
void known_add(enum caps_algo algo, const char *ver, const char *ours, unsigned extras);
/* Tests: forgets everything. */
void known_clear(void);
