/* SPDX-License-Identifier: MIT */
/*
 * framer-rare - the framer's states for references and for the XML declaration.
 *
 * Byte by byte: nobody sends many of these. The invariants are framer.c's.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "xmpp/framer-state.h"

/* --- references ------------------------------------------------------------------------ */

void framer_read_reference(struct framer *f, struct input *in)
{
	static const char names[][5] = { "lt", "gt", "amp", "quot", "apos" };
	uint8_t c = *in->p;
	size_t i;

	if (c == '#' && !f->ref_len) {
		in->p++;
		f->state = ST_CHAR_REF;
		return;
	}
	if (c == ';' && f->ref_len) {
		for (i = 0; i < ARRAY_SIZE(names); i++) {
			if (f->ref_len == strnlen(names[i], sizeof(names[i])) &&
			    !memcmp(f->ref, names[i], f->ref_len)) {
				in->p++;
				f->state = f->after;
				return;
			}
		}
		refuse(f, ERR_RESTRICTED);
		return;
	}
	if (!(framer_classes[c] & (f->ref_len ? CLASS_NAME | CLASS_FIRST : CLASS_FIRST))) {
		refuse(f, ERR_WELL_FORMED);
	} else if (f->ref_len == 4) {
		refuse(f, ERR_RESTRICTED); /* longer than any that is known */
	} else {
		f->ref[f->ref_len++] = (char)c;
		in->p++;
	}
}

static bool is_xml_char(uint32_t c)
{
	return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) ||
	       (c >= 0xe000 && c < 0xfffe) || (c >= 0x10000 && c < 0x110000);
}

void framer_read_char_ref(struct framer *f, struct input *in)
{
	uint8_t c = *in->p;
	unsigned digit;

	if (f->state == ST_CHAR_REF) {
		f->state = ST_DECIMAL;
		if (c == 'x') {
			f->state = ST_HEX;
			in->p++;
			return;
		}
	}
	if (c == ';' && f->ref_len && is_xml_char(f->ref_value)) {
		in->p++;
		f->state = f->after;
		return;
	}
	if (c >= '0' && c <= '9') {
		digit = c - '0';
	} else if (f->state == ST_HEX && (c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
		digit = (c | 0x20) - 'a' + 10U;
	} else {
		refuse(f, ERR_WELL_FORMED);
		return;
	}
	f->ref_len = 1;
	f->ref_value = f->ref_value * (f->state == ST_HEX ? 16 : 10) + digit;
	f->ref_value = MIN_OF(f->ref_value, 0x110000U); /* leading zeros are legal in any number */
	in->p++;
}

/* --- the XML declaration --------------------------------------------------------------- */

/* Anything but <?xml and white space is a processing instruction. */
static void decl_keyword(struct framer *f, struct input *in)
{
	if (f->match < 3 && *in->p == (uint8_t) "xml"[f->match]) {
		in->p++;
		f->match++;
	} else if (f->match == 3 && is_space(*in->p)) {
		f->match = 0;
		f->state = ST_DECL_DUE;
	} else {
		refuse(f, ERR_RESTRICTED);
	}
}

/* f->ref holds an attribute's name: f->match becomes its place (1 to 3), which must grow. */
static bool decl_attr(struct framer *f)
{
	static const char names[][11] = { "version", "encoding", "standalone" };
	uint8_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (strncmp(names[i], f->ref, sizeof(f->ref)))
			continue;
		if (i < f->match || (i > 0 && !f->match))
			return false;
		f->match = i + 1;
		return true;
	}
	return false;
}

static int decl_value_error(const struct framer *f)
{
	return f->match == 1 ? ERR_VERSION : f->match == 2 ? ERR_ENCODING : ERR_WELL_FORMED;
}

static bool decl_value(const struct framer *f)
{
	if (f->match == 1)
		return !strcmp(f->ref, "1.0");
	if (f->match == 2)
		return !strcasecmp(f->ref, "utf-8");
	return !strcmp(f->ref, "yes") || !strcmp(f->ref, "no");
}

/* Collects a name or value in f->ref, which keeps a NUL; false after a failure. */
static bool decl_collect(struct framer *f, struct input *in, int error)
{
	if (!(framer_classes[*in->p] & CLASS_NAME))
		refuse(f, ERR_WELL_FORMED);
	else if (f->ref_len == sizeof(f->ref) - 1)
		refuse(f, error);
	else {
		f->ref[f->ref_len++] = (char)*in->p++;
		return true;
	}
	return false;
}

static void decl_collect_begin(struct framer *f, enum state state)
{
	memset(f->ref, 0, sizeof(f->ref));
	f->ref_len = 0;
	f->state = (uint8_t)state;
}

/* Inside the XML declaration, outside of its attributes; one byte. */
static void decl_between(struct framer *f, struct input *in)
{
	uint8_t c = *in->p;

	if (is_space(c)) {
		in->p++;
		f->state = ST_DECL_SPACE;
	} else if (c == '?' && f->match) {
		in->p++;
		f->state = ST_DECL_END;
	} else if (c != '?' && f->state == ST_DECL_SPACE) {
		decl_collect_begin(f, ST_DECL_ATTR);
	} else {
		refuse(f, ERR_WELL_FORMED);
	}
}

/* One byte of <?xml version='1.0' encoding='UTF-8' standalone='yes'?>. */
void framer_read_decl(struct framer *f, struct input *in)
{
	uint8_t c = *in->p;

	if (f->state == ST_DECL_KEY) {
		decl_keyword(f, in);
	} else if (f->state == ST_DECL_DUE || f->state == ST_DECL_SPACE) {
		decl_between(f, in);
	} else if (f->state == ST_DECL_ATTR && (is_space(c) || c == '=')) {
		f->state = ST_DECL_EQUALS;
		if (!decl_attr(f))
			refuse(f, ERR_WELL_FORMED);
	} else if (f->state == ST_DECL_ATTR) {
		(void)decl_collect(f, in, ERR_WELL_FORMED);
	} else if (f->state == ST_DECL_VALUE && c == f->quote) {
		in->p++;
		f->state = ST_DECL_DUE;
		if (!decl_value(f)) {
			in->p--;
			refuse(f, decl_value_error(f));
		}
	} else if (f->state == ST_DECL_VALUE) {
		(void)decl_collect(f, in, decl_value_error(f));
	} else if (f->state == ST_DECL_EQUALS && c == '=') {
		in->p++;
		f->state = ST_DECL_QUOTE;
	} else if (f->state == ST_DECL_QUOTE && (c == '\'' || c == '"')) {
		in->p++;
		f->quote = c;
		decl_collect_begin(f, ST_DECL_VALUE);
	} else if (f->state == ST_DECL_END && c == '>') {
		/* A header must follow now, whatever was there before (RFC 6120 4.3.3). */
		in->p++;
		tag_count(f, in);
		f->match = 0;
		f->depth = 0;
		f->state = ST_BETWEEN;
	} else if (f->state != ST_DECL_END && is_space(c)) {
		in->p++;
	} else {
		refuse(f, ERR_WELL_FORMED);
	}
}
