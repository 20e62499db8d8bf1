/* SPDX-License-Identifier: MIT */
/*
 * test_reload - how long a reload waits for its children, and what ends it: the last confirmation,
 * a refusal, the deadline. The child is a channel; real ones are in integration/test_processes.py.
 */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "master/fleet.h"
#include "master/reload.h"

#define READING_MS 150 /* that the master takes to read what is new */
#define TICK_MS    20  /* libevent's clock is the kernel's coarse one */

static char bind_to[64];
static const char *overrides[3] = { bind_to, "listen.a.upstream=127.0.0.1:1" };
static struct conf_source source;
static struct master m;
static struct proc *p;
static struct ipc_in in;
static struct ipc_out out;
static int fds[2];

static int at_once(const char *filter UNUSED, const struct conf *conf UNUSED,
		   const struct conf_listen *listen UNUSED, struct err_msg *msg UNUSED)
{
	return 0;
}

static int slowly(const char *filter, const struct conf *conf, const struct conf_listen *listen,
		  struct err_msg *msg)
{
	const struct timespec ts = { .tv_nsec = READING_MS * 1000000L };

	assert_int_equal(nanosleep(&ts, NULL), 0);
	return at_once(filter, conf, listen, msg);
}

/* The first generation, with its socket: a port that was free a moment ago may be taken now. */
static void open_first(void)
{
	struct sockaddr_in sa;
	struct conf_problems problems;
	struct err_msg msg;
	socklen_t len = sizeof(sa);
	int fd, rc;

	do {
		conf_unref(&m.conf);
		sa = (struct sockaddr_in){ .sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		fd = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
		close(fd);
		snprintf(bind_to, sizeof(bind_to), "listen.a.bind=127.0.0.1:%u",
			 ntohs(sa.sin_port));
		problems = (struct conf_problems){ 0 };
		assert_int_equal(conf_read(&source, &m.conf, &problems), 0);
		rc = sockets_open(&m.sockets, m.conf, 1, NULL, &msg);
	} while (rc);
}

static void begin(const char *watchdog, conf_filter_fn check_filter)
{
	memset(&m, 0, sizeof(m));
	overrides[2] = watchdog;
	source = (struct conf_source){ .overrides = overrides,
				       .overrides_n = ARRAY_SIZE(overrides),
				       .check_filter = at_once };
	m.source = &source;
	m.workers = 1;
	m.heir.fd = -1;
	m.up = true;
	m.base = event_base_new();
	assert_non_null(m.base);
	open_first();
	assert_int_equal(reload_settle_users(m.conf), 0);
	source.check_filter = check_filter;
	m.conf->generation = m.generations = 1;
	assert_int_equal(reload_memfds(m.conf, &m.memfds), 0);
	log_set_level(LOG_LEVEL_ERROR);
	fleet_init(&m);
	assert_int_equal(ipc_pair(fds), 0);
	p = &m.procs[2];
	assert_int_equal(p->role, ROLE_PROXY);
	p->fd = fds[0];
	p->state = PROC_UP;
	p->pid = getpid();
}

static void end(void)
{
	reload_abort(&m, "the test is over");
	if (m.reload.timer)
		event_free(m.reload.timer);
	if (m.pulse)
		event_free(m.pulse);
	sockets_close(&m.sockets);
	reload_close(&m.memfds);
	conf_unref(&m.conf);
	event_base_free(m.base);
	close(fds[0]);
	close(fds[1]);
}

/* In a turn of the loop, as a signal or a request starts it. */
static void on_turn(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	clock_update();
	reload_start(&m, 0);
}

static void reload_in_a_turn(void)
{
	const struct timeval now = { 0 };

	assert_int_equal(event_base_once(m.base, -1, EV_TIMEOUT, on_turn, NULL, &now), 0);
	assert_int_equal(event_base_loop(m.base, EVLOOP_ONCE), 0);
}

/* What the child is told next. */
static enum ipc_type told(void)
{
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER), 0);
	ipc_in_fini(&in);
	return in.type;
}

static int confirm(uint64_t generation, uint8_t ready)
{
	int rc;

	ipc_begin(&out, IPC_CONFIRM);
	ipc_put_u64(&out, generation);
	ipc_put_u8(&out, ready);
	ipc_put_str(&out, "");
	assert_int_equal(ipc_send(fds[1], &out), 0);
	assert_int_equal(ipc_recv(fds[0], &in, ROLE_MASTER, ROLE_PROXY), 0);
	rc = fleet_on_message(p, &in);
	ipc_in_fini(&in);
	return rc;
}

/* When the deadline is, in ms from a moment. */
static int64_t deadline_from(const struct timeval *moment)
{
	struct timeval at;

	assert_true(event_pending(m.reload.timer, EV_TIMEOUT, &at));
	return (at.tv_sec - moment->tv_sec) * 1000 + (at.tv_usec - moment->tv_usec) / 1000;
}

static void all_confirm(void **state UNUSED)
{
	begin("watchdog=30s", at_once);
	reload_in_a_turn();
	assert_true(m.reload.active);
	assert_int_equal(told(), IPC_GENERATION);
	assert_int_equal(told(), IPC_LISTENER);
	assert_int_equal(confirm(2, 1), 0);
	assert_false(m.reload.active);
	assert_int_equal(m.conf->generation, 2);
	assert_int_equal(told(), IPC_COMMIT);
	assert_false(event_pending(m.reload.timer, EV_TIMEOUT, NULL));
	end();
}

static void one_refuses(void **state UNUSED)
{
	begin("watchdog=30s", at_once);
	reload_in_a_turn();
	assert_int_equal(told(), IPC_GENERATION);
	assert_int_equal(told(), IPC_LISTENER);
	assert_int_equal(confirm(2, 0), 0);
	assert_false(m.reload.active);
	assert_int_equal(m.conf->generation, 1);
	assert_int_equal(told(), IPC_ROLLBACK);
	end();
}

/* It ends by itself, once; what comes too late changes nothing. */
static void one_never_answers(void **state UNUSED)
{
	begin("watchdog=50ms", at_once);
	reload_in_a_turn();
	while (m.reload.active)
		assert_int_equal(event_base_loop(m.base, EVLOOP_ONCE), 0);
	assert_int_equal(m.conf->generation, 1);
	assert_int_equal(told(), IPC_GENERATION);
	assert_int_equal(told(), IPC_LISTENER);
	assert_int_equal(told(), IPC_ROLLBACK);
	assert_int_equal(confirm(2, 1), 0);
	assert_int_equal(m.conf->generation, 1);
	end();
}

/* On a busy machine the master alone needs seconds to read a million entries. */
static void the_master_reads_in_its_own_time(void **state UNUSED)
{
	struct timeval before;

	begin("watchdog=30s", slowly);
	assert_int_equal(evutil_gettimeofday(&before, NULL), 0);
	reload_in_a_turn();
	assert_true(deadline_from(&before) >= 30000 + READING_MS - TICK_MS);
	end();
}

static void without_a_watchdog_there_is_a_deadline(void **state UNUSED)
{
	struct timeval before;

	begin("watchdog=0s", at_once);
	assert_int_equal(evutil_gettimeofday(&before, NULL), 0);
	reload_in_a_turn();
	assert_true(deadline_from(&before) >= 60000 - TICK_MS);
	end();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_confirm),
		cmocka_unit_test(one_refuses),
		cmocka_unit_test(one_never_answers),
		cmocka_unit_test(the_master_reads_in_its_own_time),
		cmocka_unit_test(without_a_watchdog_there_is_a_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
