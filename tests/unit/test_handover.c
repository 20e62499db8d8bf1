/* SPDX-License-Identifier: MIT */
/*
 * test_handover - what one insetd leaves to the next: all of it arrives, and a description that is
 * damaged in any one place is refused or harmless, without a descriptor left over. Also what a
 * service manager says and is told. Processes: integration/test_upgrade.py.
 */
#include "config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/read.h"
#include "master/activation.h"
#include "master/handover.h"
#include "master/notify.h"

#define HIGH 200 /* descriptors from here on belong to one attempt */

static struct master m;
static int pair[2];

/* A port that was free a moment ago. */
static unsigned free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) == -1)
		abort();
	close(fd);
	return ntohs(sa.sin_port);
}

static int setup(void **state UNUSED)
{
	char address[64];
	const char *o[] = { address, "listen.a.upstream=127.0.0.1:1", "control=/run/x.sock" };
	struct conf_source source = { .overrides = o, .overrides_n = ARRAY_SIZE(o) };
	struct conf_problems problems = { 0 };
	struct err_msg msg = { 0 };

	memset(&m, 0, sizeof(m));
	snprintf(address, sizeof(address), "listen.a.bind=127.0.0.1:%u", free_port());
	if (conf_read(&source, &m.conf, &problems) ||
	    sockets_open(&m.sockets, m.conf, 1, NULL, &msg))
		return -1;
	m.conf->rules = calloc(2, sizeof(*m.conf->rules));
	m.conf->rules_n = 2;
	m.conf->rules[0].name = strdup("first");
	m.conf->rules[0].row = 7;
	m.conf->rules[1].name = strdup("second");
	m.conf->rules[1].row = 3;
	m.generations = 41;
	m.counters = counters_create();
	m.slot = 4;
	m.procs_n = 1;
	m.procs[0].slot = 9;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	m.elders_n = 1;
	m.elders[0] = (struct elder){
		.pid = 77, .fd = pair[0], .control = "/run/x.sock.77", .since = 1000
	};
	m.elders[0].slots[11] = true;
	return m.counters == -1 ? -1 : 0;
}

static int teardown(void **state UNUSED)
{
	sockets_close(&m.sockets);
	conf_unref(&m.conf);
	close(m.counters);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* The description with descriptors of its own, as after an exec. */
static json_t *description(void)
{
	static const char *const lists[] = { "sockets", "elders" };
	json_t *root = handover_new(&m, pair[1]), *o;
	size_t i, k;

	assert_non_null(root);
	json_object_set_new(root, "channel", json_integer(fcntl(pair[1], F_DUPFD, HIGH)));
	o = json_object_get(root, "counters");
	json_object_set_new(o, "fd", json_integer(fcntl(m.counters, F_DUPFD, HIGH)));
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		json_array_foreach(json_object_get(root, lists[i]), k, o) json_object_set_new(
			o, "fd",
			json_integer(fcntl((int)json_integer_value(json_object_get(o, "fd")),
					   F_DUPFD, HIGH)));
	return root;
}

static void everything_arrives(void **state UNUSED)
{
	char *text = NULL;
	struct err_msg msg = { 0 };
	struct handover h;
	json_t *root = description();

	text = json_dumps(root, 0);
	json_decref(root);
	assert_int_equal(handover_parse(json_loads(text, 0, NULL), &h, &msg), 0);
	free(text);
	assert_int_equal(h.pid, getpid());
	assert_string_equal(h.control, ""); /* m.control is NULL: it has no socket */
	assert_int_equal(h.generation, 41);
	assert_false(h.scaler);
	assert_true(h.sockets.adopted);
	assert_int_equal(h.sockets.n, 1);
	assert_int_equal(h.sockets.v[0].role, ROLE_PROXY);
	assert_string_equal(h.sockets.v[0].address, m.sockets.v[0].address);
	assert_int_equal(h.rules->rules_n, 2);
	assert_string_equal(h.rules->rules[1].name, "second");
	assert_int_equal(h.rules->rules[1].row, 3);
	assert_int_not_equal(h.counters, -1);
	assert_true(h.slots[4] && h.slots[9] && !h.slots[11]);
	assert_int_equal(h.elders_n, 1);
	assert_int_equal(h.elders[0].pid, 77);
	assert_string_equal(h.elders[0].control, "/run/x.sock.77");
	assert_true(h.elders[0].slots[11]);
	assert_int_equal(fcntl(h.channel, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(h.sockets.v[0].fd, F_GETFD), FD_CLOEXEC);
	handover_fini(&h);
	assert_int_equal(fcntl(HIGH, F_DUPFD, HIGH), -1); /* nothing is left there */
}

static void another_layout_counts_anew(void **state UNUSED)
{
	struct err_msg msg = { 0 };
	struct handover h;
	json_t *root = description();

	json_object_set_new(json_object_get(root, "counters"), "layout", json_integer(5));
	assert_int_equal(handover_parse(root, &h, &msg), 0);
	assert_int_equal(h.counters, -1);
	assert_false(h.slots[4] || h.elders[0].slots[11]);
	handover_fini(&h);
	assert_int_equal(fcntl(HIGH, F_DUPFD, HIGH), -1);
}

static void unknown_things_are_left_alone(void **state UNUSED)
{
	struct err_msg msg = { 0 };
	struct handover h;
	json_t *root = description(), *row;

	json_object_set_new(root, "moon", json_pack("{s:i}", "fd", 12345));
	row = json_copy(json_array_get(json_object_get(root, "sockets"), 0));
	json_object_set_new(row, "role", json_string("herald"));
	json_object_set_new(row, "fd", json_integer(fcntl(pair[0], F_DUPFD, HIGH)));
	json_array_append_new(json_object_get(root, "sockets"), row);
	assert_int_equal(handover_parse(root, &h, &msg), 0);
	assert_int_equal(h.sockets.n, 1);
	handover_fini(&h);
	assert_int_equal(fcntl(HIGH, F_DUPFD, HIGH), -1);
}

/* --- damage ------------------------------------------------------------------------------ */

static json_t *junk(int i)
{
	switch (i) {
	case 0:
		return NULL; /* taken away */
	case 1:
		return json_null();
	case 2:
		return json_integer(-1);
	case 3:
		return json_integer(INT64_MAX);
	case 4:
		return json_string("\x01 no such thing");
	case 5:
		return json_pack("[i]", 99999);
	case 6:
		return json_pack("{s:i}", "fd", 2);
	default:
		return json_integer(0);
	}
}

#define JUNK 8

/* Damages the n-th value below o, counted depth first: false when there are fewer. */
static bool damage(json_t *o, int *n, int kind)
{
	const char *key;
	json_t *v;
	void *tmp;
	size_t i;

	if (json_is_array(o)) {
		json_array_foreach(o, i, v) if (damage(v, n, kind)) return true;
		return false;
	}
	json_object_foreach_safe(o, tmp, key, v)
	{
		json_t *to = junk(kind);

		if ((*n)-- == 0) {
			if (to)
				json_object_set_new(o, key, to);
			else
				json_object_del(o, key);
			return true;
		}
		json_decref(to);
		if (damage(v, n, kind))
			return true;
	}
	return false;
}

static void damage_in_any_one_place(void **state UNUSED)
{
	int n, kind, refused = 0, tried = 0;

	for (kind = 0; kind < JUNK; kind++)
		for (n = 0;; n++) {
			struct err_msg msg = { 0 };
			json_t *root = description();
			struct handover h;
			int at = n;

			if (!damage(root, &at, kind)) {
				json_decref(root);
				(void)close_range(HIGH, ~0U, 0);
				break;
			}
			tried++;
			if (handover_parse(root, &h, &msg)) {
				refused++;
				assert_true(msg.text[0]);
				assert_null(h.root);
			}
			handover_fini(&h);
			/* What was not named any more is nobody's. */
			(void)close_range(HIGH, ~0U, 0);
			assert_int_not_equal(fcntl(pair[0], F_GETFD), -1);
			assert_int_not_equal(fcntl(m.sockets.v[0].fd, F_GETFD), -1);
		}
	assert_true(tried > 150 && refused > tried / 2);
}

static void too_many_of_everything(void **state UNUSED)
{
	static const char *const lists[] = { "slots", "rules", "elders" };
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		struct err_msg msg = { 0 };
		json_t *root = description(), *list = json_object_get(root, lists[i]);
		struct handover h;

		for (k = 0; k < COUNTERS_RULES; k++)
			json_array_append_new(list, json_integer(COUNTERS_SLOTS + (json_int_t)k));
		assert_int_equal(handover_parse(root, &h, &msg), ERR_BAD_FORMAT);
		(void)close_range(HIGH, ~0U, 0);
	}
}

static void a_socket_is_what_it_is_said_to_be(void **state UNUSED)
{
	struct err_msg msg = { 0 };
	json_t *root = description();
	json_t *row = json_array_get(json_object_get(root, "sockets"), 0);
	struct handover h;

	json_object_set_new(row, "address", json_string("127.0.0.1:1"));
	assert_int_equal(handover_parse(root, &h, &msg), ERR_BAD_FORMAT);
	assert_non_null(strstr(msg.text, "a socket is not what it is said to be"));
	(void)close_range(HIGH, ~0U, 0);
}

/* --- messages ---------------------------------------------------------------------------- */

static void messages(void **state UNUSED)
{
	static char large[8192];
	int fds[2], rc = 0;
	json_t *o;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_null(handover_recv(fds[0], &rc));
	assert_int_equal(rc, ERR_AGAIN);
	assert_int_equal(handover_send(fds[1], json_pack("{s:s}", "say", "go")), 0);
	o = handover_recv(fds[0], &rc);
	assert_string_equal(json_string_value(json_object_get(o, "say")), "go");
	json_decref(o);
	assert_int_equal(handover_send(fds[1], NULL), ERR_NOMEM);
	assert_int_equal(send(fds[1], "{\"say\"", 6, 0), 6);
	assert_null(handover_recv(fds[0], &rc));
	assert_int_equal(rc, ERR_BAD_MESSAGE);
	assert_int_equal(send(fds[1], "[1]", 3, 0), 3);
	assert_null(handover_recv(fds[0], &rc));
	assert_int_equal(rc, ERR_BAD_MESSAGE);
	memset(large, ' ', sizeof(large));
	assert_int_equal(send(fds[1], large, sizeof(large), 0), sizeof(large));
	assert_null(handover_recv(fds[0], &rc));
	assert_int_equal(rc, ERR_BAD_MESSAGE);
	while ((rc = handover_send(fds[1], json_pack("{s:i}", "n", 1))) == 0)
		;
	assert_int_equal(rc, ERR_AGAIN);
	close(fds[0]);
	assert_int_equal(handover_send(fds[1], json_pack("{s:i}", "n", 1)), ERR_CLOSED);
	close(fds[1]);
}

/* --- the service manager ------------------------------------------------------------------- */

static void is_told(int fd, const char *line)
{
	char text[256];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, line);
}

static void notify_to_both_kinds_of_socket(void **state UNUSED)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char name[64], number[16];
	int i, fd;

	for (i = 0; i < 2; i++) {
		socklen_t len;

		fd = socket(AF_UNIX, SOCK_DGRAM, 0);
		snprintf(name, sizeof(name), "%cinset-test-%d", i ? '/' : '@', (int)getpid());
		if (i)
			snprintf(name, sizeof(name), "/tmp/inset-test-%d", (int)getpid());
		strcpy(un.sun_path, name);
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
		if (!i)
			un.sun_path[0] = '\0';
		assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
		setenv("NOTIFY_SOCKET", name, 1);
		notify_open(false);
		notify_send("READY=1\nSTATUS=%d", 5);
		is_told(fd, "READY=1\nSTATUS=5");
		notify_close();
		notify_send("STOPPING=1");
		assert_int_equal(recv(fd, number, sizeof(number), MSG_DONTWAIT), -1);
		if (i)
			unlink(name);
		close(fd);
	}
	unsetenv("NOTIFY_SOCKET");
}

static void the_watchdog_is_for_one_process(void **state UNUSED)
{
	char pid[16];

	setenv("NOTIFY_SOCKET", "@x", 1);
	setenv("WATCHDOG_USEC", "3000000", 1);
	notify_open(false);
	assert_int_equal(notify_watchdog_ms(), 3000);
	setenv("WATCHDOG_PID", "1", 1);
	notify_open(false);
	assert_int_equal(notify_watchdog_ms(), 0);
	notify_open(true);
	assert_int_equal(notify_watchdog_ms(), 3000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	notify_open(false);
	assert_int_equal(notify_watchdog_ms(), 3000);
	setenv("WATCHDOG_USEC", "-1", 1);
	notify_open(false);
	assert_int_equal(notify_watchdog_ms(), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	setenv("WATCHDOG_USEC", "1000", 1);
	notify_open(false);
	notify_send("READY=1");
	assert_int_equal(notify_watchdog_ms(), 0);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void activation_for_somebody_else(void **state UNUSED)
{
	static const char *const pids[] = { "1", "x", "", "-3" };
	struct sockets s = { 0 };
	struct err_msg msg = { 0 };
	char pid[16];
	size_t i;

	setenv("LISTEN_FDS", "3", 1);
	for (i = 0; i < ARRAY_SIZE(pids); i++) {
		setenv("LISTEN_PID", pids[i], 1);
		assert_int_equal(activation_take(m.conf, &s, &msg), 0);
		assert_int_equal(s.n, 0);
	}
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "0", 1);
	assert_int_equal(activation_take(m.conf, &s, &msg), 0);
	setenv("LISTEN_FDS", "100000", 1);
	assert_int_equal(activation_take(m.conf, &s, &msg), ERR_CONFIG);
	assert_int_equal(s.n, 0);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_arrives),
		cmocka_unit_test(another_layout_counts_anew),
		cmocka_unit_test(unknown_things_are_left_alone),
		cmocka_unit_test(damage_in_any_one_place),
		cmocka_unit_test(too_many_of_everything),
		cmocka_unit_test(a_socket_is_what_it_is_said_to_be),
		cmocka_unit_test(messages),
		cmocka_unit_test(notify_to_both_kinds_of_socket),
		cmocka_unit_test(the_watchdog_is_for_one_process),
		cmocka_unit_test(activation_for_somebody_else),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
