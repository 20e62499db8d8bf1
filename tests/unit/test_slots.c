/* SPDX-License-Identifier: MIT */
/*
 * test_slots - upload services that are learned from replies to slot requests, and those that are
 * not. Covers stream/slots.c; test_egress.py has what comes of them.
 */
#include "config.h"

#include "lane_fixture.h"
#include "stream/slots.h"

#define NS "xmlns='urn:xmpp:http:upload:0'"
#define REQUEST                                                        \
	"<iq type='get' id='s&amp;1' to='up.example.org'><request " NS \
	" filename='a.jpg' size='5'/></iq>"
#define REPLY                                                                                  \
	"<iq from='UP.example.org' id='s&amp;1' type='result'><u:slot xmlns:u='urn:xmpp:http:" \
	"upload:0'><u:put url='https://put.example/'/><u:get "                                 \
	"url='https://Get.example:8443/a/b?c&amp;d'/></u:slot></iq>"

static char listed[SLOTS_ORIGIN_MAX + 1];
static int listed_n;

static void on_listed(void *ctx, const char *origin)
{
	assert_ptr_equal(ctx, &t);
	snprintf(listed, sizeof(listed), "%s", origin);
	listed_n++;
}

static const struct lane_ops listing = { .emit = on_emit,
					 .unhold = on_unhold,
					 .listed = on_listed };

static void start(const char *jid)
{
	end();
	begin();
	t.lanes.ops = &listing;
	t.conf->fetch.from = CONF_FROM_LISTED;
	login();
	t.lanes.jid = jid ? strdup(jid) : NULL;
	listed_n = 0;
}

static void feed_split(enum lane_dir dir, const char *text, size_t at)
{
	assert_int_equal(feed(dir, text, at), 0);
	assert_int_equal(feed(dir, text + at, strlen(text) - at), 0);
	expect(dir, text);
}

static void learned_at_every_split(void **state UNUSED)
{
	size_t at;

	for (at = 0; at <= strlen(REPLY); at++) {
		start("alice@example.org/x");
		feed_split(LANE_C2S, REQUEST, MIN_OF(at, strlen(REQUEST)));
		feed_split(LANE_S2C, REPLY, at);
		assert_int_equal(listed_n, 1);
		assert_string_equal(listed, "https://Get.example:8443");
		feed_split(LANE_S2C, REPLY, at); /* once */
		assert_int_equal(listed_n, 1);
	}
}

static void not_learned(void **state UNUSED)
{
	static const struct {
		const char *jid, *from, *request, *reply;
	} rows[] = {
		{ NULL, "up.example.org", REQUEST, REPLY },
		{ "alice@example.net", "up.example.org", REQUEST, REPLY },
		{ "alice@p.example.org", "up.example.org", REQUEST, REPLY },
		{ "alice@example.org", "up.example.org", "", REPLY },
		{ "alice@example.org", "up.example.org",
		  "<iq type='set' id='s&amp;1' to='up.example.org'><request " NS "/></iq>", REPLY },
		{ "alice@example.org", "up.example.org",
		  "<iq type='get' id='s&amp;1' to='up.example.org'><request xmlns='x'/></iq>",
		  REPLY },
		{ "alice@example.org", "up.example.org",
		  "<iq type='get' id='s&amp;1'><request " NS "/></iq>", REPLY },
		{ "alice@example.org", "up.example.org",
		  "<iq type='get' id='s&amp;1' to='a@up.example.org'><request " NS "/></iq>",
		  REPLY },
		{ "alice@example.org", "up.example.org", REQUEST,
		  "<iq from='down.example.org' id='s&amp;1' type='result'><slot " NS
		  "><get url='https://g/'/></slot></iq>" },
		{ "alice@example.org", "up.example.org", REQUEST,
		  "<iq id='s&amp;1' type='result'><slot " NS
		  "><get url='https://g/'/></slot></iq>" },
		{ "alice@example.org", "up.example.org", REQUEST,
		  "<iq from='up.example.org' id='s&amp;1' type='result'><x><slot " NS
		  "><get url='https://g/'/></slot></x></iq>" },
		{ "alice@example.org", "up.example.org", REQUEST,
		  "<iq from='up.example.org' id='s&amp;1' type='result'><slot " NS
		  "><put url='https://g/'/></slot></iq>" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		start(rows[i].jid);
		feed_split(LANE_C2S, rows[i].request, 0);
		feed_split(LANE_S2C, rows[i].reply, 0);
		if (listed_n)
			fail_msg("row %zu: %s", i, listed);
	}
	start("alice@example.org/x");
	t.conf->fetch.from = CONF_FROM_ANY;
	feed_split(LANE_C2S, REQUEST, 0);
	assert_null(t.lanes.slots);
	feed_split(LANE_S2C, REPLY, 0);
	assert_int_equal(listed_n, 0);
}

/* Requests without end: the oldest are forgotten, the newest is not. */
static void requests_are_bounded(void **state UNUSED)
{
	char text[256];
	int i;

	start("alice@example.org/x");
	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text),
			 "<iq type='get' id='%d' to='example.org'><request " NS "/></iq>", i);
		feed_split(LANE_C2S, text, 5);
	}
	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text),
			 "<iq type='result' id='%d' from='example.org'><slot " NS
			 "><get url='http://h%d/'/></slot></iq>",
			 i, i);
		feed_split(LANE_S2C, text, 5);
	}
	assert_int_equal(listed_n, 16);
	assert_string_equal(listed, "http://h999");
}

static void origins(void **state UNUSED)
{
	static const struct {
		const char *url, *origin;
	} rows[] = {
		{ "https://a.example", "https://a.example" },
		{ "https://a.example/b://c", "https://a.example" },
		{ "https://a.example?b/", "https://a.example" },
		{ "https://a.example#b", "https://a.example" },
		{ "http://[::1]:80/", "http://[::1]:80" },
		{ "a.example/b", NULL },
		{ "", NULL },
	};
	char out[SLOTS_ORIGIN_MAX + 1], text[2 * SLOTS_ORIGIN_MAX] = "http://";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(slots_origin(rows[i].url, out), rows[i].origin != NULL);
		if (rows[i].origin)
			assert_string_equal(out, rows[i].origin);
	}
	memset(text + 7, 'x', SLOTS_ORIGIN_MAX - 7);
	assert_true(slots_origin(text, out));
	memset(text + 7, 'x', SLOTS_ORIGIN_MAX - 6);
	assert_false(slots_origin(text, out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(learned_at_every_split),
		TEST(not_learned),
		TEST(requests_are_bounded),
		TEST(origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
