/* SPDX-License-Identifier: MIT */
/*
 * test_crash - pictures that kill decoders and decoders that always crash: media/crash.c by a clock
 * of the test's, and media/scale.c with the test at the scaler's end of its channel.
 */
#include "config.h"

#include "unit.h"

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/log.h"
#include "media/crash.h"
#include "media/scale.h"

static void sum_of(unsigned n, uint8_t sha256[HASH_SHA256_LEN])
{
	memset(sha256, 0, HASH_SHA256_LEN);
	memcpy(sha256, &n, sizeof(n));
}

static bool add(struct crash *c, unsigned n, uint32_t *ms)
{
	uint8_t sha256[HASH_SHA256_LEN];

	sum_of(n, sha256);
	return crash_add(c, PICTURE_PNG, sha256, ms);
}

static bool has(const struct crash *c, unsigned n)
{
	uint8_t sha256[HASH_SHA256_LEN];

	sum_of(n, sha256);
	return crash_has_picture(c, sha256);
}

static void pictures_are_remembered(void **state UNUSED)
{
	static struct crash c;
	uint32_t ms;
	unsigned i;

	clock_fake(1000);
	memset(&c, 0, sizeof(c));
	assert_false(has(&c, 0)); /* all zeroes is a sum like others */
	add(&c, 1, &ms);
	add(&c, 1, &ms);
	assert_true(has(&c, 1));
	assert_false(has(&c, 2));
	clock_fake(1000 + CRASH_PICTURE_MS - 1);
	assert_true(has(&c, 1));
	clock_fake(1000 + CRASH_PICTURE_MS);
	assert_false(has(&c, 1));
	for (i = 1; i <= CRASH_PICTURES + 1; i++)
		add(&c, i, &ms);
	assert_true(has(&c, CRASH_PICTURES + 1));
	assert_true(has(&c, 3));
	assert_false(has(&c, 1)); /* bounded: the first had to go */
}

static void a_row_turns_a_format_off(void **state UNUSED)
{
	static struct crash c;
	uint32_t ms = 0, want = CRASH_PAUSE_MS;
	int64_t now = 5000, first;
	unsigned i, round;

	clock_fake(now);
	memset(&c, 0, sizeof(c));
	/* A decoder that survives ends the row. */
	for (i = 0; i < 5 * CRASH_ROW; i++) {
		assert_false(add(&c, i, &ms));
		if (i % (CRASH_ROW - 1) == CRASH_ROW - 2)
			crash_survived(&c, PICTURE_PNG);
	}
	crash_survived(&c, PICTURE_PNG);
	for (i = 1; i < CRASH_ROW; i++)
		assert_false(add(&c, i, &ms));
	for (round = 0; round < 6; round++) {
		assert_true(add(&c, round, &ms));
		assert_int_equal(ms, want);
		assert_true(crash_is_off(&c, PICTURE_PNG));
		assert_false(crash_is_off(&c, PICTURE_JPEG));
		assert_int_equal(crash_count(&c, &first), 1);
		assert_int_equal(first, now + want);
		/* What was under way when it went off says nothing. */
		assert_false(add(&c, 99, &ms));
		crash_survived(&c, PICTURE_PNG);
		clock_fake(now + want - 1);
		assert_true(crash_is_off(&c, PICTURE_PNG));
		now += want;
		clock_fake(now);
		assert_false(crash_is_off(&c, PICTURE_PNG));
		assert_int_equal(crash_count(&c, &first), 0);
		want = MIN_OF(2 * want, (uint32_t)CRASH_PAUSE_MAX_MS);
	}
	crash_survived(&c, PICTURE_PNG);
	for (i = 1; i < CRASH_ROW; i++)
		assert_false(add(&c, i, &ms));
	assert_true(add(&c, i, &ms));
	assert_int_equal(ms, CRASH_PAUSE_MS);
}

/* --- the way through scale.c ------------------------------------------------------------- */

static struct {
	struct event_base *base;
	struct scale *scale;
	struct conf *conf;
	int fd; /* the scaler's end */
	struct ipc_in in;
	struct ipc_out out;
	enum picture_status status;
	unsigned done;
} t;

static void on_done(void *arg UNUSED, const struct picture_result *r)
{
	t.status = r->status;
	t.done++;
}

static void run_loop(void)
{
	assert_true(event_base_loop(t.base, EVLOOP_NONBLOCK) >= 0);
}

static void say_formats(uint32_t mask)
{
	ipc_begin(&t.out, IPC_FORMATS);
	ipc_put_u32(&t.out, mask);
	ipc_put_str(&t.out, "");
	assert_int_equal(ipc_send(t.fd, &t.out), 0);
	run_loop();
}

static int start(enum picture_format f, unsigned n)
{
	static struct scale_job *job;
	const struct picture_request what = { .format = f,
					      .output = PICTURE_OUT_JPEG,
					      .width = 8,
					      .height = 8,
					      .max_bytes = 1000,
					      .limits = { 1000, 1000, 100, 1 << 20, 1000, 1000 } };
	uint8_t sha256[HASH_SHA256_LEN];
	int fd = ipc_memfd("test", "x", 1);

	assert_true(fd != -1);
	sum_of(n, sha256);
	return scale_start(t.scale, &t.conf->scale, &what, fd, sha256, &job, on_done, NULL);
}

/* The scaler's answer to the picture that it was given last. */
static void answer(enum picture_status status)
{
	struct picture_request what;
	struct picture_result res = { .status = status };
	unsigned before = t.done;
	int fd;

	assert_int_equal(ipc_recv(t.fd, &t.in, ROLE_SCALER, ROLE_MEDIA), 0);
	assert_int_equal(picture_request_get(&t.in, &what), 0);
	fd = ipc_take_fd(&t.in);
	assert_true(fd != -1);
	close(fd);
	ipc_in_fini(&t.in);
	res.id = what.id;
	ipc_begin(&t.out, IPC_SCALED);
	picture_result_put(&t.out, &res);
	assert_int_equal(ipc_send(t.fd, &t.out), 0);
	run_loop();
	assert_int_equal(t.done, before + 1);
	assert_int_equal(t.status, status);
}

static void a_killer_is_not_given_twice(void **state UNUSED)
{
	int64_t now = 10000000;
	unsigned i;

	clock_fake(now);
	say_formats(1u << PICTURE_PNG | 1u << PICTURE_JPEG);
	assert_int_equal(start(PICTURE_PNG, 1), 0);
	answer(PICTURE_KILLED);
	assert_int_equal(start(PICTURE_PNG, 1), ERR_IO); /* by its bytes: any address */
	assert_int_equal(start(PICTURE_PNG, 2), 0);
	answer(PICTURE_FAILED);
	clock_fake(now + CRASH_PICTURE_MS);
	assert_int_equal(start(PICTURE_PNG, 1), 0);
	answer(PICTURE_FAILED);
	for (i = 0; i < CRASH_ROW; i++) {
		assert_int_equal(counters_sum(METRIC_SCALER_PAUSED), 0);
		assert_int_equal(start(PICTURE_PNG, 100 + i), 0);
		answer(PICTURE_KILLED);
	}
	assert_int_equal(counters_sum(METRIC_SCALER_PAUSED), 1);
	assert_int_equal(counters_sum(METRIC_DECODERS_KILLED), CRASH_ROW + 1);
	assert_int_equal(start(PICTURE_PNG, 3), ERR_UNSUPPORTED);
	assert_int_equal(start(PICTURE_JPEG, 3), 0); /* the others go on */
	answer(PICTURE_FAILED);
	clock_fake(now + CRASH_PICTURE_MS + CRASH_PAUSE_MS);
	assert_int_equal(start(PICTURE_PNG, 3), 0);
	answer(PICTURE_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_are_remembered),
		cmocka_unit_test(a_row_turns_a_format_off),
		cmocka_unit_test(a_killer_is_not_given_twice),
	};
	int fds[2], failed;

	log_set_level(LOG_LEVEL_ERROR);
	t.base = event_base_new();
	t.scale = t.base ? scale_new(t.base) : NULL;
	t.conf = conf_new();
	if (!t.scale || !t.conf || ipc_pair(fds))
		return 1;
	t.fd = fds[1];
	t.in.fd = -1;
	scale_set_channel(t.scale, fds[0]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	scale_free(&t.scale);
	conf_unref(&t.conf);
	event_base_free(t.base);
	close(t.fd);
	return failed;
}
