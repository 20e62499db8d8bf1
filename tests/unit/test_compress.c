/* SPDX-License-Identifier: MIT */
/*
 * test_compress - XEP-0138 in the lanes, without sockets and zlib: what is agreed, where both
 * directions switch, and what inset answers itself; with any splits and behind held units.
 *
 * The legs' part is test_zstream's and test_compression.py's.
 */
#include "config.h"

#include "unit.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "fake_chain.h"
#include "stream/compress.h"
#include "stream/lane.h"

#define HEADER                                                       \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
#define PICTURE(id) "<message id='" id "'><x xmlns='jabber:x:oob'/></message>"
#define EDITED(id)  "<message id='" id "'><x xmlns='jabber:x:oob'/>" FAKE_INSERT "</message>"
#define NS          "xmlns='http://jabber.org/protocol/compress'"
#define ASK         "<compress " NS "><method>zlib</method></compress>"
#define ASK_OTHER   "<compress " NS "><method>lzw</method></compress>"
#define AGREED      "<compressed " NS "/>"
#define FAILURE     "<failure " NS "><setup-failed/></failure>"
#define FEATURE(m)  "<compression xmlns='http://jabber.org/features/compress'>" m "</compression>"
#define METHOD(m)   "<method>" m "</method>"
#define FEATURES(f) "<stream:features>" f "<sm xmlns='urn:xmpp:sm:3'/></stream:features>"

static struct fixture {
	struct conf *conf;
	struct conf_listen *listen;
	struct lanes lanes;
	struct buf out[2];
	struct buf rest;    /* what came behind <compressed/> */
	size_t switched[2]; /* bytes put out before the switch */
	unsigned switches;
	int answer; /* of ops.compress */
} t;

static bool on_emit(void *ctx, enum lane_dir dir, const struct iovec *v, int n)
{
	int i;

	assert_ptr_equal(ctx, &t);
	for (i = 0; i < n; i++)
		assert_int_equal(buf_add(&t.out[dir], v[i].iov_base, v[i].iov_len), 0);
	return true;
}

static void on_unhold(void *ctx UNUSED, struct fifo_entry *e)
{
	fake_forget(e);
}

static int on_compress(void *ctx, const uint8_t *rest, size_t len)
{
	assert_ptr_equal(ctx, &t);
	t.switches++;
	t.switched[0] = t.out[0].len;
	t.switched[1] = t.out[1].len;
	assert_int_equal(buf_add(&t.rest, rest, len), 0);
	return t.answer;
}

static const struct lane_ops ops = { .emit = on_emit,
				     .unhold = on_unhold,
				     .compress = on_compress };

static void begin(enum conf_compression compression)
{
	static struct chain chain;

	clock_fake(1000000);
	t.listen->compression = compression;
	lanes_init(&t.lanes, &ops, &t);
	t.lanes.conf = t.conf;
	t.lanes.listen = t.listen;
	t.lanes.chain = &chain;
	t.switches = 0;
	t.answer = 0;
	buf_init(&t.out[0], 1 << 26);
	buf_init(&t.out[1], 1 << 26);
	buf_init(&t.rest, 1 << 20);
}

static void end(void)
{
	lanes_fini(&t.lanes);
	buf_fini(&t.out[0]);
	buf_fini(&t.out[1]);
	buf_fini(&t.rest);
	assert_int_equal(fake_waiting_n, 0);
	assert_int_equal(fake_units, 0);
}

static int setup(void **state)
{
	(void)state;
	t.conf = conf_new();
	assert_non_null(t.conf);
	t.conf->limits.features_wait = 0; /* but for its own tests */
	t.listen = conf_add_listen(t.conf, "main");
	assert_non_null(t.listen);
	t.conf->limits.features_wait = 0;                                /* but for test_features */
	assert_int_equal(t.listen->compression, CONF_COMPRESSION_STRIP); /* the default */
	outline_setup();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	conf_unref(&t.conf);
	return 0;
}

static int feed(enum lane_dir dir, const char *p, size_t len)
{
	/* A heap copy, so that reading past a chunk's end is seen. */
	uint8_t *copy = malloc(len + !len);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	rc = lane_feed(&t.lanes.lane[dir], copy, len);
	free(copy);
	return rc;
}

static void put(enum lane_dir dir, const char *text)
{
	assert_int_equal(feed(dir, text, strlen(text)), 0);
}

static int try(enum lane_dir dir, const char *text)
{
	return feed(dir, text, strlen(text));
}

/* So many bytes at a time; a failure ends it. */
static int put_pieces(enum lane_dir dir, const char *text, size_t piece)
{
	size_t at, len = strlen(text);
	int rc = 0;

	for (at = 0; at < len && !rc; at += piece)
		rc = feed(dir, text + at, MIN_OF(piece, len - at));
	return rc;
}

static void expect(enum lane_dir dir, const char *text)
{
	if (t.out[dir].len != strlen(text) ||
	    (*text && memcmp(t.out[dir].p, text, t.out[dir].len) != 0))
		fail_msg("got  '%.*s'\nwant '%s'", (int)t.out[dir].len, (char *)t.out[dir].p, text);
	buf_clear(&t.out[dir]);
}

static void login(void)
{
	put(LANE_C2S, HEADER);
	put(LANE_S2C, HEADER);
	expect(LANE_C2S, HEADER);
	expect(LANE_S2C, HEADER);
	t.lanes.authenticated = true;
}

static void result(size_t i)
{
	struct job_result r = { .status = JOB_OK };

	lane_result(fake_waiting[i], &r);
}

static void fail_waiting(void)
{
	while (fake_waiting_n)
		lane_give_up(fake_waiting[0]);
}

/* --- relay: agreeing --------------------------------------------------------------------- */

static void test_switch_at_every_split(void **state)
{
	static const char before[] = "<iq type='result' id='1'/>" AGREED;
	static const char packed[] = "x\x9c anything < & > \x16";
	char text[sizeof(before) + sizeof(packed)];
	size_t piece, cut;

	(void)state;
	snprintf(text, sizeof(text), "%s%s", before, packed);
	for (piece = 1; piece <= strlen(text); piece++) {
		begin(CONF_COMPRESSION_RELAY);
		login();
		assert_int_equal(put_pieces(LANE_C2S, "<presence/>" ASK, piece), 0);
		expect(LANE_C2S, "<presence/>" ASK);
		assert_true(t.lanes.asked);
		/* The test plays the leg: what follows the switch is not fed as it is. */
		for (cut = 0; cut < strlen(text) && !t.switches; cut += piece)
			assert_int_equal(
				feed(LANE_S2C, text + cut, MIN_OF(piece, strlen(text) - cut)), 0);
		assert_int_equal(t.switches, 1);
		assert_int_equal(t.switched[LANE_S2C], strlen(before));
		expect(LANE_S2C, before);
		assert_memory_equal(t.rest.p ? t.rest.p : (const uint8_t *)"", packed, t.rest.len);
		assert_int_equal(t.rest.len, MIN_OF(cut, strlen(text)) - strlen(before));
		assert_false(t.lanes.opaque);
		/* A new stream, and filters see its stanzas. */
		assert_int_equal(put_pieces(LANE_C2S, HEADER PICTURE("1") "<a/>", piece), 0);
		assert_int_equal(put_pieces(LANE_S2C, HEADER FEATURES(""), piece), 0);
		assert_int_equal(fake_waiting_n, 1);
		result(0);
		expect(LANE_C2S, HEADER EDITED("1") "<a/>");
		expect(LANE_S2C, HEADER FEATURES(""));
		end();
	}
	begin(CONF_COMPRESSION_RELAY);
}

static void test_held_units_leave_before_the_switch(void **state)
{
	static const char own[] = "<r/>" PICTURE("1") "<a/>";

	(void)state;
	begin(CONF_COMPRESSION_RELAY);
	login();
	put(LANE_C2S, own);
	put(LANE_C2S, ASK);
	put(LANE_S2C, PICTURE("2") "<b/>");
	assert_int_equal(fake_waiting_n, 2);
	/* A server that does not wait for the question, either. */
	put(LANE_S2C, AGREED "zip");
	assert_int_equal(t.switches, 1);
	assert_int_equal(fake_waiting_n, 0);
	assert_int_equal(t.switched[LANE_C2S], strlen("<r/>" PICTURE("1") "<a/>" ASK));
	assert_int_equal(t.switched[LANE_S2C], strlen(PICTURE("2") "<b/>" AGREED));
	expect(LANE_C2S, "<r/>" PICTURE("1") "<a/>" ASK);
	expect(LANE_S2C, PICTURE("2") "<b/>" AGREED);
}

static void test_nothing_may_follow_the_question(void **state)
{
	static const char *const more[] = { " ",    "<",     "<presence/>",
					    HEADER, "x\x9c", "</stream:stream>" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(more); i++) {
		char text[1024];

		begin(CONF_COMPRESSION_RELAY);
		login();
		snprintf(text, sizeof(text), "<a/>" ASK "%s", more[i]);
		assert_int_equal(try(LANE_C2S, text), ERR_POLICY);
		expect(LANE_C2S, "<a/>" ASK);
		end();
		begin(CONF_COMPRESSION_RELAY);
		login();
		put(LANE_C2S, ASK);
		assert_int_equal(try(LANE_C2S, more[i]), ERR_POLICY);
		expect(LANE_C2S, ASK);
		end();
	}
	begin(CONF_COMPRESSION_RELAY);
}

static void test_the_server_refuses(void **state)
{
	(void)state;
	begin(CONF_COMPRESSION_RELAY);
	login();
	put(LANE_C2S, ASK);
	put(LANE_S2C, "<message/>" FAILURE);
	expect(LANE_S2C, "<message/>" FAILURE);
	put(LANE_C2S, "<presence/>" ASK);
	expect(LANE_C2S, ASK "<presence/>" ASK);
	put(LANE_S2C, AGREED);
	assert_int_equal(t.switches, 1);
	expect(LANE_S2C, AGREED);
}

static void test_another_stream_must_begin(void **state)
{
	(void)state;
	begin(CONF_COMPRESSION_RELAY);
	login();
	put(LANE_C2S, ASK);
	put(LANE_S2C, AGREED);
	assert_int_equal(try(LANE_S2C, "<presence/>"), ERR_NAMESPACE);
	assert_true(try(LANE_C2S, "text") != 0);
	expect(LANE_C2S, ASK);
	expect(LANE_S2C, AGREED);
}

static void test_no_memory_for_it(void **state)
{
	(void)state;
	begin(CONF_COMPRESSION_RELAY);
	login();
	put(LANE_C2S, ASK);
	t.answer = ERR_NOMEM;
	assert_int_equal(try(LANE_S2C, AGREED "x"), ERR_NOMEM);
}

/* Other methods are the peers' own affair, and what nobody asked for is none of ours. */
static void test_other_methods_are_opaque(void **state)
{
	static const char *const asks[] = {
		"",
		ASK_OTHER,
		"<compress " NS "/>",
		"<compress " NS "><method>zlib</method><method>lzw</method></compress>",
		"<compress " NS "><method xmlns='a'>zlib</method></compress>",
		"<compress " NS "><method>zlibs</method></compress>",
		"<compress " NS "><method>zlib a</method></compress>",
		"<compress " NS "><method>zl<a/></method></compress>",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(asks); i++) {
		begin(CONF_COMPRESSION_RELAY);
		login();
		put(LANE_C2S, asks[i]);
		assert_false(t.lanes.asked);
		put(LANE_C2S, "<a/>");
		put(LANE_S2C, AGREED "\x01");
		assert_int_equal(t.switches, 0);
		assert_true(t.lanes.opaque);
		put(LANE_C2S, "\x02");
		expect(LANE_S2C, AGREED "\x01");
		assert_int_equal(t.out[LANE_C2S].len, strlen(asks[i]) + 5);
		end();
	}
	begin(CONF_COMPRESSION_RELAY);
}

static void test_ways_to_write_zlib(void **state)
{
	static const char *const asks[] = {
		"<c:compress xmlns:c='http://jabber.org/protocol/compress'><c:method>zlib"
		"</c:method></c:compress>",
		"<compress " NS ">\n<method>\n zlib\t</method>\n</compress>",
		"<compress " NS "><method><![CDATA[zlib]]></method></compress>",
		"<compress " NS "><method>&#122;lib</method></compress>",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(asks); i++) {
		begin(CONF_COMPRESSION_RELAY);
		login();
		put(LANE_C2S, asks[i]);
		expect(LANE_C2S, asks[i]);
		assert_true(t.lanes.asked);
		end();
	}
	begin(CONF_COMPRESSION_RELAY);
}

/* --- features ------------------------------------------------------------------------------ */

static void test_features(void **state)
{
	static const struct {
		const char *in;
		const char *strip;
		const char *relay;
	} rows[] = {
		{ FEATURES(FEATURE(METHOD("zlib"))), FEATURES(""),
		  FEATURES(FEATURE(METHOD("zlib"))) },
		{ FEATURES(FEATURE(METHOD("lzw") METHOD("zlib") METHOD("zstd"))), FEATURES(""),
		  FEATURES(FEATURE(METHOD("zlib"))) },
		{ FEATURES(FEATURE(METHOD("lzw"))), FEATURES(""), FEATURES("") },
		{ FEATURES(FEATURE("")), FEATURES(""), FEATURES("") },
		{ FEATURES(FEATURE(METHOD("lzw")) "<a/>" FEATURE(METHOD(" zlib "))),
		  FEATURES("<a/>"), FEATURES("<a/>" FEATURE(METHOD(" zlib "))) },
		{ FEATURES("<a/>"), FEATURES("<a/>"), FEATURES("<a/>") },
	};
	size_t i;
	int mode;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (mode = CONF_COMPRESSION_STRIP; mode <= CONF_COMPRESSION_RELAY; mode++) {
			begin((enum conf_compression)mode);
			login();
			t.lanes.authenticated = false;
			put(LANE_S2C, rows[i].in);
			expect(LANE_S2C, rows[i].strip); /* never before authentication */
			t.lanes.authenticated = true;
			put(LANE_S2C, rows[i].in);
			expect(LANE_S2C, mode ? rows[i].relay : rows[i].strip);
			t.lanes.compressed = true;
			put(LANE_S2C, rows[i].in);
			expect(LANE_S2C, rows[i].strip); /* nor twice */
			end();
		}
	begin(CONF_COMPRESSION_RELAY);
}

/* --- a stray <compress/> -------------------------------------------------------------------- */

static void test_answered_at_every_split(void **state)
{
	static const char c2s[] = "<presence/>" ASK "<message/> " ASK_OTHER "<a/>";
	static const char s2c[] = "<message><body>long</body></message> <presence/>";
	size_t piece, at, cut;

	(void)state;
	for (piece = 1; piece <= strlen(c2s); piece++) {
		for (cut = 0; cut <= strlen(s2c); cut++) {
			char want[512];
			/* The first place between units that is not before the cut. */
			size_t one = strlen("<message><body>long</body></message>"), pos;

			begin(CONF_COMPRESSION_STRIP);
			login();
			assert_int_equal(feed(LANE_S2C, s2c, cut), 0);
			assert_int_equal(put_pieces(LANE_C2S, c2s, piece), 0);
			expect(LANE_C2S, "<presence/><message/> <a/>");
			assert_int_equal(feed(LANE_S2C, s2c + cut, strlen(s2c) - cut), 0);
			at = t.out[LANE_S2C].len;
			assert_int_equal(at, strlen(s2c) + 2 * strlen(FAILURE));
			/* Messages are kept whole by the chain, so it stands before or behind. */
			assert_int_equal(buf_add(&t.out[LANE_S2C], "", 1), 0);
			pos = (size_t)(strstr((char *)t.out[LANE_S2C].p, FAILURE FAILURE) -
				       (char *)t.out[LANE_S2C].p);
			assert_true(pos == 0 || pos == one || pos == one + 1 || pos == strlen(s2c));
			snprintf(want, sizeof(want), "%.*s%s%s", (int)pos, s2c, FAILURE FAILURE,
				 s2c + pos);
			assert_string_equal((char *)t.out[LANE_S2C].p, want);
			end();
		}
	}
	begin(CONF_COMPRESSION_STRIP);
}

static void test_the_answer_keeps_the_order(void **state)
{
	(void)state;
	begin(CONF_COMPRESSION_STRIP);
	login();
	/* Behind a held unit and what waits behind that. */
	put(LANE_S2C, PICTURE("1") "<a/>");
	put(LANE_C2S, ASK "<b/>");
	put(LANE_S2C, "<c/>" PICTURE("2"));
	expect(LANE_S2C, "");
	expect(LANE_C2S, "<b/>");
	fail_waiting();
	expect(LANE_S2C, PICTURE("1") "<a/>" FAILURE "<c/>" PICTURE("2"));
	/* A held unit of the client's own stays before what came behind. */
	put(LANE_C2S, PICTURE("3") ASK "<d/>");
	expect(LANE_S2C, FAILURE);
	expect(LANE_C2S, "");
	result(0);
	expect(LANE_C2S, EDITED("3") "<d/>");
	/* In the middle of a unit that flows, or of a tag of which a part has left. */
	put(LANE_S2C, "<presence><show>");
	put(LANE_C2S, ASK);
	expect(LANE_S2C, "<presence><show>");
	put(LANE_S2C, "away</show></presence><e");
	expect(LANE_S2C, "away</show></presence>" FAILURE);
	put(LANE_S2C, "/>");
	expect(LANE_S2C, "<e/>");
}

static void test_no_answer_outside_the_stream(void **state)
{
	static const char auth[] =
		"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
	static const char success[] = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

	(void)state;
	begin(CONF_COMPRESSION_RELAY); /* before authentication that is as strip */
	put(LANE_C2S, HEADER ASK);
	expect(LANE_C2S, HEADER);
	expect(LANE_S2C, ""); /* there is no stream yet */
	put(LANE_S2C, HEADER "<a/>");
	expect(LANE_S2C, HEADER FAILURE "<a/>");
	/* A question of the next stream, which has come before its time. */
	put(LANE_C2S, auth);
	put(LANE_C2S, HEADER ASK);
	expect(LANE_S2C, "");
	put(LANE_S2C, success);
	expect(LANE_S2C, success);
	put(LANE_S2C, HEADER);
	expect(LANE_S2C, HEADER FAILURE);
	/* Behind the end nothing is said. */
	put(LANE_S2C, "</stream:stream>");
	t.listen->compression = CONF_COMPRESSION_STRIP;
	put(LANE_C2S, ASK);
	put(LANE_S2C, " ");
	expect(LANE_S2C, "</stream:stream> ");
}

/* A header that waits for its features has not left, but it has been put out. */
static void test_the_answer_waits_with_the_header(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_S2C];
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		begin(CONF_COMPRESSION_STRIP);
		t.conf->limits.features_wait = 20;
		put(LANE_C2S, HEADER);
		put(LANE_S2C, i == 1 ? HEADER "<stream:fea" : HEADER);
		put(LANE_C2S, ASK);
		expect(LANE_C2S, HEADER);
		expect(LANE_S2C, "");
		if (i == 2) {
			clock_fake(lane_deadline(l));
			lane_expire(l);
			expect(LANE_S2C, HEADER FAILURE);
		}
		put(LANE_S2C, &FEATURES("")[i == 1 ? strlen("<stream:fea") : 0]);
		expect(LANE_S2C, i == 2 ? FEATURES("") : HEADER FAILURE FEATURES(""));
		end();
	}
	begin(CONF_COMPRESSION_STRIP);
}

static void test_the_new_header_waits_as_well(void **state)
{
	size_t piece;

	(void)state;
	for (piece = 1; piece < strlen(HEADER FEATURES("")); piece++) {
		begin(CONF_COMPRESSION_RELAY);
		t.conf->limits.features_wait = 20;
		put(LANE_C2S, HEADER);
		t.lanes.authenticated = true;
		put(LANE_C2S, ASK);
		/* A server that skips its features: nothing waits behind the switch. */
		put(LANE_S2C, HEADER);
		expect(LANE_S2C, "");
		put(LANE_S2C, AGREED);
		assert_int_equal(t.switched[LANE_S2C], strlen(HEADER AGREED));
		expect(LANE_S2C, HEADER AGREED);
		put(LANE_S2C, HEADER);
		expect(LANE_S2C, "");
		assert_int_equal(put_pieces(LANE_S2C, FEATURES(""), piece), 0);
		expect(LANE_S2C, HEADER FEATURES(""));
		end();
	}
	begin(CONF_COMPRESSION_RELAY);
}

static void test_asking_again_and_again(void **state)
{
	int i;

	(void)state;
	begin(CONF_COMPRESSION_STRIP);
	login();
	for (i = 0; i < COMPRESS_REFUSALS; i++) {
		put(LANE_C2S, ASK);
		expect(LANE_S2C, FAILURE);
	}
	assert_int_equal(try(LANE_C2S, "<a/>" ASK "<b/>"), ERR_POLICY);
	expect(LANE_C2S, "<a/>");
	expect(LANE_S2C, "");
	/* Those that wait count as well. */
	end();
	begin(CONF_COMPRESSION_STRIP);
	login();
	put(LANE_S2C, "<presence>");
	assert_int_equal(try(LANE_C2S, ASK ASK ASK ASK), ERR_POLICY);
	expect(LANE_C2S, "");
}

static void test_once_compressed_it_is_answered(void **state)
{
	(void)state;
	begin(CONF_COMPRESSION_RELAY);
	login();
	put(LANE_C2S, ASK);
	put(LANE_S2C, AGREED);
	expect(LANE_S2C, AGREED);
	expect(LANE_C2S, ASK);
	put(LANE_C2S, HEADER ASK);
	expect(LANE_S2C, "");
	put(LANE_S2C, HEADER);
	expect(LANE_S2C, HEADER FAILURE);
	expect(LANE_C2S, HEADER);
	put(LANE_S2C, AGREED); /* a server that says so all the same */
	assert_int_equal(t.switches, 1);
	assert_true(t.lanes.opaque);
	expect(LANE_S2C, AGREED);
}

static void test_too_long_or_too_slow(void **state)
{
	char *text = malloc(300000);
	int i;

	(void)state;
	memset(text, ' ', 300000);
	text[299999] = '\0';
	memcpy(text, "<a/><compress " NS ">", strlen("<a/><compress " NS ">"));
	begin(CONF_COMPRESSION_STRIP);
	login();
	assert_int_equal(put_pieces(LANE_C2S, text, 10000), ERR_POLICY);
	expect(LANE_C2S, "<a/>");
	free(text);
	for (i = 0; i < 2; i++) {
		end();
		begin(CONF_COMPRESSION_STRIP);
		login();
		put(LANE_C2S, i ? "<a/><compress " NS : "<a/><compress " NS "><method>");
		expect(LANE_C2S, "<a/>");
		/* What is not known to be one yet flows, as any tag. */
		assert_int_equal(lane_let_go(&t.lanes.lane[LANE_C2S]), i ? 0 : ERR_POLICY);
		expect(LANE_C2S, i ? "<compress " NS : "");
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_switch_at_every_split),
		TEST(test_held_units_leave_before_the_switch),
		TEST(test_nothing_may_follow_the_question),
		TEST(test_the_server_refuses),
		TEST(test_another_stream_must_begin),
		TEST(test_no_memory_for_it),
		TEST(test_other_methods_are_opaque),
		TEST(test_ways_to_write_zlib),
		TEST(test_features),
		TEST(test_answered_at_every_split),
		TEST(test_the_answer_keeps_the_order),
		TEST(test_no_answer_outside_the_stream),
		TEST(test_the_answer_waits_with_the_header),
		TEST(test_the_new_header_waits_as_well),
		TEST(test_asking_again_and_again),
		TEST(test_once_compressed_it_is_answered),
		TEST(test_too_long_or_too_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
