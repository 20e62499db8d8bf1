/* SPDX-License-Identifier: MIT */
/*
 * job - a request to the media process with a deadline, and its result.
 *
 * A job carries profile and limits by value, so the media process need not know which
 * generation a proxy runs. Shared by stream (asks), filters (fill in) and media (answers).
 */
#pragma once

#include <stdbool.h>

#include "base/hash.h"
#include "base/ipc.h"
#include "base/picture.h"

#define JOB_URL_MAX   2048 /* bytes of a URL; longer ones are not fetched */
#define JOB_TYPE_MAX  63   /* bytes of a MIME type that is kept with data */
#define JOB_OWNER_LEN 16   /* see filter/owner.h */

enum job_status {
#define JOB_STATUS(name, label) JOB_##name,
#include "base/job-status.def"
#undef JOB_STATUS
	JOB_STATUS_COUNT
};

/* "ok", "address" ... */
const char *job_status_name(enum job_status s);

struct job {
	uint64_t id;          /* chosen by the sender, unique on its channel */
	const char *url;      /* without fragment; at most JOB_URL_MAX */
	const char *declared; /* MIME type that the message gave, or "" */
	uint64_t sender; /* keyed hash of the sender's bare JID or of the connection: for rates */
	uint32_t deadline_ms; /* from now; the answer is useless later */
	bool cached_only;     /* never fetch */
	bool to_box;          /* the box is to serve the thumbnail as well */
	bool no_store;        /* keep out of shared and persistent caches */
	enum picture_output output;
	uint16_t width;
	uint16_t height;
	uint32_t max_bytes;    /* of the thumbnail */
	uint64_t fetch_max;    /* of the media */
	uint32_t rate_per_min; /* thumbnails a minute for this sender; 0: no limit */
	uint32_t rate_burst;
	/* Data that a client may ask for by its cid, the SHA-1 of its bytes (XEP-0231). */
	bool publishes; /* the message will name the thumbnail's cid in the owner's name */
	bool find_cid;  /* make nothing, find the data of this cid that the owner published; url is
			   "" */
	uint8_t cid[HASH_SHA1_LEN];
	uint8_t owner[JOB_OWNER_LEN];
};

/* Data with a cid that somebody sent, to be kept for those who ask for it. */
struct job_keep {
	uint8_t owner[JOB_OWNER_LEN]; /* who sent it */
	uint32_t max_age;             /* seconds, by the owner's word */
	const char *type;
	const uint8_t *bytes; /* borrowed */
	size_t len;
};

struct job_result {
	uint64_t id;
	enum job_status status;
	bool from_cache;
	uint32_t max_age; /* seconds the thumbnail stays valid; 0: do not keep */
	/* What this answer took, for those who look into it; 0 where there was no such stage. */
	uint32_t queue_ms;
	uint32_t fetch_ms;
	uint32_t scale_ms;
	/* The media, valid when status is JOB_OK. */
	enum picture_format media_format;
	uint32_t media_width;
	uint32_t media_height;
	uint64_t media_size;                   /* bytes of the whole body */
	uint8_t media_sha256[HASH_SHA256_LEN]; /* of the whole body */
	bool media_whole; /* the host had said where the body ends: size and sum are the file's */
	struct picture_thumbhash thumbhash; /* of the media, upright; may be missing */
	/* The thumbnail. */
	bool in_box; /* the box serves it, under its hash */
	enum picture_format format;
	uint16_t width;
	uint16_t height;
	char type[JOB_TYPE_MAX + 1]; /* of data that was kept, whose format is not known; else "" */
	const uint8_t *bytes;        /* borrowed: from the message or from the cache */
	size_t len;
};

/* May this MIME type be kept and written into an attribute? */
bool job_type_is_ok(const char *type);

/* JOB, KEEP and RESULT as messages; get checks every range: 0 or ERR_BAD_MESSAGE. url and declared
 * live in `in`. */
void job_put(struct ipc_out *out, const struct job *j);
int job_get(struct ipc_in *in, struct job *j) MUSTCHECK;
void job_keep_put(struct ipc_out *out, const struct job_keep *k);
int job_keep_get(struct ipc_in *in, struct job_keep *k) MUSTCHECK;
void job_result_put(struct ipc_out *out, const struct job_result *r);
int job_result_get(struct ipc_in *in, struct job_result *r) MUSTCHECK;
