/* SPDX-License-Identifier: MIT */
/*
 * Covers chain: order of filters, waiting, one list of edits, needles, iq selection, and
 * that every failure ends in the original. Two filters of the test's own take the place of
 * the built-in ones. What the real filter does is in filters/thumbnail/test_thumbnail.c.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "filter/chain.h"
#include "filter/track.h"

static char calls[256];
static bool cuts; /* filter one takes the first child out */
static const char *insert_xml = "<one xmlns='urn:t'/>";
static bool waits;
static int opened;
static uintptr_t memories, forgotten; /* states of filter one: made so far, last closed */

static void note(const char *what)
{
	strncat(calls, what, sizeof(calls) - strlen(calls) - 1);
}

static int one_open(struct filter_instance *f)
{
	opened++;
	f->state = (void *)++memories; /* never looked into */
	return 0;
}

static void one_close(struct filter_instance *f)
{
	forgotten = (uintptr_t)f->state;
	opened--;
}

static enum filter_verdict insert(struct filter_unit *u)
{
	if (cuts)
		return edit_cut(u->edits, u->arena, u->outline, 1) ? FILTER_PASS : FILTER_EDIT;
	return edit_insert(u->edits, u->arena, u->outline, u->outline->elements[0].end, insert_xml,
			   strlen(insert_xml))
		       ? FILTER_PASS
		       : FILTER_EDIT;
}

static enum filter_verdict one_on_unit(struct filter_instance *f UNUSED, struct filter_unit *u)
{
	note("1u ");
	if (!waits)
		return insert(u);
	u->state = u;
	return FILTER_WAIT;
}

static enum filter_verdict one_on_result(struct filter_instance *f UNUSED, struct filter_unit *u,
					 const struct job_result *r)
{
	note("1r ");
	assert_ptr_equal(u->state, u);
	return r->status == JOB_OK ? insert(u) : FILTER_PASS;
}

static enum filter_verdict two_on_unit(struct filter_instance *f UNUSED, struct filter_unit *u)
{
	note("2u ");
	assert_null(u->state);
	return edit_insert(u->edits, u->arena, u->outline, u->outline->elements[0].end,
			   "<two xmlns='urn:t'/>", 20)
		       ? FILTER_PASS
		       : FILTER_EDIT;
}

static enum filter_verdict two_on_result(struct filter_instance *f UNUSED,
					 struct filter_unit *u UNUSED,
					 const struct job_result *r UNUSED)
{
	note("2r ");
	return FILTER_PASS;
}

static const char *awaited_id; /* of replies that filter two waits for */

static bool two_awaits(struct filter_instance *f UNUSED, enum lane_dir dir, enum iq_type type,
		       const struct tag *iq)
{
	assert_true(type == IQ_RESULT || type == IQ_ERROR);
	return awaited_id && dir == LANE_S2C && tag_span_is(tag_attr(iq, "id"), awaited_id);
}

static const struct filter_want one_wants[] = {
	{ .kind = UNIT_MESSAGE, .dirs = 1u << LANE_C2S, .needle = "needle-1" },
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_S2C,
	  .iq_types = 1u << IQ_RESULT,
	  .child_ns = "urn:want" },
	{ .kind = UNIT_KIND_COUNT },
};
static const struct filter_want two_wants[] = {
	{ .kind = UNIT_MESSAGE, .dirs = 3, .needle = "needle-2" },
	{ .kind = UNIT_KIND_COUNT },
};
static const struct filter_ops one = { .abi = FILTER_ABI,
				       .name = "one",
				       .wants = one_wants,
				       .open = one_open,
				       .close = one_close,
				       .on_unit = one_on_unit,
				       .on_result = one_on_result };
static const struct filter_ops two = { .abi = FILTER_ABI,
				       .name = "two",
				       .wants = two_wants,
				       .awaits = two_awaits,
				       .on_unit = two_on_unit,
				       .on_result = two_on_result };

const struct filter_ops *const filter_registry[] = { &one, &two, NULL };

const struct filter_ops *filter_find(const char *name)
{
	return strcmp(name, "one") == 0 ? &one : &two;
}

static struct conf *conf;
static struct nsctx *ctx;
static struct chain *chain;
static const struct filter_host host;

static enum chain_result run(const char *xml, enum unit_kind kind, enum lane_dir dir, size_t max,
			     struct chain_unit **u)
{
	struct chain_input in = { .kind = kind,
				  .dir = dir,
				  .bytes = (const uint8_t *)xml,
				  .len = strlen(xml),
				  .ctx = ctx,
				  .max_final = max };

	calls[0] = '\0';
	return chain_run(chain, &in, u);
}

static void check_bytes(struct chain_unit *u, const char *want)
{
	size_t len;
	const uint8_t *p = chain_unit_bytes(u, &len);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(p, want, len);
}

/* A chain of these filters, of a configuration of its own. */
static struct chain *chain_of(char **names, size_t n)
{
	struct conf *c = conf_new();
	struct conf_listen *listen = c ? conf_add_listen(c, "main") : NULL;
	struct conf_list saved;
	struct chain *made;

	if (!listen)
		abort();
	saved = listen->filters;
	listen->filters = (struct conf_list){ .v = names, .n = n };
	made = chain_new(c, listen, &host);
	listen->filters = saved;
	assert_non_null(made);
	conf_unref(&c);
	return made;
}

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	static char one_name[] = "one", two_name[] = "two";
	static char *names[] = { one_name, two_name };
	struct conf_listen *listen;
	struct conf_list saved;
	struct tag tag;

	outline_setup();
	conf = conf_new();
	listen = conf_add_listen(conf, "main");
	if (!listen || !conf_link(conf) ||
	    tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	saved = listen->filters;
	listen->filters = (struct conf_list){ .v = names, .n = 2 };
	ctx = nsctx_of_header(&tag);
	chain = chain_new(conf, listen, &host);
	listen->filters = saved;
	assert_int_equal(opened, 1);
	return chain ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	chain_free(&chain);
	assert_int_equal(opened, 0);
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}

static void filters_run_in_order(void **state UNUSED)
{
	struct chain_unit *u;

	assert_int_equal(
		run("<message>needle-1 needle-2</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
		CHAIN_EDITED);
	assert_string_equal(calls, "1u 2u ");
	check_bytes(u,
		    "<message>needle-1 needle-2<one xmlns='urn:t'/><two xmlns='urn:t'/></message>");
	chain_unit_free(&u);
}

static void only_who_wants_is_asked(void **state UNUSED)
{
	struct chain_unit *u;

	assert_int_equal(run("<message>needle-2</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
			 CHAIN_EDITED);
	assert_string_equal(calls, "2u ");
	chain_unit_free(&u);
	assert_int_equal(
		run("<message>needle-1 needle-2</message>", UNIT_MESSAGE, LANE_S2C, 9999, &u),
		CHAIN_EDITED);
	assert_string_equal(calls, "2u ");
	chain_unit_free(&u);
	assert_int_equal(run("<message>nothing</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
			 CHAIN_PASS);
	assert_string_equal(calls, "");
}

static void waiting_keeps_the_place(void **state UNUSED)
{
	struct job_result ok = { .status = JOB_OK }, bad = { .status = JOB_HTTP };
	struct chain_unit *u;

	waits = true;
	assert_int_equal(
		run("<message>needle-1 needle-2</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
		CHAIN_WAIT);
	assert_string_equal(calls, "1u ");
	assert_int_equal(chain_unit_result(u, &ok), CHAIN_EDITED);
	assert_string_equal(calls, "1u 1r 2u ");
	check_bytes(u,
		    "<message>needle-1 needle-2<one xmlns='urn:t'/><two xmlns='urn:t'/></message>");
	chain_unit_free(&u);
	assert_int_equal(
		run("<message>needle-1 needle-2</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
		CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &bad), CHAIN_EDITED);
	check_bytes(u, "<message>needle-1 needle-2<two xmlns='urn:t'/></message>");
	chain_unit_free(&u);
	/* The deadline: the host simply lets go. */
	assert_int_equal(run("<message>needle-1</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u),
			 CHAIN_WAIT);
	chain_unit_free(&u);
	assert_null(u);
	waits = false;
}

static void what_cannot_be_checked_goes_out_as_it_came(void **state UNUSED)
{
	static const char *const bad[] = {
		"<one", "<one xmlns='urn:t'>", "</message><message>", "text", "<p:one/>", "<!-- -->"
	};
	uint64_t before = counters_sum(METRIC_CHECK_FAILED);
	const char *saved = insert_xml;
	struct chain_unit *u;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		insert_xml = bad[i];
		if (run("<message>needle-1</message>", UNIT_MESSAGE, LANE_C2S, 9999, &u) !=
		    CHAIN_PASS)
			fail_msg("went out: %s", bad[i]);
	}
	assert_int_equal(counters_sum(METRIC_CHECK_FAILED) - before, ARRAY_SIZE(bad));
	insert_xml = saved;
}

static void limits_end_in_the_original(void **state UNUSED)
{
	struct chain_unit *u;

	assert_int_equal(run("<message>needle-1</message>", UNIT_MESSAGE, LANE_C2S, 46, &u),
			 CHAIN_PASS);
	assert_int_equal(run("<message>needle-1</message>", UNIT_MESSAGE, LANE_C2S, 47, &u),
			 CHAIN_EDITED);
	chain_unit_free(&u);
}

/* A thumbnail that is to go goes, however large the message is without it. */
static void what_gets_smaller_knows_no_limit(void **state UNUSED)
{
	struct chain_unit *u;

	cuts = true;
	assert_int_equal(run("<message><a/>needle-1</message>", UNIT_MESSAGE, LANE_C2S, 1, &u),
			 CHAIN_EDITED);
	check_bytes(u, "<message>needle-1</message>");
	chain_unit_free(&u);
	cuts = false;
}

static void unreadable_units_pass(void **state UNUSED)
{
	static const char *const bad[] = { "<message><p:x/>needle-1</message>",
					   "<message a='1' a='2'>needle-1</message>",
					   "<message><stream:error/>needle-1</message>" };
	uint64_t before = counters_sum(METRIC_UNITS_PARSE);
	struct chain_unit *u;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(run(bad[i], UNIT_MESSAGE, LANE_C2S, 9999, &u), CHAIN_PASS);
	assert_string_equal(calls, "");
	assert_int_equal(counters_sum(METRIC_UNITS_PARSE) - before, ARRAY_SIZE(bad));
}

static void iq_by_type_and_child(void **state UNUSED)
{
	struct tag_span want = { "urn:want", 8 }, other = { "urn:other", 9 };
	struct chain_unit *u;

	assert_int_equal(chain_wants(chain, LANE_S2C, UNIT_IQ, IQ_RESULT, NULL), CHAIN_CHILD);
	assert_int_equal(chain_wants(chain, LANE_S2C, UNIT_IQ, IQ_RESULT, &want), CHAIN_YES);
	assert_int_equal(chain_wants(chain, LANE_S2C, UNIT_IQ, IQ_RESULT, &other), CHAIN_NO);
	assert_int_equal(chain_wants(chain, LANE_S2C, UNIT_IQ, IQ_GET, NULL), CHAIN_NO);
	assert_int_equal(chain_wants(chain, LANE_C2S, UNIT_IQ, IQ_RESULT, NULL), CHAIN_NO);
	assert_true(chain_has_needle(chain, LANE_S2C, UNIT_IQ, (const uint8_t *)"x", 1));
	assert_int_equal(run("<iq type='result' id='1'><a xmlns='urn:want'/></iq>", UNIT_IQ,
			     LANE_S2C, 999, &u),
			 CHAIN_EDITED);
	assert_string_equal(calls, "1u ");
	chain_unit_free(&u);
	assert_int_equal(
		run("<iq type='result' id='1'><a xmlns='urn:b'/></iq>", UNIT_IQ, LANE_S2C, 999, &u),
		CHAIN_PASS);
	assert_string_equal(calls, "");
}

static bool awaits(const char *xml, enum lane_dir dir)
{
	struct tag t;

	assert_int_equal(tag_read(&t, (const uint8_t *)xml, strcspn(xml, ">") + 1), 0);
	return chain_awaits(chain, dir, unit_iq_type(&t), &t);
}

static void awaited_replies(void **state UNUSED)
{
	static const char xml[] = "<iq type='error' id='x'></iq>";
	struct chain_input in = { .kind = UNIT_IQ,
				  .dir = LANE_S2C,
				  .bytes = (const uint8_t *)xml,
				  .len = sizeof(xml) - 1,
				  .ctx = ctx,
				  .max_final = 60000 };
	struct chain_unit *u;

	awaited_id = "x";
	assert_true(awaits(xml, LANE_S2C));
	assert_false(awaits(xml, LANE_C2S));
	assert_true(awaits("<iq type='result' id='x'/>", LANE_S2C));
	assert_false(awaits("<iq type='get' id='x'/>", LANE_S2C));
	assert_false(awaits("<iq type='set' id='x'/>", LANE_S2C));
	assert_false(awaits("<iq id='x'/>", LANE_S2C));
	assert_false(awaits("<iq type='error' id='y'/>", LANE_S2C));
	/* No row, no needle; only the filter that waits is called. */
	calls[0] = '\0';
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_EDITED);
	assert_string_equal(calls, "2u ");
	chain_unit_free(&u);
	awaited_id = NULL;
	calls[0] = '\0';
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_PASS);
	assert_string_equal(calls, "");
}

static void requests_are_capped_and_matched(void **state UNUSED)
{
	char id[TRACK_ID_MAX + 2];
	struct track_request *r;
	struct track t;
	size_t i;

	track_init(&t, 3);
	for (i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "%zu", i);
		assert_int_equal(track_add(&t, id, "Example.org", &i, sizeof(i)), 0);
	}
	assert_int_equal(t.n, 3);
	assert_false(track_has(&t, "1"));
	assert_true(track_has(&t, "2"));
	/* Only who was asked answers; nobody's word is not the server's. */
	assert_null(track_take(&t, "2", "evil.example"));
	assert_null(track_take(&t, "2", NULL));
	assert_null(track_take(&t, "1", "example.org"));
	r = track_take(&t, "2", "example.ORG");
	assert_non_null(r);
	assert_int_equal(r->len, sizeof(i));
	memcpy(&i, r->data, sizeof(i));
	assert_int_equal(i, 2);
	track_request_free(&r);
	assert_null(track_take(&t, "2", "example.org"));
	/* An id used twice: in the order in which it was asked. */
	assert_int_equal(track_add(&t, "9", "a", "1", 1), 0);
	assert_int_equal(track_add(&t, "9", "a", "2", 1), 0);
	r = track_take(&t, "9", "a");
	assert_non_null(r);
	assert_int_equal(r->data[0], '1');
	track_request_free(&r);
	assert_true(track_has(&t, "9"));
	memset(id, 'x', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	assert_int_equal(track_add(&t, id, "a", NULL, 0), ERR_TOO_BIG);
	track_fini(&t);
	assert_int_equal(t.n, 0);
}

/* At every place of every length, among bytes that look like it; cut short it is not there. */
static void needle_at_every_place(void **state UNUSED)
{
	static const char needle[] = "needle-1";
	char text[64];
	size_t len, at, k;

	for (len = 0; len < sizeof(text); len++) {
		for (at = 0; at + 8 <= len; at++) {
			for (k = 0; k < len; k++)
				text[k] = "-nedl1"[k % 6];
			memcpy(text + at, needle, 8);
			assert_true(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE, (uint8_t *)text,
						     len));
			text[at + 7] = 'x';
			assert_false(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE,
						      (uint8_t *)text, len));
		}
		memset(text, '-', len);
		memcpy(text, needle, len < 7 ? len : 7);
		assert_false(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE, (uint8_t *)text, len));
	}
}

static void sessions_share_a_plan(void **state UNUSED)
{
	const struct conf_listen *listen = conf_listen_find(conf, "main");
	struct conf *other = conf_new();
	struct plan *a = plan_get(conf, listen), *b = plan_get(conf, listen), *c;

	assert_non_null(other);
	c = plan_get(other, conf_add_listen(other, "main"));
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	plan_put(&a);
	plan_put(&b);
	plan_put(&c);
	conf_unref(&other);
}

/* A reload in the middle of a session: what a filter knows of it goes on, as long as the filter
 * does. */
static void a_new_chain_inherits(void **state UNUSED)
{
	static char one_name[] = "one", two_name[] = "two";
	static char *both[] = { two_name, one_name };
	struct chain *first = chain_of(both, 2), *second = chain_of(both + 1, 1), *third;
	uintptr_t known = memories - 1;

	chain_inherit(second, first);
	chain_free(&first);
	assert_int_equal(forgotten, known + 1); /* what the second was opened with */
	third = chain_of(both, 1);
	chain_inherit(third, second);
	chain_free(&second);
	assert_int_equal(forgotten, known);
	chain_free(&third);
	assert_int_equal(opened, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_run_in_order),
		cmocka_unit_test(only_who_wants_is_asked),
		cmocka_unit_test(waiting_keeps_the_place),
		cmocka_unit_test(what_cannot_be_checked_goes_out_as_it_came),
		cmocka_unit_test(limits_end_in_the_original),
		cmocka_unit_test(what_gets_smaller_knows_no_limit),
		cmocka_unit_test(unreadable_units_pass),
		cmocka_unit_test(iq_by_type_and_child),
		cmocka_unit_test(awaited_replies),
		cmocka_unit_test(requests_are_capped_and_matched),
		cmocka_unit_test(needle_at_every_place),
		cmocka_unit_test(sessions_share_a_plan),
		cmocka_unit_test(a_new_chain_inherits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
