/* SPDX-License-Identifier: MIT */
/*
 * test_web - the parts of the web process: who may ask, JSON, history, report, and what media may
 * say. Over HTTP and with real processes: integration/test_web.py.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "web/door.h"
#include "web/history.h"
#include "web/inquiry.h"
#include "web/json.h"
#include "web/page.h"
#include "web/report.h"

#define TOKEN "0123456789abcdef"

/* --- door ------------------------------------------------------------------------------- */

static enum door judge(const char *token, const char *host, const char *authorization)
{
	char copy[64];
	struct conf_web w = { .token = copy };

	snprintf(copy, sizeof(copy), "%s", token);
	return door_judge(&w, host, authorization);
}

static void names_of_this_machine(void **state UNUSED)
{
	static const char *const good[] = { "localhost",   "LocalHost:80", "127.0.0.1",
					    "127.0.0.1:1", "127.255.0.9",  "[::1]",
					    "[::1]:5290",  "localhost:" };
	static const char *const bad[] = { "",
					   ":80",
					   "localhost.",
					   "localhost.evil",
					   "evil",
					   "126.255.255.255",
					   "128.0.0.1",
					   "127.0.0.1.evil",
					   "0127.0.0.1",
					   "127.1",
					   "2130706433",
					   "[::1",
					   "[::1]x",
					   "[::ffff:127.0.0.1]",
					   "[localhost]x",
					   "::1",
					   "[]",
					   "localhost:80:80",
					   "localhost:8x",
					   "localhost/",
					   "a@localhost",
					   "localhost@a",
					   "localhost evil" };
	char longer[200];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (judge("", good[i], NULL) != DOOR_OPEN)
			fail_msg("%s", good[i]);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (judge("", bad[i], "Bearer " TOKEN) != DOOR_HOST)
			fail_msg("%s", bad[i]);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(judge("", longer, NULL), DOOR_HOST);
	assert_int_equal(judge("", NULL, NULL), DOOR_OPEN);
}

static const char *basic(const char *plain)
{
	static char text[2048];
	size_t n;

	strcpy(text, "Basic ");
	n = base64_print(text + 6, plain, strlen(plain));
	text[6 + n] = '\0';
	return text;
}

static void the_token_and_nothing_else(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "Bearer",
					   "Bearer ",
					   "Bearer " TOKEN " ",
					   "Bearer " TOKEN "0",
					   "Bearer 0123456789abcde",
					   "Bearer 0123456789abcdeF",
					   "Bearer" TOKEN,
					   TOKEN,
					   "Basic " TOKEN,
					   "Basic",
					   "Basic ",
					   "Basic ====",
					   "Digest " TOKEN };
	char longer[1500];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (judge(TOKEN, "localhost", bad[i]) != DOOR_TOKEN)
			fail_msg("%s", bad[i]);
	assert_int_equal(judge(TOKEN, "localhost", NULL), DOOR_TOKEN);
	assert_int_equal(judge(TOKEN, "evil", "Bearer " TOKEN), DOOR_OPEN);
	assert_int_equal(judge(TOKEN, NULL, "bEARER   " TOKEN), DOOR_OPEN);
	assert_int_equal(judge(TOKEN, "x", basic("me:" TOKEN)), DOOR_OPEN);
	assert_int_equal(judge(TOKEN, "x", basic(":" TOKEN)), DOOR_OPEN);
	assert_int_equal(judge(TOKEN, "x", basic(TOKEN)), DOOR_TOKEN);
	assert_int_equal(judge(TOKEN, "x", basic("me:you:" TOKEN)), DOOR_TOKEN);
	assert_int_equal(judge(TOKEN, "x", basic("me:")), DOOR_TOKEN);
	for (i = 1; i < sizeof(longer) - 1; i += 7) {
		memset(longer, 'x', i);
		longer[i] = '\0';
		assert_int_equal(judge(TOKEN, "x", basic(longer)), DOOR_TOKEN);
		memcpy(longer, "Basic ", MIN_OF(i, 6u));
		assert_int_equal(judge(TOKEN, "x", longer), DOOR_TOKEN);
	}
}

/* --- JSON ------------------------------------------------------------------------------- */

static void assert_json(const char *text, const char *want)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(json_text(&b, text), 0);
	assert_int_equal(buf_add(&b, "", 1), 0);
	assert_string_equal((const char *)b.p, want);
	buf_fini(&b);
}

static void texts_are_escaped(void **state UNUSED)
{
	struct buf b;
	size_t max;

	assert_json("", "\"\"");
	assert_json("a\"\\/\x01\n\x7f", "\"a\\\"\\\\/\\u0001\\u000a\\u007f\"");
	assert_json("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	/* Alone, overlong, a surrogate, past the end of Unicode, cut off at the end. */
	assert_json("\x80|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82",
		    "\"\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd\\ufffd|"
		    "\\ufffd\\ufffd\"");
	for (max = 1; max < 8; max++) {
		buf_init(&b, max);
		assert_int_equal(json_text(&b, "\x01\xff\"a"), ERR_FULL);
		buf_fini(&b);
	}
}

/* --- history ---------------------------------------------------------------------------- */

static char *history_text(const struct history *h, enum history_span span)
{
	struct buf b;
	char *s;

	buf_init(&b, 4 * 1024 * 1024);
	assert_int_equal(history_print(h, span, &b), 0);
	s = strndup((const char *)b.p, b.len);
	assert_non_null(s);
	buf_fini(&b);
	return s;
}

static size_t count(const char *in, char what)
{
	size_t n = 0;

	for (; *in; in++)
		n += *in == what;
	return n;
}

static void history_is_a_ring(void **state UNUSED)
{
	struct history *h = history_new();
	struct counters_histogram recent;
	int64_t now = 1000000;
	char *s, line[64];
	struct buf b;
	size_t max;
	int i;

	assert_non_null(h);
	s = history_text(h, HISTORY_MINUTES);
	assert_non_null(strstr(s, "\"at\":[],"));
	free(s);
	counter_observe(HISTOGRAM_HOLD, 3);
	for (i = 0; i < 1000; i++, now += HISTORY_STEP_S) {
		counter_set(METRIC_SESSIONS, (uint64_t)i);
		counter_inc(METRIC_JOB_RATE);
		counter_inc(METRIC_JOB_OVERLOAD);
		history_sample(h, now);
	}
	s = history_text(h, HISTORY_MINUTES);
	snprintf(line, sizeof(line), "\"at\":[%lld,%lld,", (long long)now - 602,
		 (long long)now - 600);
	assert_non_null(strstr(s, line));
	assert_non_null(strstr(s, "\"sessions\":[699,700,"));
	assert_non_null(strstr(s, ",999],"));
	assert_non_null(strstr(s, ",1998,2000],\n\"cache_hit\""));
	assert_int_equal(count(s, '{'), 1);
	free(s);
	s = history_text(h, HISTORY_DAY);
	assert_non_null(strstr(s, "\"at\":[1000000,1000060,1000120,"));
	assert_non_null(strstr(s, "\"sessions\":[0,30,60,"));
	free(s);
	/* Everything that was observed is older than ten minutes. */
	history_recent(h, HISTOGRAM_HOLD, &recent);
	assert_int_equal(recent.count, 0);
	counter_observe(HISTOGRAM_HOLD, 4);
	history_recent(h, HISTOGRAM_HOLD, &recent);
	assert_int_equal(recent.count, 1);
	assert_int_equal(recent.sum, 4);
	assert_int_equal(recent.bucket[2], 1);
	/* A clock that is set back stops nothing; a day is full some time. */
	for (i = 0; i < 3000; i++)
		history_sample(h, 5000 + i * 60);
	s = history_text(h, HISTORY_DAY);
	snprintf(line, sizeof(line), "\"at\":[%d,", 5000 + (3000 - 1441) * 60);
	assert_non_null(strstr(s, line));
	assert_non_null(strstr(s, ",184940],"));
	max = strlen(s);
	free(s);
	for (i = 1; (size_t)i < max; i += 997) {
		buf_init(&b, (size_t)i);
		assert_int_equal(history_print(h, HISTORY_DAY, &b), ERR_FULL);
		buf_fini(&b);
	}
	history_free(&h);
}

/* --- what media may say ----------------------------------------------------------------- */

static struct {
	struct event_base *base;
	struct inquiry *inquiry;
	int media; /* our end */
	struct ipc_out out;
	struct ipc_in in;
	unsigned woken;
} f;

static void on_wake(struct inquiry_waiter *w UNUSED)
{
	f.woken++;
}

static void turn(void)
{
	assert_true(event_base_loop(f.base, EVLOOP_NONBLOCK) >= 0);
}

static void connect_media(void)
{
	int fds[2];

	if (f.media != -1)
		close(f.media);
	assert_int_equal(ipc_pair(fds), 0);
	inquiry_set_channel(f.inquiry, fds[0]);
	f.media = fds[1];
}

static void ignore_log(void *ctx UNUSED, enum log_level level UNUSED, const char *line UNUSED)
{
}

static int setup(void **state UNUSED)
{
	f.base = event_base_new();
	f.inquiry = inquiry_new(f.base);
	f.media = -1;
	f.woken = 0;
	log_set_sink(ignore_log, NULL);
	clock_fake(1000);
	return f.base && f.inquiry ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	inquiry_free(&f.inquiry);
	event_base_free(f.base);
	if (f.media != -1)
		close(f.media);
	return 0;
}

static uint64_t take_probe(void)
{
	uint64_t id;

	assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), 0);
	assert_int_equal(f.in.type, IPC_PROBE);
	id = ipc_get_u64(&f.in);
	assert_int_equal(ipc_end(&f.in), 0);
	ipc_in_fini(&f.in);
	return id;
}

static void say_probed(uint64_t id, uint8_t ok, const char *why)
{
	ipc_begin(&f.out, IPC_PROBED);
	ipc_put_u64(&f.out, id);
	ipc_put_u8(&f.out, ok);
	ipc_put_u32(&f.out, 12);
	ipc_put_str(&f.out, why);
	assert_int_equal(ipc_send(f.media, &f.out), 0);
	turn();
}

static void health_is_asked_once_for_all(void **state UNUSED)
{
	struct inquiry_waiter w[3] = { { .wake = on_wake },
				       { .wake = on_wake },
				       { .wake = on_wake } };
	struct inquiry_health h;
	uint64_t id;

	assert_true(inquiry_health(f.inquiry, &w[0], &h)); /* media is away: known at once */
	assert_false(h.ok);
	assert_string_equal(h.why, "no thumbnails: the media process is away");
	connect_media();
	assert_true(inquiry_health(f.inquiry, &w[0], &h)); /* that is fresh yet */
	assert_false(h.ok);
	clock_fake(2001);
	assert_false(inquiry_health(f.inquiry, &w[0], &h));
	assert_false(inquiry_health(f.inquiry, &w[1], &h));
	assert_false(inquiry_health(f.inquiry, &w[2], &h));
	id = take_probe();
	assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), ERR_AGAIN);
	inquiry_leave(&w[1]);
	say_probed(id + 1, 0, "of another question");
	assert_int_equal(f.woken, 0);
	say_probed(id, 1, "ok");
	assert_int_equal(f.woken, 2);
	assert_true(inquiry_health(f.inquiry, &w[0], &h));
	assert_true(h.ok);
	assert_int_equal(h.ms, 12);
	assert_string_equal(h.why, "ok");
	say_probed(id, 0, "too late");
	assert_true(inquiry_last_health(f.inquiry)->ok);
	/* Media ends while somebody waits. */
	clock_fake(9000);
	assert_false(inquiry_health(f.inquiry, &w[0], &h));
	close(f.media);
	f.media = -1;
	turn();
	assert_int_equal(f.woken, 3);
	assert_string_equal(inquiry_last_health(f.inquiry)->why,
			    "no thumbnails: the media process has ended");
}

static void a_full_channel_is_no_answer(void **state UNUSED)
{
	struct inquiry_waiter w = { .wake = on_wake };
	struct inquiry_health h;
	unsigned i;

	connect_media();
	for (i = 0; i < 100000; i++) {
		clock_fake(2000 + 2000 * (int64_t)i);
		inquiry_look(f.inquiry);
	}
	assert_true(inquiry_health(f.inquiry, &w, &h));
	assert_string_equal(h.why, "no thumbnails: the media process cannot be asked");
}

static char *hosts_text(unsigned *all)
{
	struct buf b;
	char *s;

	buf_init(&b, 1024 * 1024);
	assert_int_equal(inquiry_print_hosts(f.inquiry, &b, all), 0);
	s = strndup((const char *)b.p, b.len);
	assert_non_null(s);
	buf_fini(&b);
	return s;
}

static void put_host(const char *name, uint8_t breaker)
{
	ipc_put_str(&f.out, name);
	ipc_put_u32(&f.out, 443);
	ipc_put_u32(&f.out, 7);
	ipc_put_u8(&f.out, breaker);
	ipc_put_u32(&f.out, 1500);
}

static void hosts_are_listed(void **state UNUSED)
{
	unsigned all;
	char *s;

	connect_media();
	ipc_begin(&f.out, IPC_FAILING);
	ipc_put_u32(&f.out, 9);
	ipc_put_u32(&f.out, 2);
	put_host("media.example", 1);
	put_host("\"\xff", 0);
	assert_int_equal(ipc_send(f.media, &f.out), 0);
	turn();
	s = hosts_text(&all);
	assert_int_equal(all, 9);
	assert_string_equal(s,
			    "[{\"host\":\"media.example\",\"port\":443,\"failures\":7,\"breaker\":"
			    "\"open\",\"left_ms\":1500},\n{\"host\":\"\\\"\\ufffd\",\"port\":443,"
			    "\"failures\":7,\"breaker\":\"closed\",\"left_ms\":1500}]");
	free(s);
	connect_media(); /* another media process knows nothing yet */
	s = hosts_text(&all);
	assert_string_equal(s, "[]");
	assert_int_equal(all, 0);
	free(s);
}

/* 1 by 1. */
static const uint8_t png[] = { 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00,
			       0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01,
			       0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a,
			       0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41,
			       0x54, 0x78, 0xda, 0x63, 0x60, 0x00, 0x00, 0x00, 0x02, 0x00,
			       0x01, 0xe5, 0x27, 0xde, 0xfc, 0x00, 0x00, 0x00, 0x00, 0x49,
			       0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82 };

static void say_made(uint8_t format, uint32_t width, size_t len)
{
	ipc_begin(&f.out, IPC_MADE);
	ipc_put_u8(&f.out, format);
	ipc_put_u32(&f.out, width);
	ipc_put_u32(&f.out, 1);
	ipc_put_u32(&f.out, 300);
	ipc_put_u32(&f.out, 200);
	ipc_put_blob(&f.out, png, len);
	assert_int_equal(ipc_send(f.media, &f.out), 0);
	turn();
}

static void say_many_made(unsigned n)
{
	while (n--)
		say_made(PICTURE_PNG, 1, sizeof(png));
}

/* Those with these ids, and no others. */
static void thumbnails_are(uint64_t first, uint64_t last)
{
	const struct inquiry_thumbnail *t;
	uint64_t id;

	for (id = 0; id <= last + 10; id++) {
		t = inquiry_thumbnail(f.inquiry, id);
		if ((t != NULL) != (id >= first && id <= last))
			fail_msg("%llu", (unsigned long long)id);
		if (t)
			assert_memory_equal(t->bytes, png, sizeof(png));
	}
}

static void thumbnails_are_kept_few(void **state UNUSED)
{
	connect_media();
	say_made(PICTURE_PNG, 1, sizeof(png)); /* nobody wants any */
	assert_null(inquiry_thumbnail(f.inquiry, 1));
	inquiry_set_thumbnails(f.inquiry, 3);
	say_many_made(5);
	thumbnails_are(1, 3);
	clock_fake(clock_now() + INQUIRY_STAY_MS - 1); /* a page may be about to fetch them */
	say_many_made(5);
	thumbnails_are(1, 3);
	clock_fake(clock_now() + 1);
	say_many_made(2);
	thumbnails_are(3, 5);
	clock_fake(clock_now() + INQUIRY_STAY_MS);
	say_many_made(5);
	thumbnails_are(6, 8);
	inquiry_set_thumbnails(f.inquiry, 0);
	assert_null(inquiry_thumbnail(f.inquiry, 8));
	inquiry_set_thumbnails(f.inquiry, INQUIRY_THUMBNAILS);
	assert_null(inquiry_thumbnail(f.inquiry, 8));
	/* What is no clean picture of that format and size goes to no browser. */
	say_made(PICTURE_PNG, 2, sizeof(png));
	assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), ERR_CLOSED);
	connect_media();
	say_made(PICTURE_JPEG, 1, sizeof(png));
	assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), ERR_CLOSED);
	connect_media();
	say_made(PICTURE_PNG, 1, sizeof(png) - 1);
	assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), ERR_CLOSED);
	assert_null(inquiry_thumbnail(f.inquiry, 11));
}

/* Cut off anywhere, too long, or with numbers that cannot be: the channel closes, web lives. */
static void nonsense_closes_the_channel(void **state UNUSED)
{
	static const enum ipc_type types[] = { IPC_PROBED, IPC_FAILING, IPC_MADE };
	static struct ipc_out whole[ARRAY_SIZE(types)];
	size_t i, len;
	uint8_t bad;

	inquiry_set_thumbnails(f.inquiry, 1);
	ipc_begin(&whole[0], types[0]);
	ipc_put_u64(&whole[0], 1);
	ipc_put_u8(&whole[0], 1);
	ipc_put_u32(&whole[0], 1);
	ipc_put_str(&whole[0], "why");
	ipc_begin(&f.out, types[1]);
	ipc_put_u32(&f.out, 1);
	ipc_put_u32(&f.out, 1);
	put_host("h", 2);
	whole[1] = f.out;
	ipc_begin(&whole[2], types[2]);
	ipc_put_u8(&whole[2], PICTURE_PNG);
	for (i = 0; i < 4; i++)
		ipc_put_u32(&whole[2], 1);
	ipc_put_blob(&whole[2], png, sizeof(png));
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		for (len = 0; len <= whole[i].len + 1; len++) {
			f.out = whole[i];
			f.out.len = len;
			f.out.data[whole[i].len] = 0;
			connect_media();
			if (len < 4)
				assert_int_equal(write(f.media, f.out.data, len), (ssize_t)len);
			else
				assert_int_equal(ipc_send(f.media, &f.out), 0);
			turn();
			if (ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB) !=
			    (len == whole[i].len ? ERR_AGAIN : ERR_CLOSED))
				fail_msg("%s of %zu bytes", ipc_name(types[i]), len);
		}
	}
	for (bad = 0; bad < 4; bad++) {
		connect_media();
		ipc_begin(&f.out, bad < 3 ? IPC_FAILING : IPC_PROBED);
		if (bad < 3) {
			ipc_put_u32(&f.out, bad == 0 ? 0 : 1);    /* fewer than are listed */
			ipc_put_u32(&f.out, bad == 1 ? 1000 : 1); /* more than fit */
			put_host("h", bad == 2 ? 3 : 0);          /* no such state */
		} else {
			ipc_put_u64(&f.out, 1);
			ipc_put_u8(&f.out, 2);
			ipc_put_u32(&f.out, 1);
			ipc_put_str(&f.out, "");
		}
		assert_int_equal(ipc_send(f.media, &f.out), 0);
		turn();
		assert_int_equal(ipc_recv(f.media, &f.in, ROLE_MEDIA, ROLE_WEB), ERR_CLOSED);
	}
}

/* --- report and page -------------------------------------------------------------------- */

static void the_report_fits_or_fails(void **state UNUSED)
{
	struct history *h = history_new();
	struct conf *conf = conf_new();
	unsigned i;
	char name[32];
	struct buf b;
	size_t max;

	assert_non_null(h);
	assert_non_null(conf);
	assert_non_null(conf_add_listen(conf, "main"));
	for (i = 0; i < REPORT_RULES + 5; i++) {
		snprintf(name, sizeof(name), "rule \"%u\"", i);
		assert_non_null(conf_add_rule(conf, name));
	}
	buf_init(&b, REPORT_MAX);
	assert_int_equal(report_print(conf, h, f.inquiry, &b), 0);
	assert_non_null(memmem(b.p, b.len, "\"rules_all\":205", 15));
	assert_non_null(memmem(b.p, b.len, "rule \\\"199\\\"", 12));
	assert_null(memmem(b.p, b.len, "rule \\\"200\\\"", 12));
	assert_non_null(memmem(b.p, b.len, "\"health\":null", 13));
	max = b.len;
	buf_fini(&b);
	for (i = 1; i < max; i += 61) {
		buf_init(&b, i);
		assert_int_equal(report_print(conf, h, f.inquiry, &b), ERR_FULL);
		buf_fini(&b);
	}
	conf_unref(&conf);
	history_free(&h);
}

static void the_page_is_there(void **state UNUSED)
{
	const struct page_file *p = page_find("/");

	assert_non_null(p);
	assert_memory_equal(p->bytes, "<!DOCTYPE html>", 15);
	assert_non_null(page_find("/status.css"));
	assert_null(page_find(""));
	assert_null(page_find("/status.cs"));
	assert_null(page_find("status.css"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_this_machine),
		cmocka_unit_test(the_token_and_nothing_else),
		cmocka_unit_test(texts_are_escaped),
		cmocka_unit_test(history_is_a_ring),
		cmocka_unit_test_setup_teardown(health_is_asked_once_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_channel_is_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_are_listed, setup, teardown),
		cmocka_unit_test_setup_teardown(thumbnails_are_kept_few, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_closes_the_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(the_report_fits_or_fails, setup, teardown),
		cmocka_unit_test(the_page_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
