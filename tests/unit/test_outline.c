/* SPDX-License-Identifier: MIT */
/*
 * Covers outline: offsets of every kind of element, text, limits, what is refused and why.
 * Tags alone are in test_tag.c; changes to units in test_edit.c.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "xmpp/ns.h"
#include "xmpp/outline.h"

static const char header[] = "<stream:stream xmlns='jabber:client' to='x' xmlns:stream="
			     "'http://etherx.jabber.org/streams' version='1.0'>";
static const struct outline_limits wide = { .depth = 64, .attributes = 100, .elements = 1000 };
static struct nsctx *ctx;

static int set_up(void **state UNUSED)
{
	struct tag t;

	outline_setup();
	if (tag_read(&t, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	ctx = nsctx_of_header(&t);
	return ctx ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
	nsctx_unref(&ctx);
	return 0;
}

static int parse(struct arena *a, const char *unit, const struct outline_limits *limits,
		 struct outline *o)
{
	return outline_parse(a, ctx, (const uint8_t *)unit, strlen(unit), limits, o);
}

static int verdict(const char *unit, const struct outline_limits *limits)
{
	struct arena *a = arena_new(4 << 20);
	struct outline o;
	int error;

	assert_non_null(a);
	error = parse(a, unit, limits, &o);
	arena_free(&a);
	return error;
}

/* The four offsets of each element against what stands there. */
static void assert_element(const struct outline *o, int i, const char *start_tag,
			   const char *end_tag)
{
	const struct outline_element *e = &o->elements[i];
	const char *p = (const char *)o->bytes;

	assert_int_equal(e->start_end - e->start, strlen(start_tag));
	assert_memory_equal(p + e->start, start_tag, strlen(start_tag));
	assert_int_equal(e->end_end - e->end, strlen(end_tag));
	assert_memory_equal(p + e->end, end_tag, strlen(end_tag));
	if (!*end_tag)
		assert_int_equal(e->end, e->start_end);
}

static void offsets_are_exact(void **state UNUSED)
{
	static const char unit[] =
		"<message a='&lt;>' xml:lang=\"de\">\xc3\xa9<![CDATA[</x><y>]]]>"
		"<o:x xmlns:o='jabber:x:oob'><o:url\n>http://\xe2\x82\xac/?a&amp;b</o:url\t></o:x >"
		"<a/><a b='/'  /><a></a>]]<![CDATA[]]><![CDATA[<]]>&#x1F600;\r\n"
		"<\xc3\xa9 xmlns=''><b/></\xc3\xa9></message >";
	struct arena *a = arena_new(1 << 20);
	struct outline o;

	assert_int_equal(parse(a, unit, &wide, &o), 0);
	assert_int_equal(o.elements_n, 8);
	assert_element(&o, 0, "<message a='&lt;>' xml:lang=\"de\">", "</message >");
	assert_element(&o, 1, "<o:x xmlns:o='jabber:x:oob'>", "</o:x >");
	assert_element(&o, 2, "<o:url\n>", "</o:url\t>");
	assert_element(&o, 3, "<a/>", "");
	assert_element(&o, 4, "<a b='/'  />", "");
	assert_element(&o, 5, "<a>", "</a>");
	assert_element(&o, 6, "<\xc3\xa9 xmlns=''>", "</\xc3\xa9>");
	assert_element(&o, 7, "<b/>", "");
	assert_string_equal(o.elements[0].ns, NS_CLIENT);
	assert_string_equal(o.elements[0].text, "\xc3\xa9</x><y>]]]<\xf0\x9f\x98\x80\n");
	assert_string_equal(o.elements[1].ns, NS_OOB);
	assert_string_equal(o.elements[1].local, "x");
	assert_string_equal(o.elements[2].text, "http://\xe2\x82\xac/?a&b");
	assert_string_equal(o.elements[6].ns, "");
	assert_string_equal(o.elements[7].text, "");
	assert_int_equal(o.elements[7].parent, 6);
	assert_int_equal(o.elements[7].depth, 2);
	assert_int_equal(o.elements[0].parent, -1);
	assert_string_equal(outline_attr(&o, 0, "", "a"), "<>");
	assert_string_equal(outline_attr(&o, 0, "http://www.w3.org/XML/1998/namespace", "lang"),
			    "de");
	assert_null(outline_attr(&o, 0, "", "lang"));
	arena_free(&a);
}

static void lookups_find(void **state UNUSED)
{
	static const char unit[] = "<iq type='get' id=''><a><b/></a><b xmlns='x'/><b/></iq>";
	struct arena *a = arena_new(1 << 20);
	struct outline o;
	size_t at, len;

	assert_int_equal(parse(a, unit, &wide, &o), 0);
	assert_int_equal(outline_child(&o, 0, NULL, "b", 0), 3);
	assert_int_equal(outline_child(&o, 0, NS_CLIENT, "b", 0), 4);
	assert_int_equal(outline_child(&o, 0, NULL, "b", 4), 4);
	assert_int_equal(outline_child(&o, 0, NULL, "b", 5), -1);
	assert_int_equal(outline_child(&o, 1, NULL, "b", 0), 2);
	assert_int_equal(outline_child(&o, 3, NULL, "b", 0), -1);
	assert_int_equal(outline_attr_range(&o, 0, "type", &at, &len), 0);
	assert_int_equal(at, 10);
	assert_int_equal(len, 3);
	assert_int_equal(outline_attr_range(&o, 0, "id", &at, &len), 0);
	assert_int_equal(at, 19);
	assert_int_equal(len, 0);
	assert_int_equal(outline_attr_range(&o, 0, "to", &at, &len), ERR_NOT_FOUND);
	arena_free(&a);
}

static void big_units_keep_their_offsets(void **state UNUSED)
{
	enum { PARTS = 900 };
	char *unit = malloc(400000);
	struct arena *a = arena_new(8 << 20);
	struct outline o;
	size_t n = 0;
	int i;

	assert_non_null(unit);
	n += (size_t)sprintf(unit, "<message>");
	for (i = 0; i < PARTS; i++)
		n += (size_t)sprintf(unit + n,
				     "<p%d a='%0*d'>%0*d\xc3\xa9<![CDATA[<q/>]]>%0*d</p%d>", i,
				     i % 97, i, i % 300 + 1, i, i % 31 + 1, i, i);
	sprintf(unit + n, "</message>");
	assert_true(n > 200 * 1024);
	assert_int_equal(parse(a, unit, &wide, &o), 0);
	assert_int_equal(o.elements_n, PARTS + 1);
	for (i = 0; i < PARTS; i++) {
		char start[256], end[16];

		sprintf(start, "<p%d a='%0*d'>", i, i % 97, i);
		sprintf(end, "</p%d>", i);
		assert_element(&o, i + 1, start, end);
	}
	assert_element(&o, 0, "<message>", "</message>");
	arena_free(&a);
	/* One text of 200 KiB. */
	a = arena_new(8 << 20);
	memset(unit, 'A', 200 * 1024);
	memcpy(unit, "<m>", 3);
	strcpy(unit + 200 * 1024, "<b/></m>");
	assert_int_equal(parse(a, unit, &wide, &o), 0);
	assert_element(&o, 0, "<m>", "</m>");
	assert_element(&o, 1, "<b/>", "");
	assert_int_equal(strlen(o.elements[0].text), 200 * 1024 - 3);
	arena_free(&a);
	free(unit);
}

static void namespace_errors_are_told_apart(void **state UNUSED)
{
	assert_int_equal(verdict("<x:m/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<m y:a='1'/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<m xmlns:p='u' xmlns:q='u' p:a='1' q:a='2'/>", &wide),
			 ERR_NAMESPACE);
	assert_int_equal(verdict("<m xmlns:xmlns='u'/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<m xmlns:xml='u'/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<m xmlns:p=''/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<stream:b:c/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<:a/>", &wide), ERR_NAMESPACE);
	assert_int_equal(verdict("<stream:/>", &wide), ERR_NAMESPACE);
	/* Names that are no absolute URIs are common and legal. */
	assert_int_equal(verdict("<m xmlns='foo'/>", &wide), 0);
	assert_int_equal(verdict("<m xmlns='foo&#10;bar'/>", &wide), 0);
	assert_int_equal(verdict("<stream:error/>", &wide), 0);
}

static void syntax_errors_are_refused(void **state UNUSED)
{
	static const char *const bad[] = {
		"<m a='1' a='2'/>",
		"<m></n>",
		"<m>",
		"<m/><m/>",
		"x<m/>",
		"<m/>x",
		"",
		" ",
		"</x><x>",
		"<m/></x><x>",
		"</x>",
		"<m/></x>",
		"<m>&foo;</m>",
		"<m><!--x--></m>",
		"<m><?x y?></m>",
		"<!DOCTYPE x><m/>",
		"<m>\xff</m>",
		"<m>]]></m>",
		"<m/",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		int error = verdict(bad[i], &wide);

		if (error != ERR_WELL_FORMED)
			fail_msg("%s: %s", bad[i], err_str(error));
	}
	assert_int_equal(verdict("<m><stream:features/></m>", &wide), ERR_BAD_FORMAT);
	assert_int_equal(verdict("<m><e xmlns='http://etherx.jabber.org/streams'/></m>", &wide),
			 ERR_BAD_FORMAT);
}

/* libxml2 leaves &#38; in attribute values for each &. */
static void ampersands_are_resolved(void **state UNUSED)
{
	static const char unit[] = "<m a='&amp;' b='&amp;amp;' c='x&#38;&#x26;y&amp;#38;z&lt;' "
				   "d='&amp;&amp;'>&amp;&#38;&amp;#38;</m>";
	struct arena *a = arena_new(1 << 20);
	struct outline o;

	assert_int_equal(parse(a, unit, &wide, &o), 0);
	assert_string_equal(outline_attr(&o, 0, "", "a"), "&");
	assert_string_equal(outline_attr(&o, 0, "", "b"), "&amp;");
	assert_string_equal(outline_attr(&o, 0, "", "c"), "x&&y&#38;z<");
	assert_string_equal(outline_attr(&o, 0, "", "d"), "&&");
	assert_string_equal(o.elements[0].text, "&&&#38;");
	arena_free(&a);
}

static void limits_hold(void **state UNUSED)
{
	static const struct outline_limits tight = { .depth = 3, .attributes = 2, .elements = 4 };

	assert_int_equal(verdict("<a><b><c/></b><d/></a>", &tight), 0);
	assert_int_equal(verdict("<a><b><c><d/></c></b></a>", &tight), ERR_TOO_BIG);
	assert_int_equal(verdict("<a><b/><b/><b/><b/></a>", &tight), ERR_TOO_BIG);
	assert_int_equal(verdict("<a x='' y=''/>", &tight), 0);
	assert_int_equal(verdict("<a x='' y='' z=''/>", &tight), ERR_TOO_BIG);
	assert_int_equal(verdict("<a x='' y='' xmlns:z='z'/>", &tight), ERR_TOO_BIG);
}

static void memory_ends_cleanly(void **state UNUSED)
{
	static const char unit[] = "<m a='1'>text<a b='2' c='3'>more</a><b xmlns='x'>x</b></m>";
	struct outline o;
	size_t max, good = 0;

	for (max = 0; max < 4096; max += 16) {
		struct arena *a = arena_new(max);
		int error = parse(a, unit, &wide, &o);

		if (error)
			assert_int_equal(error, ERR_NOMEM);
		else
			good++;
		arena_free(&a);
	}
	assert_true(good > 0 && good < 256);
}

/* libxml2 frees its input when it is told to stop: no value may be read after a name had no room.
 */
static void memory_ends_at_every_byte(void **state UNUSED)
{
	static const char unit[] =
		"<message xmlns:o='urn:a-long-name-of-a-namespace-and-short-values' o:a='1' b='2'>"
		"<o:x o:c='3' o:d='44444444444444444444444'>text</o:x></message>";
	struct outline_limits few = { .depth = 8, .attributes = 8, .elements = 4 };
	size_t max, good = 0;

	for (max = 0; max < 2048; max++) {
		struct arena *a = arena_new(max);
		struct outline o;
		int error =
			outline_parse(a, ctx, (const uint8_t *)unit, sizeof(unit) - 1, &few, &o);

		assert_true(error == 0 || error == ERR_NOMEM);
		good += error == 0;
		arena_free(&a);
	}
	assert_true(good > 0 && good < 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_are_exact),
		cmocka_unit_test(lookups_find),
		cmocka_unit_test(big_units_keep_their_offsets),
		cmocka_unit_test(namespace_errors_are_told_apart),
		cmocka_unit_test(syntax_errors_are_refused),
		cmocka_unit_test(ampersands_are_resolved),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(memory_ends_cleanly),
		cmocka_unit_test(memory_ends_at_every_byte),
	};

	return cmocka_run_group_tests_name("outline", tests, set_up, tear_down);
}
