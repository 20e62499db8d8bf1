/* SPDX-License-Identifier: MIT */
/*
 * framer - see framer.h. One small function per state; each takes as many bytes as its
 * state can use and may stop after any byte, so that a split changes nothing.
 *
 * Invariants
 *   - a function is entered with at least one byte left and takes at least one, changes the
 *     state, or fails.
 *   - a failure leaves in->p on the offending byte.
 *   - f->utf8_need is not 0 only in states that take characters (content, values, names).
 *
 * scan.h skips plain bytes, framer-rare.c reads what is rare; the caller enforces limits.
 */
#include "config.h"

#include "xmpp/framer.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "xmpp/framer-state.h"
#include "xmpp/scan.h"

/* clang-format off */
const uint8_t framer_classes[256] = {
	['\t'] = CLASS_SPACE, ['\n'] = CLASS_SPACE, ['\r'] = CLASS_SPACE, [' '] = CLASS_SPACE,
	['-'] = CLASS_NAME, ['.'] = CLASS_NAME, ['0' ... '9'] = CLASS_NAME,
	[':'] = CLASS_NAME | CLASS_FIRST, ['_'] = CLASS_NAME | CLASS_FIRST,
	['A' ... 'Z'] = CLASS_NAME | CLASS_FIRST, ['a' ... 'z'] = CLASS_NAME | CLASS_FIRST,
	[0x80 ... 0xff] = CLASS_FIRST, /* checked as UTF-8 when they are read */
};
/* clang-format on */

static uint64_t hash_key[2]; /* drawn once per process */

/* Both halves of the product of a and b, folded. */
static inline uint64_t multiply_fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
	uint64_t low = (uint64_t)(uint32_t)a * (uint32_t)b;
	uint64_t m1 = (a >> 32) * (uint32_t)b + (low >> 32);
	uint64_t m2 = (uint64_t)(uint32_t)a * (b >> 32) + (uint32_t)m1;

	return (m2 << 32 | (uint32_t)low) ^ ((a >> 32) * (b >> 32) + (m1 >> 32) + (m2 >> 32));
#endif
}

static inline void name_begin(struct framer *f)
{
	f->name_sum = hash_key[0];
	f->name_word = 0;
	f->word_len = 0;
}

/* Adds bytes to the hash. Whatever the pieces, the same words are mixed. */
static inline void name_add(struct framer *f, const uint8_t *p, const uint8_t *end)
{
	uint64_t sum = f->name_sum, word = f->name_word;
	unsigned len = f->word_len;

	for (; p < end; p++) {
		word |= (uint64_t)*p << (8 * len);
		if (++len == 8) {
			sum = multiply_fold(sum ^ word, hash_key[1]);
			word = 0;
			len = 0;
		}
	}
	f->name_sum = sum;
	f->name_word = word;
	f->word_len = (uint8_t)len;
}

/* Names contain no NUL, so the zeros behind the last word's bytes say its length. */
static inline uint32_t name_finish(const struct framer *f)
{
	uint64_t sum = multiply_fold(f->name_sum ^ f->name_word, hash_key[1]);

	return (uint32_t)(sum ^ sum >> 32);
}

/* RFC 3629 and XML's Char: what may follow this lead byte. False if nothing. */
static bool utf8_begin(struct framer *f, uint8_t c)
{
	f->utf8_lead = c;
	f->utf8_low = 0x80;
	f->utf8_high = 0xbf;
	if (c < 0xc2 || c > 0xf4)
		return false;
	f->utf8_need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	if (c == 0xe0)
		f->utf8_low = 0xa0; /* overlong */
	else if (c == 0xed)
		f->utf8_high = 0x9f; /* surrogates */
	else if (c == 0xf0)
		f->utf8_low = 0x90;
	else if (c == 0xf4)
		f->utf8_high = 0x8f; /* above U+10FFFF */
	return true;
}

/* Takes characters above U+007F, and the rest of one; false after a failure. */
static bool utf8_run(struct framer *f, struct input *in)
{
	const uint8_t *p = in->p, *end = in->end;

	for (; p < end; p++) {
		if (!f->utf8_need) {
			if (*p < 0x80)
				break;
			if (!utf8_begin(f, *p))
				goto bad;
			continue;
		}
		if (*p < f->utf8_low || *p > f->utf8_high)
			goto bad;
		f->utf8_need--;
		f->utf8_low = 0x80;
		/* U+FFFE and U+FFFF are EF BF BE and EF BF BF. */
		f->utf8_high = f->utf8_lead == 0xef && *p == 0xbf ? 0xbd : 0xbf;
	}
	in->p = p;
	return true;
bad:
	in->p = p;
	refuse(f, ERR_WELL_FORMED);
	return false;
}

static inline void tag_begin(struct framer *f, struct input *in)
{
	in->tag = in->p++;
	f->tag_len = 0;
	f->attributes = 0;
	f->x_attr = false;
	f->state = ST_LESS;
}

/* Adds the bytes up to in->p to tag_len. */
static void reference_begin(struct framer *f, struct input *in, enum state after)
{
	in->p++;
	f->after = (uint8_t)after;
	f->ref_len = 0;
	f->ref_value = 0;
	f->state = ST_REFERENCE;
}

static void read_outside(struct framer *f, struct input *in)
{
	uint8_t c;

	do {
		c = *in->p;
		if (!is_space(c))
			break;
		if (f->state == ST_START)
			f->state = ST_BETWEEN; /* an XML declaration would have to come first */
	} while (++in->p < in->end);
	if (in->p == in->end)
		return;
	if (c == '<' && f->state != ST_CLOSED) {
		f->match = f->state == ST_START || (f->depth == 1 && f->restart);
		tag_begin(f, in);
		return;
	}
	/* Characters at stream level are the wrong format, unless they are none at all. */
	if (f->depth == 0 || c < 0x20 || (c >= 0x80 && (c < 0xc2 || c > 0xf4)))
		refuse(f, ERR_WELL_FORMED);
	else
		refuse(f, ERR_BAD_FORMAT);
}

/* A run of ]: true if its end allows to go on in the same state. */
static inline bool brackets(struct framer *f, struct input *in)
{
	while (in->p < in->end && *in->p == ']') {
		f->match = f->match ? 2 : 1;
		in->p++;
	}
	if (in->p == in->end)
		return false;
	if (f->match == 2 && *in->p == '>') {
		if (f->state == ST_CDATA) {
			in->p++;
			f->state = ST_TEXT;
		} else {
			refuse(f, ERR_WELL_FORMED);
		}
		f->match = 0;
		return false;
	}
	f->match = 0;
	return true;
}

static inline void read_text(struct framer *f, struct input *in)
{
	while (in->p < in->end) {
		if (f->utf8_need && !utf8_run(f, in))
			return;
		if (f->match && !brackets(f, in))
			return;
		in->p = scan_special(in->p, in->end, '<', '&', ']');
		if (in->p == in->end)
			return;
		if (*in->p == '<') {
			tag_begin(f, in);
			return;
		}
		if (*in->p >= 0x80) {
			if (!utf8_run(f, in))
				return;
		} else if (is_space(*in->p)) {
			in->p++;
		} else if (*in->p == ']') {
			f->match = 1;
			in->p++;
		} else if (*in->p == '&') {
			reference_begin(f, in, ST_TEXT);
			return;
		} else {
			refuse(f, ERR_WELL_FORMED);
			return;
		}
	}
}

static void read_cdata(struct framer *f, struct input *in)
{
	while (in->p < in->end) {
		if (f->utf8_need && !utf8_run(f, in))
			return;
		if (f->match && !brackets(f, in))
			return;
		in->p = scan_special(in->p, in->end, ']', ']', ']');
		if (in->p == in->end)
			return;
		if (*in->p >= 0x80) {
			if (!utf8_run(f, in))
				return;
		} else if (is_space(*in->p)) {
			in->p++;
		} else if (*in->p == ']') {
			f->match = 1;
			in->p++;
		} else {
			refuse(f, ERR_WELL_FORMED);
			return;
		}
	}
}

/* Takes the bytes of a name; true if it ended, in->p behind it. */
static inline bool skip_name(struct framer *f, struct input *in)
{
	const uint8_t *p = in->p, *end = in->end;

	for (;;) {
		if (UNLIKELY(f->utf8_need || (p < end && *p >= 0x80))) {
			in->p = p;
			if (!utf8_run(f, in))
				return false;
			p = in->p;
		}
		while (p < end && (framer_classes[*p] & CLASS_NAME))
			p++;
		if (p == end || *p < 0x80)
			break;
	}
	in->p = p;
	return p < end;
}

static inline void read_name(struct framer *f, struct input *in)
{
	const uint8_t *from = in->p;
	bool ended = skip_name(f, in);

	name_add(f, from, in->p);
	if (!ended)
		return;
	f->name_hash = name_finish(f);
	f->header =
		f->depth == 0 || (f->depth == 1 && f->restart && f->name_hash == f->stream_name);
	f->state = ST_SPACE_DUE;
}

static void read_less(struct framer *f, struct input *in)
{
	uint8_t c = *in->p;
	/* Only read_outside() leaves a mark that an XML declaration may come. */
	bool declaration = f->match;

	f->match = 0;
	if (c == '/' && f->depth > 0) {
		in->p++;
		f->state = ST_END_FIRST;
	} else if (c == '!') {
		in->p++;
		f->state = ST_BANG;
	} else if (c == '?') {
		if (!declaration) {
			refuse(f, ERR_RESTRICTED);
			return;
		}
		in->p++;
		f->state = ST_DECL_KEY;
	} else if (framer_classes[c] & CLASS_FIRST) {
		name_begin(f);
		f->state = ST_NAME;
		read_name(f, in);
	} else {
		refuse(f, ERR_WELL_FORMED);
	}
}

static void read_bang(struct framer *f, struct input *in)
{
	static const char key[] = "[CDATA[";
	uint8_t c = *in->p;

	if (f->state == ST_BANG) {
		if (c == '-' || c == 'D') {
			refuse(f, ERR_RESTRICTED);
			return;
		}
		f->state = ST_CDATA_KEY;
	}
	if (c != (uint8_t)key[f->match]) {
		refuse(f, ERR_WELL_FORMED);
		return;
	}
	if (f->depth < 2) {
		refuse(f, f->depth ? ERR_BAD_FORMAT : ERR_WELL_FORMED);
		return;
	}
	in->p++;
	if (++f->match == sizeof(key) - 1) {
		tag_count(f, in);
		f->match = 0;
		f->state = ST_CDATA;
	}
}

/* Keeps an element's name until its end tag; false after a failure. */
static inline bool push(struct framer *f)
{
	uint32_t at = f->depth - 1;

	if (f->depth == UINT32_MAX) {
		refuse(f, ERR_TOO_BIG);
		return false;
	}
	if (LIKELY(at < FRAMER_STACK_INLINE)) {
		f->inline_stack[at] = f->name_hash;
	} else if (at < FRAMER_STACK_MAX) {
		if (!f->stack)
			f->stack = malloc((FRAMER_STACK_MAX - FRAMER_STACK_INLINE) *
					  sizeof(*f->stack));
		if (!f->stack) {
			refuse(f, ERR_NOMEM);
			return false;
		}
		f->stack[at - FRAMER_STACK_INLINE] = f->name_hash;
	}
	f->depth++;
	return true;
}

/* In front of a start tag's >. */
static inline void start_tag_end(struct framer *f, struct input *in, bool empty)
{
	if (f->header) {
		f->depth = 1;
		f->stream_name = f->name_hash;
		f->restart = false;
		f->state = empty ? ST_PENDING_CLOSE : ST_BETWEEN;
		f->event = FRAMER_HEADER;
	} else if (f->depth == 1) {
		if (!empty && !push(f))
			return;
		f->restart = false;
		f->first_child = true;
		f->state = empty ? ST_PENDING_END : ST_TEXT;
		f->event = FRAMER_START;
	} else {
		if (f->max_depth < f->depth)
			f->max_depth = f->depth;
		if (f->depth == 2 && f->first_child) {
			f->first_child = false;
			f->event = FRAMER_CHILD;
		}
		if (!empty && !push(f))
			return;
		f->state = ST_TEXT;
	}
	if (f->event == FRAMER_HEADER || f->event == FRAMER_START) {
		f->elements = 0;
		f->max_depth = 1;
		f->max_attributes = 0;
	}
	f->elements += f->elements < UINT32_MAX;
	if (f->max_attributes < f->attributes)
		f->max_attributes = f->attributes;
	in->p++;
	tag_count(f, in);
}

static inline void read_value(struct framer *f, struct input *in)
{
	while (in->p < in->end) {
		if (f->utf8_need && !utf8_run(f, in))
			return;
		in->p = scan_special(in->p, in->end, f->quote, '<', '&');
		if (in->p == in->end)
			return;
		if (*in->p == f->quote) {
			in->p++;
			f->state = ST_SPACE_DUE;
			return;
		}
		if (*in->p >= 0x80) {
			if (!utf8_run(f, in))
				return;
		} else if (is_space(*in->p)) {
			in->p++;
		} else if (*in->p == '&') {
			reference_begin(f, in, ST_VALUE);
			return;
		} else {
			refuse(f, ERR_WELL_FORMED);
			return;
		}
	}
}

/* Between an attribute's name and its value. */
static inline void read_equals(struct framer *f, struct input *in)
{
	while (in->p < in->end) {
		uint8_t c = *in->p;

		if (f->state == ST_EQUALS && c == '=') {
			f->state = ST_QUOTE;
		} else if (f->state == ST_QUOTE && (c == '\'' || c == '"')) {
			in->p++;
			f->quote = c;
			f->state = ST_VALUE;
			read_value(f, in);
			return;
		} else if (!is_space(c)) {
			refuse(f, ERR_WELL_FORMED);
			return;
		}
		in->p++;
	}
}

static inline void read_attr(struct framer *f, struct input *in)
{
	if (!skip_name(f, in))
		return;
	f->state = ST_EQUALS;
	read_equals(f, in);
}

/* Inside a start tag, outside of attributes. */
static inline void read_tag(struct framer *f, struct input *in)
{
	while (in->p < in->end && is_space(*in->p)) {
		f->state = ST_SPACE;
		in->p++;
	}
	if (in->p == in->end)
		return;
	if (*in->p == '>') {
		start_tag_end(f, in, false);
	} else if (*in->p == '/') {
		in->p++;
		f->state = ST_SLASH;
	} else if (f->state == ST_SPACE && (framer_classes[*in->p] & CLASS_FIRST)) {
		f->attributes += f->attributes < UINT16_MAX;
		f->x_attr |= *in->p == 'x';
		f->state = ST_ATTR;
		read_attr(f, in);
	} else {
		refuse(f, ERR_WELL_FORMED);
	}
}

/* Whether the end tag's name is that of the innermost open element. */
static inline bool name_matches(const struct framer *f)
{
	uint32_t at = f->depth - 2;

	if (f->depth == 1)
		return f->name_hash == f->stream_name;
	if (at < FRAMER_STACK_INLINE)
		return f->name_hash == f->inline_stack[at];
	return at >= FRAMER_STACK_MAX || f->name_hash == f->stack[at - FRAMER_STACK_INLINE];
}

static inline void read_end_space(struct framer *f, struct input *in)
{
	while (in->p < in->end && is_space(*in->p))
		in->p++;
	if (in->p == in->end)
		return;
	if (*in->p != '>') {
		refuse(f, ERR_WELL_FORMED);
		return;
	}
	in->p++;
	tag_count(f, in);
	f->state = ST_TEXT;
	if (--f->depth == 1) {
		free(f->stack);
		f->stack = NULL;
		f->state = ST_BETWEEN;
		f->event = FRAMER_END;
	} else if (f->depth == 0) {
		f->state = ST_CLOSED;
		f->event = FRAMER_CLOSE;
	}
}

static inline void read_end_name(struct framer *f, struct input *in)
{
	const uint8_t *from = in->p;
	bool ended;

	if (f->state == ST_END_FIRST) {
		if (!(framer_classes[*in->p] & CLASS_FIRST)) {
			refuse(f, ERR_WELL_FORMED);
			return;
		}
		name_begin(f);
		f->state = ST_END_NAME;
	}
	ended = skip_name(f, in);
	name_add(f, from, in->p);
	if (!ended)
		return;
	f->name_hash = name_finish(f);
	if (!name_matches(f)) {
		refuse(f, ERR_WELL_FORMED);
		return;
	}
	f->state = ST_END_SPACE;
	read_end_space(f, in);
}

static void read_slash(struct framer *f, struct input *in)
{
	if (*in->p == '>')
		start_tag_end(f, in, true);
	else
		refuse(f, ERR_WELL_FORMED);
}

/* An end that takes no bytes of its own. */
static bool pending(struct framer *f)
{
	if (f->state == ST_PENDING_END) {
		f->state = ST_BETWEEN;
		f->event = FRAMER_END;
		return true;
	}
	if (f->state == ST_PENDING_CLOSE) {
		f->state = ST_CLOSED;
		f->depth = 0;
		f->event = FRAMER_CLOSE;
		return true;
	}
	return false;
}

static inline void step(struct framer *f, struct input *in)
{
	switch ((enum state)f->state) {
	case ST_START:
	case ST_BETWEEN:
	case ST_CLOSED:
		read_outside(f, in);
		break;
	case ST_TEXT:
		read_text(f, in);
		break;
	case ST_CDATA:
		read_cdata(f, in);
		break;
	case ST_REFERENCE:
		framer_read_reference(f, in);
		break;
	case ST_CHAR_REF:
	case ST_DECIMAL:
	case ST_HEX:
		framer_read_char_ref(f, in);
		break;
	case ST_LESS:
		read_less(f, in);
		break;
	case ST_BANG:
	case ST_CDATA_KEY:
		read_bang(f, in);
		break;
	case ST_NAME:
		read_name(f, in);
		break;
	case ST_SPACE_DUE:
	case ST_SPACE:
		read_tag(f, in);
		break;
	case ST_ATTR:
		read_attr(f, in);
		break;
	case ST_EQUALS:
	case ST_QUOTE:
		read_equals(f, in);
		break;
	case ST_VALUE:
		read_value(f, in);
		break;
	case ST_SLASH:
		read_slash(f, in);
		break;
	case ST_END_FIRST:
	case ST_END_NAME:
		read_end_name(f, in);
		break;
	case ST_END_SPACE:
		read_end_space(f, in);
		break;
	case ST_DECL_KEY:
	case ST_DECL_DUE:
	case ST_DECL_SPACE:
	case ST_DECL_ATTR:
	case ST_DECL_EQUALS:
	case ST_DECL_QUOTE:
	case ST_DECL_VALUE:
	case ST_DECL_END:
		framer_read_decl(f, in);
		break;
	case ST_PENDING_END:
	case ST_PENDING_CLOSE:
	case ST_ERROR:
		BUG(); /* framer_feed() does not come here with them */
	}
}

void framer_init(struct framer *f)
{
	*f = (struct framer){ .state = ST_START };
	if (!hash_key[1]) {
		hash_random(hash_key, sizeof(hash_key));
		hash_key[1] |= 1;
	}
}

void framer_fini(struct framer *f)
{
	free(f->stack);
	f->stack = NULL;
	f->state = ST_ERROR;
}

size_t framer_feed(struct framer *f, const uint8_t *p, size_t len, enum framer_event *event)
{
	struct input in = { .p = p, .end = p + len, .tag = p };

	if (f->state == ST_ERROR) {
		*event = FRAMER_ERROR;
		return 0;
	}
	f->event = FRAMER_MORE;
	if (!pending(f)) {
		while (in.p < in.end && f->event == FRAMER_MORE)
			step(f, &in);
		if (framer_in_tag(f))
			tag_count(f, &in);
	}
	*event = f->event;
	return (size_t)(in.p - p);
}

void framer_allow_restart(struct framer *f, bool allowed)
{
	f->restart = allowed;
}

bool framer_in_tag(const struct framer *f)
{
	if (f->state >= ST_REFERENCE && f->state <= ST_HEX)
		return f->after == ST_VALUE;
	return f->state >= ST_LESS;
}

bool framer_between(const struct framer *f)
{
	return f->state == ST_START || f->state == ST_BETWEEN;
}
