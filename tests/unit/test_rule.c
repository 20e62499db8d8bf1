/* SPDX-License-Identifier: MIT */
/*
 * Decisions of the rules: order, shadow, the two phases and when a fetch is worth it, rates,
 * limits; and what -t says about rules. The parts are in test_rule_parts.c, samples in
 * test_rule_samples.c.
 */
#include "config.h"

#include "unit.h"

#include <stdio.h>

#include "base/counters.h"
#include "conf/generation.h"
#include "rule_conf.h"

#define PIC "<message to='b@h'><x xmlns='jabber:x:oob'><url>http://h.example/a</url></x></message>"

static const struct job_result jpeg = { .status = JOB_OK,
					.media_format = PICTURE_JPEG,
					.media_size = 1000,
					.media_width = 100,
					.media_height = 10 };

/* Before the fetch: what comes of PIC from r@h/x. */
static bool before(struct rule_case *c, struct conf *conf)
{
	struct rule_input in;

	input_of(&in, PIC, LANE_C2S, "r@h/x");
	rule_trace[0] = '\0';
	return rule_before(c, conf, &conf->listens[0], &rule_env, &in);
}

static void without_rules_the_default_decides(void **state UNUSED)
{
	struct conf *conf = conf_of_text("default-action = \"pass\"\n");
	struct rule_case c;

	assert_non_null(conf);
	assert_true(before(&c, conf));
	assert_int_equal(c.action, CONF_ACTION_PASS);
	assert_string_equal(rule_trace, "-:decided\n");
	conf_unref(&conf);
}

/* Conditions on the media are open; whether anything is fetched for them is decided exactly. */
static void a_fetch_only_where_a_thumbnail_may_come_of_it(void **state UNUSED)
{
	static const struct {
		const char *rules;
		const char *fallback;
		bool fetch;
	} rows[] = {
		{ "{ name=\"a\" media=\"image/*\" action=\"thumbnail\" }", "pass", true },
		{ "{ name=\"a\" media=\"image/*\" action=\"pass\" }", "pass", false },
		{ "{ name=\"a\" media=\"image/*\" action=\"pass\" }", "thumbnail", true },
		{ "{ name=\"a\" media=\"image/*\" action=\"pass\" }, { name=\"b\" action=\"pass\" "
		  "},"
		  "{ name=\"c\" action=\"thumbnail\" }",
		  "thumbnail", false },
		{ "{ name=\"a\" media=\"image/*\" action=\"pass\" }, { name=\"b\" "
		  "action=\"thumbnail\" }",
		  "pass", true },
		{ "{ name=\"a\" media=\"image/*\" action=\"strip\" },"
		  "{ name=\"b\" media-bytes=\"1..\" action=\"pass\" }",
		  "pass", false },
		/* Cheap conditions rule it out. */
		{ "{ name=\"a\" media=\"image/*\" host=\"other\" action=\"thumbnail\" }", "pass",
		  false },
		{ "{ name=\"a\" media=\"image/*\" xpath=\"/c:message/c:body\" action=\"thumbnail\" "
		  "}",
		  "pass", false },
		/* A rule in shadow fetches nothing. */
		{ "{ name=\"a\" media=\"image/*\" action=\"thumbnail\" mode=\"shadow\" }", "pass",
		  false },
	};
	char text[1024];
	struct rule_case c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *conf;

		snprintf(text, sizeof(text), "default-action = \"%s\"\nrules = ( %s )\n",
			 rows[i].fallback, rows[i].rules);
		conf = conf_of_text(text);
		if (!conf)
			fail_msg("%s", all_of(&problems));
		if (before(&c, conf) == rows[i].fetch)
			fail_msg("%s\n%s", text, rule_trace);
		if (!rows[i].fetch)
			assert_int_not_equal(c.action, CONF_ACTION_THUMBNAIL);
		conf_unref(&conf);
	}
}

static void the_profile_is_chosen_after_the_fetch(void **state UNUSED)
{
	struct conf *conf = conf_of_text(
		"profiles = { p = { width = 64 } q = { width = 32 } }\n"
		"rules = ( { name=\"big\" media-bytes=\"5000..\" action=\"thumbnail\" "
		"profile=\"p\" },\n"
		"{ name=\"small\" media-pixels=\"1000\" action=\"thumbnail\" profile=\"q\" } )\n");
	struct rule_case c;

	assert_non_null(conf);
	assert_false(before(&c, conf));
	assert_string_equal(c.profile->name, "p"); /* to begin with */
	rule_after(&c, &jpeg);
	assert_true(c.decided);
	assert_string_equal(c.profile->name, "q");
	assert_int_equal(c.rule, 1);
	rule_after(&c, &jpeg); /* again: nothing more */
	assert_string_equal(rule_trace,
			    "big:open:media-bytes\nbig:failed:media-bytes\nsmall:decided\n");
	conf_unref(&conf);
}

static void shadow_counts_and_goes_on(void **state UNUSED)
{
	struct conf *conf = conf_of_text(
		"rules = ( { name=\"s1\" action=\"pass\" mode=\"shadow\" },\n"
		"{ name=\"s2\" media=\"image/jpeg\" action=\"strip\" mode=\"shadow\" },\n"
		"{ name=\"s3\" media=\"image/png\" action=\"pass\" mode=\"shadow\" },\n"
		"{ name=\"e\" action=\"thumbnail\" }, { name=\"never\" action=\"pass\" } )\n");
	int fd = counters_create();
	struct rule_case c;
	unsigned i;

	assert_non_null(conf);
	assert_int_equal(warnings.n, 2);
	assert_int_equal(counters_map(fd, 0), 0);
	conf_number_rules(conf, NULL, counters_rule_clear);
	rule_wall = 1704067200;
	assert_true(before(&c, conf));
	assert_int_equal(c.action, CONF_ACTION_THUMBNAIL);
	assert_string_equal(rule_trace, "s1:shadow\ns2:open:media\ns3:open:media\ne:decided\n");
	rule_after(&c, &jpeg);
	rule_after(&c, &jpeg);
	rule_count(&c, true);
	rule_count(&c, false);
	for (i = 0; i < 5; i++) {
		static const uint64_t shadow[] = { 1, 1, 0, 0, 0 }, matches[] = { 0, 0, 0, 1, 0 };
		unsigned row = conf->rules[i].row;

		assert_int_equal(counters_rule_sum(row, RULE_FIGURE_SHADOW), shadow[i]);
		assert_int_equal(counters_rule_sum(row, RULE_FIGURE_MATCHES), matches[i]);
		assert_int_equal(counters_rule_sum(row, RULE_FIGURE_THUMBNAILS), matches[i]);
		assert_int_equal(counters_rule_sum(row, RULE_FIGURE_FAILURES), matches[i]);
		assert_int_equal(counters_rule_sum(row, RULE_FIGURE_LAST),
				 shadow[i] || matches[i] ? 1704067200 : 0);
		if (i < 4)
			assert_true(counters_rule_sum(row, RULE_FIGURE_TIME) > 0);
	}
	close(fd);
	conf_unref(&conf);
}

static void a_rate_is_used_once_and_last(void **state UNUSED)
{
	struct conf *conf = conf_of_text("default-action = \"pass\"\n"
					 "rules = ( { name=\"r-once\" media=\"image/*\" "
					 "rate=\"1/1m per from\" action=\"thumbnail\" } )\n");
	struct rule_input in;
	struct rule_case c;

	assert_non_null(conf);
	rule_takes = 0;
	assert_false(before(&c, conf));
	assert_int_equal(rule_takes, 0);
	rule_after(&c, &jpeg);
	assert_int_equal(rule_takes, 1);
	assert_int_equal(c.action, CONF_ACTION_THUMBNAIL);
	/* Used up: not even fetched. */
	assert_true(before(&c, conf));
	assert_int_equal(c.action, CONF_ACTION_PASS);
	assert_int_equal(rule_takes, 1);
	/* Somebody else, and somebody who is not known: by connection. */
	input_of(&in, PIC, LANE_C2S, "other@h");
	assert_false(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	in.from = NULL;
	assert_false(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	rule_after(&c, &jpeg);
	assert_int_equal(rule_takes, 2);
	assert_true(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	in.connection++;
	assert_false(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	conf_unref(&conf);
}

/* Until the sender is known `from` does not hold, not even by exclusion. */
static void an_unknown_sender_matches_nothing(void **state UNUSED)
{
	struct conf *conf =
		conf_of_text("rules = ( { name=\"a\" from=\"!nobody@h\" action=\"strip\" },\n"
			     "{ name=\"b\" to=\"!nobody@h\" action=\"strip\" } )\n");
	struct rule_input in;
	struct rule_case c;

	assert_non_null(conf);
	input_of(&in, "<message><x xmlns='jabber:x:oob'><url>http://h/a</url></x></message>",
		 LANE_C2S, NULL);
	assert_true(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	assert_int_equal(c.rule, -1);
	in.from = "r@h";
	assert_true(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	assert_int_equal(c.rule, 0);
	conf_unref(&conf);
}

/* Steps used up: the message passes, whatever stands below. */
static void what_cannot_be_worked_out_passes(void **state UNUSED)
{
	struct conf *conf =
		conf_of_text("limits = { xpath-steps = 1000 }\n"
			     "rules = ( { name=\"bomb\" xpath=\"//*[//*[//*[//*]]]/x:nothing\" "
			     "action=\"pass\" } )\n");
	char *xml;
	struct rule_input in;
	struct rule_case c;
	size_t i, n;

	assert_null(conf); /* x: is not bound */
	conf = conf_of_text("limits = { xpath-steps = 1000 }\n"
			    "rules = ( { name=\"bomb\" xpath=\"count(//*[count(//*) = 1]) = 1\" "
			    "action=\"strip\" },\n"
			    "{ name=\"below\" action=\"thumbnail\" } )\n");
	assert_non_null(conf);
	xml = malloc(20000);
	assert_non_null(xml);
	n = (size_t)sprintf(xml, "<message>");
	for (i = 0; i < 1000; i++)
		n += (size_t)sprintf(xml + n, "<a/>");
	strcpy(xml + n, "<x xmlns='jabber:x:oob'><url>http://h/a</url></x></message>");
	input_of(&in, xml, LANE_C2S, "r@h");
	rule_trace[0] = '\0';
	assert_true(rule_before(&c, conf, &conf->listens[0], &rule_env, &in));
	assert_int_equal(c.action, CONF_ACTION_PASS);
	assert_int_equal(c.rule, 0);
	assert_string_equal(rule_trace, "bomb:stuck:xpath\n");
	free(xml);
	conf_unref(&conf);
}

static void every_mistake_has_its_line(void **state UNUSED)
{
	static const struct {
		const char *rule;
		const char *says;
	} rows[] = {
		{ "action=\"pass\"", "every rule needs a name" },
		{ "name=\"\" action=\"pass\"", "every rule needs a name" },
		{ "name=\"a\\nb\" action=\"pass\"", "every rule needs a name" },
		{ "name=\"a\"", "action is missing" },
		{ "name=\"a\" action=\"drop\"", "action is thumbnail, pass or strip" },
		{ "name=\"a\" action=1", "action is thumbnail, pass or strip" },
		{ "name=\"a\" action=\"pass\" mode=\"dry\"", "mode is enforce or shadow" },
		{ "name=\"a\" action=\"pass\" profile=\"none\"", "no such profile" },
		{ "name=\"a\" action=\"pass\" profile=1", "a text in quotes" },
		{ "name=\"a\" action=\"pass\" form=\"x\"", "no such condition as \"form\"" },
		{ "name=\"a\" action=\"pass\" direction=\"up\"", "direction is c2s or s2c" },
		{ "name=\"a\" action=\"pass\" type=\"error\"", "type is normal" },
		{ "name=\"a\" action=\"pass\" from=\"\"", "an entry is empty" },
		{ "name=\"a\" action=\"pass\" from=[]", "a text in quotes" },
		{ "name=\"a\" action=\"pass\" from={}", "a text in quotes" },
		{ "name=\"a\" action=\"pass\" from=\"****************x*\"", "more than 16 stars" },
		{ "name=\"a\" action=\"pass\" from=\"file:/nonexistent\"", "cannot be read" },
		{ "name=\"a\" action=\"pass\" from=\"file:/\"", "no regular file" },
		{ "name=\"a\" action=\"pass\" from=\"file:/dev/zero\"", "no regular file" },
		{ "name=\"a\" action=\"pass\" media-bytes=\"2..1\"", "ends before it begins" },
		{ "name=\"a\" action=\"pass\" media-pixels=\"1KiB\"", "KiB" },
		{ "name=\"a\" action=\"pass\" xpath=\"/c:a[\"", "no XPath" },
		{ "name=\"a\" action=\"pass\" xpath=\"/z:a\"", "prefix \"z\" is not bound" },
		{ "name=\"a\" action=\"pass\" time=\"now\"", "a window is needed" },
		{ "name=\"a\" action=\"pass\" rate=\"much\"", "" },
		{ "name=\"a\" action=\"pass\" rate=\"1/1m per moon\"", "per what?" },
		{ "name=\"a\" action=\"pass\" rate=\"0\"", "never holds" },
		{ "name=\"a\" action=\"pass\" rate=[\"1/1m\", \"2/1m\"]", "one rate" },
		{ "name=\"a\" action=\"pass\" rate=\"!1/1m\"", "one rate" },
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *conf;

		snprintf(text, sizeof(text), "\nrules = (\n{ %s }\n)\n", rows[i].rule);
		conf = conf_of_text(text);
		if (conf || !strstr(all_of(&problems), rows[i].says) ||
		    !strstr(all_of(&problems), ":3: rules[0]"))
			fail_msg("%s: %s", rows[i].rule, all_of(&problems));
	}
	assert_null(conf_of_text("rules = ( { name=\"a\" action=\"pass\" to=\"x\" },\n"
				 "{ name=\"a\" action=\"pass\" } )\n"));
	assert_non_null(strstr(all_of(&problems), ":2: rules[1]: \"a\": there is a rule"));
	assert_null(conf_of_text("rules = { }\n"));
	assert_null(conf_of_text(
		"rules = ( \"a\", { name=\"b\" action=\"pass\" direction=\"x\" } )\n"));
	assert_non_null(strstr(all_of(&problems), "rules[1].direction"));
}

static void rules_that_never_match_are_warned_of(void **state UNUSED)
{
	static const struct {
		const char *rules;
		const char *says; /* NULL: nothing */
	} rows[] = {
		{ "{ name=\"a\" action=\"pass\" }, { name=\"b\" to=\"x\" action=\"pass\" }",
		  "never matches: \"a\" above" },
		{ "{ name=\"a\" action=\"pass\" mode=\"shadow\" }, { name=\"b\" action=\"pass\" }",
		  NULL },
		{ "{ name=\"a\" to=\"x\" action=\"pass\" }, { name=\"b\" from=\"y\" to=\"x\" "
		  "action=\"pass\" }",
		  "never matches: \"a\" above" },
		{ "{ name=\"a\" to=\"x\" rate=\"1/1m\" action=\"pass\" }, { name=\"b\" to=\"x\" "
		  "action=\"pass\" }",
		  NULL },
		{ "{ name=\"a\" to=\"x\" action=\"pass\" }, { name=\"b\" to=\"y\" action=\"pass\" "
		  "}",
		  NULL },
		{ "{ name=\"a\" media=\"text/*\" action=\"pass\" }", "no media of that type" },
		{ "{ name=\"a\" media=\"image/*\" action=\"strip\" }", "nothing is fetched" },
		{ "{ name=\"a\" media-bytes=\"11MiB..\" action=\"pass\" }",
		  "larger than fetch.max-bytes" },
		{ "{ name=\"a\" to=[\"x\", \"!*\"] action=\"pass\" }", "no entry is left" },
		{ "{ name=\"a\" xpath=\"//body\" action=\"pass\" }", "without a prefix" },
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *conf;

		snprintf(text, sizeof(text), "rules = ( %s )\n", rows[i].rules);
		conf = conf_of_text(text);
		if (!conf)
			fail_msg("%s: %s", rows[i].rules, all_of(&problems));
		if (!rows[i].says != !warnings.n ||
		    (rows[i].says && !strstr(all_of(&warnings), rows[i].says)))
			fail_msg("%s: %s", rows[i].rules, all_of(&warnings));
		conf_unref(&conf);
	}
}

/* The way to the processes and back; without secrets only names and rows travel. */
static void generations_carry_rules_and_files(void **state UNUSED)
{
	char path[] = "/tmp/inset-list-XXXXXX", text[512];
	int fd = mkstemp(path);
	struct conf *conf, *back;
	struct err_msg msg = { 0 };
	struct buf b;
	size_t i;

	assert_int_equal(write(fd, "r@h\n", 4), 4);
	close(fd);
	snprintf(text, sizeof(text),
		 "profiles = { p = { } }\nrules = ( { name=\"one\" from=[\"file:%s\", \"!x@h\"] "
		 "action=\"strip\" mode=\"shadow\" profile=\"p\" }, { name=\"two\" action=\"pass\" "
		 "} )\n",
		 path);
	conf = conf_of_text(text);
	unlink(path);
	assert_non_null(conf);
	conf_number_rules(conf, NULL, counters_rule_clear);
	conf->rules[1].row = 77;
	buf_init(&b, GENERATION_MAX);
	assert_int_equal(generation_print(conf, true, &b), 0);
	assert_int_equal(generation_parse(b.p, b.len, &back, &msg), 0);
	assert_int_equal(back->rules_n, 2);
	assert_string_equal(back->rules[0].name, "one");
	assert_string_equal(back->rules[0].profile, "p");
	assert_true(back->rules[0].shadow);
	assert_int_equal(back->rules[0].action, CONF_ACTION_STRIP);
	assert_int_equal(back->rules[0].conditions[0].n, 2);
	assert_string_equal(back->files[0].text, "r@h\n");
	assert_int_equal(back->rules[1].row, 77);
	assert_true(back->listens[0].strips);
	assert_int_equal(rule_attach(back, &msg), 0);
	conf_unref(&back);
	/* Cut anywhere it is refused, never read past. */
	for (i = 0; i < b.len; i++)
		assert_int_not_equal(generation_parse(b.p, i, &back, &msg), 0);
	buf_clear(&b);
	assert_int_equal(generation_print(conf, false, &b), 0);
	assert_null(memmem(b.p, b.len, "r@h", 3));
	assert_int_equal(generation_parse(b.p, b.len, &back, &msg), 0);
	assert_string_equal(back->rules[1].name, "two");
	assert_int_equal(back->files_n, 0);
	conf_unref(&back);
	buf_fini(&b);
	conf_unref(&conf);
}

static unsigned fresh_rows;

static void note_fresh(unsigned row UNUSED)
{
	fresh_rows++;
}

static void rules_keep_their_rows_by_name(void **state UNUSED)
{
	struct conf *a = conf_of_text("rules = ( { name=\"x\" action=\"pass\" to=\"1\" },\n"
				      "{ name=\"y\" action=\"pass\" } )\n");
	struct conf *b = conf_of_text(
		"rules = ( { name=\"new\" to=\"a\" action=\"pass\" },\n"
		"{ name=\"y\" to=\"b\" action=\"strip\" }, { name=\"x\" action=\"pass\" } )\n");

	assert_non_null(a);
	assert_non_null(b);
	conf_number_rules(a, NULL, note_fresh);
	assert_int_equal(fresh_rows, 2);
	conf_number_rules(b, a, note_fresh);
	assert_int_equal(fresh_rows, 3);
	assert_int_equal(b->rules[1].row, a->rules[1].row);
	assert_int_equal(b->rules[2].row, a->rules[0].row);
	assert_int_not_equal(b->rules[0].row, a->rules[0].row);
	assert_int_not_equal(b->rules[0].row, a->rules[1].row);
	conf_unref(&a);
	conf_unref(&b);
}

static void too_many_rules_are_refused(void **state UNUSED)
{
	size_t room = 1024 * 1024, n, i;
	char *text = malloc(room);

	assert_non_null(text);
	n = (size_t)sprintf(text, "rules = (");
	for (i = 0; i <= CONF_RULES_MAX; i++)
		n += (size_t)sprintf(text + n, "%s{name=\"%zu\" action=\"pass\" to=\"%zu\"}",
				     i ? ",\n" : "", i, i);
	strcpy(text + n, ")\n");
	assert_null(conf_of_text(text));
	assert_non_null(strstr(all_of(&problems), "more than 4096 rules"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_the_default_decides),
		cmocka_unit_test(a_fetch_only_where_a_thumbnail_may_come_of_it),
		cmocka_unit_test(the_profile_is_chosen_after_the_fetch),
		cmocka_unit_test(shadow_counts_and_goes_on),
		cmocka_unit_test(a_rate_is_used_once_and_last),
		cmocka_unit_test(an_unknown_sender_matches_nothing),
		cmocka_unit_test(what_cannot_be_worked_out_passes),
		cmocka_unit_test(every_mistake_has_its_line),
		cmocka_unit_test(rules_that_never_match_are_warned_of),
		cmocka_unit_test(generations_carry_rules_and_files),
		cmocka_unit_test(rules_keep_their_rows_by_name),
		cmocka_unit_test(too_many_rules_are_refused),
	};

	return cmocka_run_group_tests(tests, rule_setup, rule_teardown);
}
