/* SPDX-License-Identifier: MIT */
/* What a full channel does not take: it leaves later, whole, in order, and no more than the cap. */
#include "config.h"

#include "media/outbox.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/job.h"
#include "unit.h"

static struct event_base *base;
static struct outbox box;
static struct ipc_out out;
static struct ipc_in in;
static int fds[2];
static uint8_t thumbnail[8000];

static int begin(void **state UNUSED)
{
	base = event_base_new();
	outbox_init(&box);
	return !base || ipc_pair(fds) || outbox_open(&box, base, fds[0]);
}

static int end(void **state UNUSED)
{
	outbox_close(&box);
	assert_int_equal(box.bytes, 0);
	event_base_free(base);
	close(fds[0]);
	if (fds[1] != -1)
		close(fds[1]);
	return 0;
}

static int put(uint64_t id)
{
	struct job_result r = { .id = id,
				.status = JOB_OK,
				.media_format = PICTURE_JPEG,
				.media_width = 1,
				.media_height = 1,
				.format = PICTURE_JPEG,
				.width = 1,
				.height = 1,
				.bytes = thumbnail,
				.len = sizeof(thumbnail) };

	ipc_begin(&out, IPC_RESULT);
	job_result_put(&out, &r);
	return outbox_send(&box, &out);
}

/* The ids that arrive are from, from + 1 ...; returns the next one. */
static uint64_t take(uint64_t from)
{
	struct job_result r;

	while (ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MEDIA) == 0) {
		assert_int_equal(in.type, IPC_RESULT);
		assert_int_equal(job_result_get(&in, &r), 0);
		assert_int_equal(r.id, from++);
		assert_int_equal(r.len, sizeof(thumbnail));
		assert_memory_equal(r.bytes, thumbnail, sizeof(thumbnail));
		ipc_in_fini(&in);
	}
	return from;
}

static void test_what_waits_leaves_in_order(void **state UNUSED)
{
	uint64_t id, next = 0;
	int turn;

	memset(thumbnail, 0xd8, sizeof(thumbnail));
	for (id = 0; id < 900; id++)
		assert_int_equal(put(id), 0);
	assert_true(box.bytes > 0);
	for (turn = 0; next < 900 && turn < 900; turn++) {
		next = take(next);
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(take(next), 900);
	assert_int_equal(box.bytes, 0);
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
	assert_int_equal(put(900), 0); /* at once */
	assert_int_equal(take(900), 901);
}

static void test_the_cap(void **state UNUSED)
{
	uint64_t id, next = 0;
	int rc = 0, turn;

	for (id = 0; id < 5000 && !rc; id++)
		rc = put(id);
	assert_int_equal(rc, ERR_FULL);
	assert_true(box.bytes <= OUTBOX_MAX && box.bytes > OUTBOX_MAX - 2 * sizeof(thumbnail));
	for (turn = 0; turn < 5000 && box.bytes; turn++) {
		next = take(next);
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(take(next), id - 1); /* all but the refused one */
}

static void test_too_big_is_refused_behind_others_as_well(void **state UNUSED)
{
	uint64_t id;

	for (id = 0; !box.bytes; id++)
		assert_int_equal(put(id), 0);
	ipc_begin(&out, IPC_RESULT);
	out.error = ERR_TOO_BIG;
	assert_int_equal(outbox_send(&box, &out), ERR_TOO_BIG);
}

static void test_the_peer_is_gone(void **state UNUSED)
{
	uint64_t id;

	for (id = 0; !box.bytes; id++)
		assert_int_equal(put(id), 0);
	close(fds[1]);
	fds[1] = -1;
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(box.bytes, 0);
	assert_int_equal(put(id), ERR_CLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_waits_leaves_in_order, begin, end),
		cmocka_unit_test_setup_teardown(test_the_cap, begin, end),
		cmocka_unit_test_setup_teardown(test_too_big_is_refused_behind_others_as_well,
						begin, end),
		cmocka_unit_test_setup_teardown(test_the_peer_is_gone, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
