/* SPDX-License-Identifier: MIT */
/*
 * Covers jid.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "xmpp/jid.h"

static void parts_are_split(void **state UNUSED)
{
	struct jid j;

	assert_int_equal(jid_parse(&j, "a@b.c/d@e/f"), 0);
	assert_int_equal(j.local_len, 1);
	assert_memory_equal(j.domain, "b.c", 3);
	assert_int_equal(j.domain_len, 3);
	assert_int_equal(j.resource_len, 5);
	assert_string_equal(j.resource, "d@e/f");
	assert_int_equal(jid_parse(&j, "b.c"), 0);
	assert_null(j.local);
	assert_null(j.resource);
	assert_int_equal(jid_parse(&j, "b/r@x"), 0);
	assert_null(j.local);
	assert_int_equal(jid_bare_len("a@b/c/d"), 3);
	assert_int_equal(jid_bare_len(""), 0);
}

static void bad_addresses_are_refused(void **state UNUSED)
{
	static const char *const bad[] = { "", "@b", "a@", "a@/r", "/r", "b/", "a@b/", "a@b@c" };
	char text[JID_MAX + 2];
	struct jid j;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(jid_parse(&j, bad[i]), ERR_SYNTAX);
	memset(text, 'a', sizeof(text));
	text[1023] = '@';
	text[2047] = '/';
	text[JID_MAX] = '\0';
	assert_int_equal(jid_parse(&j, text), 0);
	text[JID_MAX] = 'a';
	text[JID_MAX + 1] = '\0';
	assert_int_equal(jid_parse(&j, text), ERR_SYNTAX);
	text[1024] = '\0';
	text[1023] = 'a';
	assert_int_equal(jid_parse(&j, text), ERR_SYNTAX);
}

static void bare_addresses_compare(void **state UNUSED)
{
	assert_true(jid_same_bare("a@B.c/x", "a@b.C"));
	assert_true(jid_same_bare("b.c", "B.C/r"));
	assert_false(jid_same_bare("A@b.c", "a@b.c"));
	assert_false(jid_same_bare("b.c", "a@b.c"));
	assert_false(jid_same_bare("a@b.c", "a@b.cc"));
	assert_false(jid_same_bare("", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_split),
		cmocka_unit_test(bad_addresses_are_refused),
		cmocka_unit_test(bare_addresses_compare),
	};

	return cmocka_run_group_tests_name("jid", tests, NULL, NULL);
}
