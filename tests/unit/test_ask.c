/* SPDX-License-Identifier: MIT */
/*
 * test_ask - questions of the master and their answers, as messages, and the JSON that children
 * write: whatever a message holds, it is understood or refused; whatever a text holds, what is
 * written is JSON.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ask.h"
#include "base/err.h"
#include "base/jtext.h"
#include "base/log.h"

static struct ipc_out out;
static struct ipc_in in;
static int fds[2];

static int setup(void **state UNUSED)
{
	return ipc_pair(fds) ? -1 : 0;
}

static int teardown(void **state UNUSED)
{
	close(fds[0]);
	close(fds[1]);
	return 0;
}

/* --- questions ------------------------------------------------------------------------- */

static int ask_over(enum role to, struct ask *got)
{
	int rc;

	assert_int_equal(ipc_send(fds[0], &out), 0);
	rc = ipc_recv(fds[1], &in, to, ROLE_MASTER);
	if (!rc)
		rc = ask_get(&in, to, got);
	return rc;
}

static void a_question_arrives(void **state UNUSED)
{
	const struct ask a = { .id = 1ULL << 40,
			       .command = ASK_SESSIONS,
			       .number = 77,
			       .choice = ASK_ORDER_HELD,
			       .text = "alice@example.org/x" };
	struct ask got;

	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_PROXY, &got), 0);
	assert_true(got.id == a.id && got.command == a.command && got.number == a.number);
	assert_int_equal(got.choice, a.choice);
	assert_string_equal(got.text, a.text);
	ipc_in_fini(&in);
}

static void a_question_that_is_not_for_this_role(void **state UNUSED)
{
	const enum role roles[] = { ROLE_PROXY, ROLE_MEDIA, ROLE_WEB, ROLE_BOX, ROLE_SCALER };
	struct ask a = { .text = "" }, got;
	size_t i;
	int c;

	for (c = 0; c < ASK_COMMAND_COUNT; c++)
		for (i = 0; i < ARRAY_SIZE(roles); i++) {
			a.command = (enum ask_command)c;
			ask_put(&out, &a);
			assert_int_equal(ask_over(roles[i], &got),
					 ask_roles(a.command) & 1u << roles[i] ? 0
									       : ERR_BAD_MESSAGE);
			ipc_in_fini(&in);
		}
}

static void questions_out_of_range(void **state UNUSED)
{
	char long_text[ASK_TEXT_MAX + 2];
	struct ask a = { .command = ASK_LOG, .number = LOG_LEVEL_DEBUG + 1, .text = "" }, got;

	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_WEB, &got), ERR_BAD_MESSAGE);
	a = (struct ask){ .command = ASK_SESSIONS, .choice = ASK_ORDER_COUNT, .text = "" };
	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_PROXY, &got), ERR_BAD_MESSAGE);
	memset(long_text, 'x', sizeof(long_text));
	long_text[ASK_TEXT_MAX + 1] = '\0';
	a = (struct ask){ .command = ASK_SESSIONS, .text = long_text };
	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_PROXY, &got), ERR_BAD_MESSAGE);
	long_text[ASK_TEXT_MAX] = '\0';
	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_PROXY, &got), 0);
	a = (struct ask){ .command = ASK_COMMAND_COUNT, .text = "" };
	ask_put(&out, &a);
	assert_int_equal(ask_over(ROLE_PROXY, &got), ERR_BAD_MESSAGE);
}

/* --- answers --------------------------------------------------------------------------- */

static int answer_over(uint64_t *id, enum ask_state *state, const char **p, size_t *len)
{
	int rc;

	assert_int_equal(ipc_send(fds[0], &out), 0);
	rc = ipc_recv(fds[1], &in, ROLE_MASTER, ROLE_PROXY);
	return rc ? rc : ask_answer_get(&in, id, state, p, len);
}

static void answers_of_every_size(void **state UNUSED)
{
	static const size_t sizes[] = {
		0, 1, 1000, IPC_INLINE_MAX - 2000, IPC_INLINE_MAX, 300000, ASK_ANSWER_MAX,
	};
	char *text = malloc(ASK_ANSWER_MAX + 1);
	enum ask_state st;
	const char *p;
	uint64_t id;
	size_t i, len;

	memset(text, 'j', ASK_ANSWER_MAX + 1);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ask_answer_put(&out, i + 5, ASK_MORE, text, sizes[i]);
		assert_int_equal(answer_over(&id, &st, &p, &len), 0);
		assert_true(id == i + 5 && st == ASK_MORE && len == sizes[i]);
		assert_true(!len || memcmp(p, text, len) == 0);
		ipc_in_fini(&in);
	}
	ask_answer_put(&out, 1, ASK_DONE, text, ASK_ANSWER_MAX + 1);
	assert_int_equal(answer_over(&id, &st, &p, &len), ERR_BAD_MESSAGE);
	ipc_in_fini(&in);
	ask_answer_put(&out, 1, ASK_STATE_COUNT, text, 1);
	assert_int_equal(answer_over(&id, &st, &p, &len), ERR_BAD_MESSAGE);
	ipc_in_fini(&in);
	free(text);
}

/* What the reader makes of out, cut to len. */
static int damaged(bool question, size_t len)
{
	enum role to = question ? ROLE_PROXY : ROLE_MASTER,
		  from = question ? ROLE_MASTER : ROLE_PROXY;
	size_t whole = out.len, n;
	enum ask_state st;
	struct ask got;
	const char *p;
	uint64_t id;
	int rc;

	out.len = len;
	assert_int_equal(ipc_send(fds[0], &out), 0);
	out.len = whole;
	assert_int_equal(ipc_recv(fds[1], &in, to, from), 0);
	rc = question ? ask_get(&in, to, &got) : ask_answer_get(&in, &id, &st, &p, &n);
	if (!rc && question)
		assert_true(got.command < ASK_COMMAND_COUNT && got.choice < ASK_ORDER_COUNT);
	ipc_in_fini(&in);
	return rc;
}

/* Cut anywhere: refused. With a byte changed anywhere: refused, or read without harm. */
static void damaged_messages(void **state UNUSED)
{
	const struct ask a = { .id = 3, .command = ASK_TRACE, .text = "a@b" };
	size_t i, len;

	for (i = 0; i < 2; i++) {
		if (i)
			ask_put(&out, &a);
		else
			ask_answer_put(&out, 3, ASK_DONE, "{}", 2);
		for (len = 4; len < out.len; len++)
			assert_int_equal(damaged(i, len), ERR_BAD_MESSAGE);
		for (len = 4; len < out.len; len++) {
			out.data[len] ^= 0xff;
			(void)damaged(i, out.len);
			out.data[len] ^= 0xff;
		}
		assert_int_equal(damaged(i, out.len), 0);
	}
}

/* --- JSON ------------------------------------------------------------------------------ */

static void expect(struct jtext *j, const char *want)
{
	assert_int_equal(j->error, 0);
	assert_int_equal(j->b.len, strlen(want));
	assert_memory_equal(j->b.p, want, j->b.len);
	jtext_fini(j);
}

static void what_is_written(void **state UNUSED)
{
	struct jtext j;

	jtext_init(&j, 4096);
	jtext_open(&j, NULL, '{');
	jtext_int(&j, "n", -5);
	jtext_bool(&j, "yes", true);
	jtext_str(&j, "none", NULL);
	jtext_open(&j, "list", '[');
	jtext_str(&j, NULL, "a");
	jtext_open(&j, NULL, '{');
	jtext_close(&j, '}');
	jtext_open(&j, NULL, '[');
	jtext_close(&j, ']');
	jtext_bool(&j, NULL, false);
	jtext_close(&j, ']');
	jtext_str(&j, "ends with [", "{");
	jtext_str(&j, "x", "");
	jtext_close(&j, '}');
	expect(&j, "{\"n\":-5,\"yes\":true,\"none\":null,\"list\":[\"a\",{},[],false],"
		   "\"ends with [\":\"{\",\"x\":\"\"}");
}

static void what_texts_may_hold(void **state UNUSED)
{
	static const char *const rows[][2] = {
		{ "\"\\\n\x01\x7f", "\"\\\"\\\\\\u000a\\u0001\\u007f\"" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		  "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		{ "\xff\xfe", "\"??\"" },           /* no UTF-8 */
		{ "\xc3", "\"?\"" },                /* cut */
		{ "\xe2\x82", "\"??\"" },           /* cut */
		{ "\xf0\x9f\x98", "\"???\"" },      /* cut */
		{ "\xc0\xaf", "\"??\"" },           /* overlong */
		{ "\xe0\x80\xaf", "\"???\"" },      /* overlong */
		{ "\xed\xa0\x80", "\"???\"" },      /* surrogate */
		{ "\xf4\x90\x80\x80", "\"????\"" }, /* too high */
		{ "\xc3(", "\"?(\"" },
	};
	struct jtext j;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		jtext_init(&j, 256);
		jtext_str(&j, NULL, rows[i][0]);
		expect(&j, rows[i][1]);
	}
	jtext_init(&j, 256);
	jtext_strn(&j, NULL, "a\0b\xe2\x82\xac", 4); /* cut within a character */
	expect(&j, "\"a\\u0000b?\"");
}

static void what_does_not_fit(void **state UNUSED)
{
	struct jtext j;
	size_t max;

	for (max = 0; max < 26; max++) {
		jtext_init(&j, max);
		jtext_open(&j, NULL, '{');
		jtext_str(&j, "key", "value");
		jtext_int(&j, "n", 12345);
		jtext_close(&j, '}');
		assert_int_equal(j.error, max < 25 ? ERR_FULL : 0);
		assert_true(j.b.len <= max);
		jtext_fini(&j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_question_arrives, setup, teardown),
		cmocka_unit_test_setup_teardown(a_question_that_is_not_for_this_role, setup,
						teardown),
		cmocka_unit_test_setup_teardown(questions_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_of_every_size, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_messages, setup, teardown),
		cmocka_unit_test(what_is_written),
		cmocka_unit_test(what_texts_may_hold),
		cmocka_unit_test(what_does_not_fit),
	};

	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
