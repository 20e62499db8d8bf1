/* SPDX-License-Identifier: MIT */
/*
 * lane_fixture - both lanes of a session with a fake chain, what they put out, and a clock
 * that stands still. For tests of lane.c and what it calls; included once per test program.
 */
#pragma once

#include "unit.h"

#include "base/clock.h"
#include "base/counters.h"
#include "fake_chain.h"
#include "stream/lane.h"
#include "xmpp/outline.h"

#define HEADER                                                       \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
#define START_MS 1000000

static struct fixture {
	struct conf *conf;
	struct conf_listen *listen;
	struct lanes lanes;
	struct buf out[2];
	size_t emits[2];
	bool room;
} t;

static UNUSED bool on_emit(void *ctx, enum lane_dir dir, const struct iovec *v, int n)
{
	int i;

	assert_ptr_equal(ctx, &t);
	t.emits[dir]++;
	for (i = 0; i < n; i++)
		assert_int_equal(buf_add(&t.out[dir], v[i].iov_base, v[i].iov_len), 0);
	return t.room;
}

static UNUSED void on_unhold(void *ctx, struct fifo_entry *e)
{
	assert_ptr_equal(ctx, &t);
	fake_forget(e);
}

static const struct lane_ops ops = { .emit = on_emit, .unhold = on_unhold };

static UNUSED void begin(void)
{
	static struct chain chain;

	clock_fake(START_MS);
	lanes_init(&t.lanes, &ops, &t);
	t.lanes.conf = t.conf;
	t.lanes.listen = t.listen;
	t.lanes.chain = &chain;
	t.room = true;
	t.emits[0] = t.emits[1] = 0;
	buf_init(&t.out[0], 1 << 26);
	buf_init(&t.out[1], 1 << 26);
}

static UNUSED void end(void)
{
	lanes_fini(&t.lanes);
	buf_fini(&t.out[0]);
	buf_fini(&t.out[1]);
	assert_int_equal(fake_waiting_n, 0);
	assert_int_equal(fake_units, 0);
	assert_int_equal(counters_mine->value[METRIC_HELD_UNITS], 0);
}

static UNUSED int setup(void **state)
{
	(void)state;
	t.conf = conf_new();
	assert_non_null(t.conf);
	t.listen = conf_add_listen(t.conf, "main");
	assert_non_null(t.listen);
	t.conf->limits.features_wait = 0; /* but for its own tests */
	outline_setup();
	begin();
	return 0;
}

static UNUSED int teardown(void **state)
{
	(void)state;
	end();
	conf_unref(&t.conf);
	return 0;
}

static UNUSED int feed(enum lane_dir dir, const void *p, size_t len)
{
	/* A heap copy, so that reading past a chunk's end is seen. */
	uint8_t *copy = malloc(len + !len);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, len);
	rc = lane_feed(&t.lanes.lane[dir], copy, len);
	free(copy);
	return rc;
}

static UNUSED void put(enum lane_dir dir, const char *text)
{
	assert_int_equal(feed(dir, text, strlen(text)), 0);
}

static UNUSED void expect(enum lane_dir dir, const char *text)
{
	if (t.out[dir].len != strlen(text) ||
	    (*text && memcmp(t.out[dir].p, text, t.out[dir].len) != 0))
		fail_msg("got  '%.*s'\nwant '%s'", (int)t.out[dir].len, (char *)t.out[dir].p, text);
	buf_clear(&t.out[dir]);
}

static UNUSED void login(void)
{
	put(LANE_C2S, HEADER);
	put(LANE_S2C, HEADER);
	expect(LANE_C2S, HEADER);
	expect(LANE_S2C, HEADER);
	t.lanes.authenticated = true;
	t.emits[0] = t.emits[1] = 0;
}
