/* SPDX-License-Identifier: MIT */
/*
 * test_fleet - what the master lets a child say, and when: a message that is malformed or out
 * of turn is refused and changes nothing. No process is started; those are in
 * integration/test_processes.py.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "master/asks.h"
#include "master/commands.h"
#include "master/fleet.h"

static struct master m;
static struct proc *proxy;
static struct ipc_out out;
static struct ipc_in in;
static int fds[2]; /* the master's end, the child's end */

static int setup(void **state UNUSED)
{
	memset(&m, 0, sizeof(m));
	m.workers = 1;
	m.conf = conf_new();
	if (!m.conf || ipc_pair(fds))
		return -1;
	m.conf->generation = 7;
	m.generations = 7;
	m.up = true;
	m.reload.memfds = (struct memfds){ -1, -1, -1, -1 };
	fleet_init(&m);
	proxy = &m.procs[2];
	proxy->fd = fds[0];
	proxy->state = PROC_STARTING;
	log_set_level(LOG_LEVEL_ERROR);
	return proxy->role == ROLE_PROXY ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	close(fds[0]);
	close(fds[1]);
	conf_unref(&m.conf);
	return 0;
}

/* The child sends what is in out; what the master makes of it. */
static int deliver(void)
{
	int rc;

	assert_int_equal(ipc_send(fds[1], &out), 0);
	rc = ipc_recv(proxy->fd, &in, ROLE_MASTER, ROLE_PROXY);
	if (rc)
		return rc;
	rc = fleet_on_message(proxy, &in);
	ipc_in_fini(&in);
	return rc;
}

static void put_confirm(uint64_t generation, uint8_t ready)
{
	ipc_begin(&out, IPC_CONFIRM);
	ipc_put_u64(&out, generation);
	ipc_put_u8(&out, ready);
	ipc_put_str(&out, "why");
}

static void a_start_in_order(void **state UNUSED)
{
	put_confirm(7, 1);
	assert_int_equal(deliver(), 0);
	assert_int_equal(proxy->state, PROC_COMMITTED);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), 0);
	assert_int_equal(in.type, IPC_COMMIT);
	assert_int_equal(ipc_get_u64(&in), 7);
	ipc_begin(&out, IPC_READY);
	ipc_put_str(&out, "libevent 2");
	assert_int_equal(deliver(), 0);
	assert_int_equal(proxy->state, PROC_UP);
	assert_string_equal(proxy->versions, "libevent 2");
	assert_int_equal(counters_sum(METRIC_PROCS_PROXY), 1);
}

static void ready_before_commit(void **state UNUSED)
{
	ipc_begin(&out, IPC_READY);
	ipc_put_str(&out, "");
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	assert_int_equal(proxy->state, PROC_STARTING);
}

static void confirm_of_another_generation(void **state UNUSED)
{
	put_confirm(6, 1);
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	put_confirm(8, 1);
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	put_confirm(7, 2);
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	assert_int_equal(proxy->state, PROC_STARTING);
}

static void confirm_without_a_reload(void **state UNUSED)
{
	proxy->state = PROC_UP;
	put_confirm(7, 1);
	assert_int_equal(deliver(), 0); /* of one that was rolled back */
	put_confirm(8, 1);
	assert_int_equal(deliver(), ERR_BAD_MESSAGE); /* of one that was never sent */
	assert_int_equal(proxy->state, PROC_UP);
	assert_false(proxy->confirmed);
}

static void log_of_no_level(void **state UNUSED)
{
	ipc_begin(&out, IPC_LOG);
	ipc_put_u8(&out, LOG_LEVEL_DEBUG + 1);
	ipc_put_str(&out, "x");
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
}

static void every_short_message(void **state UNUSED)
{
	static const enum ipc_type types[] = { IPC_CONFIRM, IPC_LOG, IPC_READY };
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		for (n = 0; n < 4; n++) {
			ipc_begin(&out, types[i]);
			ipc_put_bytes(&out, "\0\0\0", n);
			assert_int_equal(deliver(), ERR_BAD_MESSAGE);
		}
	/* And one byte too many. */
	put_confirm(7, 1);
	ipc_put_u8(&out, 0);
	assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	assert_int_equal(proxy->state, PROC_STARTING);
}

static void what_children_may_not_send(void **state UNUSED)
{
	int type;

	for (type = 0; type < IPC_TYPE_COUNT; type++) {
		if (type == IPC_CONFIRM || type == IPC_LOG || type == IPC_READY || type == IPC_PONG)
			continue;
		ipc_begin(&out, (enum ipc_type)type);
		assert_int_equal(deliver(), ERR_BAD_MESSAGE);
	}
}

/* --- questions and answers ------------------------------------------------------------- */

static struct {
	unsigned calls;
	size_t answers, problems;
	bool silence;
	char text[256];
} over;

static void on_over(struct master *master UNUSED, const struct asked *asked)
{
	char *text = json_dumps(json_object_get(json_array_get(asked->answers, 0), "x"),
				JSON_ENCODE_ANY);

	over.calls++;
	over.answers = json_array_size(asked->answers);
	over.problems = json_array_size(asked->problems);
	over.silence = asked->silence;
	snprintf(over.text, sizeof(over.text), "%s", text ? text : "");
	free(text);
}

/* A worker that is up is asked; returns the question's id. */
static uint64_t ask_worker(enum ask_command command)
{
	const struct ask q = { .command = command, .text = "*" };
	struct ask got;
	uint64_t id;

	memset(&over, 0, sizeof(over));
	proxy->pid = getpid();
	proxy->state = PROC_UP;
	if (command == ASK_TRACE)
		assert_int_equal(asks_stream(&m, 5, &q), 0);
	else
		assert_int_equal(asks_start(&m, 5, &q, 60000, on_over), 0);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), 0);
	assert_int_equal(ask_get(&in, ROLE_PROXY, &got), 0);
	assert_int_equal(got.command, command);
	id = got.id;
	ipc_in_fini(&in);
	return id;
}

static int answer(uint64_t id, enum ask_state st, const char *text)
{
	ask_answer_put(&out, id, st, text, strlen(text));
	return deliver();
}

static int ask_setup(void **state)
{
	int rc = setup(state);

	m.base = event_base_new();
	return rc || !m.base ? -1 : 0;
}

static int ask_teardown(void **state)
{
	asks_fini(&m);
	event_base_free(m.base);
	proxy->pid = 0;
	return teardown(state);
}

static void an_answer(void **state UNUSED)
{
	uint64_t id = ask_worker(ASK_SESSIONS);

	assert_int_equal(over.calls, 0);
	assert_int_equal(answer(id, ASK_DONE, "{\"x\":[1]}"), 0);
	assert_int_equal(over.calls, 1);
	assert_true(over.answers == 1 && over.problems == 0 && !over.silence);
	assert_string_equal(over.text, "[1]");
	assert_int_equal(answer(id, ASK_DONE, "{}"), 0); /* late, like one behind a deadline */
	assert_int_equal(over.calls, 1);
}

static void answers_that_are_nonsense(void **state UNUSED)
{
	static const char *const bad[] = { "",        "x",    "[]",   "5",    "{\"a\":1,\"a\":2}",
					   "{\"a\":", "\xff", "{}{}", "null", "{\"a\":\"\xff\"}" };
	uint64_t id = ask_worker(ASK_SESSIONS);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(answer(id, ASK_DONE, bad[i]), ERR_BAD_MESSAGE);
	assert_int_equal(answer(id, ASK_MORE, "{}"), ERR_BAD_MESSAGE);     /* no stream */
	assert_int_equal(answer(id + 1, ASK_DONE, "{}"), ERR_BAD_MESSAGE); /* never asked */
	assert_int_equal(over.calls, 0);
	asks_on_exit(proxy); /* the master kills who talks like this */
	assert_true(over.calls == 1 && over.answers == 0 && over.problems == 1 && over.silence);
}

static void nesting_without_end(void **state UNUSED)
{
	static char deep[200001];
	uint64_t id = ask_worker(ASK_SESSIONS);

	memset(deep, '[', sizeof(deep) - 1);
	assert_int_equal(answer(id, ASK_DONE, deep), ERR_BAD_MESSAGE);
}

/* What is added up and put in order is what children say. */
static void numbers_beyond_all_sums(void **state UNUSED)
{
#define MOST "9223372036854775807"
	static const char text[] =
		"{\"sessions\":" MOST ",\"matches\":" MOST ",\"list\":[{\"bytes-c2s\":" MOST
		",\"bytes-s2c\":" MOST "},5,{\"bytes-c2s\":-" MOST ",\"bytes-s2c\":-" MOST "},[]]}";
#undef MOST
	json_t *request = json_pack("{s:s}", "order", "bytes");
	struct ask got;

	proxy->pid = getpid();
	proxy->state = PROC_UP;
	assert_true(commands_run(&m, 5, "sessions", request));
	json_decref(request);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), 0);
	assert_int_equal(ask_get(&in, ROLE_PROXY, &got), 0);
	ipc_in_fini(&in);
	assert_int_equal(answer(got.id, ASK_DONE, text), 0);
}

static void a_refusal(void **state UNUSED)
{
	uint64_t id = ask_worker(ASK_SESSIONS);

	assert_int_equal(answer(id, ASK_REFUSED, "no \xff"), 0);
	assert_true(over.calls == 1 && over.answers == 0 && over.problems == 1 && !over.silence);
}

static void nobody_to_ask(void **state UNUSED)
{
	const struct ask q = { .command = ASK_CACHE, .text = "" };

	memset(&over, 0, sizeof(over));
	assert_int_equal(asks_start(&m, 5, &q, 60000, on_over), 0);
	assert_true(over.calls == 1 && over.problems == 1 && over.silence);
}

static void a_client_that_leaves(void **state UNUSED)
{
	uint64_t id = ask_worker(ASK_TRACE);
	struct ask got;

	assert_int_equal(answer(id, ASK_MORE, "{}"), 0); /* without a control socket: lost */
	assert_int_equal(answer(id, ASK_DONE, "{}"), ERR_BAD_MESSAGE);
	asks_on_gone(&m, 4);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), ERR_AGAIN);
	asks_on_gone(&m, 5);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), 0);
	assert_int_equal(ask_get(&in, ROLE_PROXY, &got), 0);
	assert_true(got.command == ASK_TRACE_STOP && got.id == id);
	ipc_in_fini(&in);
	assert_int_equal(answer(id, ASK_MORE, "{}"), 0); /* on its way already */
}

static void more_questions_than_there_is_room_for(void **state UNUSED)
{
	const struct ask q = { .command = ASK_SESSIONS, .text = "" };
	unsigned n = 0;

	proxy->pid = getpid();
	proxy->state = PROC_UP;
	memset(&over, 0, sizeof(over));
	while (asks_start(&m, 5, &q, 60000, on_over) == 0)
		assert_true(++n < 100);
	assert_true(n >= 8);
	asks_on_exit(proxy);
	assert_int_equal(over.calls, n);
	assert_int_equal(asks_start(&m, 5, &q, 60000, on_over), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_start_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(ready_before_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(confirm_of_another_generation, setup, teardown),
		cmocka_unit_test_setup_teardown(confirm_without_a_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(log_of_no_level, setup, teardown),
		cmocka_unit_test_setup_teardown(every_short_message, setup, teardown),
		cmocka_unit_test_setup_teardown(what_children_may_not_send, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(answers_that_are_nonsense, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(nesting_without_end, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(numbers_beyond_all_sums, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(a_refusal, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(nobody_to_ask, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(a_client_that_leaves, ask_setup, ask_teardown),
		cmocka_unit_test_setup_teardown(more_questions_than_there_is_room_for, ask_setup,
						ask_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
