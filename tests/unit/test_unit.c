/* SPDX-License-Identifier: MIT */
/*
 * Covers unit: kinds by name and namespace whatever the prefix, names of kinds, types of iq.
 */
#include "config.h"

#include "unit.h"

#include "xmpp/ns.h"
#include "xmpp/unit.h"

static struct tag read_tag(const char *text)
{
	struct tag t;

	assert_int_equal(tag_read(&t, (const uint8_t *)text, strlen(text)), 0);
	return t;
}

static void kinds_go_by_namespace(void **state UNUSED)
{
	static const struct {
		const char *tag;
		enum unit_kind kind;
	} cases[] = {
		{ "<message/>", UNIT_MESSAGE },
		{ "<presence a='b'>", UNIT_PRESENCE },
		{ "<iq>", UNIT_IQ },
		{ "<iq xmlns='jabber:server'>", UNIT_IQ },
		{ "<c:iq xmlns:c='jabber:component:accept'>", UNIT_IQ },
		{ "<iq xmlns='jabber&#58;client'>", UNIT_IQ },
		{ "<iq xmlns='other'>", UNIT_OTHER },
		{ "<iq xmlns=''>", UNIT_OTHER },
		{ "<IQ>", UNIT_OTHER },
		{ "<iqx>", UNIT_OTHER },
		{ "<q:iq>", UNIT_OTHER },
		{ "<st:features>", UNIT_FEATURES },
		{ "<features xmlns='http://etherx.jabber.org/streams'>", UNIT_FEATURES },
		{ "<features>", UNIT_OTHER },
		{ "<st:error>", UNIT_STREAM_ERROR },
		{ "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", UNIT_SASL_SUCCESS },
		{ "<success xmlns='urn:xmpp:sasl:2'>", UNIT_SASL2_SUCCESS },
		{ "<st:message>", UNIT_OTHER },
	};
	struct tag h = read_tag("<st:stream xmlns='jabber:client' "
				"xmlns:st='http://etherx.jabber.org/streams'>");
	struct nsctx *c = nsctx_of_header(&h);
	char tag[600];
	struct tag t;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		t = read_tag(cases[i].tag);
		assert_int_equal(unit_classify(&t, c), cases[i].kind);
		if (!strstr(cases[i].tag, "xmlns"))
			assert_int_equal(unit_classify_plain(&t, c), cases[i].kind);
	}
	memset(tag, 'x', sizeof(tag));
	memcpy(tag, "<iq xmlns='", 11);
	strcpy(tag + 590, "'>");
	t = read_tag(tag);
	assert_int_equal(unit_classify(&t, c), UNIT_OTHER);
	nsctx_unref(&c);
}

static void every_kind_has_a_name(void **state UNUSED)
{
	int i, k;

	assert_string_equal(unit_kind_name(UNIT_MESSAGE), "message");
	assert_string_equal(unit_kind_name(UNIT_SASL_SUCCESS), "sasl-success");
	assert_string_equal(unit_kind_name(UNIT_SASL2_AUTHENTICATE), "sasl2-authenticate");
	assert_string_equal(unit_kind_name(UNIT_HEADER), "header");
	for (i = 0; i < UNIT_KIND_COUNT; i++) {
		for (k = 0; k < i; k++)
			assert_string_not_equal(unit_kind_name((enum unit_kind)i),
						unit_kind_name((enum unit_kind)k));
	}
}

static void iq_types_are_read(void **state UNUSED)
{
	struct tag t;

	t = read_tag("<iq type='get'>");
	assert_int_equal(unit_iq_type(&t), IQ_GET);
	t = read_tag("<iq id='type' type=\"set\">");
	assert_int_equal(unit_iq_type(&t), IQ_SET);
	t = read_tag("<iq type='r&#101;sult'>");
	assert_int_equal(unit_iq_type(&t), IQ_RESULT);
	t = read_tag("<iq type='error'>");
	assert_int_equal(unit_iq_type(&t), IQ_ERROR);
	t = read_tag("<iq type='errors'>");
	assert_int_equal(unit_iq_type(&t), IQ_NONE);
	t = read_tag("<iq>");
	assert_int_equal(unit_iq_type(&t), IQ_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_go_by_namespace),
		cmocka_unit_test(every_kind_has_a_name),
		cmocka_unit_test(iq_types_are_read),
	};

	return cmocka_run_group_tests_name("unit", tests, NULL, NULL);
}
