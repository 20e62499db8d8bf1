/* SPDX-License-Identifier: MIT */
/*
 * framer - cuts the raw bytes of one direction of an XMPP stream into units.
 *
 * A state machine over bytes: no copy, no allocation while a stanza is at most
 * FRAMER_STACK_INLINE deep, the same verdicts wherever the input is split. It guarantees
 * boundaries (design.md 3): UTF-8 (RFC 3629), XML characters, restricted XML (RFC 6120
 * 11.1: no comment, processing instruction, DOCTYPE, entity but the five), quoting, the
 * rules for & < and ]]>, white space between attributes, end tags by keyed hash of their
 * name down to depth 64 and by count below. It does not guarantee namespaces, unique
 * attributes, or the class of name characters above U+007F; units that filters read are
 * parsed by libxml2 for that (outline.h).
 *
 * Knows no sockets, no filters, no limits: it counts (elements, depth, attributes, bytes
 * of the tag in progress) and its caller decides.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

enum framer_event {
	FRAMER_MORE,   /* all input used up, nothing finished */
	FRAMER_HEADER, /* a stream header's start tag ended here */
	FRAMER_START, /* a unit's start tag ended here; if it was empty (<a/>) FRAMER_END follows at
			 once */
	FRAMER_CHILD, /* the start tag of the unit's first child ended here */
	FRAMER_END,   /* the unit ended here */
	FRAMER_CLOSE, /* </stream:stream> ended here: only white space may follow */
	FRAMER_ERROR  /* violation; framer_error() says which. Nothing more is read */
};

#define FRAMER_STACK_INLINE 8  /* name hashes kept in the struct */
#define FRAMER_STACK_MAX    64 /* deeper elements are only counted */

/* Public because one is embedded in each lane; the fields from state on are framer.c's. */
struct framer {
	uint32_t depth;          /* 0 before the header, 1 in the stream, 2 in a unit ... */
	uint32_t elements;       /* start tags in this unit so far */
	uint32_t max_depth;      /* deepest in this unit, the unit itself being 1 */
	uint32_t max_attributes; /* most of one start tag in this unit */
	uint32_t tag_len;        /* bytes from the < of the tag in progress; kept until the next */
	uint16_t attributes;     /* of the tag in progress, or last finished */
	int8_t error;            /* enum err */

	uint8_t state;     /* enum state of framer.c */
	uint8_t after;     /* state behind a reference */
	uint8_t event;     /* enum framer_event to report */
	uint8_t utf8_need; /* continuation bytes still due */
	uint8_t utf8_low;  /* range of the next one */
	uint8_t utf8_high;
	uint8_t utf8_lead;
	uint8_t quote;    /* that ends the value in progress */
	uint8_t match;    /* position in a keyword or run of ]; attributes of the XML declaration */
	uint8_t ref_len;  /* bytes in ref; digits of a character reference */
	char ref[12];     /* reference or part of the XML declaration in progress */
	bool x_attr;      /* an attribute of the tag in progress, or last finished, begins with x */
	bool header;      /* the start tag in progress is a stream header */
	bool first_child; /* the unit's first child has not been seen yet */
	bool restart;     /* framer_allow_restart() */
	uint8_t word_len; /* bytes in name_word */
	uint32_t ref_value;   /* character reference in progress */
	uint32_t name_hash;   /* of the tag in progress, once its name has ended */
	uint32_t stream_name; /* hash of the stream header's name */
	uint64_t name_sum;    /* hash of the name's full words so far */
	uint64_t name_word;   /* its last bytes, fewer than 8 */
	uint32_t inline_stack[FRAMER_STACK_INLINE]; /* name hashes; [0] is the unit's */
	uint32_t *stack; /* owned; the names below those; freed at the unit's end */
};

/* Expects a stream header next (after white space or an XML declaration). */
void framer_init(struct framer *f);
void framer_fini(struct framer *f);

/*
 * Reads up to the next event. Returns how many of the len bytes belong to it (all of them
 * with FRAMER_MORE; with FRAMER_ERROR those before the offending byte) and sets *event. Call
 * it until FRAMER_MORE, also when no bytes are left: the end of <a/> takes none. Once failed
 * it returns 0 and FRAMER_ERROR.
 */
size_t framer_feed(struct framer *f, const uint8_t *p, size_t len, enum framer_event *event);

/*
 * A stream restart is due: at depth 1 an XML declaration or a start tag of the stream
 * header's name begins a new header, until a unit comes instead. For c2s while SASL is
 * under way (pipelined headers), for s2c behind <success/> (RFC 6120 6.3.2, 6.4.6).
 */
void framer_allow_restart(struct framer *f, bool allowed);

/* Which violation: a negative enum err with a stream error condition, or 0. */
static inline int framer_error(const struct framer *f)
{
	return f->error;
}

/* Could the start tag that has just ended declare a namespace? No: certainly not. */
static inline bool framer_may_declare(const struct framer *f)
{
	return f->x_attr;
}

/* Inside a tag (between < and >), so that bytes since the < may be kept back. tag_len counts them.
 */
bool framer_in_tag(const struct framer *f);

/* Between units, at stream level. White space there belongs to no unit. */
bool framer_between(const struct framer *f);
