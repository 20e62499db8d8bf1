/* SPDX-License-Identifier: MIT */
/*
 * Covers edit: results of every kind of edit, order, collisions, and a check that must
 * refuse every result that differs from what the edits say. Random units are
 * tests/fuzz/fuzz_edit.c's.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "xmpp/edit.h"

#define DATA "<data xmlns='http://jabber.org/protocol/ibb' sid='1'>QUJD</data>"

static const char header[] = "<stream:stream xmlns='jabber:client' xmlns:stream="
			     "'http://etherx.jabber.org/streams'>";
static const char unit[] = "<message to='a' type='' id=\"7\"><body>\xc3\xa9&amp;</body>"
			   "<o:x xmlns:o='jabber:x:oob' a='1'><o:url>u</o:url></o:x><e/> "
			   "</message>";
static const struct outline_limits wide = { .depth = 64, .attributes = 100, .elements = 1000 };
static struct nsctx *ctx;
static struct arena *arena;
static struct outline outline;
static struct edits edits;

static int set_up_group(void **state UNUSED)
{
	struct tag t;

	outline_setup();
	if (tag_read(&t, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	ctx = nsctx_of_header(&t);
	return ctx ? 0 : -1;
}

static int tear_down_group(void **state UNUSED)
{
	nsctx_unref(&ctx);
	return 0;
}

static void start(const char *text)
{
	assert_int_equal(
		outline_parse(arena, ctx, (const uint8_t *)text, strlen(text), &wide, &outline), 0);
	edits = (struct edits){ 0 };
}

static int set_up(void **state UNUSED)
{
	arena = arena_new(8 << 20);
	if (!arena)
		return -1;
	start(unit);
	return 0;
}

static int tear_down(void **state UNUSED)
{
	arena_free(&arena);
	return 0;
}

static int check(const char *result)
{
	return edit_check(&edits, arena, ctx, &outline, (const uint8_t *)result, strlen(result),
			  &wide);
}

static void assert_result(const char *wanted)
{
	size_t len = edit_length(&edits, outline.len);
	uint8_t *out = malloc(len + 1);

	assert_non_null(out);
	edit_apply(&edits, outline.bytes, outline.len, out);
	out[len] = '\0';
	assert_string_equal((char *)out, wanted);
	assert_int_equal(check((char *)out), 0);
	free(out);
}

static int insert(size_t at, const char *xml)
{
	return edit_insert(&edits, arena, &outline, at, xml, strlen(xml));
}

static void inserts_keep_their_order(void **state UNUSED)
{
	size_t end = outline.elements[0].end;

	assert_int_equal(insert(end, "<b/>"), 0);
	assert_int_equal(insert(end, DATA), 0);
	assert_int_equal(insert(outline.elements[0].start_end, "<a>t</a>"), 0);
	assert_int_equal(insert(outline.elements[3].start, "<c><d/></c>"), 0);
	assert_int_equal(edits.count, 4);
	assert_result("<message to='a' type='' id=\"7\"><a>t</a><body>\xc3\xa9&amp;</body>"
		      "<o:x xmlns:o='jabber:x:oob' a='1'><c><d/></c><o:url>u</o:url></o:x><e/> "
		      "<b/>" DATA "</message>");
}

static void inserts_go_between_elements_only(void **state UNUSED)
{
	size_t at, i, allowed = 0;

	for (at = 0; at <= outline.len + 1; at++) {
		bool good = false;

		for (i = 0; i < outline.elements_n; i++) {
			const struct outline_element *e = &outline.elements[i];

			good |= (i && (at == e->start || at == e->end_end)) ||
				(e->end != e->end_end && (at == e->start_end || at == e->end));
		}
		allowed += good;
		start(unit);
		assert_int_equal(insert(at, "<z/>"), good ? 0 : ERR_SYNTAX);
	}
	assert_int_equal(allowed, 11);
	start("<message/>");
	assert_int_equal(insert(0, "<z/>"), ERR_SYNTAX);
	assert_int_equal(insert(10, "<z/>"), ERR_SYNTAX);
}

static void cuts_take_whole_elements(void **state UNUSED)
{
	assert_int_equal(edit_cut(&edits, arena, &outline, 0), ERR_SYNTAX);
	assert_int_equal(edit_cut(&edits, arena, &outline, 2), 0);
	assert_int_equal(edit_cut(&edits, arena, &outline, 2), ERR_SYNTAX);
	assert_int_equal(edit_cut(&edits, arena, &outline, 3), ERR_SYNTAX);
	assert_int_equal(insert(outline.elements[3].start, "<z/>"), ERR_SYNTAX);
	assert_int_equal(insert(outline.elements[2].start, "<z/>"), 0);
	assert_int_equal(insert(outline.elements[2].end_end, "<y/>"), 0);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 2, "a", "x"), ERR_SYNTAX);
	assert_int_equal(edit_cut(&edits, arena, &outline, 4), 0);
	assert_result("<message to='a' type='' id=\"7\"><body>\xc3\xa9&amp;</body><z/><y/> "
		      "</message>");
}

static void attributes_are_escaped(void **state UNUSED)
{
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "id", "<&'\">\n\t x"), 0);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "type", "chat"), 0);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "type", "chat"), ERR_SYNTAX);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 2, "a", ""), 0);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 2, "b", ""), ERR_NOT_FOUND);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 2, "xmlns:o", "x"), ERR_SYNTAX);
	assert_result("<message to='a' type='chat' id=\"&lt;&amp;&apos;&quot;&gt;&#10;&#9; x\">"
		      "<body>\xc3\xa9&amp;</body><o:x xmlns:o='jabber:x:oob' a=''>"
		      "<o:url>u</o:url></o:x><e/> </message>");
}

static void replies_are_substituted(void **state UNUSED)
{
	start("<iq id='1' type='error' xml:lang='de'><q xmlns='d'/>t<error/></iq>");
	assert_int_equal(edit_substitute(&edits, arena, &outline, "result", DATA, sizeof(DATA) - 1),
			 0);
	assert_int_equal(insert(outline.elements[0].end, "<z/>"), ERR_SYNTAX);
	assert_int_equal(edit_cut(&edits, arena, &outline, 1), ERR_SYNTAX);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "id", "2"), ERR_SYNTAX);
	assert_int_equal(edit_substitute(&edits, arena, &outline, "x", "", 0), ERR_SYNTAX);
	assert_result("<iq id='1' type='result' xml:lang='de'>" DATA "</iq>");
	assert_int_equal(check("<iq id='2' type='result' xml:lang='de'>" DATA "</iq>"),
			 ERR_WELL_FORMED);
	start("<c:iq xmlns:c='jabber:client' type='error' />");
	assert_int_equal(edit_substitute(&edits, arena, &outline, "result", DATA, sizeof(DATA) - 1),
			 0);
	assert_result("<c:iq xmlns:c='jabber:client' type='result' >" DATA "</c:iq>");
	start("<iq type='error'></iq>");
	assert_int_equal(edit_substitute(&edits, arena, &outline, "result", "", 0), 0);
	assert_result("<iq type='result'></iq>");
	start("<iq id='x'/>");
	assert_int_equal(edit_substitute(&edits, arena, &outline, "result", "", 0), ERR_NOT_FOUND);
	start("<iq type='a'><b/></iq>");
	assert_int_equal(insert(outline.elements[0].end, "<z/>"), 0);
	assert_int_equal(edit_substitute(&edits, arena, &outline, "result", "", 0), ERR_SYNTAX);
}

/* Every byte of the result changed in some way: the check must notice. */
static void the_check_sees_every_byte(void **state UNUSED)
{
	static const char good[] = "<message to='a' type='' id=\"7\"><body>\xc3\xa9&amp;</body>"
				   "<o:x xmlns:o='jabber:x:oob' a='1'><o:url>u</o:url></o:x><e/> "
				   "<z>in</z></message>";
	static const char with[] = "Xy <>&'\"/=:";
	char bad[sizeof(good)];
	const char *inserted = strstr(good, "<z>");
	size_t i, k;

	assert_int_equal(insert(outline.elements[0].end, "<z>in</z>"), 0);
	assert_int_equal(check(good), 0);
	for (i = 0; i < sizeof(good) - 1; i++) {
		/* What is in the inserted element is ours to choose. */
		if (good + i > inserted && good + i < inserted + 8)
			continue;
		for (k = 0; k < sizeof(with) - 1; k++) {
			strcpy(bad, good);
			if (bad[i] == with[k])
				continue;
			bad[i] = with[k];
			if (check(bad) == 0)
				fail_msg("not seen: %s", bad);
		}
	}
}

static void inserts_that_break_out_are_refused(void **state UNUSED)
{
	static const char *const bad[] = {
		"text",
		"<z>",
		"</message><message>",
		"<z/>text",
		"<!--x-->",
		"<?x y?>",
		"&amp;",
		"<z/></body><body>",
		"<q:z/>",
		"<stream:features/>",
		"<z a='1' a='2'/>",
		"\x01",
		"<![CDATA[x]]>",
		"</body><body>",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t out[512];

		start(unit);
		assert_int_equal(insert(outline.elements[1].end, bad[i]), 0);
		edit_apply(&edits, outline.bytes, outline.len, out);
		out[edit_length(&edits, outline.len)] = '\0';
		if (check((char *)out) == 0)
			fail_msg("accepted: %s", (char *)out);
	}
}

static void attributes_are_cut(void **state UNUSED)
{
	static const struct {
		const char *unit, *name, *result;
	} cases[] = {
		{ "<a b='1' c='2'/>", "b", "<a c='2'/>" },
		{ "<a b='1' c='2'/>", "c", "<a b='1'/>" },
		{ "<a b = \"1\"\n c='2' ><d b='3'/></a>", "b", "<a\n c='2' ><d b='3'/></a>" },
		{ "<a xmlns='u' p:b='1' b='>' xmlns:p='q'>b='1'</a>", "b",
		  "<a xmlns='u' p:b='1' xmlns:p='q'>b='1'</a>" },
		{ "<a xmlns='u' p:b='1' b='2' xmlns:p='q'/>", "p:b",
		  "<a xmlns='u' b='2' xmlns:p='q'/>" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		start(cases[i].unit);
		assert_int_equal(edit_cut_attribute(&edits, arena, &outline, 0, cases[i].name), 0);
		assert_result(cases[i].result);
		assert_int_not_equal(check(cases[i].unit), 0);
	}
	start(unit);
	assert_int_equal(edit_cut_attribute(&edits, arena, &outline, 0, "nope"), ERR_NOT_FOUND);
	assert_int_equal(edit_cut_attribute(&edits, arena, &outline, 2, "xmlns:o"), ERR_SYNTAX);
	assert_int_equal(edit_cut_attribute(&edits, arena, &outline, 0, "to"), 0);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "to", "x"), ERR_SYNTAX);
	assert_int_equal(edit_attribute(&edits, arena, &outline, 0, "id", "8"), 0);
	assert_result("<message type='' id=\"8\"><body>\xc3\xa9&amp;</body>"
		      "<o:x xmlns:o='jabber:x:oob' a='1'><o:url>u</o:url></o:x><e/> </message>");
}

static void names_and_escapes(void **state UNUSED)
{
	assert_string_equal(edit_kind_name(EDIT_INSERT), "insert");
	assert_string_equal(edit_kind_name(EDIT_SUBSTITUTE), "substitute");
	assert_string_equal(edit_escape(arena, "<&>'\"\t\r\n\xc3\xa9"),
			    "&lt;&amp;&gt;&apos;&quot;&#9;&#13;&#10;\xc3\xa9");
	assert_string_equal(edit_escape(arena, ""), "");
}

static void memory_ends_cleanly(void **state UNUSED)
{
	size_t max;

	for (max = 0; max < 400; max += 16) {
		struct arena *a = arena_new(max);
		int error = edit_insert(&edits, a, &outline, outline.elements[0].end, DATA,
					sizeof(DATA) - 1);

		if (!error)
			error = edit_attribute(&edits, a, &outline, 0, "id", "x");
		assert_true(error == 0 || error == ERR_NOMEM);
		assert_int_equal(edits.count == 2, error == 0);
		edits = (struct edits){ 0 };
		arena_free(&a);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inserts_keep_their_order),
		TEST(inserts_go_between_elements_only),
		TEST(cuts_take_whole_elements),
		TEST(attributes_are_escaped),
		TEST(replies_are_substituted),
		TEST(the_check_sees_every_byte),
		TEST(inserts_that_break_out_are_refused),
		TEST(attributes_are_cut),
		TEST(names_and_escapes),
		TEST(memory_ends_cleanly),
	};

	return cmocka_run_group_tests_name("edit", tests, set_up_group, tear_down_group);
}
