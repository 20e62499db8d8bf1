/* SPDX-License-Identifier: MIT */
/*
 * Covers what becomes of a server's stream header, features and <enabled/>: one write for the
 * first two (lane-hold.c), what features.c cuts. The rest of the lane is test_lane's.
 */
#include "config.h"

#include "unit.h"

#include "lane_fixture.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#define FEATURES "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>"

static void wait_for_features(uint32_t ms)
{
	t.conf->limits.features_wait = ms;
	put(LANE_C2S, HEADER);
	t.emits[LANE_S2C] = 0;
}

static void header_and_features_leave_together(void **state)
{
	static const char both[] = HEADER FEATURES "<iq type='result' id='1'/>";
	const size_t len = strlen(HEADER FEATURES);
	size_t i;

	(void)state;
	for (i = 0; i <= len; i++) {
		wait_for_features(20);
		assert_int_equal(feed(LANE_S2C, both, i), 0);
		assert_int_equal(t.emits[LANE_S2C], i == len);
		if (i >= strlen(HEADER))
			assert_int_equal(lane_deadline(&t.lanes.lane[LANE_S2C]),
					 i < len ? START_MS + 20 : 0);
		assert_int_equal(feed(LANE_S2C, both + i, len - i), 0);
		assert_int_equal(t.emits[LANE_S2C], 1);
		assert_int_equal(lane_deadline(&t.lanes.lane[LANE_S2C]), 0);
		assert_int_equal(feed(LANE_S2C, both + len, sizeof(both) - 1 - len), 0);
		assert_int_equal(t.emits[LANE_S2C], 2);
		expect(LANE_S2C, both);
		end();
		begin();
	}
}

static void header_leaves_alone_in_the_end(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_S2C];

	(void)state;
	wait_for_features(20);
	put(LANE_S2C, HEADER "<stream:fea");
	expect(LANE_S2C, "");
	clock_fake(START_MS + 19);
	lane_expire(l);
	expect(LANE_S2C, "");
	clock_fake(START_MS + 20);
	lane_expire(l);
	expect(LANE_S2C, HEADER);
	assert_int_equal(lane_deadline(l), 0);
	put(LANE_S2C, "tures/>");
	expect(LANE_S2C, "<stream:features/>");
}

static void header_does_not_wait_for_what_is_no_features(void **state)
{
	static const char component[] = "<stream:stream xmlns='jabber:component:accept' "
					"xmlns:stream='http://etherx.jabber.org/streams' id='1'>";
	struct lane *l = &t.lanes.lane[LANE_S2C];

	(void)state;
	wait_for_features(20);
	put(LANE_S2C, component);
	expect(LANE_S2C, component);
	end();
	begin();
	wait_for_features(20);
	put(LANE_S2C, HEADER);
	put(LANE_S2C, " ");
	expect(LANE_S2C, "");
	put(LANE_S2C, "<iq type='get' id='1'");
	put(LANE_S2C, "/>");
	expect(LANE_S2C, HEADER " <iq type='get' id='1'/>");
	end();
	begin();
	wait_for_features(20);
	put(LANE_S2C, HEADER);
	put(LANE_S2C, "</stream:stream>");
	expect(LANE_S2C, HEADER "</stream:stream>");
	end();
	begin();
	wait_for_features(20);
	put(LANE_S2C, HEADER);
	assert_int_equal(lane_end(l), 0);
	expect(LANE_S2C, HEADER);
	end();
	begin();
	wait_for_features(20);
	put(LANE_S2C, HEADER);
	assert_int_not_equal(feed(LANE_S2C, "<!-- -->", 8), 0);
	expect(LANE_S2C, HEADER);
	end();
	begin();
	wait_for_features(20);
	put(LANE_S2C, HEADER);
	lane_release(l);
	expect(LANE_S2C, HEADER);
}

static void features_that_do_not_end(void **state)
{
	static const char much[] =
		"<a>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</a>";
	size_t i;

	(void)state;
	wait_for_features(20);
	put(LANE_S2C, HEADER "<stream:features>");
	for (i = 0; i < (t.listen->max_stanza + 100000) / strlen(much); i++)
		put(LANE_S2C, much);
	assert_true(t.out[LANE_S2C].len > t.listen->max_stanza);
	assert_int_equal(lane_deadline(&t.lanes.lane[LANE_S2C]), 0);
	buf_clear(&t.out[LANE_S2C]);
	put(LANE_S2C, "</stream:features>");
	expect(LANE_S2C, "</stream:features>");
}

/* XEP-0198 5: the way past inset is cut, at every split, wherever it stands. */
static void resumption_location_is_cut(void **state)
{
	static const char text[] =
		"<enabled xmlns='urn:xmpp:sm:3' id='s1' location='h.example:9' resume='true'/>"
		"<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@b/c"
		"</authorization-identifier><bound xmlns='urn:xmpp:bind:0'><enabled "
		"location=\"x\" xmlns='urn:xmpp:sm:3' id='s2'/></bound></success>"
		"<q:enabled xmlns:q='urn:xmpp:sm:3' location='y'></q:enabled>"
		"<enabled xmlns='urn:xmpp:sm:2' location='w'/>"
		"<enabled xmlns='urn:other' location='z'/>";
	static const char wanted[] =
		"<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>"
		"<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@b/c"
		"</authorization-identifier><bound xmlns='urn:xmpp:bind:0'><enabled"
		" xmlns='urn:xmpp:sm:3' id='s2'/></bound></success>"
		"<q:enabled xmlns:q='urn:xmpp:sm:3'></q:enabled>"
		"<enabled xmlns='urn:xmpp:sm:2'/>"
		"<enabled xmlns='urn:other' location='z'/>";
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text); i++) {
		login();
		assert_int_equal(feed(LANE_S2C, text, i), 0);
		assert_int_equal(feed(LANE_S2C, text + i, sizeof(text) - 1 - i), 0);
		expect(LANE_S2C, wanted);
		assert_string_equal(t.lanes.jid, "a@b/c");
		put(LANE_C2S, "<enabled xmlns='urn:xmpp:sm:3' location='h'/>");
		expect(LANE_C2S, "<enabled xmlns='urn:xmpp:sm:3' location='h'/>");
		end();
		begin();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(header_and_features_leave_together),
		TEST(header_leaves_alone_in_the_end),
		TEST(header_does_not_wait_for_what_is_no_features),
		TEST(features_that_do_not_end),
		TEST(resumption_location_is_cut),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
