/* SPDX-License-Identifier: MIT */
/*
 * formats - the written forms of a thumbnail. A form is one file and one row of the table.
 *
 * A form says what it would insert and where; formats.c decides which of them fit into the
 * message together and queues the edits. Pictures are written as element text, and no attribute
 * is longer than FORMAT_ATTR_MAX: expat-based servers and clients stall on long start tags.
 */
#pragma once

#include "filter/filter.h"
#include "thumbnail/source.h"

#define FORMAT_ATTR_MAX 1024 /* bytes of an attribute's value, escaped */
#define FORMAT_NAME_MAX 255  /* characters of a name or address, for Movim */
#define FORMAT_PIECES   3

/* What all forms of one thumbnail are written from. Texts are ready to be put into XML. */
struct form {
	struct filter_unit *u;
	const struct sources *sources; /* of the message */
	const struct source *source;   /* that the thumbnail is of */
	const struct job_result *r;
	const char *url;    /* of the media */
	const char *name;   /* file name from the address's path */
	bool has_cid;       /* a form asked for names it; else cid is "" */
	const char *cid;    /* sha1+<hex>@bob.xmpp.org, of the thumbnail */
	const char *base64; /* the thumbnail */
	uint32_t max_age;   /* seconds that it may be kept */
};

/* XML and the place in the original where it goes. */
struct piece {
	size_t at;
	const char *xml; /* in the arena */
	size_t len;
};

struct pieces {
	struct piece v[FORMAT_PIECES];
	size_t n;
};

struct format {
	enum conf_format id;
	const char *name;
	const char *help;
	bool publishes; /* names the thumbnail's cid, so that clients may ask for it */
	bool with_data; /* needs the thumbnail as XEP-0231 data in the same message */
	/*
	 * Asked before the thumbnail is made: would this form do something for this message?
	 * False if it is there already, or would make a client worse. NULL: always.
	 */
	bool (*fits)(const struct outline *o, const struct sources *all, const struct source *s);
	/* Adds pieces, none if this thumbnail cannot be written so: 0 or ERR_NOMEM. */
	int (*write)(const struct form *f, struct pieces *out);
};

extern const struct format format_ibb;
extern const struct format format_bob;
extern const struct format format_thumbs0;
extern const struct format format_sims;
extern const struct format format_sfs;
extern const struct format format_ogp;
extern const struct format format_http;

/* Does one of these forms name the thumbnail's cid (filter bob answers for it)? */
bool formats_publish(uint32_t mask);

/* Those of the mask that fit this source of this message. */
uint32_t formats_fitting(const struct outline *o, const struct sources *all, const struct source *s,
			 uint32_t mask);

/*
 * Writes the forms of the mask. Those that do not fit into unit->max_final together are left
 * out, in a fixed order: 0; ERR_TOO_BIG: not one of them fits; ERR_NOT_FOUND: none can be
 * written; ERR_NOMEM ... In all cases but 0 no edit was queued. With ERR_TOO_BIG *fit_out is the
 * size of a thumbnail with which one form would fit, a power of two so that caches see few, or 0.
 *
 * without_data: thumbs0 may stand without XEP-0231 data in the message (a filter answers for
 * it).
 */
int formats_write(struct filter_unit *u, const struct sources *all, const struct source *s,
		  uint32_t mask, bool without_data, const struct job_result *r,
		  uint32_t *fit_out) MUSTCHECK;

/* --- for the forms (pieces.c) ---------------------------------------------------------- */

/* printf into the arena, as a piece; ERR_NOMEM. */
int pieces_add(const struct form *f, struct pieces *p, size_t at, const char *fmt, ...)
	PRINTF_LIKE(4, 5) MUSTCHECK;

/* Where the message's content ends; behind all that it has. */
size_t pieces_end(const struct form *f);

/* Fills the texts of f: 0 or ERR_NOMEM. u, sources, source, r and has_cid are there. */
int pieces_prepare(struct form *f) MUSTCHECK;

/* The last part of an address's path, its percent signs resolved; "" if it is no good name. */
const char *pieces_file_name(struct arena *a, const char *url);

/* Unicode code points in the first len bytes of valid UTF-8. */
size_t pieces_characters(const char *text, size_t len);
