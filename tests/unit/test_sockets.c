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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_for_each_proxy),
		cmocka_unit_test(a_new_generation_keeps_what_stays),
		cmocka_unit_test(a_failure_leaves_nothing_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
