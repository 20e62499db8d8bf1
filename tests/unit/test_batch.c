/* SPDX-License-Identifier: MIT */
/* The batch of small writes: when pieces leave, in which order, and with which bytes. */
#include "config.h"

#include "stream/batch.h"

#include <string.h>

#include "unit.h"

/* Stands for a leg; the batch never looks inside. */
struct leg {
	size_t got;
	int pieces;
	uint8_t bytes[BATCH_BYTES * 2];
};

static struct leg legs[BATCH_PIECES + 1];
static struct leg *order[64];
static int order_n;

static void on_piece(struct leg *leg, const struct iovec *piece)
{
	assert_true(leg->got + piece->iov_len <= sizeof(leg->bytes));
	memcpy(leg->bytes + leg->got, piece->iov_base, piece->iov_len);
	leg->got += piece->iov_len;
	leg->pieces++;
	order[order_n++ % 64] = leg;
}

static struct event_base *base;
static struct batch *b;

static int begin(void **state UNUSED)
{
	memset(legs, 0, sizeof(legs));
	order_n = 0;
	base = event_base_new();
	b = batch_new(base, on_piece);
	return !b;
}

static int end(void **state UNUSED)
{
	batch_free(&b);
	assert_null(b);
	event_base_free(base);
	return 0;
}

static bool add(int leg, const void *p, size_t len)
{
	struct iovec v[2] = { { .iov_base = (void *)(uintptr_t)p, .iov_len = len / 2 },
			      { .iov_base = (char *)(uintptr_t)p + len / 2,
				.iov_len = len - len / 2 } };

	return batch_add(b, &legs[leg], v, 2, len);
}

static void test_leaves_behind_the_turn(void **state UNUSED)
{
	char text[] = "abc";

	assert_true(add(0, text, 3));
	assert_true(add(1, text, 2));
	memset(text, 'x', sizeof(text)); /* they were copied */
	assert_int_equal(order_n, 0);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(order_n, 2);
	assert_ptr_equal(order[0], &legs[0]);
	assert_ptr_equal(order[1], &legs[1]);
	assert_memory_equal(legs[0].bytes, "abc", 3);
	assert_memory_equal(legs[1].bytes, "ab", 2);
	(void)event_base_loop(base, EVLOOP_NONBLOCK); /* once */
	assert_int_equal(order_n, 2);
}

/* An event of the same turn puts something off: it leaves in that turn, not at the next news. */
static void on_event(evutil_socket_t fd UNUSED, short what UNUSED, void *arg UNUSED)
{
	assert_true(add(0, "abc", 3));
	assert_int_equal(order_n, 0);
}

static void test_events_in_hand_come_first(void **state UNUSED)
{
	struct event *one = event_new(base, -1, 0, on_event, NULL);
	struct event *two = event_new(base, -1, 0, on_event, NULL);

	event_active(one, EV_READ, 0);
	event_active(two, EV_READ, 0);
	(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_int_equal(order_n, 2);
	event_free(one);
	event_free(two);
}

static void test_too_many_pieces(void **state UNUSED)
{
	int i;

	for (i = 0; i < BATCH_PIECES; i++)
		assert_true(add(i, "a", 1));
	assert_int_equal(order_n, 0);
	assert_true(add(BATCH_PIECES, "b", 1));
	assert_int_equal(order_n, BATCH_PIECES); /* all but the last, in order */
	for (i = 0; i < BATCH_PIECES; i++)
		assert_ptr_equal(order[i], &legs[i]);
	batch_flush(b);
	assert_int_equal(order_n, BATCH_PIECES + 1);
	(void)event_base_loop(base, EVLOOP_NONBLOCK); /* nothing is left to do */
	assert_int_equal(order_n, BATCH_PIECES + 1);
}

static void test_too_many_bytes(void **state UNUSED)
{
	static uint8_t bytes[BATCH_SMALL + 1];
	size_t i, fit = BATCH_BYTES / BATCH_SMALL;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_false(add(0, bytes, BATCH_SMALL + 1));
	for (i = 0; i < fit; i++)
		assert_true(add((int)i, bytes, BATCH_SMALL));
	assert_int_equal(order_n, 0);
	assert_true(add((int)fit, bytes, 1));
	assert_int_equal(order_n, fit);
	for (i = 0; i < fit; i++) {
		assert_int_equal(legs[i].got, BATCH_SMALL);
		assert_memory_equal(legs[i].bytes, bytes, BATCH_SMALL);
	}
	batch_flush(b);
	batch_flush(b); /* empty: nothing happens */
	assert_int_equal(order_n, fit + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leaves_behind_the_turn, begin, end),
		cmocka_unit_test_setup_teardown(test_events_in_hand_come_first, begin, end),
		cmocka_unit_test_setup_teardown(test_too_many_pieces, begin, end),
		cmocka_unit_test_setup_teardown(test_too_many_bytes, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
