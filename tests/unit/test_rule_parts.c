/* SPDX-License-Identifier: MIT */
/*
 * The parts that conditions are made of: globs, entries, ranges, windows, folding, XPath, and
 * the rates below them. Hostile first: globs and expressions that would explode elsewhere.
 */
#include "config.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/rates.h"
#include "rule/entries.h"
#include "rule/fold.h"
#include "rule/glob.h"
#include "rule/range.h"
#include "rule/window.h"
#include "xmpp/outline.h"
#include "xmpp/xpath.h"

/* --- globs ----------------------------------------------------------------------------- */

static void globs(void **state UNUSED)
{
	static const struct {
		const char *glob;
		const char *text;
		bool matches;
	} rows[] = {
		{ "abc", "abc", true },
		{ "abc", "abcd", false },
		{ "abc", "ab", false },
		{ "*", "", true },
		{ "*", "x", true },
		{ "**", "xy", true },
		{ "a*", "a", true },
		{ "a*", "ba", false },
		{ "*a", "a", true },
		{ "*a", "ab", false },
		{ "a*a", "a", false },
		{ "a*a", "aa", true },
		{ "*ab*ab", "ab", false },
		{ "*ab*ab", "xabyab", true },
		{ "*ab*ab", "xabyabz", false },
		{ "a?c", "abc", true },
		{ "a?c", "ac", false },
		{ "?", "", false },
		{ "*?", "", false },
		{ "*?", "x", true },
		{ "?*", "x", true },
		{ "*a?c*", "xxabcx", true },
		{ "*a?c", "xabcabd", false },
		{ "*a?c", "xabcadc", true },
		{ "*@b.example", "x@b.example", true },
		{ "*.b", "ab", false },
		{ "", "", true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (glob_match(rows[i].glob, rows[i].text, true) != rows[i].matches)
			fail_msg("%s on %s", rows[i].glob, rows[i].text);
	assert_false(glob_match("a?c", "abc", false));
	assert_true(glob_match("a?c*", "a?cd", false));
}

/* By going back it would take longer than there is time. */
static void globs_do_not_explode(void **state UNUSED)
{
	char glob[GLOB_MAX + 2] = "", text[4000];
	int i;

	for (i = 0; i < GLOB_STARS; i++)
		strcat(glob, i ? "aaaa*" : "*");
	strcat(glob, "b");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_null(glob_check(glob));
	for (i = 0; i < 1000; i++)
		assert_false(glob_match(glob, text, true));
	assert_non_null(glob_check(strcat(glob, "*")));
	assert_non_null(glob_check(""));
	memset(glob, 'a', GLOB_MAX + 1);
	glob[GLOB_MAX + 1] = '\0';
	assert_non_null(glob_check(glob));
	glob[GLOB_MAX] = '\0';
	assert_null(glob_check(glob));
}

/* --- entries --------------------------------------------------------------------------- */

static bool holds(const struct entries *e, const char *a, const char *b)
{
	const char *subjects[] = { a, b };

	return entries_holds(e, subjects, b ? 2 : 1);
}

static void lists_of_entries(void **state UNUSED)
{
	struct entries e = { .question = true };
	const char *why;

	assert_false(holds(&e, "a", NULL));
	assert_false(entries_can_hold(&e));
	assert_int_equal(entries_add(&e, "a", false, &why), 0);
	assert_int_equal(entries_add(&e, "b*", false, &why), 0);
	assert_int_equal(entries_add(&e, "bad", true, &why), 0);
	assert_true(holds(&e, "a", NULL));
	assert_true(holds(&e, "x", "bx"));
	assert_false(holds(&e, "bad", NULL));
	assert_false(holds(&e, "a", "bad"));
	assert_false(holds(&e, "c", NULL));
	assert_true(entries_can_hold(&e));
	assert_int_equal(entries_add(&e, "*", true, &why), 0);
	assert_false(entries_can_hold(&e));
	assert_false(holds(&e, "a", NULL));
	entries_fini(&e);
	/* Nothing but exclusions. */
	assert_int_equal(entries_add(&e, "bad", true, &why), 0);
	assert_true(holds(&e, "a", NULL));
	assert_false(holds(&e, "bad", NULL));
	assert_true(entries_can_hold(&e));
	/* All wanted ones are excluded. */
	assert_int_equal(entries_add(&e, "bad", false, &why), 0);
	assert_false(entries_can_hold(&e));
	entries_fini(&e);
}

static void many_entries(void **state UNUSED)
{
	enum { N = 200000 };
	struct entries e = { .question = true };
	char *texts = malloc((size_t)N * 24), name[32];
	const char *why;
	size_t i;

	assert_non_null(texts);
	assert_int_equal(entries_keep(&e, texts), 0);
	for (i = 0; i < N; i++) {
		char *at = texts + i * 24;

		snprintf(at, 24, "u%zu@x.example", i);
		assert_int_equal(entries_add(&e, at, false, &why), 0);
		assert_int_equal(entries_add(&e, at, false, &why), 0); /* twice is once */
	}
	assert_int_equal(e.plain[0].n, N);
	for (i = 0; i < N; i++)
		assert_true(holds(&e, texts + i * 24, NULL));
	snprintf(name, sizeof(name), "u%d@x.example", N);
	assert_false(holds(&e, name, NULL));
	for (i = 0; i < ENTRIES_GLOBS_MAX; i++)
		assert_int_equal(entries_add(&e, "*@x", i & 1, &why), 0);
	assert_int_equal(entries_add(&e, "*@x", false, &why), ERR_SYNTAX);
	entries_fini(&e);
}

/* --- ranges, windows, folding ---------------------------------------------------------- */

static void ranges(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool bytes;
		uint64_t from;
		uint64_t to;
	} good[] = {
		{ "..5MiB", true, 0, 5242880 },
		{ "1KiB..2KiB", true, 1024, 2048 },
		{ "7", true, 7, 7 },
		{ "10k..", false, 10000, UINT64_MAX },
		{ "..2M", false, 0, 2000000 },
		{ "0..0", true, 0, 0 },
	};
	static const char *const bad[] = { "",
					   "..",
					   "5..1",
					   "x..",
					   "1..x",
					   "..-1",
					   "1KiB..2KiB..3KiB",
					   "-1",
					   "1 ..",
					   "...",
					   "99999999999999999999999999999999999..",
					   "..99999999999999999999" };
	struct err_msg msg = { 0 };
	struct range r;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(range_parse(&r, good[i].text, good[i].bytes, &msg), 0);
		assert_true(r.from == good[i].from && r.to == good[i].to);
		assert_true(range_has(&r, r.from) && range_has(&r, r.to));
		assert_true(!r.from || !range_has(&r, r.from - 1));
		assert_true(r.to == UINT64_MAX || !range_has(&r, r.to + 1));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (range_parse(&r, bad[i], true, &msg) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
	assert_int_equal(range_parse(&r, "..5MiB", false, &msg), ERR_SYNTAX);
}

static void windows(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "25:00-26:00",
					   "08:00",
					   "08:00-",
					   "8:00-9:00",
					   "mon-",
					   "xyz",
					   "mon fri",
					   "08:60-09:00",
					   "08:00-08:00",
					   "24:01-01:00",
					   "mon,",
					   "08:00-09:00 x" };
	struct err_msg msg = { 0 };
	struct window w;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (window_parse(&w, bad[i], &msg) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
	/* 1704067200: Monday, 2024-01-01 00:00 UTC. */
	assert_int_equal(window_parse(&w, "fri-mon 23:30-00:30", &msg), 0);
	assert_false(window_has(&w, 1704067200 + 23 * 3600));
	assert_true(window_has(&w, 1704067200 + 23 * 3600 + 1800));
	assert_true(window_has(&w, 1704067200 + 24 * 3600 + 1799)); /* Monday's, on Tuesday */
	assert_false(window_has(&w, 1704067200 + 24 * 3600 + 1800));
	assert_true(window_has(&w, 1704067200));              /* Sunday's */
	assert_false(window_has(&w, 1704067200 + 2 * 86400)); /* Wednesday: none of Tuesday's */
	assert_int_equal(window_parse(&w, "SAT,sun", &msg), 0);
	assert_true(window_has(&w, 1704067200 - 1));
	assert_false(window_has(&w, 1704067200));
	assert_int_equal(window_parse(&w, "00:00-24:00", &msg), 0);
	assert_true(window_has(&w, 1704067200 - 1) && window_has(&w, 1704067200));
}

static void folding(void **state UNUSED)
{
	static const struct {
		const char *url;
		const char *host;
	} rows[] = {
		{ "HTTPS://User:P@H.Example:443/Path", "h.example" },
		{ "http://[2001:DB8::1]:80/", "2001:db8::1" },
		{ "http://h.example.?x", "h.example" },
		{ "http://a@b@h.example/@evil", "h.example" },
		{ "http://h.example\\@evil", "h.example" },
		{ "nonsense", "" },
		{ "http://", "" },
		{ "http://[", "" },
	};
	char text[128], host[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = fold_host(rows[i].url, host, sizeof(host));

		assert_int_equal(n, strlen(rows[i].host));
		if (n)
			assert_string_equal(host, rows[i].host);
	}
	assert_int_equal(fold_host("http://abcdef/", host, 6), 0);
	strcpy(text, "HTTP://H.Example/Path?Q");
	fold_url(text);
	assert_string_equal(text, "http://h.example/Path?Q");
	strcpy(text, "Romeo@Example.ORG/Orchard");
	fold_jid(text);
	assert_string_equal(text, "romeo@example.org/Orchard");
}

/* --- XPath ----------------------------------------------------------------------------- */

static struct nsctx *stream_ns(void)
{
	static const char header[] = "<s:stream xmlns='jabber:client' "
				     "xmlns:s='http://etherx.jabber.org/streams'>";
	struct tag tag;
	struct nsctx *ns;

	assert_int_equal(tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1), 0);
	ns = nsctx_of_header(&tag);
	assert_non_null(ns);
	return ns;
}

static const char message[] =
	"<message to='b@h' type='chat'><body>a &amp; b</body>"
	"<x xmlns='jabber:x:oob'><url type='image/png'>http://h/a</url></x></message>";

static int ask(const char *expression, const char *xml, uint64_t steps, bool *out)
{
	struct nsctx *ns = stream_ns();
	struct err_msg msg = { 0 };
	struct xpath_unit *u;
	struct xpath *x;
	int rc = xpath_compile(expression, &x, &msg);

	if (!rc) {
		assert_int_equal(xpath_unit_new(ns, (const uint8_t *)xml, strlen(xml), steps, &u),
				 0);
		rc = xpath_holds(u, x, out);
		xpath_unit_free(&u);
	}
	xpath_free(&x);
	nsctx_unref(&ns);
	return rc;
}

static void xpath_over_a_unit(void **state UNUSED)
{
	static const struct {
		const char *expression;
		bool holds;
	} rows[] = {
		{ "/c:message", true },
		{ "/message", false },
		{ "not(/c:message/c:body)", false },
		{ "/c:message/c:body = 'a & b'", true },
		{ "/c:message[@type='chat' and @to]", true },
		{ "//oob:url[@type = \"image/png\"]", true },
		{ "count(/c:message/*) = 2", true },
		{ "2 * 3 = 6", true },
		{ "/c:message/attribute::type = 'groupchat'", false },
		{ "starts-with(//oob:url, 'http://')", true },
		{ "//thumbs0:thumbnail or //sims:*", false },
		{ "string-length(normalize-space(.)) > 3", true },
		{ "local-name(/*) = 'message'", true },
		{ "/c:message/node()[self::oob:x]", true },
	};
	bool v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (ask(rows[i].expression, message, 100000, &v))
			fail_msg("%s", rows[i].expression);
		if (v != rows[i].holds)
			fail_msg("%s is %d", rows[i].expression, v);
	}
}

static void wrong_expressions(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "/foo:bar",
					   "//c:message[",
					   "$x",
					   "document('/etc/passwd')",
					   "nofun(1)",
					   "'open",
					   "a b",
					   "((",
					   "not(/x:y or /c:z)",
					   "c:f()",
					   "current()",
					   "/c:message[false() and /foo:x]" };
	char deep[XPATH_TEXT_MAX + 2], name[64];
	struct err_msg msg = { 0 };
	struct xpath *x;
	size_t i;
	bool v;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (xpath_compile(bad[i], &x, &msg) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
		assert_null(x);
	}
	memset(deep, '1', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(xpath_compile(deep, &x, &msg), ERR_SYNTAX);
	/* As deep as an expression may be: an answer or an error, but an end. */
	memset(deep, '(', XPATH_TEXT_MAX / 2 - 1);
	deep[XPATH_TEXT_MAX / 2 - 1] = '1';
	memset(deep + XPATH_TEXT_MAX / 2, ')', XPATH_TEXT_MAX / 2 - 1);
	deep[XPATH_TEXT_MAX - 1] = '\0';
	(void)ask(deep, message, 100000, &v);
	assert_true(xpath_has_bare_name("//c:x/body[@a]", name));
	assert_string_equal(name, "body");
	assert_true(xpath_has_bare_name("/message", name));
	assert_false(
		xpath_has_bare_name("/c:message[@type='x' and not(attribute::y)]/oob:*", name));
	assert_false(
		xpath_has_bare_name("'body' = string(.) or 4 div 2 mod 2 = 0 and text()", name));
	assert_true(xpath_has_bare_name("child::body", name));
}

/* Each step doubles what the next one looks at. */
static void xpath_bombs_end(void **state UNUSED)
{
	static const char *const bombs[] = {
		"count(//*[count(//*[count(//*) > 1]) > 1]) > 1",
		"//*[position() = last()]/preceding::*[count(//*) > 5][3000]",
		"//*[count(//*[count(//*[count(//*) > 5]) > 5]) > 5]",
	};
	enum { N = 1500 };
	char *xml = malloc(16 * N + 64);
	struct nsctx *ns = stream_ns();
	struct err_msg msg = { 0 };
	struct xpath_unit *u;
	struct xpath *x, *easy;
	size_t i, n;
	bool v;

	assert_non_null(xml);
	n = (size_t)sprintf(xml, "<message>");
	for (i = 0; i < N; i++)
		n += (size_t)sprintf(xml + n, "<a><b/></a>");
	strcpy(xml + n, "</message>");
	for (i = 0; i < ARRAY_SIZE(bombs); i++)
		if (ask(bombs[i], xml, 100000, &v) != ERR_TOO_BIG)
			fail_msg("%s", bombs[i]);
	/* All expressions on a unit share the steps: small ones end, too. */
	assert_int_equal(xpath_compile("count(//*) > 1", &x, &msg), 0);
	assert_int_equal(xpath_compile("/c:message", &easy, &msg), 0);
	assert_int_equal(xpath_unit_new(ns, (const uint8_t *)xml, strlen(xml), 20000, &u), 0);
	for (i = 0; i < 100 && xpath_holds(u, x, &v) == 0; i++)
		assert_true(v);
	assert_in_range(i, 1, 20);
	assert_int_equal(xpath_holds(u, x, &v), ERR_TOO_BIG);
	xpath_unit_free(&u);
	xpath_free(&x);
	xpath_free(&easy);
	nsctx_unref(&ns);
	free(xml);
}

static void trees_of_odd_units(void **state UNUSED)
{
	static const char *const bad[] = { "<a", "<a></b>", "", "text", "<a/><", "</x><x>" };
	struct nsctx *ns = stream_ns();
	struct xpath_unit *u;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (xpath_unit_new(ns, (const uint8_t *)bad[i], strlen(bad[i]), 1000, &u) == 0)
			fail_msg("%s", bad[i]);
	nsctx_unref(&ns);
}

/* --- rates ----------------------------------------------------------------------------- */

static void rates_count_and_recover(void **state UNUSED)
{
	int i;

	rates_map(NULL);
	for (i = 0; i < 3; i++) {
		assert_true(rates_has(42, 3, 60000, 1000000, false));
		assert_true(rates_has(42, 3, 60000, 1000000, true));
	}
	assert_false(rates_has(42, 3, 60000, 1000000, false));
	assert_false(rates_has(42, 3, 60000, 1000000, true));
	assert_true(rates_has(43, 3, 60000, 1000000, true)); /* another thing */
	assert_false(rates_has(42, 3, 60000, 1000000 + 19999999, true));
	assert_true(rates_has(42, 3, 60000, 1000000 + 20000000, true)); /* a third of a minute */
	assert_false(rates_has(42, 3, 60000, 1000000 + 20000000, true));
	assert_true(rates_has(42, 0, 60000, 0, true)); /* no limit */
	assert_true(rates_has(0, 1, 60000, 1000000, true));
	assert_false(rates_has(0, 1, 60000, 1000000, true));
}

/* More things than cells: who is counted stays counted, who has no room is refused. */
static void rates_of_very_many(void **state UNUSED)
{
	uint64_t i, refused = 0;

	for (i = 1; i <= 4 * RATES_CELLS; i++)
		refused += !rates_has(i * 0x9e3779b97f4a7c15u, 1, 60000, 200000000, true);
	assert_true(refused >= 3 * RATES_CELLS);
	for (i = 1; i <= 100; i++)
		assert_false(rates_has(i * 0x9e3779b97f4a7c15u, 1, 60000, 200000000, true));
	/* A minute later all is free. */
	assert_true(rates_has(4 * RATES_CELLS * 0x9e3779b97f4a7c15u, 1, 60000, 260000000, false));
	assert_true(rates_has(4 * RATES_CELLS * 0x9e3779b97f4a7c15u, 1, 60000, 260000000, true));
}

/* What a process counted is there when it is gone, for all others. */
static void rates_and_figures_outlive_a_process(void **state UNUSED)
{
	int fd = counters_create(), status;
	pid_t pid;

	assert_int_not_equal(fd, -1);
	assert_int_equal(counters_map(fd, 0), 0);
	pid = fork();
	if (pid == 0) {
		if (counters_map(fd, 5))
			_exit(1);
		counters_rule_add(17, RULE_FIGURE_MATCHES, 3);
		counters_rule_add(17, RULE_FIGURE_LAST, 1000);
		_exit(rates_has(99, 1, 60000, 1000000, true) ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	counters_rule_add(17, RULE_FIGURE_MATCHES, 1);
	counters_rule_add(17, RULE_FIGURE_LAST, 900);
	counters_forget(5); /* gauges go, these stay */
	assert_int_equal(counters_rule_sum(17, RULE_FIGURE_MATCHES), 4);
	assert_int_equal(counters_rule_sum(17, RULE_FIGURE_LAST), 1000);
	assert_int_equal(counters_rule_sum(16, RULE_FIGURE_MATCHES), 0);
	assert_int_equal(counters_rule_sum(COUNTERS_RULES, RULE_FIGURE_MATCHES), 0);
	assert_false(rates_has(99, 1, 60000, 1000000, true));
	counters_rule_clear(17);
	assert_int_equal(counters_rule_sum(17, RULE_FIGURE_MATCHES), 0);
	close(fd);
}

static int setup(void **state UNUSED)
{
	outline_setup();
	return 0;
}

/* A host that a rule does not see is no plain one, whatever a library makes of it. */
static void plain_hosts(void **state UNUSED)
{
	static const struct {
		const char *url;
		bool plain;
	} rows[] = {
		{ "https://up.example.org/a%20b", true },
		{ "HTTPS://UP.example.org.:443?x=1", true },
		{ "http://a_b-1.example", true },
		{ "http://host.1a/", true },
		{ "http://127.0.0.1:80/", true },
		{ "http://[::1]/", true },
		{ "http://[2001:DB8::1]:80/", true },
		{ "http://%65xample.org/", false },
		{ "http://127.0.0.%31/", false },
		{ "http:///example.org/", false },
		{ "http:////example.org/", false },
		{ "http://:80/", false },
		{ "http://user@example.org/", false },
		{ "http://example.org@other.example/", false },
		{ "http://b\xc3\xbcro.example/", false },
		{ "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", false },
		{ "http://2130706433/", false },
		{ "http://0x7f.1/", false },
		{ "http://0X7F000001/", false },
		{ "http://0177.0.0.1/", false },
		{ "http://127.1/", false },
		{ "http://127.0.0.1.2/", false },
		{ "http://[0:0::1]/", false },
		{ "http://[::ffff:7f00:1]/", false },
		{ "http://[fe80::1%25eth0]/", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (fold_is_plain(rows[i].url) != rows[i].plain)
			fail_msg("%s", rows[i].url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(globs_do_not_explode),
		cmocka_unit_test(lists_of_entries),
		cmocka_unit_test(many_entries),
		cmocka_unit_test(ranges),
		cmocka_unit_test(windows),
		cmocka_unit_test(folding),
		cmocka_unit_test(plain_hosts),
		cmocka_unit_test(xpath_over_a_unit),
		cmocka_unit_test(wrong_expressions),
		cmocka_unit_test(xpath_bombs_end),
		cmocka_unit_test(trees_of_odd_units),
		cmocka_unit_test(rates_count_and_recover),
		cmocka_unit_test(rates_of_very_many),
		cmocka_unit_test(rates_and_figures_outlive_a_process),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
