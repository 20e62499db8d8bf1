/* SPDX-License-Identifier: MIT */
/*
 * test_sockets - the master's listening sockets: one for each proxy, a second daemon is
 * refused, a new generation keeps what stays. Processes: integration/test_processes.py.
 */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/read.h"
#include "master/sockets.h"

/* A port that was free a moment ago. */
static unsigned free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	close(fd);
	return ntohs(sa.sin_port);
}

static struct conf *conf_on(const char *addresses)
{
	char bind[200];
	const char *o[] = { bind, "listen.a.upstream=127.0.0.1:1" };
	struct conf_source source = { .overrides = o, .overrides_n = 2 };
	struct conf_problems problems = { 0 };
	struct conf *c;

	snprintf(bind, sizeof(bind), "listen.a.bind=%s", addresses);
	assert_int_equal(conf_read(&source, &c, &problems), 0);
	return c;
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void one_for_each_proxy(void **state UNUSED)
{
	struct sockets s, second;
	struct err_msg msg = { 0 };
	struct conf *c;
	char text[64];
	size_t i;

	snprintf(text, sizeof(text), "127.0.0.1:%u", free_port());
	c = conf_on(text);
	assert_int_equal(sockets_open(&s, c, 3, NULL, &msg), 0);
	assert_int_equal(s.n, 3);
	for (i = 0; i < s.n; i++) {
		int listening = 0;
		socklen_t len = sizeof(listening);

		assert_int_equal(s.v[i].index, i);
		assert_int_equal(getsockopt(s.v[i].fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len),
				 0);
		assert_int_equal(listening, 1);
	}
	/* SO_REUSEPORT alone would let this one in. */
	assert_int_equal(sockets_open(&second, c, 3, NULL, &msg), ERR_IO);
	assert_non_null(strstr(msg.text, "Address already in use"));
	assert_non_null(strstr(msg.text, text));
	assert_int_equal(second.n, 0);
	sockets_close(&s);
	conf_unref(&c);
}

static void a_new_generation_keeps_what_stays(void **state UNUSED)
{
	struct sockets old, new;
	struct conf *c, *d;
	char one[64], both[128];

	snprintf(one, sizeof(one), "127.0.0.1:%u", free_port());
	snprintf(both, sizeof(both), "127.0.0.1:%u,%s", free_port(), one);
	c = conf_on(one);
	d = conf_on(both);
	assert_int_equal(sockets_open(&old, c, 2, NULL, NULL), 0);
	assert_int_equal(sockets_open(&new, d, 2, &old, NULL), 0);
	assert_int_equal(new.n, 4);
	assert_int_equal(inode(new.v[2].fd), inode(old.v[0].fd));
	assert_int_equal(inode(new.v[3].fd), inode(old.v[1].fd));
	assert_int_not_equal(inode(new.v[2].fd), inode(new.v[3].fd));
	sockets_close(&old);
	sockets_close(&new);
	conf_unref(&c);
	conf_unref(&d);
}

static void a_failure_leaves_nothing_open(void **state UNUSED)
{
	struct sockets s, half;
	struct conf *c, *d;
	char taken[64], both[128];
	int before, after;

	snprintf(taken, sizeof(taken), "127.0.0.1:%u", free_port());
	snprintf(both, sizeof(both), "127.0.0.1:%u,%s", free_port(), taken);
	c = conf_on(taken);
	d = conf_on(both);
	assert_int_equal(sockets_open(&s, c, 1, NULL, NULL), 0);
	before = dup(0);
	close(before);
	assert_int_equal(sockets_open(&half, d, 2, NULL, NULL), ERR_IO);
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
	sockets_close(&s);
	conf_unref(&c);
	conf_unref(&d);
}

/* As many as each proxy has of the set. */
static void counts(const struct sockets *s, unsigned proxies, unsigned out[])
{
	size_t i;

	memset(out, 0, proxies * sizeof(*out));
	for (i = 0; i < s->n; i++) {
		assert_true(s->v[i].index < proxies);
		out[s->v[i].index]++;
	}
}

/* No socket in whose queue somebody may wait is left out, whatever the number of proxies. */
static void adopted_sockets_are_all_served(void **state UNUSED)
{
	struct sockets old, new, again;
	unsigned n[5];
	struct conf *c;
	char text[64];
	size_t i, k;

	snprintf(text, sizeof(text), "127.0.0.1:%u", free_port());
	c = conf_on(text);
	assert_int_equal(sockets_open(&old, c, 5, NULL, NULL), 0);
	old.adopted = true;
	assert_int_equal(sockets_open(&new, c, 2, &old, NULL), 0);
	assert_int_equal(new.n, 5);
	assert_int_equal(new.missing, 0);
	counts(&new, 2, n);
	assert_int_equal(n[0], 3);
	assert_int_equal(n[1], 2);
	for (i = 0; i < old.n; i++) {
		for (k = 0; k < new.n &&inode(new.v[k].fd) != inode(old.v[i].fd); k++)
			;
		assert_true(k < new.n);
	}
	/* A reload leaves each where it is. */
	assert_int_equal(sockets_open(&again, c, 2, &new, NULL), 0);
	assert_int_equal(again.n, new.n);
	for (i = 0; i < new.n; i++) {
		assert_int_equal(inode(again.v[i].fd), inode(new.v[i].fd));
		assert_int_equal(again.v[i].index, new.v[i].index);
	}
	sockets_close(&old);
	sockets_close(&new);
	sockets_close(&again);
	conf_unref(&c);
}

/* Beside adopted ones none is opened until they are ours: it would take clients away with it. */
static void adopted_sockets_get_company_later(void **state UNUSED)
{
	struct sockets old, new, again;
	struct conf *c, *d;
	char one[64], both[128];
	unsigned n[3];

	snprintf(one, sizeof(one), "127.0.0.1:%u", free_port());
	snprintf(both, sizeof(both), "%s,127.0.0.1:%u", one, free_port());
	c = conf_on(one);
	d = conf_on(both);
	assert_int_equal(sockets_open(&old, c, 1, NULL, NULL), 0);
	old.adopted = true;
	assert_int_equal(sockets_open(&new, d, 3, &old, NULL), 0);
	assert_int_equal(new.missing, 2);
	assert_int_equal(new.n, 1 + 3); /* nobody else has the other address */
	assert_false(new.adopted);
	assert_int_equal(sockets_open(&again, d, 3, &new, NULL), 0);
	assert_int_equal(again.n, 6);
	assert_int_equal(again.missing, 0);
	counts(&again, 3, n);
	assert_true(n[0] == 2 && n[1] == 2 && n[2] == 2);
	sockets_close(&old);
	sockets_close(&new);
	sockets_close(&again);
	conf_unref(&c);
	conf_unref(&d);
}

static int listening(unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	/* As with ReusePort=yes: what the option allows, another user is denied all the same. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

/* A service manager's socket: all proxies accept from it. */
static void a_given_socket_is_shared(void **state UNUSED)
{
	struct sockets given = { 0 }, s, again;
	struct socket_row row = { .role = ROLE_PROXY, .given = true };
	unsigned port = free_port(), n[3];
	struct conf *c;
	char text[64];
	size_t i;

	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	c = conf_on(text);
	row.address = text;
	row.fd = listening(port);
	assert_int_equal(sockets_add(&given, &row), 0);
	assert_int_equal(sockets_open(&s, c, 3, &given, NULL), 0);
	assert_int_equal(s.n, 3);
	counts(&s, 3, n);
	assert_true(n[0] == 1 && n[1] == 1 && n[2] == 1);
	for (i = 0; i < s.n; i++)
		assert_true(s.v[i].given && inode(s.v[i].fd) == inode(row.fd));
	/* Handed over to more and to fewer. */
	s.adopted = true;
	assert_int_equal(sockets_open(&again, c, 5, &s, NULL), 0);
	assert_int_equal(again.n, 5);
	assert_int_equal(again.missing, 0);
	sockets_close(&again);
	assert_int_equal(sockets_open(&again, c, 1, &s, NULL), 0);
	assert_int_equal(inode(again.v[0].fd), inode(row.fd));
	sockets_close(&again);
	sockets_close_proxies(&s);
	assert_int_equal(s.n, 0);
	sockets_close(&s);
	sockets_close(&given);
	conf_unref(&c);
}

static void too_many_for_one_proxy(void **state UNUSED)
{
	struct sockets old = { .adopted = true }, new;
	struct socket_row row = { .role = ROLE_PROXY };
	struct err_msg msg = { 0 };
	struct conf *c;
	char text[64];
	int i;

	snprintf(text, sizeof(text), "127.0.0.1:%u", free_port());
	c = conf_on(text);
	assert_int_equal(sockets_open(&new, c, 1, NULL, NULL), 0);
	row.address = text;
	for (i = 0; i < 300; i++) {
		row.fd = dup(new.v[0].fd);
		assert_int_equal(sockets_add(&old, &row), 0);
	}
	sockets_close(&new);
	assert_int_equal(sockets_open(&new, c, 1, &old, &msg), ERR_TOO_BIG);
	assert_non_null(strstr(msg.text, "300 listening sockets"));
	sockets_close(&old);
	conf_unref(&c);
}

static void addresses(void **state UNUSED)
{
	char text[SOCKETS_ADDRESS];
	struct err_msg msg = { 0 };
	int fds[2];

	assert_true(sockets_same_address("[::1]:5", "[0:0:0:0:0:0:0:1]:5"));
	assert_true(sockets_same_address("127.0.0.1:5", "127.0.0.1:5"));
	assert_false(sockets_same_address("127.0.0.1:5", "127.0.0.1:6"));
	assert_false(sockets_same_address("127.0.0.1:5", "[::1]:5"));
	assert_false(sockets_same_address("nonsense", "nonsense"));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(sockets_address(fds[0], text, &msg), ERR_IO);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(sockets_address(fds[0], text, &msg), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_for_each_proxy),
		cmocka_unit_test(a_new_generation_keeps_what_stays),
		cmocka_unit_test(a_failure_leaves_nothing_open),
		cmocka_unit_test(adopted_sockets_are_all_served),
		cmocka_unit_test(adopted_sockets_get_company_later),
		cmocka_unit_test(a_given_socket_is_shared),
		cmocka_unit_test(too_many_for_one_proxy),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
