/* SPDX-License-Identifier: MIT */
/*
 * Covers arena, buf, list, base64, hash, counters, log, err. Messages between processes
 * are in test_ipc.c and test_job.c; pictures in test_picture_check.c.
 */
#include "config.h"

#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/blake2b.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/picture.h"
#include "base/stall.h"
#include "base/tally.h"

static void arena_keeps_its_cap(void **state UNUSED)
{
	struct arena *a = arena_new(10000);
	char *s;
	int n = 0;

	assert_non_null(a);
	assert_null(arena_alloc(a, 10001));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_null(arena_alloc(a, SIZE_MAX - 8));
	s = arena_printf(a, "%s-%d", "x", 42);
	assert_string_equal(s, "x-42");
	s = arena_strndup(a, "abcdef", 3);
	assert_string_equal(s, "abc");
	while (arena_alloc(a, 100))
		n++;
	assert_in_range(n, 80, 100);
	assert_true(arena_used(a) <= 10000);
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void buf_keeps_its_cap(void **state UNUSED)
{
	struct buf b;
	char chunk[100];
	int i;

	memset(chunk, 'x', sizeof(chunk));
	buf_init(&b, 1000);
	assert_null(b.p);
	for (i = 0; i < 10; i++)
		assert_int_equal(buf_add(&b, chunk, sizeof(chunk)), 0);
	assert_int_equal(buf_add(&b, "y", 1), ERR_FULL);
	assert_int_equal(b.len, 1000);
	buf_drop(&b, 999);
	assert_int_equal(b.len, 1);
	assert_int_equal(b.p[0], 'x');
	assert_int_equal(buf_printf(&b, "%d", 12345), 0);
	assert_memory_equal(b.p, "x12345", 6);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_FULL);
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(buf_add_str(&b, "again"), 0);
	buf_fini(&b);
}

static void list_order_and_removal(void **state UNUSED)
{
	struct list head, m[4], *it, *tmp;
	int i;

	list_init(&head);
	assert_null(list_first(&head));
	for (i = 0; i < 4; i++) {
		list_init(&m[i]);
		list_add_tail(&head, &m[i]);
	}
	assert_ptr_equal(list_first(&head), &m[0]);
	list_remove(&m[0]);
	list_remove(&m[0]);
	list_add_head(&head, &m[0]);
	i = 0;
	LIST_EACH_SAFE(it, tmp, &head) {
		assert_ptr_equal(it, &m[i++]);
		list_remove(it);
	}
	assert_int_equal(i, 4);
	assert_true(list_is_empty(&head));
}

/* RFC 4648 section 10. */
static void base64_vectors(void **state UNUSED)
{
	static const char *const v[][2] = { { "", "" },
					    { "f", "Zg==" },
					    { "fo", "Zm8=" },
					    { "foo", "Zm9v" },
					    { "foob", "Zm9vYg==" },
					    { "fooba", "Zm9vYmE=" },
					    { "foobar", "Zm9vYmFy" } };
	char text[16];
	uint8_t back[16];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		n = base64_print(text, v[i][0], strlen(v[i][0]));
		assert_int_equal(n, strlen(v[i][1]));
		assert_int_equal(n, BASE64_LEN(strlen(v[i][0])));
		assert_memory_equal(text, v[i][1], n);
		assert_int_equal(base64_parse(back, &n, v[i][1], strlen(v[i][1])), 0);
		assert_int_equal(n, strlen(v[i][0]));
		assert_memory_equal(back, v[i][0], n);
	}
}

static void base64_refuses(void **state UNUSED)
{
	static const char *const bad[] = { "Z",    "Zg",   "Zg=",  "Zg===", "=",    "Zg==Zg==",
					   "Z*==", "Zh==", "Zm9=", "Zm8==", "Zm9v=" };
	uint8_t back[32];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(base64_parse(back, &n, bad[i], strlen(bad[i])), ERR_SYNTAX);
	assert_int_equal(base64_parse(back, &n, " Zm\n9v\t", 7), 0);
	assert_int_equal(n, 3);
	assert_int_equal(base64_parse(back, &n, "Zm\0v", 4), ERR_SYNTAX);
}

static void hash_vectors(void **state UNUSED)
{
	static const uint8_t sha256_abc[4] = { 0xba, 0x78, 0x16, 0xbf };
	static const uint8_t sha1_abc[4] = { 0xa9, 0x99, 0x3e, 0x36 };
	uint8_t sum[HASH_SHA256_LEN], whole[HASH_SHA256_LEN];
	struct hash *h = hash_sha256_new();

	assert_int_equal(hash_sha256("abc", 3, whole), 0);
	assert_memory_equal(whole, sha256_abc, 4);
	assert_int_equal(hash_sha1("abc", 3, sum), 0);
	assert_memory_equal(sum, sha1_abc, 4);
	assert_int_equal(hash_update(h, "a", 1), 0);
	assert_int_equal(hash_update(h, "bc", 2), 0);
	assert_int_equal(hash_final(h, sum), 0);
	assert_memory_equal(sum, whole, sizeof(sum));
	hash_free(&h);
	assert_true(hash_keyed("abc", 3) == hash_keyed("abc", 3));
	assert_true(hash_keyed("abc", 3) != hash_keyed("abd", 3));
	assert_true(hash_keyed("", 0) != hash_keyed("\0", 1));
	assert_true(hash_keyed("12345678", 8) != hash_keyed("12345678\0", 9));
}

/* Sums of "abc" from FIPS 180-4, FIPS 202 and RFC 7693. */
static void hash_kinds(void **state UNUSED)
{
	static const char *const abc[HASH_KIND_COUNT] = {
		[HASH_SHA1] = "a9993e364706816aba3e25717850c26c9cd0d89d",
		[HASH_SHA256] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		[HASH_SHA512] = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a21"
				"92992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		[HASH_SHA3_256] =
			"3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
		[HASH_SHA3_512] =
			"b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e919"
			"2af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
		[HASH_BLAKE2B_256] =
			"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
		[HASH_BLAKE2B_512] =
			"ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392a"
			"ab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
	};
	uint8_t sum[HASH_LEN_MAX];
	char hex[2 * HASH_LEN_MAX + 1];
	enum hash_kind kind;

	for (kind = 0; kind < HASH_KIND_COUNT; kind++) {
		assert_int_equal(hash_sum(kind, "abc", 3, sum), 0);
		hash_print_hex(sum, hash_len(kind), hex);
		assert_string_equal(hex, abc[kind]);
	}
	assert_string_equal(hash_name(HASH_SHA3_512), "sha3-512");
}

/* Lengths around its blocks; sums by another implementation (Python's hashlib). */
static void blake2b_blocks(void **state UNUSED)
{
	static const struct {
		size_t len;
		const char *sum32;
		const char *sum64; /* its first half */
	} rows[] = {
		{ 0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
		  "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419" },
		{ 1, "e88bd757ad5b9bedf372d8d3f0cf6c962a469db61a265f6418e1ffed86da29ec",
		  "4fe4da61bcc756071b226843361d74944c72245d23e8245ea678c13fdcd7fe2a" },
		{ 3, "9facd640130c81e7f318a8d5c660bc1b0f5d03861ffbd4cc1358e0e904593c28",
		  "76ce7e90c577d436a65b691e51f0a1ad536130d70a18df3bf5368551327258b6" },
		{ 127, "c9ae3859964b35f04c54b36d33cf299d7290ee621005d28e51598a943560aaaa",
		  "71546bbf9110ad184cc60f2eb120fcfd9b4dbbca7a7f1270045b8a23a6a4f433" },
		{ 128, "f0501d06597880592bc49234eef100ec1ff349058d0e9d9b753504e24af86dd6",
		  "2d9e329f42afa3601d646692b81c13e87fcaff5bf15972e9813d7373cb6d181f" },
		{ 129, "a34a4e1e03c541dfbf3099c4b6c143c022ced65c28bd7e8a10e0a098461aecf0",
		  "47889df9eb4d717afc5019df5c6a83df00a0b8677395e078cd5778ace0f338a6" },
		{ 255, "f2d64a40e9412a3414161ff6250075225418fd7c271c1123e162e1bca0de9f93",
		  "1a5199ac66a00e8a87ad1c7fbad30b33137dd8312bf6d98602dacf8f40ea2cb6" },
		{ 256, "d93ebb9c802f5630ab22516fd82b6c21bc8bd551d531349b715f046ed11ed871",
		  "91019c558584980249ca43eceed27e19f1c3c24161b93eed1eee2a6a774f60bf" },
		{ 257, "4ce481b24d387422d2bc2baa03d1afd55a1327939ff537c71eb9b38709268649",
		  "9f1975efca45e7b74b020975d4d2c22802906ed8bfefca51ac497bd23147fc8f" },
		{ 1000, "d62b6c768ce1afc8367e0498ab2f8e3f7c178c35b1429f14c4604b545d200f52",
		  "4bdd2c9cf31d797a81d245c989ffb7515143ca345c66f73087dd5c58bf642bf0" },
	};
	uint8_t bytes[1000], sum[64];
	char hex[129];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		blake2b(bytes, rows[i].len, sum, 32);
		hash_print_hex(sum, 32, hex);
		assert_string_equal(hex, rows[i].sum32);
		blake2b(bytes, rows[i].len, sum, 64);
		hash_print_hex(sum, 32, hex);
		assert_string_equal(hex, rows[i].sum64);
	}
}

static void counters_survive_their_process(void **state UNUSED)
{
	struct counters_histogram h;
	int fd = counters_create();

	assert_true(fd != -1);
	assert_int_equal(counters_map(fd, 3), 0);
	counter_add(METRIC_THUMBNAILS, 5);
	counter_inc(METRIC_SESSIONS);
	counter_observe(HISTOGRAM_HOLD, 0);
	counter_observe(HISTOGRAM_HOLD, 7);
	counter_observe(HISTOGRAM_HOLD, 99999);
	/* A successor in the same slot: counters stay, gauges start at 0. */
	assert_int_equal(counters_map(fd, 3), 0);
	assert_int_equal(counters_of(3, METRIC_THUMBNAILS), 5);
	assert_int_equal(counters_of(3, METRIC_SESSIONS), 0);
	assert_int_equal(counters_map(fd, 4), 0);
	counter_add(METRIC_THUMBNAILS, 2);
	assert_int_equal(counters_sum(METRIC_THUMBNAILS), 7);
	counters_histogram_sum(HISTOGRAM_HOLD, &h);
	assert_int_equal(h.count, 3);
	assert_int_equal(h.sum, 100006);
	assert_int_equal(h.bucket[0], 1);
	assert_int_equal(h.bucket[3], 1);
	assert_int_equal(h.bucket[HISTOGRAM_BUCKETS], 1);
	close(fd);
}

/* Who has the pages may write what it likes into them, but not end others by it. */
static void counters_hold_against_their_writers(void **state UNUSED)
{
	int fd = counters_create();
	uint8_t *p;
	off_t size;

	assert_true(fd != -1);
	size = lseek(fd, 0, SEEK_END);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, size * 2), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	assert_true(counters_fit(fd));
	assert_int_equal(counters_map(fd, 9), 0);
	counters_rule_add(1, RULE_FIGURE_MATCHES, 4);
	counters_listener_add(1, LISTENER_FIGURE_ACCEPTED, 5);
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	memset(p, 0xff, (size_t)size);
	(void)counters_rule_sum(1, RULE_FIGURE_MATCHES);
	(void)counters_listener_sum(1, LISTENER_FIGURE_ACCEPTED);
	(void)tally_count(1);
	counters_rule_clear(1);
	counters_listener_clear(1);
	assert_int_equal(counters_rule_sum(1, RULE_FIGURE_MATCHES), 0);
	assert_int_equal(counters_listener_sum(1, LISTENER_FIGURE_ACCEPTED), 0);
	assert_false(counters_process_get(9, &(struct counters_process){ 0 }));
	munmap(p, (size_t)size);
	close(fd);
}

/* Only what is longer than STALL_MS is one; of gauges of this kind the largest counts. */
static void stalls_are_counted_by_role(void **state UNUSED)
{
	struct counters_histogram h;
	int fd = counters_create();

	assert_true(fd != -1);
	assert_int_equal(counters_map(fd, 5), 0);
	clock_update();
	stall_open(ROLE_MEDIA); /* forgets what began before */
	assert_int_equal(clock_end_turn(), 0);
	stall_observe(STALL_MS);
	assert_int_equal(counters_sum(METRIC_STALLS_MEDIA), 0);
	stall_observe(STALL_MS + 1);
	stall_observe(700);
	stall_observe(60);
	assert_int_equal(counters_sum(METRIC_STALLS_MEDIA), 3);
	assert_int_equal(counters_sum(METRIC_STALL_MAX_MEDIA), 700);
	assert_int_equal(counters_map(fd, 6), 0);
	stall_open(ROLE_PROXY);
	stall_observe(300);
	counter_set(METRIC_STALL_MAX_MEDIA, 100);
	assert_int_equal(counters_sum(METRIC_STALL_MAX_MEDIA), 700);
	assert_int_equal(counters_sum(METRIC_STALL_MAX_PROXY), 300);
	counters_forget(5);
	assert_int_equal(counters_sum(METRIC_STALL_MAX_MEDIA), 100);
	assert_int_equal(counters_sum(METRIC_STALLS_MEDIA), 3);
	counters_histogram_sum(HISTOGRAM_LOOP_STALL, &h);
	assert_int_equal(h.count, 4);
	assert_int_equal(h.bucket[5], 0); /* up to 50 ms */
	close(fd);
}

/* A turn lasts from its first clock_update() on, and waiting between two is none. */
static void turns_are_measured(void **state UNUSED)
{
	int64_t began = clock_us(), ms;

	assert_int_equal(clock_end_turn(), 0);
	clock_update();
	while (clock_us() - began < 5000)
		clock_update();
	ms = clock_end_turn();
	assert_in_range(ms, 4, clock_us() / 1000 - began / 1000 + 1);
	assert_int_equal(clock_end_turn(), 0);
}

/* Gauges end with their process, counters do not; a session that outlives its row makes no giant.
 */
static void listeners_have_figures(void **state UNUSED)
{
	int fd = counters_create();

	assert_true(fd != -1);
	assert_int_equal(counters_map(fd, 7), 0);
	counters_listener_add(2, LISTENER_FIGURE_ACCEPTED, 1);
	counters_listener_add(2, LISTENER_FIGURE_SESSIONS, 1);
	counters_listener_add(COUNTERS_LISTENERS, LISTENER_FIGURE_SESSIONS, 1);
	assert_int_equal(counters_map(fd, 8), 0);
	counters_listener_add(2, LISTENER_FIGURE_ACCEPTED, 2);
	counters_listener_add(2, LISTENER_FIGURE_SESSIONS, 2);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_SESSIONS), 3);
	counters_forget(7);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_SESSIONS), 2);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_ACCEPTED), 3);
	assert_int_equal(counters_map(fd, 8), 0);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_SESSIONS), 0);
	counters_listener_add(2, LISTENER_FIGURE_SESSIONS, 1);
	counters_listener_clear(2);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_ACCEPTED), 0);
	counters_listener_add(2, LISTENER_FIGURE_SESSIONS, (uint64_t)-1);
	assert_int_equal(counters_listener_sum(2, LISTENER_FIGURE_SESSIONS), 0);
	assert_int_equal(counters_listener_sum(COUNTERS_LISTENERS, LISTENER_FIGURE_SESSIONS), 0);
	close(fd);
}

static char seen[512];

static void sink(void *ctx UNUSED, enum log_level level UNUSED, const char *line)
{
	snprintf(seen, sizeof(seen), "%s", line);
}

static void log_levels_and_limits(void **state UNUSED)
{
	struct log_limit limit = { 0 };
	unsigned dropped, i;

	log_set_sink(sink, NULL);
	log_set_level(LOG_LEVEL_INFO);
	log_debug("%s", "hidden");
	assert_string_equal(seen, "");
	log_info("n=%d", 1);
	assert_string_equal(seen, "n=1");
	log_set_sink(NULL, NULL);
	assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud"), -1);

	clock_fake(1000);
	for (i = 0; i < 3; i++)
		assert_true(log_limit_ok(&limit, 3, &dropped));
	assert_false(log_limit_ok(&limit, 3, &dropped));
	assert_false(log_limit_ok(&limit, 3, &dropped));
	clock_fake(61000);
	assert_true(log_limit_ok(&limit, 3, &dropped));
	assert_int_equal(dropped, 2);
}

/* What stands on standard error while fn runs, without the line's end. */
static char said[8192];

static void say(void (*fn)(void))
{
	int fd = memfd_create("stderr", 0), old = dup(STDERR_FILENO);
	ssize_t n;

	assert_true(fd != -1 && old != -1 && dup2(fd, STDERR_FILENO) != -1);
	fn();
	assert_true(dup2(old, STDERR_FILENO) != -1);
	n = pread(fd, said, sizeof(said) - 1, 0);
	assert_true(n > 0 && said[n - 1] == '\n');
	said[n - 1] = '\0';
	close(fd);
	close(old);
}

static const char *line_to_say;

static void say_line(void)
{
	log_relay("proxy/0", LOG_LEVEL_NOTICE, line_to_say);
}

static void log_json(void **state UNUSED)
{
	static const char *const rows[][2] = {
		{ "up", "\"text\":\"up\"}" },
		{ "up version=1 x=\"a b\"",
		  "\"text\":\"up\",\"with\":{\"version\":\"1\",\"x\":\"a b\"}}" },
		{ "it says a=b and more", "\"text\":\"it says a=b and more\"}" },
		{ "evil\n\"}\x01\xff", "\"text\":\"evil\\u000a\\\"}\\u0001?\"}" },
		{ "odd x=\"1", "\"text\":\"odd x=\\\"1\"}" },
		{ "odd x=\"1\"2\" y=", "\"with\":{\"x\":\"1\\\"2\",\"y\":\"\"}}" },
	};
	size_t i;

	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_JSON);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		line_to_say = rows[i][0];
		say(say_line);
		assert_null(strchr(said, '\n'));
		assert_non_null(strstr(said, "\"level\":\"notice\",\"process\":\"proxy/0\","));
		assert_non_null(strstr(said, rows[i][1]));
	}
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT);
	line_to_say = "evil\nline x=1";
	say(say_line);
	assert_non_null(strstr(said, "Z notice proxy/0: evil\\u000aline x=1"));
}

/* A line as long as may be, of what grows most. */
static void log_long(void **state UNUSED)
{
	static char line[2048];

	memset(line, '\x01', sizeof(line) - 1);
	line_to_say = line;
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_JSON);
	say(say_line);
	assert_null(strchr(said, '\n'));
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT);
	say(say_line);
	assert_null(strchr(said, '\n'));
}

/* In place of the C library's, whose header would give a fortified one. */
static int syslog_priority;
static char syslog_text[4096];

PRINTF_LIKE(2, 0) static void note_syslog(int priority, const char *fmt, va_list ap)
{
	syslog_priority = priority;
	vsnprintf(syslog_text, sizeof(syslog_text), fmt, ap);
}

void syslog(int priority, const char *fmt, ...) PRINTF_LIKE(2, 3);
void syslog(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_syslog(priority, fmt, ap);
	va_end(ap);
}

void __syslog_chk(int priority, int flag, const char *fmt, ...) PRINTF_LIKE(3, 4);
void __syslog_chk(int priority, int flag UNUSED, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note_syslog(priority, fmt, ap);
	va_end(ap);
}

static void log_syslog(void **state UNUSED)
{
	log_open("test", LOG_TARGET_SYSLOG, LOG_FORMAT_TEXT);
	log_relay("media", LOG_LEVEL_ERROR, "50%s off\nx=1");
	assert_int_equal(syslog_priority, 3); /* LOG_ERR */
	assert_string_equal(syslog_text, "media: 50%s off\\u000ax=1");
	log_open("test", LOG_TARGET_SYSLOG, LOG_FORMAT_JSON);
	log_relay("media", LOG_LEVEL_DEBUG, "up x=1");
	assert_int_equal(syslog_priority, 7); /* LOG_DEBUG */
	assert_string_equal(syslog_text,
			    "{\"level\":\"debug\",\"process\":\"media\",\"text\":\"up\","
			    "\"with\":{\"x\":\"1\"}}");
	log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT);
}

static void err_names(void **state UNUSED)
{
	struct err_msg msg = { "" };

	assert_string_equal(err_name(ERR_WELL_FORMED), "well-formed");
	assert_string_equal(err_condition(ERR_RESTRICTED), "restricted-xml");
	assert_null(err_condition(ERR_NOMEM + 10000));
	assert_string_equal(err_str(0), "no error");
	assert_string_equal(err_str(-9999), "unknown error");
	assert_int_equal(err_msg_set(&msg, ERR_IO, "first %d", 1), ERR_IO);
	assert_int_equal(err_msg_set(&msg, ERR_IO, "second"), ERR_IO);
	assert_string_equal(msg.text, "first 1");
	assert_int_equal(err_msg_set(NULL, ERR_IO, "nowhere"), ERR_IO);
}

static void pictures_by_name_and_magic(void **state UNUSED)
{
	assert_int_equal(picture_from_mime("IMAGE/JPG; charset=binary"), PICTURE_JPEG);
	assert_int_equal(picture_from_mime(" image/png"), PICTURE_PNG);
	assert_int_equal(picture_from_mime("image/svg+xml"), PICTURE_NONE);
	assert_int_equal(picture_from_mime("image/pngx"), PICTURE_NONE);
	assert_int_equal(picture_from_mime(""), PICTURE_NONE);
	assert_int_equal(picture_sniff((const uint8_t *)"GIF89a..........", 16), PICTURE_GIF);
	assert_int_equal(picture_sniff((const uint8_t *)"GIF89a.........", 15), PICTURE_NONE);
	assert_int_equal(picture_sniff((const uint8_t *)"BMsomeordinarytext", 18), PICTURE_NONE);
	assert_int_equal(picture_sniff((const uint8_t *)"RIFF....WEBPVP8 ", 16), PICTURE_WEBP);
	assert_string_equal(picture_mime(PICTURE_BMP), "image/bmp");
	assert_null(picture_mime(PICTURE_NONE));
}

/* Three parts as three processes would use them; a cleared one counts no more. */
static void tally_adds_up_over_processes(void **state UNUSED)
{
	struct tally *parts = calloc(3, sizeof(*parts));
	static struct tally last;
	static const uint32_t one = 1;
	uint32_t used = 3;
	uint64_t mine = hash_keyed("a", 1), other = hash_keyed("b", 1), key[2] = { 1, 2 };
	unsigned i, k;

	assert_non_null(parts);
	for (i = 0; i < 3; i++) {
		tally_map(parts, &used, 3, i);
		for (k = 0; k <= i; k++)
			tally_add(mine);
		tally_add(other);
	}
	assert_int_equal(tally_count(mine), 6);
	used = UINT32_MAX; /* another process wrote nonsense */
	assert_int_equal(tally_count(mine), 6);
	used = 3;
	assert_int_equal(tally_count(other), 3);
	memset(&parts[1], 0, sizeof(parts[1]));
	assert_int_equal(tally_count(mine), 4);
	tally_remove(mine);
	assert_int_equal(tally_count(mine), 3);
	tally_remove(other);
	assert_int_equal(tally_count(other), 1);
	/* Ten thousand others do not make one of few look like many. */
	for (k = 0; k < 10000; k++)
		tally_add(hash_with(key, &k, sizeof(k)));
	assert_in_range(tally_count(mine), 3, 5);

	tally_map(&last, &one, 1, 0);
	free(parts);
}

static char tree[] = "/tmp/inset-groups-XXXXXX";

/* A file of the tree; NULL: it goes. */
static void put_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	if (!text) {
		assert_int_equal(remove(path), 0);
		return;
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static unsigned quota_with(const char *self)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/self", tree);
	put_file("self", self);
	return confine_quota(path, tree);
}

static void the_least_quota_of_all_groups_above_counts(void **state UNUSED)
{
	static const char *const folders[] = { "a.slice", "a.slice/b.service",
					       "a.slice/b.service/c" };
	const char *own = "12:cpu,cpuacct:/x\n1:name=systemd:/a.slice\n0::/a.slice/b.service\n";
	char path[128];
	char *endless;
	size_t i;

	assert_non_null(mkdtemp(tree));
	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", tree, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(quota_with(own), 0);
	put_file("a.slice/b.service/c/cpu.max", "100000 100000\n"); /* below: not ours */
	put_file("a.slice/b.service/cpu.max", "max 100000\n");
	assert_int_equal(quota_with(own), 0);
	put_file("a.slice/b.service/cpu.max", "250000 100000\n");
	put_file("a.slice/cpu.max", "max 100000\n");
	assert_int_equal(quota_with(own), 3);
	put_file("a.slice/cpu.max", "150000 100000\n");
	assert_int_equal(quota_with(own), 2);
	put_file("cpu.max", "5000 100000\n"); /* the container's, where that is the root */
	assert_int_equal(quota_with(own), 1);
	assert_int_equal(quota_with("0::/\n"), 1);
	put_file("cpu.max", NULL);
	assert_int_equal(quota_with("0::/\n"), 0);
	assert_int_equal(quota_with("0::/a.slice/b.service"), 2);
	/* Groups that are not there, and what no kernel writes. */
	assert_int_equal(quota_with("0::/a.slice/gone.service (deleted)\n"), 2);
	assert_int_equal(quota_with("0::/../../a.slice\n"), 0);
	assert_int_equal(quota_with("1:cpu:/a.slice\n"), 0);
	assert_int_equal(quota_with(""), 0);
	assert_int_equal(quota_with("\n0::\n0:\n"), 0);
	put_file("a.slice/cpu.max", "100000 0\n");
	assert_int_equal(quota_with("0::/a.slice\n"), 0);
	put_file("a.slice/cpu.max", "");
	assert_int_equal(quota_with("0::/a.slice\n"), 0);
	endless = malloc(100001);
	assert_non_null(endless);
	memset(endless, '/', 100000);
	endless[100000] = '\0';
	memcpy(endless, "0::", 3);
	assert_int_equal(quota_with(endless), 0);
	free(endless);
	snprintf(path, sizeof(path), "%s/none", tree);
	put_file("cpu.max", "400000 100000\n");
	assert_int_equal(confine_quota(path, tree), 4);

	put_file("cpu.max", NULL);
	put_file("a.slice/b.service/c/cpu.max", NULL);
	put_file("a.slice/b.service/cpu.max", NULL);
	put_file("a.slice/cpu.max", NULL);
	put_file("self", NULL);
	for (i = ARRAY_SIZE(folders); i-- > 0;)
		put_file(folders[i], NULL);
	assert_int_equal(rmdir(tree), 0);
}

static void cpus_are_at_least_one(void **state UNUSED)
{
	assert_true(confine_cpus() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_keeps_its_cap),
		cmocka_unit_test(buf_keeps_its_cap),
		cmocka_unit_test(list_order_and_removal),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(hash_vectors),
		cmocka_unit_test(hash_kinds),
		cmocka_unit_test(blake2b_blocks),
		cmocka_unit_test(counters_survive_their_process),
		cmocka_unit_test(counters_hold_against_their_writers),
		cmocka_unit_test(listeners_have_figures),
		cmocka_unit_test(turns_are_measured),
		cmocka_unit_test(stalls_are_counted_by_role),
		cmocka_unit_test(log_levels_and_limits),
		cmocka_unit_test(log_json),
		cmocka_unit_test(log_long),
		cmocka_unit_test(log_syslog),
		cmocka_unit_test(err_names),
		cmocka_unit_test(pictures_by_name_and_magic),
		cmocka_unit_test(tally_adds_up_over_processes),
		cmocka_unit_test(the_least_quota_of_all_groups_above_counts),
		cmocka_unit_test(cpus_are_at_least_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
