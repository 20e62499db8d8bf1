/* SPDX-License-Identifier: MIT */
/*
 * Covers job and picture messages: round trips, every truncation, every out-of-range
 * field, random flips. The channel itself is in test_ipc.c.
 */
#include "config.h"

#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/job.h"

static struct ipc_out out;
static struct ipc_in in;
static int fds[2];

static struct job a_job(void)
{
	return (struct job){ .id = 9,
			     .url = "https://h/x.png",
			     .declared = "image/png",
			     .sender = 3,
			     .deadline_ms = 2000,
			     .output = PICTURE_OUT_PNG,
			     .width = 128,
			     .height = 96,
			     .max_bytes = 8192,
			     .fetch_max = 1 << 20,
			     .rate_per_min = 10,
			     .rate_burst = 5 };
}

static struct job_result a_result(const uint8_t *bytes, size_t len)
{
	return (struct job_result){ .id = 9,
				    .status = JOB_OK,
				    .max_age = 60,
				    .queue_ms = 1,
				    .fetch_ms = 20,
				    .scale_ms = 300,
				    .media_format = PICTURE_JPEG,
				    .media_width = 4000,
				    .media_height = 3000,
				    .media_size = 12345,
				    .media_whole = true,
				    .thumbhash = { .len = 5, .bytes = "hash" },
				    .format = PICTURE_PNG,
				    .width = 128,
				    .height = 96,
				    .bytes = bytes,
				    .len = len };
}

static int over(enum role from, enum role to)
{
	int rc = ipc_send(fds[0], &out);

	return rc ? rc : ipc_recv(fds[1], &in, to, from);
}

static void job_round_trip(void **state UNUSED)
{
	struct job j = a_job(), back;

	ipc_begin(&out, IPC_JOB);
	job_put(&out, &j);
	assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
	assert_int_equal(job_get(&in, &back), 0);
	assert_string_equal(back.url, j.url);
	assert_string_equal(back.declared, j.declared);
	assert_int_equal(back.width, 128);
	assert_int_equal(back.height, 96);
	assert_int_equal(back.output, PICTURE_OUT_PNG);
	assert_int_equal(back.fetch_max, 1 << 20);
	ipc_in_fini(&in);
}

static void job_refuses(void **state UNUSED)
{
	char url[JOB_URL_MAX + 2];
	struct job jobs[8], back;
	size_t i;

	memset(url, 'u', sizeof(url) - 1);
	url[sizeof(url) - 1] = '\0';
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		jobs[i] = a_job();
	jobs[0].url = "";
	jobs[1].url = url;
	jobs[2].width = 0;
	jobs[3].height = 1025;
	jobs[4].max_bytes = 70000;
	jobs[5].fetch_max = 0;
	jobs[6].deadline_ms = 60001;
	jobs[7].output = (enum picture_output)9;
	for (i = 0; i < ARRAY_SIZE(jobs); i++) {
		ipc_begin(&out, IPC_JOB);
		job_put(&out, &jobs[i]);
		assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
		assert_int_equal(job_get(&in, &back), ERR_BAD_MESSAGE);
		ipc_in_fini(&in);
	}
}

static void lookups_and_publications(void **state UNUSED)
{
	struct job find = { .id = 1, .url = "", .declared = "", .find_cid = true }, back;
	struct job make = a_job(), bad[3];
	size_t i;

	memset(find.cid, 3, sizeof(find.cid));
	memset(find.owner, 4, sizeof(find.owner));
	ipc_begin(&out, IPC_JOB);
	job_put(&out, &find);
	assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
	assert_int_equal(job_get(&in, &back), 0);
	assert_true(back.find_cid);
	assert_memory_equal(back.cid, find.cid, sizeof(find.cid));
	assert_memory_equal(back.owner, find.owner, sizeof(find.owner));
	ipc_in_fini(&in);
	make.publishes = true;
	memset(make.owner, 5, sizeof(make.owner));
	ipc_begin(&out, IPC_JOB);
	job_put(&out, &make);
	assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
	assert_int_equal(job_get(&in, &back), 0);
	assert_true(back.publishes);
	assert_false(back.find_cid);
	assert_memory_equal(back.owner, make.owner, sizeof(make.owner));
	ipc_in_fini(&in);
	bad[0] = bad[1] = bad[2] = find;
	bad[0].url = "http://h/";
	bad[1].declared = "image/png";
	bad[2].publishes = true;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ipc_begin(&out, IPC_JOB);
		job_put(&out, &bad[i]);
		assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
		assert_int_equal(job_get(&in, &back), ERR_BAD_MESSAGE);
		ipc_in_fini(&in);
	}
}

static void data_to_keep(void **state UNUSED)
{
	static uint8_t bytes[65535];
	static const char *const types[] = { "",
					     "image",
					     "a/\"",
					     "a/'",
					     "a/<",
					     "a/>",
					     "a/&",
					     "a/\n",
					     "a/\x7f",
					     "a/\xc3\xa4",
					     ("a/23456789012345678901234567890123"
					      "456789012345678901234567890123") };
	struct job_keep k = { .max_age = 7, .type = "image/gif", .bytes = bytes }, back;
	size_t sizes[] = { 1, 8192, 65000, 65535 }, i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		k.len = sizes[i];
		ipc_begin(&out, IPC_KEEP);
		job_keep_put(&out, &k);
		assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
		assert_int_equal(job_keep_get(&in, &back), 0);
		assert_int_equal(back.len, k.len);
		assert_int_equal(back.max_age, 7);
		assert_string_equal(back.type, "image/gif");
		ipc_in_fini(&in);
	}
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		k.type = types[i];
		assert_false(job_type_is_ok(types[i]));
		ipc_begin(&out, IPC_KEEP);
		job_keep_put(&out, &k);
		assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
		assert_int_equal(job_keep_get(&in, &back), ERR_BAD_MESSAGE);
		ipc_in_fini(&in);
	}
	k.type = "a/b";
	k.len = 0;
	ipc_begin(&out, IPC_KEEP);
	job_keep_put(&out, &k);
	assert_int_equal(over(ROLE_PROXY, ROLE_MEDIA), 0);
	assert_int_equal(job_keep_get(&in, &back), ERR_BAD_MESSAGE);
	ipc_in_fini(&in);
}

/* Data that was kept is no picture that we know: its type stands for it. */
static void result_with_a_type(void **state UNUSED)
{
	struct job_result r = {
		.status = JOB_OK, .type = "audio/ogg", .bytes = (const uint8_t *)"abc", .len = 3
	};
	struct job_result back;
	int i;

	for (i = 0; i < 3; i++) {
		ipc_begin(&out, IPC_RESULT);
		job_result_put(&out, &r);
		assert_int_equal(over(ROLE_MEDIA, ROLE_PROXY), 0);
		assert_int_equal(job_result_get(&in, &back), i ? ERR_BAD_MESSAGE : 0);
		if (!i)
			assert_string_equal(back.type, "audio/ogg");
		ipc_in_fini(&in);
		snprintf(r.type, sizeof(r.type), "%s", i ? "<" : "");
	}
}

static void result_round_trip(void **state UNUSED)
{
	static uint8_t bytes[65535];
	size_t sizes[] = { 1, 8192, 65000, 65535 }, i;

	memset(bytes, 7, sizeof(bytes));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct job_result r = a_result(bytes, sizes[i]), back;

		ipc_begin(&out, IPC_RESULT);
		job_result_put(&out, &r);
		assert_int_equal(over(ROLE_MEDIA, ROLE_PROXY), 0);
		assert_int_equal(job_result_get(&in, &back), 0);
		assert_true(back.queue_ms == 1 && back.fetch_ms == 20 && back.scale_ms == 300);
		assert_int_equal(back.len, sizes[i]);
		assert_memory_equal(back.bytes, bytes, sizes[i]);
		assert_int_equal(back.media_size, 12345);
		assert_true(back.media_whole);
		assert_int_equal(back.thumbhash.len, 5);
		assert_memory_equal(back.thumbhash.bytes, "hash", 5);
		ipc_in_fini(&in);
	}
}

/* Every shorter message and every message with a byte behind it is refused. */
static void truncations_are_refused(void **state UNUSED)
{
	struct job_result r = a_result((const uint8_t *)"abc", 3), back;
	size_t whole, len;

	ipc_begin(&out, IPC_RESULT);
	job_result_put(&out, &r);
	whole = out.len;
	for (len = 4; len <= whole + 1; len++) {
		assert_int_equal(send(fds[0], out.data, len, 0), len);
		assert_int_equal(ipc_recv(fds[1], &in, ROLE_PROXY, ROLE_MEDIA), 0);
		assert_int_equal(job_result_get(&in, &back), len == whole ? 0 : ERR_BAD_MESSAGE);
		ipc_in_fini(&in);
	}
}

/* None, or 5 to 25 bytes: from the scaler and from media. */
static void lengths_of_a_thumbhash(void **state UNUSED)
{
	unsigned len;

	for (len = 0; len < 256; len++) {
		struct picture_result pr = { .status = PICTURE_OK,
					     .format = PICTURE_PNG,
					     .width = 5,
					     .height = 5,
					     .bytes = (const uint8_t *)"abcd",
					     .len = 4 },
				      pr_back;
		struct job_result r = a_result((const uint8_t *)"abc", 3), r_back;
		int want = len == 0 || (len >= 5 && len <= 25) ? 0 : ERR_BAD_MESSAGE;

		pr.thumbhash.len = (uint8_t)len;
		r.thumbhash.len = (uint8_t)len;
		ipc_begin(&out, IPC_SCALED);
		picture_result_put(&out, &pr);
		assert_int_equal(over(ROLE_SCALER, ROLE_MEDIA), 0);
		assert_int_equal(picture_result_get(&in, &pr_back), want);
		if (!want)
			assert_int_equal(pr_back.thumbhash.len, len);
		ipc_in_fini(&in);
		ipc_begin(&out, IPC_RESULT);
		job_result_put(&out, &r);
		assert_int_equal(over(ROLE_MEDIA, ROLE_PROXY), 0);
		assert_int_equal(job_result_get(&in, &r_back), want);
		ipc_in_fini(&in);
	}
}

static void flips_do_no_harm(void **state UNUSED)
{
	struct picture_result pr = { .id = 1,
				     .status = PICTURE_OK,
				     .format = PICTURE_PNG,
				     .width = 5,
				     .height = 5,
				     .bytes = (const uint8_t *)"abcd",
				     .len = 4 },
			      back;
	int i;

	srand(2);
	for (i = 0; i < 20000; i++) {
		ipc_begin(&out, IPC_SCALED);
		picture_result_put(&out, &pr);
		out.data[4 + (size_t)rand() % (out.len - 4)] = (uint8_t)rand();
		assert_int_equal(over(ROLE_SCALER, ROLE_MEDIA), 0);
		if (picture_result_get(&in, &back) == 0) {
			assert_true(back.status <= PICTURE_UNAVAILABLE);
			assert_true(back.len <= 4);
		}
		ipc_in_fini(&in);
	}
}

static void picture_request_round_trip(void **state UNUSED)
{
	struct picture_request r = { .id = 5,
				     .format = PICTURE_GIF,
				     .output = PICTURE_OUT_AUTO,
				     .width = 128,
				     .height = 128,
				     .max_bytes = 8192,
				     .limits = { 1, 2, 3, 4, 5, 6 } },
			       back;

	ipc_begin(&out, IPC_SCALE);
	picture_request_put(&out, &r);
	assert_int_equal(over(ROLE_MEDIA, ROLE_SCALER), 0);
	assert_int_equal(picture_request_get(&in, &back), 0);
	assert_int_equal(back.limits.cpu_ms, 6);
	assert_int_equal(back.format, PICTURE_GIF);
	ipc_in_fini(&in);
	r.format = PICTURE_NONE;
	ipc_begin(&out, IPC_SCALE);
	picture_request_put(&out, &r);
	assert_int_equal(over(ROLE_MEDIA, ROLE_SCALER), 0);
	assert_int_equal(picture_request_get(&in, &back), ERR_BAD_MESSAGE);
	ipc_in_fini(&in);
}

static void statuses_have_names(void **state UNUSED)
{
	assert_string_equal(job_status_name(JOB_OK), "ok");
	assert_string_equal(job_status_name(JOB_NOT_PICTURE), "not-picture");
	assert_string_equal(job_status_name((enum job_status)999), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_round_trip),
		cmocka_unit_test(job_refuses),
		cmocka_unit_test(lookups_and_publications),
		cmocka_unit_test(data_to_keep),
		cmocka_unit_test(result_with_a_type),
		cmocka_unit_test(result_round_trip),
		cmocka_unit_test(truncations_are_refused),
		cmocka_unit_test(lengths_of_a_thumbhash),
		cmocka_unit_test(flips_do_no_harm),
		cmocka_unit_test(picture_request_round_trip),
		cmocka_unit_test(statuses_have_names),
	};

	if (ipc_pair(fds))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
