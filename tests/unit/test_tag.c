/* SPDX-License-Identifier: MIT */
/*
 * Covers tag: raw start tags, their attributes and namespaces, contexts of stream headers.
 * Bytes no framer would let through must not be read beyond their end either.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "xmpp/ns.h"
#include "xmpp/tag.h"

static struct tag read_tag(const char *text)
{
	struct tag t;

	assert_int_equal(tag_read(&t, (const uint8_t *)text, strlen(text)), 0);
	return t;
}

static void tags_are_read(void **state UNUSED)
{
	struct tag t = read_tag("<stream:stream a='1' b = \"2>/'\"\n c=''>");
	struct tag_span name, value;
	size_t at = t.attrs_at;

	assert_true(tag_span_is(t.prefix, "stream"));
	assert_true(tag_span_is(t.local, "stream"));
	assert_false(t.empty);
	assert_true(tag_next_attr(&t, &at, &name, &value));
	assert_true(tag_span_is(name, "a"));
	assert_true(tag_span_is(value, "1"));
	assert_true(tag_next_attr(&t, &at, &name, &value));
	assert_true(tag_span_is(name, "b"));
	assert_true(tag_span_is(value, "2>/'"));
	assert_true(tag_next_attr(&t, &at, &name, &value));
	assert_true(tag_span_is(value, ""));
	assert_false(tag_next_attr(&t, &at, &name, &value));
	assert_null(tag_attr(&t, "d").p);
	t = read_tag("<a/>");
	assert_true(t.empty);
	assert_null(t.prefix.p);
	assert_null(tag_attr(&t, "a").p);
}

static void pieces_of_tags_do_no_harm(void **state UNUSED)
{
	static const char tag[] = "<a:b c='d' e=\"f\" g = 'h'/>";
	struct tag_span name, value;
	size_t from, len, at;
	struct tag t;

	for (from = 0; from < sizeof(tag) - 1; from++) {
		for (len = 0; from + len < sizeof(tag); len++) {
			uint8_t *p = malloc(len + 2);

			assert_non_null(p);
			memcpy(p + 1, tag + from, len);
			p[0] = '<';
			p[len + 1] = '>';
			if (!tag_read(&t, p, len + 2)) {
				at = t.attrs_at;
				while (tag_next_attr(&t, &at, &name, &value))
					assert_true(at <= len + 2);
			}
			if (!len || p[len] != '>')
				assert_int_equal(tag_read(&t, p, len + 1), ERR_SYNTAX);
			free(p);
		}
	}
}

static int text(const char *raw, char *out, size_t room)
{
	return tag_text((struct tag_span){ .p = raw, .len = strlen(raw) }, out, room);
}

static void references_are_resolved(void **state UNUSED)
{
	char out[32];

	assert_int_equal(text("a&lt;&gt;&amp;&quot;&apos;b", out, sizeof(out)), 0);
	assert_string_equal(out, "a<>&\"'b");
	assert_int_equal(text("&#65;&#x42;&#xe9;&#x20AC;&#x1F600;", out, sizeof(out)), 0);
	assert_string_equal(out, "AB\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_int_equal(text("a\tb\r\nc\nd\re", out, sizeof(out)), 0);
	assert_string_equal(out, "a b c d e");
	assert_int_equal(text("abc", out, 4), 0);
	assert_int_equal(text("abcd", out, 4), ERR_FULL);
	assert_int_equal(text("ab&#xe9;", out, 4), ERR_FULL);
	assert_int_equal(text("", out, 1), 0);
	assert_int_equal(text("", out, 0), ERR_FULL);
	assert_int_equal(text("&foo;", out, sizeof(out)), ERR_SYNTAX);
	assert_int_equal(text("&amp", out, sizeof(out)), ERR_SYNTAX);
	assert_int_equal(text("&#;", out, sizeof(out)), ERR_SYNTAX);
	assert_int_equal(text("&#x110000;", out, sizeof(out)), ERR_SYNTAX);
	assert_int_equal(text("&#99999999999999999999;", out, sizeof(out)), ERR_SYNTAX);
}

static void contexts_are_shared(void **state UNUSED)
{
	struct tag a = read_tag("<s:s to='a' xmlns='jabber&#58;client' xmlns:s=\"u\" id='1'>");
	struct tag b = read_tag("<s:s xmlns='jabber&#58;client' to='b' xmlns:s=\"u\">");
	struct tag c = read_tag("<s:s xmlns:s='v'>");
	struct nsctx *x = nsctx_of_header(&a), *y = nsctx_of_header(&b), *z = nsctx_of_header(&c);
	size_t len;

	assert_ptr_equal(x, y);
	assert_ptr_not_equal(x, z);
	assert_string_equal(nsctx_wrapper(x, &len), "<x xmlns='jabber&#58;client' xmlns:s=\"u\">");
	assert_int_equal(len, strlen("<x xmlns='jabber&#58;client' xmlns:s=\"u\">"));
	assert_string_equal(nsctx_default(x), NS_CLIENT);
	assert_string_equal(nsctx_default(z), "");
	nsctx_unref(&x);
	assert_null(x);
	assert_string_equal(nsctx_default(y), NS_CLIENT);
	nsctx_unref(&y);
	nsctx_unref(&y);
	nsctx_unref(&z);
}

static void namespaces_are_found(void **state UNUSED)
{
	struct tag h = read_tag("<s:s xmlns='jabber:client' xmlns:s='u'>");
	struct nsctx *c = nsctx_of_header(&h);
	struct tag t;

	t = read_tag("<m/>");
	assert_true(tag_span_is(tag_ns(&t, c), NS_CLIENT));
	assert_true(tag_span_is(tag_ns(&t, NULL), ""));
	t = read_tag("<s:m xmlns='x'/>");
	assert_true(tag_span_is(tag_ns(&t, c), "u"));
	assert_null(tag_ns(&t, NULL).p);
	t = read_tag("<m xmlns='x'/>");
	assert_true(tag_span_is(tag_ns(&t, c), "x"));
	t = read_tag("<s:m xmlnss='n' xmlns:ss='n' xmlns:s='w'/>");
	assert_true(tag_span_is(tag_ns(&t, c), "w"));
	t = read_tag("<q:m/>");
	assert_null(tag_ns(&t, c).p);
	t = read_tag("<xml:m/>");
	assert_true(tag_span_is(tag_ns(&t, c), "http://www.w3.org/XML/1998/namespace"));
	nsctx_unref(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_read),
		cmocka_unit_test(pieces_of_tags_do_no_harm),
		cmocka_unit_test(references_are_resolved),
		cmocka_unit_test(contexts_are_shared),
		cmocka_unit_test(namespaces_are_found),
	};

	return cmocka_run_group_tests_name("tag", tests, NULL, NULL);
}
