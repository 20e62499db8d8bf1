/* SPDX-License-Identifier: MIT */
/*
 * test_decoder - what the zygote makes of children that lie, babble, hang or break off: the test is
 * the child at the other end of the socket. Covers scaler/decoder.c; test_scaler.py has real ones.
 */
#include "config.h"

#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "scaler/decoder.h"
#include "scaler/samples.h"
#include "scaler/scale.h"

static const struct picture_limits limits = { 1000000, 1000000, 10000, 64 << 20, 5000, 3000 };

static struct picture_result honest; /* of the sample, to be twisted */
static const struct picture_request request = { .id = 7,
						.format = PICTURE_PNG,
						.output = PICTURE_OUT_JPEG,
						.width = 8,
						.height = 8,
						.max_bytes = 4096,
						.limits = { 1000000, 1000000, 10000, 64 << 20, 5000,
							    3000 } };

/* A child that waits; the test has its end. It has no pid: nothing can be killed by mistake. */
static int ready(struct decoder *d)
{
	int pair[2];

	decoder_init(d);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	d->fd = pair[0];
	d->state = DECODER_STARTING;
	assert_int_equal(write(pair[1], "R", 1), 1);
	decoder_on_io(d, POLLIN);
	assert_int_equal(d->state, DECODER_READY);
	return pair[1];
}

static int busy(struct decoder *d, enum picture_output output)
{
	int child = ready(d);
	struct picture_request r = request;

	r.output = output;
	assert_int_equal(
		decoder_give(d, &r, samples[PICTURE_PNG].p, samples[PICTURE_PNG].len, false), 0);
	decoder_on_io(d, POLLOUT);
	return child;
}

static struct worker_answer answer_of(const struct picture_result *r)
{
	return (struct worker_answer){ .status = r->status,
				       .format = r->format,
				       .width = r->width,
				       .height = r->height,
				       .original_width = r->original_width,
				       .original_height = r->original_height,
				       .step = r->step,
				       .len = (uint32_t)r->len,
				       .thumbhash = r->thumbhash };
}

/* What comes of a child that says this and ends. */
static enum picture_status judged(enum picture_output output, const struct worker_answer *a,
				  const void *bytes, size_t len)
{
	enum picture_status status;
	struct decoder d;
	int child = busy(&d, output);

	assert_int_equal(write(child, a, sizeof(*a)), sizeof(*a));
	assert_int_equal(write(child, bytes, len), len);
	close(child);
	while (d.state == DECODER_BUSY)
		decoder_on_io(&d, POLLIN);
	assert_int_equal(d.state, DECODER_DONE);
	status = d.result.status;
	assert_true(status == PICTURE_OK || d.result.bytes == NULL);
	assert_int_equal(d.result.id, request.id);
	decoder_answered(&d);
	assert_int_equal(d.state, DECODER_FREE);
	return status;
}

static void an_honest_child_is_believed(void **state UNUSED)
{
	struct worker_answer a = answer_of(&honest);

	assert_int_equal(judged(PICTURE_OUT_JPEG, &a, honest.bytes, honest.len), PICTURE_OK);
	assert_int_equal(judged(PICTURE_OUT_AUTO, &a, honest.bytes, honest.len), PICTURE_OK);
}

static void lies_are_failures(void **state UNUSED)
{
#define LIE(change)                                                                           \
	do {                                                                                  \
		struct worker_answer a = answer_of(&honest);                                  \
                                                                                              \
		change;                                                                       \
		if (judged(PICTURE_OUT_JPEG, &a, honest.bytes, honest.len) != PICTURE_FAILED) \
			fail_msg("believed: %s", #change);                                    \
	} while (0)
	LIE(a.status = 99);
	LIE(a.status = PICTURE_KILLED);
	LIE(a.status = PICTURE_UNAVAILABLE);
	LIE(a.status = PICTURE_FAILED); /* with bytes */
	LIE(a.format = PICTURE_PNG);
	LIE(a.format = PICTURE_FORMAT_COUNT);
	LIE(a.format = PICTURE_NONE);
	LIE(a.width++);
	LIE(a.width = 0);
	LIE(a.height--);
	LIE(a.height = UINT32_MAX);
	LIE(a.original_width = 7); /* enlarged */
	LIE(a.original_height = UINT32_MAX);
	LIE(a.step = 256);
	LIE(a.len--);
	LIE(a.len++);
	LIE(a.len = 0);
	LIE(a.len = UINT32_MAX);
	LIE(a.thumbhash.len = 4);
	LIE(a.thumbhash.len = 26);
	LIE(a.thumbhash.len = 255);
#undef LIE
}

/* The file itself: one byte changed, cut, longer; with a comment; another format than asked for. */
static void bad_files_are_failures(void **state UNUSED)
{
	struct worker_answer a = answer_of(&honest);
	uint8_t *copy = malloc(honest.len + 16);
	size_t n;

	assert_non_null(copy);
	for (n = 0; n < honest.len; n += 7) {
		a.len = (uint32_t)n;
		assert_int_equal(judged(PICTURE_OUT_JPEG, &a, honest.bytes, n), PICTURE_FAILED);
	}
	memcpy(copy, honest.bytes, honest.len);
	copy[honest.len] = 0;
	a.len = (uint32_t)honest.len + 1;
	assert_int_equal(judged(PICTURE_OUT_JPEG, &a, copy, honest.len + 1), PICTURE_FAILED);
	memmove(copy + 6, copy + 2, honest.len - 2);
	memcpy(copy + 2, "\xff\xfe\0\2", 4); /* an empty comment */
	a.len = (uint32_t)honest.len + 4;
	assert_int_equal(judged(PICTURE_OUT_JPEG, &a, copy, honest.len + 4), PICTURE_FAILED);
	a.len = (uint32_t)honest.len;
	assert_int_equal(judged(PICTURE_OUT_PNG, &a, honest.bytes, honest.len), PICTURE_FAILED);
	assert_int_equal(judged(PICTURE_OUT_WEBP, &a, honest.bytes, honest.len), PICTURE_FAILED);
	free(copy);
}

static void an_endless_answer_is_cut(void **state UNUSED)
{
	struct worker_answer a = answer_of(&honest);
	static const uint8_t zeroes[8192];
	struct decoder d;
	int child = busy(&d, PICTURE_OUT_JPEG);

	a.len = UINT32_MAX;
	assert_int_equal(write(child, &a, sizeof(a)), sizeof(a));
	assert_int_equal(write(child, zeroes, sizeof(zeroes)), sizeof(zeroes));
	while (d.state == DECODER_BUSY)
		decoder_on_io(&d, POLLIN); /* the child has not ended */
	assert_int_equal(d.state, DECODER_DONE);
	assert_int_equal(d.result.status, PICTURE_FAILED);
	assert_true(d.got <= sizeof(a) + request.max_bytes + 1);
	decoder_answered(&d);
	close(child);
}

static void silence_ends_at_the_deadline(void **state UNUSED)
{
	struct decoder d;
	int64_t now = 1000000;
	int child;

	clock_fake(now);
	child = busy(&d, PICTURE_OUT_JPEG);
	decoder_check_deadline(&d, now + limits.wall_ms - 1);
	assert_int_equal(d.state, DECODER_BUSY);
	decoder_check_deadline(&d, now + limits.wall_ms);
	assert_int_equal(d.state, DECODER_DONE);
	assert_int_equal(d.result.status, PICTURE_KILLED);
	decoder_answered(&d);
	close(child);
}

/* Broken off within the answer, at every byte of its head: by a signal, and by itself. */
static void a_child_that_breaks_off(void **state UNUSED)
{
	struct worker_answer a = answer_of(&honest);
	size_t n;

	for (n = 0; n < sizeof(a); n++) {
		struct decoder d;
		int child = busy(&d, PICTURE_OUT_JPEG);

		assert_int_equal(write(child, &a, n), n);
		close(child);
		decoder_on_exit(&d, n % 2 ? SIGSEGV : 0); /* wait statuses */
		assert_int_equal(d.state, DECODER_DONE);
		assert_int_equal(d.result.status, n % 2 ? PICTURE_KILLED : PICTURE_FAILED);
		decoder_answered(&d);
	}
}

static void one_that_talks_too_early(void **state UNUSED)
{
	struct decoder d;
	int child = ready(&d);

	assert_int_equal(write(child, "R", 1), 1);
	decoder_on_io(&d, POLLIN);
	assert_true(d.killed);
	assert_int_equal(d.fd, -1);
	decoder_on_exit(&d, SIGKILL);
	assert_int_equal(d.state, DECODER_FREE);
	close(child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_honest_child_is_believed),
		cmocka_unit_test(lies_are_failures),
		cmocka_unit_test(bad_files_are_failures),
		cmocka_unit_test(an_endless_answer_is_cut),
		cmocka_unit_test(silence_ends_at_the_deadline),
		cmocka_unit_test(a_child_that_breaks_off),
		cmocka_unit_test(one_that_talks_too_early),
	};
	int failed;

	scale_init();
	scale_picture(&request, samples[PICTURE_PNG].p, samples[PICTURE_PNG].len, &honest);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	scale_result_fini(&honest);
	return failed;
}
