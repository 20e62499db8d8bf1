/* SPDX-License-Identifier: MIT */
/*
 * test_lane - framing, collecting, holding and releasing, without sockets and filters.
 *
 * Covers lane*.c, lanes.c, fifo.c and learn.c with the real framer and a fake chain. The chain
 * itself is test_chain's, sockets and jobs are test_session's.
 */
#include "config.h"

#include "unit.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "lane_fixture.h"

#define PICTURE(id) \
	"<message id='" id "'><x xmlns='jabber:x:oob'><url>http://a/b</url></x></message>"
#define PICTURE_EDITED(id)                                                                   \
	"<message id='" id "'><x xmlns='jabber:x:oob'><url>http://a/b</url></x>" FAKE_INSERT \
	"</message>"

static void result(size_t i, bool good)
{
	struct fifo_entry *e = fake_waiting[i];
	struct job_result r = { .status = good ? JOB_OK : JOB_HTTP };

	lane_result(e, &r);
}

/* --- plain ----------------------------------------------------------------------------- */

static void test_chunk_leaves_in_one_piece(void **state)
{
	const char *text = "<message><body>a</body></message><presence/> <iq "
			   "type='get'><q/></iq><r xmlns='urn:xmpp:sm:3'/>";

	(void)state;
	login();
	put(LANE_C2S, text);
	expect(LANE_C2S, text);
	assert_int_equal(t.emits[LANE_C2S], 1);
}

static void test_unfinished_tag_waits(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, "<presence><show>away</show><prio");
	expect(LANE_C2S, "<presence><show>away</show>");
	put(LANE_C2S, "rity>5</pri");
	expect(LANE_C2S, "<priority>5");
	put(LANE_C2S, "ority></presence>");
	expect(LANE_C2S, "</priority></presence>");
	assert_int_equal(t.emits[LANE_C2S], 3);
}

static void test_long_tag_flows(void **state)
{
	char text[8192], *at;
	size_t i, len;

	(void)state;
	login();
	at = text + sprintf(text, "<message a='");
	memset(at, 'x', 6000);
	sprintf(at + 6000, "'><x xmlns='jabber:x:oob'/></message>");
	len = strlen(text);
	for (i = 0; i < len; i += 100)
		assert_int_equal(feed(LANE_C2S, text + i, MIN_OF(100, len - i)), 0);
	expect(LANE_C2S, text);
	assert_int_equal(fake_waiting_n, 0); /* unread */
	put(LANE_C2S, PICTURE("1"));
	assert_int_equal(fake_waiting_n, 1); /* the next one is read again */
}

/* --- holding --------------------------------------------------------------------------- */

static void test_fifo_out_of_order(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, "<r/>" PICTURE("1") "<a/>" PICTURE("2") "<b/>" PICTURE("3") "<c/><pre");
	expect(LANE_C2S, "<r/>");
	assert_int_equal(fake_waiting_n, 3);
	result(2, true);
	result(1, false);
	expect(LANE_C2S, "");
	put(LANE_S2C, "<presence/>"); /* the other lane flows */
	expect(LANE_S2C, "<presence/>");
	put(LANE_C2S, "sence/>");
	result(0, true);
	expect(LANE_C2S, PICTURE_EDITED("1") "<a/>" PICTURE("2") "<b/>" PICTURE_EDITED(
				 "3") "<c/><presence/>");
	assert_true(lane_is_drained(&t.lanes.lane[LANE_C2S]));
}

static void test_edited_at_once(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, "<r/><message><x xmlns='jabber:x:oob'>edit-now</x></message><a/>");
	expect(LANE_C2S,
	       "<r/><message><x xmlns='jabber:x:oob'>edit-now</x>" FAKE_INSERT "</message><a/>");
}

/* A reply that a filter waits for goes to it without a needle, wherever the chunks end. */
static void test_awaited_reply(void **state)
{
	static const char other[] = "<iq type='error' id='other'><a/></iq>";
	static const char reply[] = "<iq type='error' id='awaited'><a/></iq>";
	char head[sizeof(reply)], all[sizeof(reply) + sizeof(other)];
	size_t at, runs;

	(void)state;
	login();
	for (at = 0; at < sizeof(reply) - 1; at++) {
		runs = fake_runs;
		memcpy(head, reply, at);
		head[at] = '\0';
		put(LANE_S2C, other);
		expect(LANE_S2C, other);
		assert_int_equal(fake_runs, runs);
		if (at)
			put(LANE_S2C, head);
		put(LANE_S2C, reply + at);
		assert_int_equal(fake_runs, runs + 1);
		put(LANE_S2C, other); /* behind it */
		expect(LANE_S2C, "");
		result(fake_waiting_n - 1, false);
		memcpy(all, reply, sizeof(reply) - 1);
		strcpy(all + sizeof(reply) - 1, other);
		expect(LANE_S2C, all);
	}
}

static void test_hold_deadline(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_C2S];

	(void)state;
	login();
	put(LANE_C2S, PICTURE("1"));
	assert_int_equal(lane_deadline(l), START_MS + t.listen->hold);
	clock_fake(START_MS + 500);
	put(LANE_C2S, PICTURE("2"));
	clock_fake(START_MS + t.listen->hold - 1);
	lane_expire(l);
	expect(LANE_C2S, "");
	clock_fake(START_MS + t.listen->hold);
	lane_expire(l);
	expect(LANE_C2S, PICTURE("1"));
	assert_int_equal(lane_deadline(l), START_MS + t.listen->hold + 500);
	result(0, true);
	expect(LANE_C2S, PICTURE_EDITED("2"));
	put(LANE_S2C, PICTURE("3"));
	assert_int_equal(lane_deadline(&t.lanes.lane[LANE_S2C]), clock_now() + t.listen->hold_s2c);
}

/* With hold 2 s and budget 3 s in 30 s: 2 s, 1 s, then the cache only; later all again. */
static void test_hold_budget(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_C2S];

	(void)state;
	login();
	put(LANE_C2S, PICTURE("1"));
	clock_fake(lane_deadline(l));
	lane_expire(l);
	put(LANE_C2S, PICTURE("2"));
	assert_false(fake_last.cached_only);
	assert_int_equal(lane_deadline(l) - clock_now(), 1000);
	clock_fake(lane_deadline(l));
	lane_expire(l);
	put(LANE_C2S, PICTURE("3"));
	assert_true(fake_last.cached_only);
	assert_true(lane_deadline(l) - clock_now() <= 100);
	clock_fake(lane_deadline(l));
	lane_expire(l);
	expect(LANE_C2S, PICTURE("1") PICTURE("2") PICTURE("3"));
	clock_fake(clock_now() + 40000);
	put(LANE_C2S, PICTURE("4"));
	assert_false(fake_last.cached_only);
	assert_int_equal(lane_deadline(l) - clock_now(), t.listen->hold);
}

static void test_full_at_held_bytes(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_C2S];
	size_t n = 0;

	(void)state;
	login();
	put(LANE_C2S, PICTURE("1"));
	while (!lane_is_full(l)) {
		put(LANE_C2S, "<presence><status>0123456789012345678901234567890123456789</"
			      "status></presence>");
		n++;
	}
	assert_true(n * 100 > t.conf->limits.held_bytes);
	assert_true(l->fifo->bytes < t.conf->limits.held_bytes + 200);
	result(0, false);
	assert_false(lane_is_full(l));
	assert_true(lane_is_drained(l));
}

static void test_no_room_stops_the_fifo(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_C2S];
	size_t i;

	(void)state;
	login();
	for (i = 0; i < 30; i++)
		put(LANE_C2S, PICTURE("1") "<r/>");
	t.room = false;
	while (fake_waiting_n)
		result(0, true);
	assert_false(lane_is_drained(l));
	assert_int_equal(lane_deadline(l), 0);
	put(LANE_C2S, "<presence/>"); /* still behind */
	t.room = true;
	lane_resume(l);
	assert_true(lane_is_drained(l));
	assert_int_equal(t.out[LANE_C2S].len,
			 30 * strlen(PICTURE_EDITED("1") "<r/>") + strlen("<presence/>"));
}

static void test_many_units_wait_at_most(void **state)
{
	size_t i;

	(void)state;
	login();
	for (i = 0; i < FIFO_UNITS_MAX + 10; i++)
		put(LANE_C2S, PICTURE("1"));
	assert_int_equal(fake_waiting_n, FIFO_UNITS_MAX);
	lane_release(&t.lanes.lane[LANE_C2S]);
	assert_int_equal(t.out[LANE_C2S].len, (FIFO_UNITS_MAX + 10) * strlen(PICTURE("1")));
}

static void test_end_waits_for_held(void **state)
{
	struct lane *l = &t.lanes.lane[LANE_C2S];

	(void)state;
	login();
	put(LANE_C2S, PICTURE("1") "</stream:stream>");
	assert_int_equal(lane_end(l), 0);
	assert_false(lane_is_drained(l));
	expect(LANE_C2S, "");
	result(0, false);
	expect(LANE_C2S, PICTURE("1") "</stream:stream>");
	assert_true(lane_is_drained(l));
}

static void test_end_gives_back_what_was_kept(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, "<message><bo");
	expect(LANE_C2S, "");
	assert_int_equal(lane_end(&t.lanes.lane[LANE_C2S]), 0);
	expect(LANE_C2S, "<message><bo");
}

/* --- limits and violations --------------------------------------------------------------- */

static void test_oversize_is_relayed_unread(void **state)
{
	uint64_t before = counters_mine->value[METRIC_UNITS_SIZE];
	char block[1001];
	size_t i;

	(void)state;
	login();
	memset(block, 'x', 1000);
	block[1000] = '\0';
	put(LANE_C2S, "<message><x xmlns='jabber:x:oob'/>");
	for (i = 0; i < t.listen->max_stanza / 1000 + 2; i++)
		put(LANE_C2S, block);
	put(LANE_C2S, "</message>");
	assert_int_equal(fake_waiting_n, 0);
	assert_int_equal(counters_mine->value[METRIC_UNITS_SIZE], before + 1);
	assert_int_equal(t.out[LANE_C2S].len,
			 strlen("<message><x xmlns='jabber:x:oob'/></message>") + i * 1000);
}

/* Exactly max-stanza passes, one byte more does not; cut through or kept, other lane or peer. */
static void test_oversize_closes_clients(void **state)
{
	static const char *const starts[] = { "<message>", "<presence>" };
	char *text = malloc(t.listen->max_stanza + 100);
	size_t i, len;

	(void)state;
	assert_non_null(text);
	t.listen->oversize = CONF_CLOSE;
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		login();
		len = t.listen->max_stanza - 2 * strlen(starts[i]) - 1;
		memset(text, 'x', len);
		put(LANE_C2S, starts[i]);
		assert_int_equal(feed(LANE_C2S, text, len), 0);
		assert_int_equal(feed(LANE_C2S, i ? "</presence>" : "</message>", i ? 11 : 10), 0);
		put(LANE_C2S, starts[i]);
		assert_int_equal(feed(LANE_C2S, text, len), 0);
		assert_int_equal(feed(LANE_C2S, i ? "x</presence>" : "x</message>", i ? 12 : 11),
				 ERR_TOO_BIG);
		end();
		begin();
	}
	login();
	put(LANE_S2C, "<message>");
	for (i = 0; i < 3; i++)
		assert_int_equal(feed(LANE_S2C, text, t.listen->max_stanza / 2), 0);
	free(text);
}

static void test_oversize_does_not_close_components(void **state)
{
	char block[1001];
	size_t i;

	(void)state;
	t.listen->oversize = CONF_CLOSE;
	put(LANE_C2S, "<stream:stream xmlns='jabber:component:accept' "
		      "xmlns:stream='http://etherx.jabber.org/streams' to='c.example.org'>");
	put(LANE_S2C, "<stream:stream xmlns='jabber:component:accept' "
		      "xmlns:stream='http://etherx.jabber.org/streams' id='1'>");
	put(LANE_C2S, "<handshake>x</handshake>");
	put(LANE_S2C, "<handshake/>");
	memset(block, 'x', 1000);
	block[1000] = '\0';
	put(LANE_C2S, "<message>");
	for (i = 0; i < t.listen->max_stanza / 1000 + 2; i++)
		put(LANE_C2S, block);
	put(LANE_C2S, "</message>");
}

/* What is kept too long flows on unread; the next unit is read again. */
static void test_slow_units_are_let_go(void **state)
{
	uint64_t before = counters_mine->value[METRIC_UNITS_SLOW];
	struct lane *l = &t.lanes.lane[LANE_C2S];
	struct list keepers;

	(void)state;
	list_init(&keepers);
	t.lanes.keepers = &keepers;
	login();
	assert_true(list_is_empty(&keepers));
	put(LANE_C2S, "<message><x xmlns='jabber:x:oob'>");
	assert_ptr_equal(list_first(&keepers), &l->keeping);
	clock_fake(START_MS + 1000);
	put(LANE_C2S, "<u");
	assert_int_equal(l->kept_at, START_MS); /* from its first byte */
	assert_int_equal(t.out[LANE_C2S].len, 0);
	assert_int_equal(lane_let_go(l), 0);
	expect(LANE_C2S, "<message><x xmlns='jabber:x:oob'><u");
	assert_true(list_is_empty(&keepers));
	assert_false(lane_is_quiet(l));
	assert_int_equal(counters_mine->value[METRIC_UNITS_SLOW], before + 1);
	put(LANE_C2S, "rl>http://a/b</url></x></message>");
	expect(LANE_C2S, "rl>http://a/b</url></x></message>");
	assert_int_equal(fake_waiting_n, 0);
	/* A tag between units: let go, it is whole for nobody any more. */
	put(LANE_C2S, "<mess");
	assert_int_equal(l->kept_at, START_MS + 1000);
	assert_int_equal(lane_let_go(l), 0);
	expect(LANE_C2S, "<mess");
	put(LANE_C2S, "age><x xmlns='jabber:x:oob'/></message>");
	expect(LANE_C2S, "age><x xmlns='jabber:x:oob'/></message>");
	put(LANE_C2S, PICTURE("1"));
	assert_int_equal(fake_waiting_n, 1);
	/* The clock starts anew with the next unit, not with each chunk. */
	put(LANE_C2S, "<message><body>");
	clock_fake(START_MS + 2000);
	put(LANE_C2S, "</body></message><message>");
	assert_int_equal(l->kept_at, START_MS + 2000);
	assert_int_equal(lane_let_go(l), 0); /* behind the held one */
	lane_release(l);
	expect(LANE_C2S, PICTURE("1") "<message><body></body></message><message>");
	t.lanes.keepers = NULL;
}

static void test_shape_is_relayed_unread(void **state)
{
	uint64_t before = counters_mine->value[METRIC_UNITS_SHAPE];
	struct buf b;
	int i, kind;

	(void)state;
	login();
	for (kind = 0; kind < 3; kind++) {
		buf_init(&b, 1 << 20);
		assert_int_equal(buf_add_str(&b, "<message>"
						 "<x xmlns='jabber:x:oob'/><y"),
				 0);
		for (i = 0; kind == 0 && i < 101; i++)
			assert_int_equal(buf_printf(&b, " a%d=''", i), 0);
		assert_int_equal(buf_add_str(&b, ">"), 0);
		for (i = 0; kind == 1 && i < 64; i++)
			assert_int_equal(buf_add_str(&b, "<z>"), 0);
		for (i = 0; kind == 1 && i < 64; i++)
			assert_int_equal(buf_add_str(&b, "</z>"), 0);
		for (i = 0; kind == 2 && i < 2000; i++)
			assert_int_equal(buf_add_str(&b, "<z/>"), 0);
		assert_int_equal(buf_add(&b, "</y></message>", 15), 0);
		put(LANE_C2S, (char *)b.p);
		expect(LANE_C2S, (char *)b.p);
		assert_int_equal(fake_waiting_n, 0);
		assert_int_equal(counters_mine->value[METRIC_UNITS_SHAPE],
				 before + 1 + (uint64_t)kind);
		buf_fini(&b);
	}
}

static void test_before_authentication(void **state)
{
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, 1 << 20);
	put(LANE_C2S, HEADER);
	/* elements */
	assert_int_equal(buf_add_str(&b, "<iq type='get'>"), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(buf_add_str(&b, "<z/>"), 0);
	assert_int_equal(feed(LANE_C2S, b.p, b.len), ERR_POLICY);
	expect(LANE_C2S, HEADER);
	end();
	/* bytes of a unit */
	begin();
	put(LANE_C2S, HEADER "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
	for (i = 0; i < 63; i++) {
		memset(b.p, 'x', 256);
		assert_int_equal(feed(LANE_C2S, b.p, 256), 0);
	}
	t.lanes.authenticated = false;
	buf_clear(&b);
	assert_int_equal(buf_reserve(&b, 65536), 0);
	memset(b.p, 'x', 65536);
	assert_int_equal(feed(LANE_C2S, b.p, 65536), ERR_POLICY);
	end();
	/* header */
	begin();
	memset(b.p, 'x', 5000);
	put(LANE_C2S, "<stream:stream a='");
	assert_int_equal(feed(LANE_C2S, b.p, 5000), ERR_POLICY);
	expect(LANE_C2S, "");
	/* the server's lane knows no such limit */
	put(LANE_S2C, HEADER "<iq type='get'>");
	for (i = 0; i < 100; i++)
		put(LANE_S2C, "<z/>");
	buf_fini(&b);
}

/* A stranger makes us fetch nothing; nor does a unit that began before the login was done. */
static void test_filters_wait_for_the_login(void **state)
{
	static const char picture[] = PICTURE("1");
	size_t at, runs = fake_runs;

	(void)state;
	for (at = 1; at < sizeof(picture); at++) {
		put(LANE_C2S, HEADER);
		expect(LANE_C2S, HEADER);
		assert_int_equal(feed(LANE_C2S, picture, at), 0);
		put(LANE_C2S, picture + at);
		expect(LANE_C2S, picture);
		assert_int_equal(fake_runs, runs);
		end();
		begin();
	}
	login();
	t.lanes.authenticated = false;
	put(LANE_C2S, "<message>");
	put(LANE_S2C, "<success xmlns='urn:xmpp:sasl:2'/>");
	put(LANE_C2S, "<x xmlns='jabber:x:oob'/></message>");
	expect(LANE_C2S, "<message><x xmlns='jabber:x:oob'/></message>");
	assert_int_equal(fake_runs, runs);
	put(LANE_C2S, PICTURE("2"));
	assert_int_equal(fake_runs, runs + 1);
	result(fake_waiting_n - 1, false);
}

/* Each way in that a server may let its peers have, by the server's word alone. */
static void test_who_has_logged_in(void **state)
{
#define STREAM(ns)                                                        \
	"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' " \
	"xmlns:db='jabber:server:dialback' xmlns='" ns "' version='1.0'>"
	static const char client[] = STREAM("jabber:client"), server[] = STREAM("jabber:server"),
			  component[] = STREAM("jabber:component:accept");
	static const struct {
		const char *header, *word;
		bool in;
	} ways[] = {
		{ client, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", true },
		{ client, "<success xmlns='urn:xmpp:sasl:2'><a/></success>", true },
		{ client, "<message/>", true },
		{ client, "<presence type='unavailable'/>", true },
		{ client, "<message type='error'/>", false },
		{ client, "<iq type='result' id='1'/>", false },
		{ client, "<continue xmlns='urn:xmpp:sasl:2'/>", false },
		{ client, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", false },
		{ client, "<success/>", false },
		{ server, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", true },
		{ server, "<db:result type='valid' from='a' to='b'/>", true },
		{ server, "<db:result type='invalid' from='a' to='b'/>", false },
		{ server, "<db:result type='error' from='a' to='b'/>", false },
		{ server, "<db:verify type='valid' from='a' to='b' id='1'/>", false },
		{ component, "<handshake/>", true },
	};
	static const char picture[] = "<message from='a@b/c'><x xmlns='jabber:x:oob'/></message>";
	size_t i, runs;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		end();
		begin();
		runs = fake_runs;
		put(LANE_C2S, ways[i].header);
		put(LANE_S2C, ways[i].header);
		put(LANE_C2S, ways[i].word);
		assert_false(t.lanes.authenticated);
		put(LANE_S2C, ways[i].word);
		assert_int_equal(t.lanes.authenticated, ways[i].in);
		put(LANE_C2S, picture);
		assert_int_equal(fake_runs, runs + ways[i].in);
		if (ways[i].in)
			result(fake_waiting_n - 1, false);
	}
#undef STREAM
}

/* XEP-0078: nothing but what the server sends tells that the login was good. */
static void test_login_without_sasl(void **state)
{
	size_t runs = fake_runs;

	(void)state;
	login();
	t.lanes.authenticated = false;
	put(LANE_S2C, "<iq type='result' id='1'/><iq type='error' id='2'/>");
	put(LANE_C2S, PICTURE("1") "<presence/>");
	assert_int_equal(fake_runs, runs);
	assert_false(t.lanes.authenticated);
	put(LANE_S2C, "<message type='error'/><presence type=\"error\"><a/></presence>");
	assert_false(t.lanes.authenticated);
	put(LANE_S2C, "<presence from='a@example.org/r' to='a@example.org/r'/>");
	assert_true(t.lanes.authenticated);
	put(LANE_S2C, "<message from='b@example.org' to='a@example.org/r'/>");
	assert_string_equal(t.lanes.jid, "a@example.org/r");
	put(LANE_C2S, PICTURE("2"));
	assert_int_equal(fake_runs, runs + 1);
	result(fake_waiting_n - 1, false);
}

static void test_violation_releases_what_was_complete(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, PICTURE("1") "<r/><presence><sta");
	assert_int_equal(feed(LANE_C2S, "tus/></presence><a/><message><!-- -->", 37),
			 ERR_RESTRICTED);
	expect(LANE_C2S, PICTURE("1") "<r/><presence><status/></presence><a/>");
	assert_true(lane_is_drained(&t.lanes.lane[LANE_C2S]));
}

static void test_stream_namespace(void **state)
{
	const char *bad =
		"<stream:stream xmlns='jabber:client' xmlns:stream='http://example.org/other'>";

	(void)state;
	assert_int_equal(feed(LANE_C2S, bad, strlen(bad)), ERR_NAMESPACE);
	expect(LANE_C2S, "");
}

static void test_header_too_long_to_be_kept(void **state)
{
	char pad[5001];

	(void)state;
	memset(pad, 'x', 5000);
	pad[5000] = '\0';
	put(LANE_S2C, "<stream:stream a='");
	put(LANE_S2C, pad);
	put(LANE_S2C, "' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
	put(LANE_S2C, "<message xmlns='jabber:client'><x xmlns='jabber:x:oob'/></message>");
	assert_int_equal(fake_waiting_n, 0);
	assert_true(t.out[LANE_S2C].len > 5000);
}

/* --- SASL, identity, opaque -------------------------------------------------------------- */

#define AUTH    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
#define SUCCESS "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"

static void test_pipelined_restart_at_every_split(void **state)
{
	const char *client = HEADER AUTH HEADER
		"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
	const char *server = HEADER SUCCESS HEADER "<presence/>";
	size_t i;

	(void)state;
	for (i = 0; i <= strlen(client); i++) {
		size_t at = MIN_OF(i, strlen(server));

		end();
		begin();
		assert_int_equal(feed(LANE_C2S, client, i), 0);
		assert_int_equal(feed(LANE_C2S, client + i, strlen(client) - i), 0);
		assert_int_equal(feed(LANE_S2C, server, at), 0);
		assert_int_equal(feed(LANE_S2C, server + at, strlen(server) - at), 0);
		expect(LANE_C2S, client);
		expect(LANE_S2C, server);
		assert_true(t.lanes.authenticated);
	}
}

static void test_restart_not_allowed_by_itself(void **state)
{
	(void)state;
	put(LANE_C2S, HEADER);
	assert_true(feed(LANE_C2S, HEADER, strlen(HEADER)) < 0);
}

/* Every way, cut everywhere. */
static void learns(const char *server, const char *jid)
{
	size_t i;

	for (i = 0; i < strlen(server); i++) {
		end();
		begin();
		put(LANE_C2S, HEADER);
		put(LANE_S2C, HEADER);
		assert_int_equal(feed(LANE_S2C, server, i), 0);
		assert_int_equal(feed(LANE_S2C, server + i, strlen(server) - i), 0);
		buf_drop(&t.out[LANE_S2C], strlen(HEADER));
		expect(LANE_S2C, server);
		if (jid)
			assert_string_equal(t.lanes.jid ? t.lanes.jid : "none", jid);
		else
			assert_null(t.lanes.jid);
	}
}

static void test_identity_by_bind(void **state)
{
	(void)state;
	learns("<iq type='result' id='b'><bind "
	       "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a&amp;b@example.org/x</jid>"
	       "</bind></iq>",
	       "a&b@example.org/x");
	learns("<iq type='result' id='b' "
	       "xmlns:p='urn:ietf:params:xml:ns:xmpp-bind'><p:bind><p:jid>a@example.org/x</p:jid>"
	       "</p:bind></iq>",
	       "a@example.org/x");
	learns("<iq type='set' id='b'><bind "
	       "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/x</jid></bind></iq>",
	       NULL);
	learns("<iq type='result' id='b'><query xmlns='x'><bind "
	       "xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
	       "<jid>a@example.org/x</jid></bind></query></iq>",
	       NULL);
}

static void test_identity_by_sasl2(void **state)
{
	(void)state;
	learns("<success "
	       "xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@example.org</"
	       "authorization-identifier></success>",
	       "a@example.org");
	assert_true(t.lanes.authenticated);
}

static void test_identity_by_bind2(void **state)
{
	(void)state;
	learns("<success "
	       "xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@example.org/r.1</"
	       "authorization-identifier>"
	       "<bound xmlns='urn:xmpp:bind:0'/></success>",
	       "a@example.org/r.1");
	learns("<success "
	       "xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@example.org</"
	       "authorization-identifier>"
	       "<bound xmlns='urn:xmpp:bind2:1'><jid>a@example.org/r.2</jid></bound></success>",
	       "a@example.org/r.2");
}

static void test_identity_by_resumption(void **state)
{
	(void)state;
	learns("<resumed xmlns='urn:xmpp:sm:3' previd='x' h='1'/><presence to='a@example.org'/>"
	       "<message to='a@example.org/r'/><presence to='b@example.org/s'/>",
	       "a@example.org/r");
	learns("<resumed xmlns='urn:xmpp:sm:2' previd='x'/><message to='a@example.org/r'/>",
	       "a@example.org/r");
	learns("<message to='a@example.org/r'/>", NULL); /* not resumed */
}

static void test_sender(void **state)
{
	(void)state;
	login();
	t.lanes.jid = strdup("me@example.org/r");
	put(LANE_C2S, "<message from='liar@example.org'><x xmlns='jabber:x:oob'/></message>");
	assert_string_equal(fake_last_from, "me@example.org/r");
	put(LANE_S2C,
	    "<message a='>' from='a&amp;b@example.org/s'><x xmlns='jabber:x:oob'/></message>");
	assert_string_equal(fake_last_from, "a&b@example.org/s");
}

/* See-other-host passes, and is counted; other errors are not. */
static void test_redirects_are_counted(void **state)
{
	static const char *const errors[] = {
		"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
		"other.example</see-other-host></stream:error>",
		"<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
	};
	uint64_t before = counters_sum(METRIC_SESSIONS_REDIRECTED);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		login();
		put(LANE_S2C, errors[i]);
		put(LANE_S2C, "</stream:stream>");
		put(LANE_C2S, "<message><body>see-other-host</body></message>");
		assert_int_equal(counters_sum(METRIC_SESSIONS_REDIRECTED), before + 1);
		end();
		begin();
	}
}

static void test_stream_limits(void **state)
{
	(void)state;
	login();
	put(LANE_C2S, PICTURE("1"));
	assert_int_equal(fake_last.max_final, t.conf->limits.final_stanza);
	put(LANE_S2C, "<stream:features><limits "
		      "xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>"
		      "</stream:features>");
	put(LANE_C2S, PICTURE("2"));
	assert_int_equal(fake_last.max_final, 10000 - 4096);
	put(LANE_S2C, PICTURE("3"));
	assert_int_equal(fake_last.max_final, t.conf->limits.final_stanza);
}

static void test_opaque(void **state)
{
	static const char tls[] = "\x16\x03\x01 <not xml";

	(void)state;
	put(LANE_C2S, tls);
	put(LANE_S2C, "\x16\x03\x03 neither");
	expect(LANE_C2S, tls);
	expect(LANE_S2C, "\x16\x03\x03 neither");
	assert_true(t.lanes.opaque);
	end();
	begin();
	login();
	put(LANE_C2S, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mess");
	put(LANE_S2C, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03 blind");
	put(LANE_C2S, "\x16 & < blind");
	expect(LANE_S2C, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03 blind");
	expect(LANE_C2S, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mess\x16 & < blind");
	end();
	begin();
	t.listen->opaque = CONF_CLOSE;
	login();
	assert_int_equal(
		feed(LANE_S2C, "<compressed xmlns='http://jabber.org/protocol/compress'/>x", 58),
		ERR_UNSUPPORTED);
	expect(LANE_S2C, "");
}

/* --- any stream, cut anywhere, answered in any order --------------------------------------- */

static uint32_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % below;
}

static void add(struct buf *b, const char *text)
{
	assert_int_equal(buf_add_str(b, text), 0);
}

static void random_stream(struct buf *in, struct buf *want)
{
	static const char *const plain[] = {
		" ",
		"\n",
		"<presence/>",
		"<r xmlns='urn:xmpp:sm:3'/>",
		"<a xmlns='urn:xmpp:sm:3' h='3'/>",
		"<message id='1' to=\"x>y\"><body>h\xc3\xa9llo &lt; ]] &#x41;</body></message>",
		"<iq type='result' id='r'><query xmlns='jabber:iq:roster'><item "
		"jid='a@b'/></query></iq>",
		"<iq type='get' id='g'>\n <ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='result' id='e'/>",
		"<message><body><![CDATA[ <x> "
		"]]></body><a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a></message>",
	};
	int i;

	add(in, HEADER);
	add(want, HEADER);
	for (i = 0; i < 60; i++) {
		uint32_t kind = any(14);

		if (kind < ARRAY_SIZE(plain)) {
			add(in, plain[kind]);
			add(want, plain[kind]);
		} else if (kind < 12) {
			add(in, PICTURE("good"));
			add(want, PICTURE_EDITED("good"));
		} else {
			add(in, PICTURE("bad"));
			add(want, PICTURE("bad"));
		}
	}
}

static void resolve_any(void)
{
	size_t i = any((uint32_t)fake_waiting_n);

	result(i,
	       memmem(fake_waiting[i]->bytes.p, fake_waiting[i]->bytes.len, "'good'", 6) != NULL);
}

static void test_any_stream_leaves_in_order(void **state)
{
	struct buf in[2], want[2];
	size_t at[2];
	uint32_t round;
	int dir;

	(void)state;
	for (round = 0; round < 400; round++) {
		uint32_t cut = round % 4 == 0 ? 3 : round % 4 == 1 ? 40 : 700;

		seed = round;
		end();
		begin();
		t.lanes.authenticated = true;
		for (dir = 0; dir < 2; dir++) {
			buf_init(&in[dir], 1 << 20);
			buf_init(&want[dir], 1 << 20);
			random_stream(&in[dir], &want[dir]);
			at[dir] = 0;
		}
		while (at[0] < in[0].len || at[1] < in[1].len || fake_waiting_n) {
			size_t n = 1 + any(cut);

			dir = (int)any(2);
			n = MIN_OF(n, in[dir].len - at[dir]);
			if (n && !lane_is_full(&t.lanes.lane[dir])) {
				assert_int_equal(feed((enum lane_dir)dir, in[dir].p + at[dir], n),
						 0);
				at[dir] += n;
			}
			/* Never so many that units pass for their number. */
			while (fake_waiting_n && (any(3) == 0 || fake_waiting_n > 40))
				resolve_any();
			t.room = any(4) != 0;
			if (t.room)
				lane_resume(&t.lanes.lane[dir]);
		}
		t.room = true;
		for (dir = 0; dir < 2; dir++) {
			lane_resume(&t.lanes.lane[dir]);
			assert_int_equal(t.out[dir].len, want[dir].len);
			assert_memory_equal(t.out[dir].p, want[dir].p, want[dir].len);
			assert_null(t.lanes.lane[dir].pending.p); /* idle lanes hold no buffers */
			buf_fini(&in[dir]);
			buf_fini(&want[dir]);
		}
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_chunk_leaves_in_one_piece),
		TEST(test_unfinished_tag_waits),
		TEST(test_long_tag_flows),
		TEST(test_fifo_out_of_order),
		TEST(test_edited_at_once),
		TEST(test_awaited_reply),
		TEST(test_hold_deadline),
		TEST(test_hold_budget),
		TEST(test_full_at_held_bytes),
		TEST(test_no_room_stops_the_fifo),
		TEST(test_many_units_wait_at_most),
		TEST(test_end_waits_for_held),
		TEST(test_end_gives_back_what_was_kept),
		TEST(test_oversize_is_relayed_unread),
		TEST(test_oversize_closes_clients),
		TEST(test_oversize_does_not_close_components),
		TEST(test_slow_units_are_let_go),
		TEST(test_shape_is_relayed_unread),
		TEST(test_before_authentication),
		TEST(test_filters_wait_for_the_login),
		TEST(test_login_without_sasl),
		TEST(test_who_has_logged_in),
		TEST(test_violation_releases_what_was_complete),
		TEST(test_stream_namespace),
		TEST(test_header_too_long_to_be_kept),
		TEST(test_pipelined_restart_at_every_split),
		TEST(test_restart_not_allowed_by_itself),
		TEST(test_identity_by_bind),
		TEST(test_identity_by_sasl2),
		TEST(test_identity_by_bind2),
		TEST(test_identity_by_resumption),
		TEST(test_sender),
		TEST(test_redirects_are_counted),
		TEST(test_stream_limits),
		TEST(test_opaque),
		TEST(test_any_stream_leaves_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
