/* SPDX-License-Identifier: MIT */
/*
 * framer-state - what framer.c and framer-rare.c share. Not for anybody else.
 */
#pragma once

#include <string.h>

#include "base/err.h"
#include "xmpp/framer.h"

enum state {
	ST_START,       /* nothing read yet: an XML declaration may come */
	ST_BETWEEN,     /* at depth 0 or 1, outside of tags */
	ST_CLOSED,      /* behind </stream:stream> */
	ST_TEXT,        /* content of a unit */
	ST_CDATA,       /* behind <![CDATA[ */
	ST_REFERENCE,   /* behind & */
	ST_CHAR_REF,    /* behind &# */
	ST_DECIMAL,     /* digits of &#1; */
	ST_HEX,         /* digits of &#x1; */
	ST_PENDING_END, /* an empty unit's end is still to be reported */
	ST_PENDING_CLOSE,
	ST_ERROR,
	/* From here on inside a tag. */
	ST_LESS,      /* behind < */
	ST_BANG,      /* behind <! */
	ST_CDATA_KEY, /* inside <![CDATA[ */
	ST_NAME,      /* a start tag's name */
	ST_SPACE_DUE, /* behind a name or value: white space, / or > */
	ST_SPACE,     /* behind white space */
	ST_ATTR,      /* an attribute's name */
	ST_EQUALS,    /* behind it: = */
	ST_QUOTE,     /* behind =: a quote */
	ST_VALUE,     /* between quotes */
	ST_SLASH,     /* behind / of an empty element */
	ST_END_FIRST, /* behind </ */
	ST_END_NAME,  /* an end tag's name */
	ST_END_SPACE, /* behind an end tag's name */
	ST_DECL_KEY,  /* inside <?xml */
	ST_DECL_DUE,  /* as ST_SPACE_DUE, ... of the XML declaration */
	ST_DECL_SPACE,
	ST_DECL_ATTR,
	ST_DECL_EQUALS,
	ST_DECL_QUOTE,
	ST_DECL_VALUE,
	ST_DECL_END
};

/* The bytes of one framer_feed(). */
struct input {
	const uint8_t *p;
	const uint8_t *end;
	const uint8_t *tag; /* from here on bytes are not in tag_len yet */
};

enum { CLASS_NAME = 1, CLASS_FIRST = 2, CLASS_SPACE = 4 };

extern const uint8_t framer_classes[256]; /* of bytes, in names; framer.c */

static inline bool is_space(uint8_t c)
{
	return framer_classes[c] & CLASS_SPACE;
}

static inline void refuse(struct framer *f, int error)
{
	f->error = (int8_t)error;
	f->state = ST_ERROR;
	f->event = FRAMER_ERROR;
	f->tag_len = 0;
}

static inline void tag_count(struct framer *f, struct input *in)
{
	size_t n = (size_t)(in->p - in->tag);

	f->tag_len = n > UINT32_MAX - f->tag_len ? UINT32_MAX : f->tag_len + (uint32_t)n;
	in->tag = in->p;
}

/* One byte of &lt; and the like, of &#60;, of <?xml version='1.0'?>: framer-rare.c. */
void framer_read_reference(struct framer *f, struct input *in);
void framer_read_char_ref(struct framer *f, struct input *in);
void framer_read_decl(struct framer *f, struct input *in);
