/* SPDX-License-Identifier: MIT */
/*
 * test_pulse - who answers lives, who does not is killed, and a master that was stopped itself
 * accuses nobody. With real processes and signals: integration/test_upgrade.py.
 */
#include "config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "master/fleet.h"
#include "master/pulse.h"

static struct master m;
static struct proc *p;
static struct ipc_in in;
static struct ipc_out out;
static int fds[2];

static int setup(void **state UNUSED)
{
	memset(&m, 0, sizeof(m));
	m.workers = 1;
	m.heir.fd = -1;
	m.conf = conf_new();
	m.base = event_base_new();
	if (!m.conf || !m.base || ipc_pair(fds))
		return -1;
	clock_fake(1000000);
	log_set_level(LOG_LEVEL_ERROR);
	fleet_init(&m);
	p = &m.procs[2];
	p->fd = fds[0];
	p->state = PROC_UP;
	p->pid = fork();
	if (p->pid == 0)
		for (;;)
			pause();
	return pulse_start(&m);
}

static int teardown(void **state UNUSED)
{
	if (p->pid > 0 && waitpid(p->pid, NULL, WNOHANG) == 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	pulse_stop(&m);
	event_base_free(m.base);
	if (p->fd != -1)
		close(fds[0]);
	close(fds[1]);
	conf_unref(&m.conf);
	return 0;
}

/* The child's loop turns: true, or there was no question. */
static bool answers(void)
{
	bool asked = false;

	while (ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MASTER) == 0) {
		assert_int_equal(in.type, IPC_PING);
		assert_int_equal(ipc_end(&in), 0);
		asked = true;
		ipc_begin(&out, IPC_PONG);
		assert_int_equal(ipc_send(fds[1], &out), 0);
		assert_int_equal(ipc_recv(fds[0], &in, ROLE_MASTER, ROLE_PROXY), 0);
		assert_int_equal(fleet_on_message(p, &in), 0);
	}
	return asked;
}

static void who_answers_lives(void **state UNUSED)
{
	int i;

	assert_int_equal(m.pulse_ms, 10000); /* a third of 30 s */
	for (i = 0; i < 100; i++) {
		pulse_tick(&m);
		assert_true(answers());
		assert_int_equal(p->owed, 0);
	}
	assert_int_equal(p->state, PROC_UP);
}

static void late_answers_count(void **state UNUSED)
{
	int i;

	for (i = 0; i < 30; i++) {
		pulse_tick(&m);
		if (i % 3 == 2)
			assert_true(answers());
	}
	assert_int_equal(p->state, PROC_UP);
}

static void who_does_not_is_killed(void **state UNUSED)
{
	uint64_t before = counters_sum(METRIC_STUCK);
	int status, i;

	for (i = 0; i < 4; i++) {
		pulse_tick(&m);
		assert_int_equal(p->state, PROC_UP);
		clock_fake(1000000 + 3600000 * (i + 1)); /* time alone is no proof */
	}
	pulse_tick(&m);
	assert_int_equal(p->state, PROC_ENDING);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(counters_sum(METRIC_STUCK), before + 1);
	p->pid = 0;
}

static void who_outlives_its_killing_starves_the_watchdog(void **state UNUSED)
{
	int i;

	p->state = PROC_ENDING;
	for (i = 0; i < 4; i++) {
		pulse_tick(&m);
		assert_true(i < 3 || pulse_is_stuck(&m, p));
	}
	/* One that was told to end has a time of its own. */
	p->owed = 0;
	p->unwanted = true;
	for (i = 0; i < 10; i++)
		pulse_tick(&m);
	assert_false(pulse_is_stuck(&m, p));
}

static void switched_off(void **state UNUSED)
{
	int i;

	m.conf->watchdog = 0;
	assert_int_equal(pulse_start(&m), 0);
	for (i = 0; i < 100; i++)
		pulse_tick(&m);
	assert_int_equal(p->state, PROC_UP);
	assert_true(answers());
}

static void only_who_is_up_is_asked(void **state UNUSED)
{
	static const enum proc_state states[] = { PROC_DOWN, PROC_STARTING, PROC_COMMITTED };
	size_t i;
	int k;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		p->state = states[i];
		p->owed = 2;
		for (k = 0; k < 10; k++)
			pulse_tick(&m);
		assert_int_equal(p->owed, 0);
		assert_false(answers());
	}
}

static void short_times(void **state UNUSED)
{
	m.conf->watchdog = 1;
	assert_int_equal(pulse_start(&m), 0);
	assert_int_equal(m.pulse_ms, 50);
	m.conf->watchdog = 3600000;
	assert_int_equal(pulse_start(&m), 0);
	assert_int_equal(m.pulse_ms, 10000);
	m.handed = true;
	assert_int_equal(pulse_start(&m), 0);
	assert_int_equal(m.pulse_ms, 500);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_answers_lives),
		T(late_answers_count),
		T(who_does_not_is_killed),
		T(who_outlives_its_killing_starves_the_watchdog),
		T(switched_off),
		T(only_who_is_up_is_asked),
		T(short_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
