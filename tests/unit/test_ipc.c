/* SPDX-License-Identifier: MIT */
/*
 * Covers ipc: directions, sizes, descriptors, blobs, a full socket, and that no packet a
 * peer can make does harm. Field checks of jobs and pictures are in test_job.c.
 */
#include "config.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/err.h"
#include "base/ipc.h"

static struct ipc_out out;
static struct ipc_in in;

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void fields_come_back(void **state UNUSED)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	ipc_begin(&out, IPC_CONFIRM);
	ipc_put_u64(&out, 7);
	ipc_put_u8(&out, 1);
	ipc_put_str(&out, "why not");
	assert_int_equal(ipc_send(fds[0], &out), 0);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_MASTER, ROLE_WEB), 0);
	assert_int_equal(in.type, IPC_CONFIRM);
	assert_int_equal(ipc_get_u64(&in), 7);
	assert_int_equal(ipc_get_u8(&in), 1);
	assert_string_equal(ipc_get_str(&in), "why not");
	assert_int_equal(ipc_end(&in), 0);
	ipc_in_fini(&in);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_MASTER, ROLE_WEB), ERR_AGAIN);
	close(fds[0]);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_MASTER, ROLE_WEB), ERR_CLOSED);
	close(fds[1]);
}

static void wrong_direction_is_refused(void **state UNUSED)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	ipc_begin(&out, IPC_COMMIT);
	ipc_put_u64(&out, 1);
	assert_int_equal(ipc_send(fds[0], &out), 0);
	/* A proxy may not give orders to media. */
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_MEDIA, ROLE_PROXY), ERR_BAD_MESSAGE);
	close(fds[0]);
	close(fds[1]);
}

static void blobs_inline_and_by_memfd(void **state UNUSED)
{
	size_t sizes[] = { 0, 1, 60000, IPC_INLINE_MAX - 1024, IPC_INLINE_MAX, 65535 }, i, len;
	uint8_t *data = malloc(65535);
	int fds[2], before;

	memset(data, 0x5a, 65535);
	assert_int_equal(ipc_pair(fds), 0);
	before = count_fds();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint8_t *p;

		ipc_begin(&out, IPC_RESULT);
		ipc_put_blob(&out, data, sizes[i] > 65535 ? 65535 : sizes[i]);
		assert_int_equal(ipc_send(fds[0], &out), 0);
		assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MEDIA), 0);
		p = ipc_get_blob(&in, 65535, &len);
		assert_int_equal(len, sizes[i] > 65535 ? 65535 : sizes[i]);
		assert_int_equal(ipc_end(&in), 0);
		if (len)
			assert_memory_equal(p, data, len);
		ipc_in_fini(&in);
		assert_int_equal(count_fds(), before);
	}
	close(fds[0]);
	close(fds[1]);
	free(data);
}

static void unsealed_or_large_memfd_is_refused(void **state UNUSED)
{
	const uint8_t *p;
	size_t len;
	int fd = memfd_create("x", MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(ipc_memfd_map(fd, 10, &p, &len), ERR_BAD_MESSAGE);
	close(fd);
	fd = ipc_memfd("x", "abcdefghijk", 11);
	assert_int_equal(ipc_memfd_map(fd, 10, &p, &len), ERR_BAD_MESSAGE);
	assert_int_equal(ipc_memfd_map(fd, 11, &p, &len), 0);
	assert_memory_equal(p, "abcdefghijk", 11);
	munmap((void *)(uintptr_t)p, len);
	assert_int_equal(write(fd, "z", 1), -1);
	close(fd);
	fd = open("/dev/null", O_RDONLY);
	assert_int_equal(ipc_memfd_map(fd, 10, &p, &len), ERR_BAD_MESSAGE);
	close(fd);
}

static void stray_descriptors_are_closed(void **state UNUSED)
{
	int fds[2], before, extra;

	assert_int_equal(ipc_pair(fds), 0);
	extra = open("/dev/null", O_RDONLY);
	before = count_fds();
	ipc_begin(&out, IPC_COMMIT); /* may carry none */
	ipc_put_u64(&out, 1);
	ipc_put_fd(&out, extra);
	assert_int_equal(ipc_send(fds[0], &out), 0);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_WEB, ROLE_MASTER), ERR_BAD_MESSAGE);
	assert_int_equal(count_fds(), before);
	ipc_begin(&out, IPC_PEER); /* may carry one; never taken */
	ipc_put_fd(&out, extra);
	assert_int_equal(ipc_send(fds[0], &out), 0);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_WEB, ROLE_MASTER), 0);
	ipc_in_fini(&in);
	assert_int_equal(count_fds(), before);
	close(extra);
	close(fds[0]);
	close(fds[1]);
}

static void a_full_socket_is_a_full_queue(void **state UNUSED)
{
	int fds[2], n = 0, rc;

	assert_int_equal(ipc_pair(fds), 0);
	do {
		ipc_begin(&out, IPC_CANCEL);
		ipc_put_u64(&out, 1);
		rc = ipc_send(fds[0], &out);
	} while (rc == 0 && ++n < 1000000);
	assert_int_equal(rc, ERR_AGAIN);
	close(fds[1]);
	ipc_begin(&out, IPC_CANCEL);
	ipc_put_u64(&out, 1);
	assert_int_equal(ipc_send(fds[0], &out), ERR_CLOSED);
	close(fds[0]);
}

static void too_big_is_refused_on_both_ends(void **state UNUSED)
{
	static uint8_t data[IPC_INLINE_MAX];
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	ipc_begin(&out, IPC_COMMIT);
	ipc_put_bytes(&out, data, 1000);
	assert_int_equal(ipc_send(fds[0], &out), ERR_TOO_BIG);
	ipc_begin(&out, IPC_SCALED);
	ipc_put_bytes(&out, data, sizeof(data));
	ipc_put_bytes(&out, data, sizeof(data));
	assert_int_equal(ipc_send(fds[0], &out), ERR_TOO_BIG);
	/* A peer that does not use our sender. */
	data[0] = IPC_COMMIT;
	assert_int_equal(send(fds[0], data, 1000, 0), 1000);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_WEB, ROLE_MASTER), ERR_BAD_MESSAGE);
	assert_int_equal(send(fds[0], data, 3, 0), 3);
	assert_int_equal(ipc_recv(fds[1], &in, ROLE_WEB, ROLE_MASTER), ERR_BAD_MESSAGE);
	close(fds[0]);
	close(fds[1]);
}

static void random_packets_do_no_harm(void **state UNUSED)
{
	uint8_t packet[600];
	int fds[2], i, before;

	assert_int_equal(ipc_pair(fds), 0);
	before = count_fds();
	srand(1);
	for (i = 0; i < 20000; i++) {
		size_t len = (size_t)(rand() % (int)sizeof(packet)), k;

		for (k = 0; k < len; k++)
			packet[k] = (uint8_t)(rand() % 8 ? rand() % 4 : rand());
		if (len > 4 && i % 2)
			memcpy(packet, &(uint32_t){ (uint32_t)(i % IPC_TYPE_COUNT) }, 4);
		if (send(fds[0], packet, len, 0) != (ssize_t)len)
			continue;
		if (ipc_recv(fds[1], &in, ROLE_MASTER, ROLE_MEDIA))
			continue;
		for (k = 0; k < 10; k++) {
			size_t n;

			ipc_get_u8(&in);
			ipc_get_str(&in);
			ipc_get_blob(&in, 1000, &n);
			ipc_get_u64(&in);
		}
		assert_int_equal(ipc_end(&in), ERR_BAD_MESSAGE);
		ipc_in_fini(&in);
	}
	assert_int_equal(count_fds(), before);
	close(fds[0]);
	close(fds[1]);
}

/* In a process of its own: how a child ends whose lines fill its socket while it is asked. */
static int child_with_full_socket(enum ipc_type asked, bool master_reads)
{
	int fds[2], status, reader = -1;
	pid_t pid;

	assert_int_equal(ipc_pair(fds), 0);
	pid = fork();
	if (pid == 0) {
		/* Nothing of the test's own is where a child expects its channel. */
		if (dup2(fds[1], CHILD_FD) == -1)
			_exit(1);
		child_open(ROLE_WEB, 0);
		ipc_begin(&out, IPC_LOG);
		ipc_put_u8(&out, 0);
		ipc_put_str(&out, "a line");
		while (ipc_send(CHILD_FD, &out) == 0)
			;
		reader = master_reads ? fork() : -1;
		if (reader == 0) {
			while (ipc_recv(fds[0], &in, ROLE_MASTER, ROLE_WEB) == 0)
				ipc_in_fini(&in);
			_exit(0);
		}
		in = (struct ipc_in){ .type = asked, .fd = -1 };
		if (asked == IPC_PING)
			_exit(child_on_ping(&in) ? 2 : 0);
		child_ready("");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fds[0]);
	close(fds[1]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A flood of lines is no reason to end, and sessions with it. */
static void a_child_outlives_its_log(void **state UNUSED)
{
	assert_int_equal(child_with_full_socket(IPC_PING, false), 0);
	assert_int_equal(child_with_full_socket(IPC_COMMIT, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_come_back),
		cmocka_unit_test(wrong_direction_is_refused),
		cmocka_unit_test(blobs_inline_and_by_memfd),
		cmocka_unit_test(unsealed_or_large_memfd_is_refused),
		cmocka_unit_test(stray_descriptors_are_closed),
		cmocka_unit_test(a_full_socket_is_a_full_queue),
		cmocka_unit_test(too_big_is_refused_on_both_ends),
		cmocka_unit_test(a_child_outlives_its_log),
		cmocka_unit_test(random_packets_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
