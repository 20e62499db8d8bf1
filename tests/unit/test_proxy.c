/* SPDX-License-Identifier: MIT */
/*
 * test_proxy - the proxy as a process, under a master played by the test.
 *
 * Covers proxy.c: the start-up and reload protocol of base/child.h, stop, bad messages, the
 * master's end. Sessions are test_session's.
 */
#include "config.h"

#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/counters.h"
#include "base/err.h"
#include "conf/generation.h"
#include "fake_chain.h"
#include "stream/proxy.h"

static struct ipc_in in;
static struct ipc_out out;
static int master = -1;
static pid_t child = -1;

static int setup(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), 0);
	child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		close(fds[0]);
		if (dup2(fds[1], CHILD_FD) == -1)
			_exit(99);
		_exit(proxy_main(0));
	}
	close(fds[1]);
	master = fds[0];
	return 0;
}

static int ended(void)
{
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	child = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int teardown(void **state)
{
	(void)state;
	if (master != -1)
		close(master);
	master = -1;
	if (child != -1)
		ended(); /* the master's end ends it */
	return 0;
}

/* The next message but log lines. */
static void expect(enum ipc_type type)
{
	for (;;) {
		struct pollfd p = { .fd = master, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 30000), 1);
		assert_int_equal(ipc_recv(master, &in, ROLE_MASTER, ROLE_PROXY), 0);
		if (in.type != IPC_LOG)
			break;
		ipc_in_fini(&in);
	}
	assert_int_equal(in.type, type);
}

static void send_now(void)
{
	assert_int_equal(ipc_send(master, &out), 0);
}

static int listen_on(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void send_generation(uint64_t number, int upstream, int front)
{
	struct conf *c = conf_new();
	struct conf_listen *l = conf_add_listen(c, "main");
	char address[64];
	struct buf b;
	int fd;

	c->generation = number;
	snprintf(address, sizeof(address), "127.0.0.1:%d", upstream);
	free(l->upstream);
	l->upstream = strdup(address);
	l->bind.v = calloc(1, sizeof(char *));
	l->bind.v[0] = strdup("127.0.0.1:1");
	l->bind.n = 1;
	buf_init(&b, GENERATION_MAX);
	assert_true(conf_link(c));
	assert_int_equal(generation_print(c, GENERATION_FOR_PROXY, &b), 0);
	fd = ipc_memfd("generation", b.p, b.len);
	ipc_begin(&out, IPC_GENERATION);
	ipc_put_u64(&out, number);
	ipc_put_fd(&out, fd);
	send_now();
	close(fd);
	ipc_begin(&out, IPC_LISTENER);
	ipc_put_u64(&out, number);
	ipc_put_str(&out, "main");
	ipc_put_str(&out, "127.0.0.1:1");
	ipc_put_fd(&out, front);
	send_now();
	buf_fini(&b);
	conf_unref(&c);
}

static void expect_confirm(uint64_t number, bool ready)
{
	expect(IPC_CONFIRM);
	assert_int_equal(ipc_get_u64(&in), number);
	if (ipc_get_u8(&in) != ready)
		fail_msg("%s", ipc_get_str(&in));
	ipc_in_fini(&in);
}

static void send_number(enum ipc_type type, uint64_t number)
{
	ipc_begin(&out, type);
	ipc_put_u64(&out, number);
	send_now();
}

static void start(int upstream_port, int front)
{
	send_generation(1, upstream_port, front);
	expect_confirm(1, true);
	send_number(IPC_COMMIT, 1);
	expect(IPC_READY);
	ipc_in_fini(&in);
}

static void relay_once(int port, int upstream)
{
	const char *text = "<stream:stream xmlns='jabber:client' "
			   "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons((uint16_t)port) };
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	char got[200] = "";

	assert_int_equal(connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(write(client, text, strlen(text)), strlen(text));
	server = accept(upstream, NULL, NULL);
	assert_int_equal(recv(server, got, strlen(text), MSG_WAITALL), strlen(text));
	assert_string_equal(got, text);
	close(client);
	close(server);
}

static void test_start_reload_stop(void **state)
{
	int front_port, port, front = listen_on(&front_port), upstream = listen_on(&port);
	int other_port, other = listen_on(&other_port);

	(void)state;
	start(port, front);
	relay_once(front_port, upstream);
	send_generation(2, other_port, front);
	expect_confirm(2, true);
	send_number(IPC_ROLLBACK, 2);
	relay_once(front_port, upstream);
	send_generation(3, other_port, front);
	expect_confirm(3, true);
	send_number(IPC_COMMIT, 3);
	expect(IPC_READY);
	ipc_in_fini(&in);
	relay_once(front_port, other);
	ipc_begin(&out, IPC_STOP);
	ipc_put_u32(&out, 0);
	send_now();
	assert_int_equal(ended(), 0);
	close(front);
	close(upstream);
	close(other);
}

static void test_bad_generation_is_refused(void **state)
{
	int front_port, port, front = listen_on(&front_port), upstream = listen_on(&port), fd;

	(void)state;
	start(port, front);
	fd = ipc_memfd("generation", "nonsense", 8);
	ipc_begin(&out, IPC_GENERATION);
	ipc_put_u64(&out, 2);
	ipc_put_fd(&out, fd);
	send_now();
	expect_confirm(2, false);
	relay_once(front_port, upstream); /* the old one stays */
	close(fd);
	close(front);
	close(upstream);
}

static void test_master_gone(void **state)
{
	(void)state;
	close(master);
	master = -1;
	assert_int_equal(ended(), 0);
}

static void test_nonsense_from_the_master(void **state)
{
	(void)state;
	send_number(IPC_COMMIT, 7); /* nothing to commit */
	assert_int_equal(ended(), 70);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start_reload_stop),
		TEST(test_bad_generation_is_refused),
		TEST(test_master_gone),
		TEST(test_nonsense_from_the_master),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
