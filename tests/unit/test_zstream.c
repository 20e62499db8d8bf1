/* SPDX-License-Identifier: MIT */
/*
 * test_zstream - struct zstream against zlib as any peer uses it: split and damaged
 * everywhere, bombs, failing allocations, memory.
 *
 * calloc() and realloc() are wrapped by the linker; zlib's own go through zstream's calloc().
 */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/err.h"
#include "stream/zstream.h"

#define WAITS (32 * 1024)

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool failed;

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool fails_now(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __real_realloc(p, n);
}

/* --- a peer ------------------------------------------------------------------------------ */

/* What a peer sends for these bytes, at its best, with the largest window. */
static struct buf pack(const void *p, size_t len, int flush)
{
	z_stream z = { 0 };
	struct buf b;

	buf_init(&b, 1 << 28);
	assert_int_equal(deflateInit(&z, 9), Z_OK);
	assert_int_equal(buf_reserve(&b, deflateBound(&z, len) + 64), 0);
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = (unsigned)len;
	z.next_out = b.p;
	z.avail_out = (unsigned)b.cap;
	assert_int_equal(deflate(&z, flush), flush == Z_FINISH ? Z_STREAM_END : Z_OK);
	b.len = b.cap - z.avail_out;
	assert_int_equal(z.avail_in, 0);
	deflateEnd(&z);
	return b;
}

/* Text that packs as stanzas do. */
static struct buf stanzas(size_t len)
{
	static uint32_t seed = 7;
	struct buf b;

	buf_init(&b, 1 << 28);
	while (b.len < len) {
		seed = seed * 1103515245u + 12345u;
		assert_int_equal(buf_printf(&b,
					    "<message to='bob@example.org' id='%08x'><body>"
					    "hello %u</body></message>",
					    seed, seed >> 7 & 4095),
				 0);
	}
	return b;
}

/* All that comes out for these bytes, given in pieces: 0 or the first failure. */
static int unpack(struct zstream *z, const uint8_t *p, size_t len, size_t piece, size_t room,
		  struct buf *out)
{
	uint8_t *to = malloc(room);
	size_t at = 0;
	ssize_t n;
	int rc = 0;

	assert_non_null(to);
	while (!rc) {
		if (!zstream_has_pending(z)) {
			size_t step = MIN_OF(piece, len - at);

			if (!step)
				break;
			rc = zstream_feed(z, p + at, step);
			at += step;
			if (rc)
				break;
		}
		n = zstream_inflate(z, to, room);
		if (n < 0)
			rc = (int)n;
		else if (n > 0)
			assert_int_equal(buf_add(out, to, (size_t)n), 0);
	}
	free(to);
	return rc;
}

/* --- tests ------------------------------------------------------------------------------- */

static void test_every_split_and_room(void **state)
{
	struct buf text = stanzas(3000), packed = pack(text.p, text.len, Z_SYNC_FLUSH), got;
	size_t piece, rooms[] = { 1, 7, 300, 32768 }, i;
	struct zstream *z;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rooms); i++) {
		for (piece = 1; piece <= packed.len; piece++) {
			z = zstream_new(WAITS);
			buf_init(&got, 1 << 20);
			assert_int_equal(unpack(z, packed.p, packed.len, piece, rooms[i], &got), 0);
			assert_int_equal(got.len, text.len);
			assert_memory_equal(got.p, text.p, got.len);
			assert_false(zstream_has_pending(z));
			buf_fini(&got);
			zstream_free(&z);
		}
	}
	buf_fini(&text);
	buf_fini(&packed);
}

/* Each call's bytes can be read at once by the other side. */
static void test_each_write_is_flushed(void **state)
{
	struct buf text = stanzas(200000), out, got;
	struct zstream *a = zstream_new(WAITS), *b = zstream_new(WAITS);
	size_t at = 0, step, n = 1, cut;

	(void)state;
	while (at < text.len) {
		struct iovec v[3];

		step = MIN_OF(n, text.len - at);
		cut = step / 3;
		v[0] = (struct iovec){ .iov_base = text.p + at, .iov_len = cut };
		v[1] = (struct iovec){ .iov_base = text.p + at + cut, .iov_len = step - cut };
		v[2] = (struct iovec){ .iov_base = text.p, .iov_len = 0 };
		buf_init(&out, 1 << 24);
		buf_init(&got, 1 << 24);
		assert_int_equal(zstream_deflate(a, v, 3, &out), 0);
		/* One flush a call, not one a piece. */
		assert_memory_equal(out.p + out.len - 4, "\x00\x00\xff\xff", 4);
		if (out.len > 8)
			assert_null(memmem(out.p, out.len - 4, "\x00\x00\xff\xff", 4));
		assert_int_equal(unpack(b, out.p, out.len, WAITS, 32768, &got), 0);
		assert_int_equal(got.len, step);
		assert_memory_equal(got.p, text.p + at, step);
		buf_fini(&out);
		buf_fini(&got);
		at += step;
		n = n * 2 + 1;
	}
	buf_fini(&text);
	zstream_free(&a);
	zstream_free(&b);
}

static void test_every_byte_damaged(void **state)
{
	struct buf text = stanzas(1500), packed = pack(text.p, text.len, Z_FINISH), got;
	static const uint8_t harm[] = { 0x01, 0x80, 0xff };
	size_t i, j, piece, refused = 0;
	struct zstream *z;
	int rc;

	(void)state;
	for (i = 0; i < packed.len; i++) {
		for (j = 0; j < ARRAY_SIZE(harm); j++) {
			packed.p[i] ^= harm[j];
			for (piece = 1; piece <= packed.len; piece += packed.len - 1) {
				z = zstream_new(WAITS);
				buf_init(&got, 1 << 22);
				rc = unpack(z, packed.p, packed.len, piece, 4096, &got);
				assert_true(rc == 0 || rc == ERR_COMPRESSION || rc == ERR_RATIO);
				assert_int_equal(zstream_is_dead(z), rc != 0);
				if (rc) {
					uint8_t c;

					refused++;
					assert_false(zstream_has_pending(z));
					assert_int_equal(zstream_inflate(z, &c, 1), rc);
				} else { /* it still waits for its end */
					assert_true(got.len < text.len + 300);
				}
				buf_fini(&got);
				zstream_free(&z);
			}
			packed.p[i] ^= harm[j];
		}
	}
	assert_true(refused > packed.len * 2);
	buf_fini(&text);
	buf_fini(&packed);
}

static void test_bytes_behind_the_end(void **state)
{
	struct buf packed = pack("<presence/>", 11, Z_FINISH), got;
	struct zstream *z = zstream_new(WAITS);

	(void)state;
	buf_init(&got, 1000);
	assert_int_equal(unpack(z, packed.p, packed.len, 1, 100, &got), 0);
	assert_int_equal(got.len, 11);
	assert_int_equal(unpack(z, packed.p, packed.len, 1, 100, &got), ERR_COMPRESSION);
	assert_int_equal(got.len, 11);
	buf_fini(&got);
	buf_fini(&packed);
	zstream_free(&z);
}

static void test_bombs(void **state)
{
	size_t len = 8 << 20, i, pieces[] = { 1, 100, WAITS };
	uint8_t *zeros = __real_calloc(1, len);
	struct buf packed = pack(zeros, len, Z_SYNC_FLUSH), got;
	struct zstream *z;

	(void)state;
	assert_true(len / packed.len > 900);
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		z = zstream_new(WAITS);
		buf_init(&got, 1 << 24);
		assert_int_equal(unpack(z, packed.p, packed.len, pieces[i], 32768, &got),
				 ERR_RATIO);
		/* No more than was paid for, whatever the pieces. */
		assert_true(got.len <= ZSTREAM_START + ZSTREAM_RATIO * packed.len);
		if (pieces[i] == 1)
			assert_true(got.len < 2 * ZSTREAM_START);
		buf_fini(&got);
		zstream_free(&z);
	}
	buf_fini(&packed);
	free(zeros);
}

/* 64 KiB of nothing are no bomb; and honest traffic earns no more than the burst. */
static void test_what_is_no_bomb_and_what_is_earned(void **state)
{
	size_t len = 16 << 20;
	uint8_t *zeros = __real_calloc(1, len);
	struct buf text = stanzas(4 << 20), packed = pack(zeros, 60000, Z_SYNC_FLUSH), got;
	struct zstream *z = zstream_new(WAITS), *a = zstream_new(WAITS);
	struct iovec v = { .iov_base = text.p, .iov_len = text.len };

	(void)state;
	buf_init(&got, 1 << 26);
	assert_int_equal(unpack(z, packed.p, packed.len, WAITS, 32768, &got), 0);
	zstream_free(&z);
	z = zstream_new(WAITS);
	buf_clear(&packed);
	packed.max = 1 << 26;
	assert_int_equal(zstream_deflate(a, &v, 1, &packed), 0);
	assert_true(text.len / packed.len >= 3);
	buf_clear(&got);
	assert_int_equal(unpack(z, packed.p, packed.len, WAITS, 32768, &got), 0);
	assert_int_equal(got.len, text.len);
	v = (struct iovec){ .iov_base = zeros, .iov_len = len };
	buf_clear(&packed);
	buf_clear(&got);
	assert_int_equal(zstream_deflate(a, &v, 1, &packed), 0);
	assert_int_equal(unpack(z, packed.p, packed.len, 100, 32768, &got), ERR_RATIO);
	assert_true(got.len >= ZSTREAM_BURST / 2);
	assert_true(got.len < 2 * ZSTREAM_BURST);
	buf_fini(&got);
	buf_fini(&packed);
	buf_fini(&text);
	free(zeros);
	zstream_free(&a);
	zstream_free(&z);
}

static void test_caps(void **state)
{
	struct zstream *z = zstream_new(100);
	static const uint8_t some[200] = { 0x78 };
	struct iovec v = { .iov_base = (void *)(uintptr_t)some, .iov_len = sizeof(some) };
	struct buf out;

	(void)state;
	assert_int_equal(zstream_feed(z, some, 101), ERR_FULL);
	buf_init(&out, 20);
	assert_int_equal(zstream_deflate(z, &v, 1, &out), ERR_FULL);
	buf_fini(&out);
	zstream_free(&z);
	zstream_free(&z);
}

static void test_memory_is_what_the_header_says(void **state)
{
	struct buf text = stanzas(300000), packed = pack(text.p, text.len, Z_SYNC_FLUSH), got, out;
	struct iovec v = { .iov_base = text.p, .iov_len = text.len };
	struct zstream *z = zstream_new(WAITS);
	size_t fresh = zstream_memory(z);

	(void)state;
	buf_init(&got, 1 << 24);
	buf_init(&out, 1 << 24);
	assert_int_equal(zstream_deflate(z, &v, 1, &out), 0);
	assert_int_equal(unpack(z, packed.p, packed.len, 8192, 32768, &got), 0);
	print_message("# a compressed leg: %zu bytes, in use %zu\n", fresh, zstream_memory(z));
	assert_true(zstream_memory(z) <= ZSTREAM_COST);
	assert_true(zstream_memory(z) >= ZSTREAM_COST * 3 / 4); /* the figure tells something */
	buf_fini(&got);
	buf_fini(&out);
	buf_fini(&packed);
	buf_fini(&text);
	zstream_free(&z);
}

/* Each allocation fails once: an error, or all the bytes. */
static void test_every_allocation_fails(void **state)
{
	struct buf text = stanzas(100000), packed = pack(text.p, text.len, Z_SYNC_FLUSH), got, out;
	struct iovec v = { .iov_base = text.p, .iov_len = text.len };
	struct zstream *z;
	long i;
	int rc;

	(void)state;
	buf_init(&got, 1 << 20);
	assert_int_equal(buf_reserve(&got, 1 << 19), 0);
	for (i = 0, failed = true; failed; i++) {
		failed = false;
		got.len = 0;
		buf_init(&out, 1 << 20);
		countdown = i;
		z = zstream_new(WAITS);
		rc = z ? zstream_deflate(z, &v, 1, &out) : ERR_NOMEM;
		if (!rc)
			rc = unpack(z, packed.p, packed.len, 8192, 32768, &got);
		countdown = -1;
		assert_int_equal(rc, failed ? ERR_NOMEM : 0);
		if (!rc)
			assert_int_equal(got.len, text.len);
		buf_fini(&out);
		zstream_free(&z);
	}
	assert_true(i > 8);
	buf_fini(&got);
	buf_fini(&packed);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split_and_room),
		cmocka_unit_test(test_each_write_is_flushed),
		cmocka_unit_test(test_every_byte_damaged),
		cmocka_unit_test(test_bytes_behind_the_end),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_what_is_no_bomb_and_what_is_earned),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_memory_is_what_the_header_says),
		cmocka_unit_test(test_every_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
