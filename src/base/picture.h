/* SPDX-License-Identifier: MIT */
/*
 * picture - what media and scaler say to each other about pictures.
 *
 * Formats and their magic bytes, the request to scale one, its result. No decoding here:
 * only the scaler's children look further than picture_sniff() does.
 */
#pragma once

#include <stdbool.h>

#include "base/ipc.h"

enum picture_format {
	PICTURE_NONE,
	PICTURE_JPEG,
	PICTURE_PNG,
	PICTURE_GIF,
	PICTURE_WEBP,
	PICTURE_BMP,
	PICTURE_HEIC,
	PICTURE_AVIF,
	PICTURE_FORMAT_COUNT
};

/* What thumbnails may be written as; AUTO chooses between JPEG and PNG (design.md 7). */
enum picture_output { PICTURE_OUT_AUTO, PICTURE_OUT_JPEG, PICTURE_OUT_PNG, PICTURE_OUT_WEBP };

/* The format by magic bytes (at least 16 bytes needed), or PICTURE_NONE. */
enum picture_format picture_sniff(const uint8_t *p, size_t len);

/* "image/jpeg" ...; NULL for PICTURE_NONE. */
const char *picture_mime(enum picture_format f);

/* ".jpg" ...; "" for PICTURE_NONE. */
const char *picture_extension(enum picture_format f);

/* The format of a MIME type: parameters and case ignored, image/jpg is image/jpeg. PICTURE_NONE if
 * none. */
enum picture_format picture_from_mime(const char *mime);

/* Limits for decoding; SETUP carries them to the zygote once, SCALE with each picture. */
struct picture_limits {
	uint64_t max_pixels;      /* decoded in full */
	uint64_t max_pixels_jpeg; /* JPEG, scaled while decoding */
	uint32_t max_side;
	uint64_t memory; /* bytes GraphicsMagick may allocate */
	uint32_t wall_ms;
	uint32_t cpu_ms;
};

/*
 * A placeholder of at most 25 bytes (Evan Wallace's ThumbHash) of the picture as shown; len 0:
 * there is none. Nothing depends on its bytes but what a client draws.
 */
#define PICTURE_THUMBHASH_MIN 5
#define PICTURE_THUMBHASH_MAX 25

struct picture_thumbhash {
	uint8_t len;
	uint8_t bytes[PICTURE_THUMBHASH_MAX];
};

/* Is its length one that a thumbhash can have (or 0)? */
bool picture_thumbhash_is_sane(const struct picture_thumbhash *t);

/* u8 length, bytes; get leaves a wrong length in the message's error. */
void picture_thumbhash_put(struct ipc_out *out, const struct picture_thumbhash *t);
int picture_thumbhash_get(struct ipc_in *in, struct picture_thumbhash *t) MUSTCHECK;

/* SETUP: u32 children, then the limits. */
struct picture_setup {
	uint32_t children; /* decoders kept ready; 1..64 */
	struct picture_limits limits;
};

/* SCALE: one picture. The descriptor is a sealed memfd with the whole file. */
struct picture_request {
	uint64_t id;
	enum picture_format format; /* sniffed; the decoder is forced to it */
	enum picture_output output;
	uint16_t width; /* box, 1..1024 */
	uint16_t height;
	uint32_t max_bytes; /* of the thumbnail file, 256..65535 */
	struct picture_limits limits;
};

enum picture_status {
	PICTURE_OK,
	PICTURE_FAILED,     /* not decodable, or the child broke off */
	PICTURE_TOO_BIG,    /* pixels or side over the limit */
	PICTURE_NO_FIT,     /* no step of the ladder fits max_bytes */
	PICTURE_KILLED,     /* child ended by a signal or the wall clock */
	PICTURE_UNAVAILABLE /* sandbox or format off, or no child free in time */
};

struct picture_result {
	uint64_t id;
	enum picture_status status;
	enum picture_format format; /* of the thumbnail */
	uint16_t width;             /* of the thumbnail */
	uint16_t height;
	uint32_t original_width; /* upright, as shown */
	uint32_t original_height;
	uint8_t step;     /* ladder step that fitted, from 0 */
	uint32_t wall_us; /* time in the child */
	struct picture_thumbhash thumbhash;
	const uint8_t *bytes; /* the thumbnail file; borrowed from the message */
	size_t len;
};

/* Fields in the order above; put leaves errors in the message, get checks ranges: 0 or
 * ERR_BAD_MESSAGE. */
void picture_setup_put(struct ipc_out *out, const struct picture_setup *s);
int picture_setup_get(struct ipc_in *in, struct picture_setup *s) MUSTCHECK;
void picture_request_put(struct ipc_out *out, const struct picture_request *r);
int picture_request_get(struct ipc_in *in, struct picture_request *r) MUSTCHECK;
void picture_result_put(struct ipc_out *out, const struct picture_result *r);
int picture_result_get(struct ipc_in *in, struct picture_result *r) MUSTCHECK;

/*
 * Does this look exactly like a complete file of that format with those dimensions? Walks
 * JPEG markers, PNG chunks with their CRCs or the RIFF chunks of WebP to the last byte,
 * decodes nothing, and refuses metadata (APP1.., COM, text chunks, EXIF, XMP). For the
 * parent, which trusts nothing a child returns.
 */
bool picture_is_clean(enum picture_format f, const uint8_t *p, size_t len, uint32_t width,
		      uint32_t height);
