/* SPDX-License-Identifier: MIT */
/*
 * Covers framer and scan: the table of security.md 4.2 and more, each case at every split
 * into two pieces and byte by byte, with the same events at the same places; agreement with
 * libxml2; counters; restarts; the deep stack, also without memory. Random bytes are
 * tests/fuzz/fuzz_framer.c's.
 */
#include "config.h"

#include "unit.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

static bool malloc_fails;

static void *framer_malloc(size_t n)
{
	return malloc_fails ? NULL : malloc(n);
}

/* The framer's own source, to make its malloc fail. */
#define malloc framer_malloc
#include "../../src/xmpp/framer.c"
#undef malloc

#define HEADER "<s:s xmlns='c' xmlns:s='S'>"

enum {
	ALONE = 1, /* no header in front */
	OPEN = 2,  /* not finished, or libxml2 sees more than a framer does */
};

struct sample {
	const char *bytes;
	size_t len;
	const char *events; /* H, S, C, E, X and ! */
	int error;
	int flags;
};

#define OK(bytes, events)                              \
	{                                              \
		bytes, sizeof(bytes) - 1, events, 0, 0 \
	}
#define BAD(bytes, events, error)                                    \
	{                                                            \
		bytes, sizeof(bytes) - 1, events "!", ERR_##error, 0 \
	}
#define OK_ALONE(bytes, events)                            \
	{                                                  \
		bytes, sizeof(bytes) - 1, events, 0, ALONE \
	}
#define BAD_ALONE(bytes, events, error)                                  \
	{                                                                \
		bytes, sizeof(bytes) - 1, events "!", ERR_##error, ALONE \
	}
#define OK_OPEN(bytes, events)                            \
	{                                                 \
		bytes, sizeof(bytes) - 1, events, 0, OPEN \
	}

static const struct sample samples[] = {
	OK("<m/>", "HSE"),
	OK("<m></m>", "HSE"),
	OK("<m ></m >", "HSE"),
	OK("<m a='1'\t\r\n b = \"2'>\" />", "HSE"),
	OK("<m><a/><b><c/></b></m><n><o/></n>", "HSCESCE"),
	OK("<m>t<a>]]</a>]>]]&gt;]&#93;></m>", "HSCE"),
	OK("<m>\n\t\r x \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f \xef\xbb\xbf</m>", "HSE"),
	OK("<m a='\xc3\xa9>\xf4\x8f\xbf\xbf]]>'/>", "HSE"),
	OK("<m>\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xf0\x90\x80\x80</m>", "HSE"),
	OK("<m>&lt;&gt;&amp;&quot;&apos;&#9;&#x10FFFF;&#x000000000000041;&#0065;</m>", "HSE"),
	OK("<m a='&lt;&#x41;&#39;'/>", "HSE"),
	OK("<m><![CDATA[<x>&foo;]]]]></m>", "HSE"),
	OK("<m><![CDATA[]]>]]<![CDATA[\xc3\xa9]> ]]></m>", "HSE"),
	OK("<a><b><c><d><e><f><g><h><i><j/></i></h></g></f></e></d></c></b></a>", "HSCE"),
	OK("<\xc3\xa9l\xc3\xa9ment \xc3\xa9='1'></\xc3\xa9l\xc3\xa9ment>", "HSE"),
	OK(" \n\t\r<m/> <n/>\n", "HSESE"),
	OK("<iq>some text<a b='c'>x</a><d/></iq>", "HSCE"),
	OK("<abcdefgh></abcdefgh><abcdefghijklmnopq></abcdefghijklmnopq>", "HSESE"),
	/* What only units that are parsed show (design.md 3). */
	OK_OPEN("<x:m/>", "HSE"),
	OK_OPEN("<m a='1' a='2'/>", "HSE"),
	OK_OPEN("<m xmlns:p='u' xmlns:q='u' p:a='1' q:a='2'/>", "HSE"),
	OK_OPEN("<s:b:c/>", "HSE"),
	OK_OPEN("<:a/>", "HSE"),
	/* Not finished. */
	OK_OPEN("<m a='x>", "H"),
	OK_OPEN("<m", "H"),
	OK_OPEN("<m>&am", "HS"),
	OK_OPEN("<m>\xe2\x82", "HS"),
	OK_OPEN("<m>]]", "HS"),
	OK_OPEN("<m><![CDATA[]]", "HS"),
	OK_OPEN("</s:s> \n", "HX"),
	/* Lead bytes that would swallow markup (CVE-2022-25235). */
	BAD("<m>\xEB<>x</m><m2/>", "HS", WELL_FORMED),
	BAD("<aaa\xEB/><m2/>", "H", WELL_FORMED),
	BAD("<aaa\xEB\x3E\x3C><m2/>", "H", WELL_FORMED),
	BAD("<a b='\xEB'><'/><m2/>", "H", WELL_FORMED),
	BAD("<m>\xC0\xBC</m>", "HS", WELL_FORMED),
	BAD("<m>\xE0\x80\xBC</m>", "HS", WELL_FORMED),
	BAD("<m>\xF0\x80\x80\xBC</m>", "HS", WELL_FORMED),
	BAD("<m>\x80</m>", "HS", WELL_FORMED),
	BAD("<m>\xED\xA0\x80</m>", "HS", WELL_FORMED),
	BAD("<m>\xF4\x90\x80\x80</m>", "HS", WELL_FORMED),
	BAD("<m>\xF5\x80\x80\x80</m>", "HS", WELL_FORMED),
	BAD("<m>\xFF</m>", "HS", WELL_FORMED),
	BAD("<m>\xEF\xBF\xBE</m>", "HS", WELL_FORMED),
	BAD("<m a='\xEF\xBF\xBF'/>", "H", WELL_FORMED),
	BAD("<m>\xE2\x82</m>", "HS", WELL_FORMED),
	BAD("<m>\xE2\x82&amp;</m>", "HS", WELL_FORMED),
	BAD("<m>a\0b</m>", "HS", WELL_FORMED),
	BAD("<m>\x01</m>", "HS", WELL_FORMED),
	BAD("<m a='\x01'/>", "H", WELL_FORMED),
	BAD("<m><![CDATA[\x1f]]></m>", "HS", WELL_FORMED),
	BAD("<m>&#0;</m>", "HS", WELL_FORMED),
	BAD("<m>&#1;</m>", "HS", WELL_FORMED),
	BAD("<m>&#xD800;</m>", "HS", WELL_FORMED),
	BAD("<m>&#xFFFE;</m>", "HS", WELL_FORMED),
	BAD("<m>&#x110000;</m>", "HS", WELL_FORMED),
	BAD("<m>&#4294967361;</m>", "HS", WELL_FORMED), /* 2^32 + 65 */
	BAD("<m>&#;</m>", "HS", WELL_FORMED),
	BAD("<m>&#x;</m>", "HS", WELL_FORMED),
	BAD("<m>&#X41;</m>", "HS", WELL_FORMED),
	BAD("<m>&#4a;</m>", "HS", WELL_FORMED),
	BAD("<m>& </m>", "HS", WELL_FORMED),
	BAD("<m>&;</m>", "HS", WELL_FORMED),
	BAD("<m>&lt </m>", "HS", WELL_FORMED),
	BAD("<m>&l<a/>", "HS", WELL_FORMED),
	BAD("<m a='&'/>", "H", WELL_FORMED),
	BAD("<m>&foo;</m>", "HS", RESTRICTED),
	BAD("<m a='&foo;'/>", "H", RESTRICTED),
	BAD("<m>&lta;</m>", "HS", RESTRICTED),
	BAD("<m>&LT;</m>", "HS", RESTRICTED),
	BAD("<m>&longer;</m>", "HS", RESTRICTED),
	BAD("<m><!--x--></m>", "HS", RESTRICTED),
	BAD("<!--x-->", "H", RESTRICTED),
	BAD("<m><?x y?></m>", "HS", RESTRICTED),
	BAD("<?x y?>", "H", RESTRICTED),
	BAD("<?xml version='1.0'?><m/>", "H", RESTRICTED),
	BAD("<!DOCTYPE s><m/>", "H", RESTRICTED),
	BAD("<m><!DOCTYPE s></m>", "HS", RESTRICTED),
	BAD("<m><!ELEMENT s></m>", "HS", WELL_FORMED),
	BAD("<m><![CDAT[x]]></m>", "HS", WELL_FORMED),
	BAD("<![CDATA[x]]>", "H", BAD_FORMAT),
	BAD("<m>]]></m>", "HS", WELL_FORMED),
	BAD("<m>]]]></m>", "HS", WELL_FORMED),
	BAD("x<m/>", "H", BAD_FORMAT),
	BAD("&#32;<m/>", "H", BAD_FORMAT),
	BAD("<m/>\xc3\xa9", "HSE", BAD_FORMAT),
	BAD("<m/>\x80", "HSE", WELL_FORMED),
	BAD("<m/>\x01", "HSE", WELL_FORMED),
	BAD("<m a='<'/>", "H", WELL_FORMED),
	BAD("<m a='1'b='2'/>", "H", WELL_FORMED),
	BAD("<m a=1/>", "H", WELL_FORMED),
	BAD("<m a/>", "H", WELL_FORMED),
	BAD("<m a=/>", "H", WELL_FORMED),
	BAD("<m ='1'/>", "H", WELL_FORMED),
	BAD("<m 1='1'/>", "H", WELL_FORMED),
	BAD("<m / >", "H", WELL_FORMED),
	BAD("<m/ >", "H", WELL_FORMED),
	BAD("< m/>", "H", WELL_FORMED),
	BAD("<1m/>", "H", WELL_FORMED),
	BAD("<m@/>", "H", WELL_FORMED),
	BAD("<>", "H", WELL_FORMED),
	BAD("<m\x7f/>", "H", WELL_FORMED),
	BAD("<m></n>", "HS", WELL_FORMED),
	BAD("<m></M>", "HS", WELL_FORMED),
	BAD("<m></mm>", "HS", WELL_FORMED),
	BAD("<abcdefgh></abcdefghi>", "HS", WELL_FORMED),
	BAD("<m><a></m></a>", "HSC", WELL_FORMED),
	BAD("<m></ m>", "HS", WELL_FORMED),
	BAD("<m></m a='1'>", "HS", WELL_FORMED),
	BAD("<m></m/>", "HS", WELL_FORMED),
	BAD("</m>", "H", WELL_FORMED),
	BAD("<m></s:s>", "HS", WELL_FORMED),
	BAD("</s:s><m2/>", "HX", WELL_FORMED),
	BAD("</s:s>x", "HX", WELL_FORMED),
	BAD("</s:s></s:s>", "HX", WELL_FORMED),
	OK_ALONE("<?xml version='1.0'?><s/>", "HX"),
	OK_ALONE("<?xml version=\"1.0\" encoding='utf-8' standalone='no' ?>\n<s></s>", "HX"),
	OK_ALONE("<?xml\tversion = '1.0' standalone=\"yes\"?><s></s>", "HX"),
	OK_ALONE(" \n<s a='1'><m/></s>", "HSEX"),
	BAD_ALONE(" <?xml version='1.0'?><s>", "", RESTRICTED),
	BAD_ALONE("<?xml version='1.0'?><?xml version='1.0'?><s>", "", RESTRICTED),
	BAD_ALONE("<?xml version='1.1'?><s>&#1;", "", VERSION),
	BAD_ALONE("<?xml version='2.0'?><s>", "", VERSION),
	BAD_ALONE("<?xml version='1.0000000000000'?><s>", "", VERSION),
	BAD_ALONE("<?xml version=''?><s>", "", VERSION),
	BAD_ALONE("<?xml version='1.0' encoding='ISO-8859-1'?><s>", "", ENCODING),
	BAD_ALONE("<?xml version='1.0' encoding='UTF-7'?><s>", "", ENCODING),
	BAD_ALONE("<?xml version='1.0' encoding='UTF-16'?><s>", "", ENCODING),
	BAD_ALONE("<?xml version='1.0' encoding='IBM037'?><s>", "", ENCODING),
	BAD_ALONE("<?xml encoding='UTF-8'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml encoding='UTF-8' version='1.0'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0' version='1.0'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0'encoding='UTF-8'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0' standalone='maybe'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0' standalone='no' encoding='UTF-8'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0' more='no'?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0' ><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml version='1.0'? ><s>", "", WELL_FORMED),
	BAD_ALONE("<?xml?><s>", "", RESTRICTED),
	BAD_ALONE("<?xml ?><s>", "", WELL_FORMED),
	BAD_ALONE("<?xmlx version='1.0'?><s>", "", RESTRICTED),
	BAD_ALONE("<?php x?><s>", "", RESTRICTED),
	BAD_ALONE("<!DOCTYPE s [<!ENTITY a 'b'>]><s><m>&a;</m>", "", RESTRICTED),
	BAD_ALONE("<!--x--><s>", "", RESTRICTED),
	BAD_ALONE("<![CDATA[x]]><s>", "", WELL_FORMED),
	BAD_ALONE("\xEF\xBB\xBF<s>", "", WELL_FORMED),
	BAD_ALONE("\xFF\xFE<\0s\0>\0", "", WELL_FORMED),
	BAD_ALONE("<\0s\0>\0", "", WELL_FORMED),
	BAD_ALONE("\x16\x03\x01", "", WELL_FORMED),
	BAD_ALONE("GET / HTTP/1.1\r\n", "", WELL_FORMED),
	BAD_ALONE("</s>", "", WELL_FORMED),
};

/* What happened where, as text; pieces end at these offsets. */
struct story {
	char text[1024];
	char events[64];
	int error;
};

struct reader {
	struct framer f;
	struct story *story;
	size_t at;
	bool failed;
};

static void read_piece(struct reader *r, const char *bytes, size_t len)
{
	static const char letters[] = "-HSCEX!";
	enum framer_event event;
	size_t n;

	do {
		n = framer_feed(&r->f, (const uint8_t *)bytes, len, &event);
		assert_true(n <= len);
		assert_true(event != FRAMER_MORE || n == len);
		bytes += n;
		len -= n;
		r->at += n;
		if (event == FRAMER_MORE || r->failed)
			return;
		sprintf(r->story->text + strlen(r->story->text), "%c%zu ", letters[event], r->at);
		r->story->events[strlen(r->story->events)] = letters[event];
		r->failed = event == FRAMER_ERROR;
		r->story->error = framer_error(&r->f);
	} while (!r->failed);
}

/* Feeds pieces of at most `first`, then at most `rest` bytes, from exact allocations. */
static void tell(struct story *s, const char *bytes, size_t len, size_t first, size_t rest)
{
	struct reader r = { .story = s };
	size_t n = MIN_OF(first, len);

	memset(s, 0, sizeof(*s));
	framer_init(&r.f);
	while (len) {
		char *piece = malloc(n + !n);

		assert_non_null(piece);
		memcpy(piece, bytes, n);
		read_piece(&r, piece, n);
		free(piece);
		bytes += n;
		len -= n;
		n = MIN_OF(rest, len);
	}
	sprintf(s->text + strlen(s->text), "| %u %u %u %u %d %d", r.f.depth, r.f.elements,
		r.f.max_depth, r.f.tag_len, framer_in_tag(&r.f), framer_between(&r.f));
	framer_fini(&r.f);
}

static void every_split_tells_the_same(void **state UNUSED)
{
	struct story whole, split;
	char bytes[512];
	size_t i, k, len;

	for (i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];

		len = s->flags & ALONE ? 0 : sizeof(HEADER) - 1;
		memcpy(bytes, HEADER, len);
		memcpy(bytes + len, s->bytes, s->len);
		len += s->len;
		tell(&whole, bytes, len, len, len);
		if (strcmp(whole.events, s->events) || whole.error != s->error)
			fail_msg("%s: %s %s", s->bytes, whole.text, err_str(whole.error));
		for (k = 0; k <= len; k++) {
			tell(&split, bytes, len, k, len);
			assert_string_equal(split.text, whole.text);
			assert_int_equal(split.error, whole.error);
		}
		for (k = 1; k < 18; k++) {
			tell(&split, bytes, len, k, k);
			assert_string_equal(split.text, whole.text);
			assert_int_equal(split.error, whole.error);
		}
	}
}

static void ignore_error(void *user UNUSED, xmlErrorPtr error UNUSED)
{
}

static void libxml2_agrees(void **state UNUSED)
{
	xmlSAXHandler sax = { .initialized = XML_SAX2_MAGIC, .serror = ignore_error };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		xmlParserCtxtPtr c;

		if (s->flags & OPEN || s->error == ERR_RESTRICTED || s->error == ERR_ENCODING ||
		    s->error == ERR_VERSION || s->error == ERR_BAD_FORMAT ||
		    (uint8_t)s->bytes[0] >= 0xef)
			continue; /* where XMPP is stricter than XML */
		c = xmlCreatePushParserCtxt(&sax, NULL, NULL, 0, NULL);
		assert_non_null(c);
		assert_int_equal(xmlSwitchEncoding(c, XML_CHAR_ENCODING_UTF8), 0);
		if (!(s->flags & ALONE))
			xmlParseChunk(c, HEADER, sizeof(HEADER) - 1, 0);
		xmlParseChunk(c, s->bytes, (int)s->len, 0);
		xmlParseChunk(c, "</s:s>", s->flags & ALONE ? 0 : 6, 1);
		if (c->wellFormed != !s->error)
			fail_msg("%s: libxml2 says %d", s->bytes, c->errNo);
		xmlFreeParserCtxt(c);
	}
}

static enum framer_event feed(struct framer *f, const char *text)
{
	enum framer_event event;

	(void)framer_feed(f, (const uint8_t *)text, strlen(text), &event);
	return event;
}

static void counters_count(void **state UNUSED)
{
	struct framer f;
	int i;

	framer_init(&f);
	assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
	assert_true(framer_between(&f));
	assert_int_equal(feed(&f, "<m a='1' b='2'"), FRAMER_MORE);
	assert_true(framer_in_tag(&f));
	assert_false(framer_between(&f));
	assert_int_equal(f.tag_len, 14);
	assert_int_equal(f.attributes, 2);
	assert_int_equal(feed(&f, ">"), FRAMER_START);
	assert_false(framer_in_tag(&f));
	assert_int_equal(f.tag_len, 15);
	assert_int_equal(feed(&f, "<x>"), FRAMER_CHILD);
	assert_int_equal(feed(&f, "<y p='' q='' r=''/>abc"), FRAMER_MORE);
	assert_int_equal(f.elements, 3);
	assert_int_equal(f.max_depth, 3);
	assert_int_equal(f.max_attributes, 3);
	assert_int_equal(feed(&f, "&amp"), FRAMER_MORE);
	assert_false(framer_in_tag(&f));
	assert_int_equal(feed(&f, ";<z a='&am"), FRAMER_MORE);
	assert_true(framer_in_tag(&f));
	assert_int_equal(f.tag_len, 9);
	assert_int_equal(feed(&f, "p;'/></x></m>"), FRAMER_END);
	assert_int_equal(f.elements, 4);
	assert_int_equal(feed(&f, "<n/>"), FRAMER_START);
	assert_int_equal(f.elements, 1);
	assert_int_equal(f.max_depth, 1);
	assert_int_equal(f.max_attributes, 0);
	assert_int_equal(feed(&f, ""), FRAMER_END);
	assert_false(framer_may_declare(&f));
	assert_int_equal(feed(&f, "<x xa='' b='xmlns'"), FRAMER_MORE);
	assert_int_equal(feed(&f, " c=''>"), FRAMER_START);
	assert_true(framer_may_declare(&f)); /* the name might be xmlns */
	assert_int_equal(feed(&f, "</x>"), FRAMER_END);
	assert_int_equal(feed(&f, "<n x"), FRAMER_MORE);
	assert_int_equal(feed(&f, "mlns='a'/>"), FRAMER_START);
	assert_true(framer_may_declare(&f));
	assert_int_equal(feed(&f, ""), FRAMER_END);
	assert_int_equal(feed(&f, "<n ax='xmlns' a:x=''/>"), FRAMER_START);
	assert_false(framer_may_declare(&f));
	assert_int_equal(feed(&f, ""), FRAMER_END);
	assert_int_equal(feed(&f, "<n"), FRAMER_MORE);
	for (i = 0; i < UINT16_MAX + 10; i++)
		assert_int_equal(feed(&f, " a=''"), FRAMER_MORE);
	assert_int_equal(f.attributes, UINT16_MAX);
	f.tag_len = UINT32_MAX - 2;
	assert_int_equal(feed(&f, " bcdef"), FRAMER_MORE);
	assert_int_equal(f.tag_len, UINT32_MAX);
	f.elements = UINT32_MAX;
	framer_fini(&f);
}

static void deep_names_are_checked(void **state UNUSED)
{
	unsigned depth, i;
	struct framer f;
	char tag[16];

	for (depth = 1; depth <= 100; depth++) {
		framer_init(&f);
		assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
		for (i = 1; i <= depth; i++) {
			sprintf(tag, "<e%u>", i);
			assert_int_not_equal(feed(&f, tag), FRAMER_ERROR);
		}
		assert_int_equal(f.max_depth, depth);
		/* The last one's name is known down to FRAMER_STACK_MAX. */
		assert_int_equal(feed(&f, "</wrong>"), depth <= FRAMER_STACK_MAX ? FRAMER_ERROR
						       : depth == 1              ? FRAMER_END
										 : FRAMER_MORE);
		for (i = depth - 1; i > 0 && depth > FRAMER_STACK_MAX; i--) {
			sprintf(tag, "</e%u>", i);
			assert_int_equal(feed(&f, tag), i == 1 ? FRAMER_END : FRAMER_MORE);
		}
		if (depth > FRAMER_STACK_MAX)
			assert_null(f.stack);
		framer_fini(&f);
	}
}

static void no_memory_is_an_error(void **state UNUSED)
{
	struct framer f;

	framer_init(&f);
	malloc_fails = true;
	assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
	assert_int_equal(feed(&f, "<a>"), FRAMER_START);
	assert_int_equal(feed(&f, "<b>"), FRAMER_CHILD);
	assert_int_equal(feed(&f, "<c><d><e><f><g><h>"), FRAMER_MORE);
	assert_int_equal(feed(&f, "<i>"), FRAMER_ERROR);
	malloc_fails = false;
	assert_int_equal(framer_error(&f), ERR_NOMEM);
	assert_int_equal(feed(&f, "<i>"), FRAMER_ERROR);
	framer_fini(&f);
}

static void depth_cannot_overflow(void **state UNUSED)
{
	struct framer f;

	framer_init(&f);
	assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
	assert_int_equal(feed(&f, "<a>"), FRAMER_START);
	f.depth = UINT32_MAX;
	assert_int_equal(feed(&f, "<b>"), FRAMER_ERROR);
	assert_int_equal(framer_error(&f), ERR_TOO_BIG);
	framer_fini(&f);
}

static void restarts_only_when_allowed(void **state UNUSED)
{
	struct framer f;

	framer_init(&f);
	assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
	/* Not allowed: an element like any other. */
	assert_int_equal(feed(&f, HEADER), FRAMER_START);
	assert_int_equal(feed(&f, "</s:s>"), FRAMER_END);
	framer_allow_restart(&f, true);
	assert_int_equal(feed(&f, " " HEADER), FRAMER_HEADER);
	assert_int_equal(f.depth, 1);
	/* A header uses the permission up. */
	assert_int_equal(feed(&f, HEADER "</s:s>"), FRAMER_START);
	assert_int_equal(feed(&f, "</s:s>"), FRAMER_END);
	framer_allow_restart(&f, true);
	assert_int_equal(feed(&f, "\n<?xml version='1.0'?> " HEADER), FRAMER_HEADER);
	framer_allow_restart(&f, true);
	/* So does a unit. */
	assert_int_equal(feed(&f, "<m/>"), FRAMER_START);
	assert_int_equal(feed(&f, ""), FRAMER_END);
	assert_int_equal(feed(&f, HEADER), FRAMER_START);
	framer_allow_restart(&f, true);
	/* Inside a unit it means nothing. */
	assert_int_equal(feed(&f, HEADER), FRAMER_CHILD);
	assert_int_equal(feed(&f, "<?xml version='1.0'?>"), FRAMER_ERROR);
	assert_int_equal(framer_error(&f), ERR_RESTRICTED);
	framer_fini(&f);
	/* The declaration binds: only a header may follow. */
	framer_init(&f);
	assert_int_equal(feed(&f, HEADER), FRAMER_HEADER);
	framer_allow_restart(&f, true);
	assert_int_equal(feed(&f, "<?xml version='1.0'?>"), FRAMER_MORE);
	assert_int_equal(feed(&f, "</s:s>"), FRAMER_ERROR);
	framer_fini(&f);
}

static void scans_agree(void **state UNUSED)
{
	uint8_t bytes[80];
	size_t at, from;
	unsigned c, i;

	for (i = 0; i < 200000; i++) {
		const uint8_t *end = bytes + 48 + i % 32, *p, *want;

		if (i < 65536) {
			/* One odd byte at each place, any value, between plain ones. */
			memset(bytes, i & 1 ? 'a' : '=', sizeof(bytes));
			bytes[i / 256 % 64] = (uint8_t)i;
		} else {
			for (c = 0; c < sizeof(bytes); c++)
				bytes[c] = (uint8_t)(random() % 8 ? 'x' : random());
		}
		from = i % 7;
		p = bytes + from;
		want = scan_bytes(p, end, '<', '&', ']');
		assert_ptr_equal(scan_portable(p, end, '<', '&', ']'), want);
		assert_ptr_equal(scan_special(p, end, '<', '&', ']'), want);
		at = (size_t)(want - bytes);
		assert_true(at <= (size_t)(end - bytes));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_split_tells_the_same),
		cmocka_unit_test(libxml2_agrees),
		cmocka_unit_test(counters_count),
		cmocka_unit_test(deep_names_are_checked),
		cmocka_unit_test(no_memory_is_an_error),
		cmocka_unit_test(depth_cannot_overflow),
		cmocka_unit_test(restarts_only_when_allowed),
		cmocka_unit_test(scans_agree),
	};

	return cmocka_run_group_tests_name("framer", tests, NULL, NULL);
}
