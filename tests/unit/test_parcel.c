/* SPDX-License-Identifier: MIT */
/*
 * Results as machines share them: every cut, every bit, every range; and the addresses of Redis.
 */
#include "config.h"

#include "media/parcel.h"

#include "base/err.h"
#include "conf/redis.h"
#include "unit.h"

/* A PNG of one pixel. */
static const uint8_t png[] = {
	0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
	0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
	0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78,
	0x9c, 0x63, 0xf8, 0x0f, 0x00, 0x01, 0x01, 0x01, 0x00, 0xb1, 0x38, 0xf6, 0x14, 0x00,
	0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
};

static const struct cache_key key = { { 1, 2, 3 } };
static const struct job job = { .width = 128, .height = 128, .max_bytes = 8192 };

static struct job_result good(void)
{
	struct job_result r = { .status = JOB_OK,
				.media_format = PICTURE_JPEG,
				.media_width = 4000,
				.media_height = 3000,
				.media_size = 123456789012,
				.media_whole = true,
				.thumbhash = { .len = 7, .bytes = "abcdefg" },
				.format = PICTURE_PNG,
				.width = 1,
				.height = 1,
				.bytes = png,
				.len = sizeof(png) };

	memset(r.media_sha256, 0xab, sizeof(r.media_sha256));
	return r;
}

static uint8_t *pack(const struct job_result *r, size_t *len)
{
	uint8_t *p = malloc(PARCEL_MAX), *exact;

	assert_non_null(p);
	*len = parcel_put(p, &key, r);
	exact = malloc(*len + 1);
	assert_non_null(exact);
	memcpy(exact, p, *len);
	free(p);
	return exact;
}

static void test_there_and_back(void **state UNUSED)
{
	struct job_result r = good(), got;
	size_t len;
	uint8_t *p = pack(&r, &len);

	assert_int_not_equal(len, 0);
	assert_int_equal(parcel_get(p, len, &key, &job, &got), 0);
	assert_int_equal(got.status, JOB_OK);
	assert_int_equal(got.media_format, r.media_format);
	assert_int_equal(got.media_width, 4000);
	assert_int_equal(got.media_height, 3000);
	assert_true(got.media_size == r.media_size);
	assert_true(got.media_whole);
	assert_memory_equal(got.media_sha256, r.media_sha256, sizeof(r.media_sha256));
	assert_memory_equal(&got.thumbhash, &r.thumbhash, sizeof(r.thumbhash));
	assert_int_equal(got.format, PICTURE_PNG);
	assert_int_equal(got.width, 1);
	assert_int_equal(got.height, 1);
	assert_int_equal(got.len, sizeof(png));
	assert_memory_equal(got.bytes, png, sizeof(png));
	assert_string_equal(got.type, "");
	free(p);
}

/* Each in a block of its own length, so that a sanitizer sees who reads further. */
static void test_every_cut_and_bit(void **state UNUSED)
{
	struct job_result r = good(), got;
	struct cache_key other = { { 1, 2, 4 } };
	size_t len, i;
	uint8_t *p = pack(&r, &len);

	for (i = 0; i < len; i++) {
		uint8_t *cut = malloc(i + !i);

		assert_non_null(cut);
		memcpy(cut, p, i);
		assert_int_equal(parcel_get(cut, i, &key, &job, &got), ERR_BAD_MESSAGE);
		free(cut);
	}
	for (i = 0; i < len * 8; i++) {
		p[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(parcel_get(p, len, &key, &job, &got), ERR_BAD_MESSAGE);
		p[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	p[len] = 0;
	assert_int_equal(parcel_get(p, len + 1, &key, &job, &got), ERR_BAD_MESSAGE);
	assert_int_equal(parcel_get(p, len, &other, &job, &got), ERR_BAD_MESSAGE);
	assert_int_equal(parcel_get(p, len, &key, &job, &got), 0);
	free(p);
}

/* Its sum is right, what it says is not. */
static void refused(const struct job_result *r, const struct job *j)
{
	struct job_result got;
	size_t len;
	uint8_t *p = pack(r, &len);

	assert_int_not_equal(len, 0);
	assert_int_equal(parcel_get(p, len, &key, j, &got), ERR_BAD_MESSAGE);
	free(p);
}

#define REFUSED(field, value)                   \
	do {                                    \
		struct job_result bad = good(); \
                                                \
		bad.field = value;              \
		refused(&bad, &job);            \
	} while (0)

static void test_every_range(void **state UNUSED)
{
	struct job_result r = good();
	struct job j;

	REFUSED(media_format, PICTURE_NONE);
	REFUSED(media_format, PICTURE_FORMAT_COUNT);
	REFUSED(media_format, 255);
	REFUSED(media_width, 0);
	REFUSED(media_height, 0);
	REFUSED(media_size, 0);
	REFUSED(thumbhash.len, 1);
	REFUSED(thumbhash.len, 26);
	REFUSED(thumbhash.len, 255);
	REFUSED(format, PICTURE_NONE);
	REFUSED(format, PICTURE_JPEG);
	REFUSED(format, PICTURE_GIF);
	REFUSED(format, 255);
	REFUSED(width, 0);
	REFUSED(width, 2);
	REFUSED(height, 129);
	REFUSED(len, 0);
	REFUSED(len, sizeof(png) - 1);
	REFUSED(status, JOB_HTTP); /* a failure with bytes */
	j = job;
	j.max_bytes = sizeof(png) - 1;
	refused(&r, &j);
	j = job;
	j.output = PICTURE_OUT_JPEG;
	refused(&r, &j);
	j.output = PICTURE_OUT_WEBP;
	refused(&r, &j);
}

static void test_failures(void **state UNUSED)
{
	uint8_t *p = malloc(PARCEL_MAX);
	struct job_result got;
	int i, shared = 0;

	assert_non_null(p);
	for (i = 1; i < JOB_STATUS_COUNT; i++) {
		struct job_result r = { .status = (enum job_status)i };
		size_t len = parcel_put(p, &key, &r);

		assert_int_equal(len > 0, parcel_may_hold(&r));
		if (!len)
			continue;
		shared++;
		assert_int_equal(parcel_get(p, len, &key, &job, &got), 0);
		assert_int_equal(got.status, i);
	}
	assert_int_equal(shared, 4);
	free(p);
}

static void test_addresses(void **state UNUSED)
{
	struct redis_address a;

	assert_int_equal(redis_parse("redis://cache.example.org", &a), 0);
	assert_string_equal(a.host, "cache.example.org");
	assert_int_equal(a.port, 6379);
	assert_int_equal(a.database, 0);
	assert_string_equal(a.password, "");
	assert_int_equal(redis_parse("redis://:p@ss:w/%20@[2001:db8::1]:7000/12", &a), 0);
	assert_string_equal(a.host, "2001:db8::1");
	assert_int_equal(a.port, 7000);
	assert_int_equal(a.database, 12);
	assert_string_equal(a.password, "p@ss:w/%20");
	assert_int_equal(redis_parse("redis://127.0.0.1:1/", &a), 0);
	assert_int_equal(redis_parse("redis://[::1]/3", &a), 0);
	assert_string_equal(a.host, "::1");
	assert_int_equal(a.port, 6379);
	assert_int_equal(redis_parse("unix:/run/redis/r@dis.sock", &a), 0);
	assert_string_equal(a.path, "/run/redis/r@dis.sock");
	assert_int_equal(redis_parse("unix::geheim@/run/redis.sock", &a), 0);
	assert_string_equal(a.path, "/run/redis.sock");
	assert_string_equal(a.password, "geheim");
	assert_int_equal(redis_parse("", &a), ERR_SYNTAX);
	assert_int_equal(redis_parse("rediss://h", &a), ERR_SYNTAX);
	assert_int_equal(redis_parse("redis://[::1]6379", &a), ERR_SYNTAX);
	assert_int_equal(redis_parse("redis://h:", &a), ERR_SYNTAX);
	assert_int_equal(redis_parse("redis:///0", &a), ERR_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_every_cut_and_bit),
		cmocka_unit_test(test_every_range),    cmocka_unit_test(test_failures),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
