/* SPDX-License-Identifier: MIT */
/*
 * test_upgrade - a new insetd that starts and then says nothing: after the deadline the old one
 * goes on, says so, and does not leave that one behind with its listening sockets. The deadlines
 * are a second here; upgrades that succeed or say why not: integration/test_upgrade.py.
 */
#include "config.h"

/* For its deadlines: this program's own copy, in place of the library's. */
#include "master/upgrade.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct master m;
static char folder[64], program[128], said[4096];
static char *argv[] = { program, NULL };

static void on_line(void *ctx UNUSED, enum log_level level UNUSED, const char *line)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s\n", line);
}

/* A shell script for a new insetd. */
static void write_program(const char *text)
{
	FILE *f = fopen(program, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(program, 0700), 0);
}

static int setup(void **state UNUSED)
{
	strcpy(folder, "/tmp/inset-upgrade-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(program, sizeof(program), "%s/insetd", folder);
	memset(&m, 0, sizeof(m));
	m.heir.fd = m.heir.pidfd = -1;
	m.conf = conf_new();
	m.base = event_base_new();
	m.counters = counters_create();
	m.program = program;
	m.argv = argv;
	m.up = true;
	said[0] = '\0';
	log_set_sink(on_line, NULL);
	clock_update();
	/* Orphans are ours, so that their end can be seen. */
	return m.conf && m.base && m.counters != -1 ? prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
						    : -1;
}

static int teardown(void **state UNUSED)
{
	upgrade_fini(&m);
	log_set_sink(NULL, NULL);
	event_base_free(m.base);
	conf_unref(&m.conf);
	close(m.counters);
	unlink(program);
	return rmdir(folder);
}

static pid_t heir_pid(void)
{
	char path[64], text[1024];
	const char *at;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", m.heir.pidfd);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	at = strstr(text, "Pid:");
	assert_non_null(at);
	return atoi(at + 4);
}

/* The signal that ended this process. */
static int end_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static pid_t start(const char *script)
{
	write_program(script);
	upgrade_start(&m);
	assert_int_not_equal(m.heir.fd, -1);
	assert_int_not_equal(m.heir.pidfd, -1);
	return heir_pid();
}

static void one_that_says_nothing(void **state UNUSED)
{
	pid_t pid = start("exec sleep 1000");

	while (m.heir.fd != -1)
		assert_int_equal(event_base_loop(m.base, EVLOOP_ONCE), 0);
	assert_non_null(strstr(said, "upgrade failed, this insetd goes on: the new one was not "
				     "ready in time\n"));
	assert_int_not_equal(m.heir.pidfd, -1); /* it may end by itself */
	while (m.heir.pidfd != -1)
		assert_int_equal(event_base_loop(m.base, EVLOOP_ONCE), 0);
	assert_non_null(strstr(said, "the new insetd did not end and was killed\n"));
	assert_int_equal(end_of(pid), SIGKILL);
}

/* Its successor need not wait for that. */
static void the_next_one_comes_before_its_end(void **state UNUSED)
{
	pid_t first = start("exec sleep 1000"), second;

	upgrade_abort(&m, "the test says so");
	second = start("exit 3");
	assert_int_equal(end_of(first), SIGKILL);
	while (m.heir.fd != -1)
		assert_int_equal(event_base_loop(m.base, EVLOOP_ONCE), 0);
	assert_non_null(strstr(said, "the new one has ended"));
	assert_int_equal(end_of(second), 0);
}

static void the_end_takes_it_along(void **state UNUSED)
{
	pid_t pid = start("exec sleep 1000");
	char up[160];

	upgrade_abort(&m, "insetd is stopping");
	upgrade_fini(&m);
	assert_int_equal(end_of(pid), SIGTERM);
	snprintf(up, sizeof(up), "%s/up", folder);
	pid = start("trap '' TERM; >${0%/*}/up; exec sleep 1000");
	while (access(up, F_OK) == -1)
		usleep(1000);
	upgrade_fini(&m);
	assert_int_equal(end_of(pid), SIGKILL);
	assert_int_equal(unlink(up), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_says_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_next_one_comes_before_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_takes_it_along, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
