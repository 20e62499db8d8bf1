/* SPDX-License-Identifier: MIT */
/*
 * test_desk - what media answers web: a trial with a scaler that is away, busy, good or a liar, and
 * hosts that fail; and what the box may offer. With real processes: integration/test_web.py.
 */
#include "config.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "conf/read.h"
#include "media/desk.h"
#include "media/host.h"
#include "media/sample.h"
#include "unit.h"

static struct {
	struct event_base *base;
	struct flights *flights;
	struct desk *desk;
	struct conf *conf;
	int web;    /* our end of the channel to web */
	int scaler; /* and to the scaler */
	struct ipc_out out;
	struct ipc_in in;
} f;

static int offers; /* whoever offers, as a client */
static unsigned refused;

static void on_result(void *client, const struct job_result *r)
{
	assert_ptr_equal(client, &offers); /* nobody has asked for a thumbnail */
	assert_int_equal(r->status, JOB_ADDRESS);
	refused++;
}

static void ignore_log(void *ctx UNUSED, enum log_level level UNUSED, const char *line UNUSED)
{
}

static void turn(void)
{
	assert_true(event_base_loop(f.base, EVLOOP_NONBLOCK) >= 0);
}

static void connect_web(void)
{
	int fds[2];

	if (f.web != -1)
		close(f.web);
	assert_int_equal(ipc_pair(fds), 0);
	desk_set_channel(f.desk, fds[0]);
	f.web = fds[1];
}

static void connect_scaler(uint32_t formats)
{
	int fds[2];

	if (f.scaler != -1)
		close(f.scaler);
	assert_int_equal(ipc_pair(fds), 0);
	flights_set_scaler(f.flights, fds[0]);
	f.scaler = fds[1];
	ipc_begin(&f.out, IPC_FORMATS);
	ipc_put_u32(&f.out, formats);
	ipc_put_str(&f.out, "");
	assert_int_equal(ipc_send(f.scaler, &f.out), 0);
	turn();
}

static int setup(void **state UNUSED)
{
	clock_fake(1000);
	log_set_sink(ignore_log, NULL);
	f.base = event_base_new();
	f.conf = conf_new();
	f.flights = f.base ? flights_new(f.base, on_result) : NULL;
	f.desk = f.flights ? desk_new(f.base, f.flights) : NULL;
	f.web = f.scaler = -1;
	if (!f.desk || !f.conf || flights_set_conf(f.flights, f.conf))
		return -1;
	desk_set_conf(f.desk, f.conf);
	connect_web();
	return 0;
}

static int teardown(void **state UNUSED)
{
	desk_free(&f.desk);
	flights_free(&f.flights);
	conf_unref(&f.conf);
	event_base_free(f.base);
	if (f.web != -1)
		close(f.web);
	if (f.scaler != -1)
		close(f.scaler);
	return 0;
}

static void probe(uint64_t id)
{
	ipc_begin(&f.out, IPC_PROBE);
	ipc_put_u64(&f.out, id);
	assert_int_equal(ipc_send(f.web, &f.out), 0);
	turn();
}

static void assert_probed(uint64_t id, bool ok, const char *why)
{
	assert_int_equal(ipc_recv(f.web, &f.in, ROLE_WEB, ROLE_MEDIA), 0);
	assert_int_equal(f.in.type, IPC_PROBED);
	assert_int_equal(ipc_get_u64(&f.in), id);
	assert_int_equal(ipc_get_u8(&f.in), ok);
	(void)ipc_get_u32(&f.in);
	assert_non_null(strstr(ipc_get_str(&f.in), why));
	assert_int_equal(ipc_end(&f.in), 0);
	ipc_in_fini(&f.in);
}

static void assert_silent(int fd)
{
	assert_int_equal(ipc_recv(fd, &f.in, fd == f.web ? ROLE_WEB : ROLE_SCALER, ROLE_MEDIA),
			 ERR_AGAIN);
}

/* What the scaler gets; the picture must be the built-in one, sealed. */
static struct picture_request take_scale(void)
{
	struct picture_request what;
	const uint8_t *p = NULL, *want;
	size_t len = 0;
	int fd;

	assert_int_equal(ipc_recv(f.scaler, &f.in, ROLE_SCALER, ROLE_MEDIA), 0);
	assert_int_equal(f.in.type, IPC_SCALE);
	fd = ipc_take_fd(&f.in);
	assert_int_equal(picture_request_get(&f.in, &what), 0);
	ipc_in_fini(&f.in);
	assert_int_equal(ipc_memfd_map(fd, 65536, &p, &len), 0);
	assert_int_equal(len, sample_picture(what.format, &want));
	assert_memory_equal(p, want, len);
	assert_int_equal(picture_sniff(p, len), what.format);
	munmap((void *)(uintptr_t)p, len);
	close(fd);
	return what;
}

static void say_scaled(uint64_t id, enum picture_status status, const uint8_t *p, size_t len)
{
	struct picture_result r = { .id = id,
				    .status = status,
				    .format = PICTURE_PNG,
				    .width = 32,
				    .height = 32,
				    .original_width = 32,
				    .original_height = 32,
				    .bytes = p,
				    .len = len };

	ipc_begin(&f.out, IPC_SCALED);
	picture_result_put(&f.out, &r);
	assert_int_equal(ipc_send(f.scaler, &f.out), 0);
	turn();
}

static void trials(void **state UNUSED)
{
	struct picture_request what;
	const uint8_t *png;
	size_t len = sample_picture(PICTURE_PNG, &png);

	probe(1);
	assert_probed(1, false, "the scaler is away");
	connect_scaler(0);
	probe(2);
	assert_probed(2, false, "no format passed");
	connect_scaler(1u << PICTURE_GIF);
	probe(3);
	assert_probed(3, false, "neither JPEG nor PNG");
	connect_scaler(1u << PICTURE_PNG); /* JPEG alone is off */
	probe(4);
	assert_int_equal(take_scale().format, PICTURE_PNG);
	connect_scaler(1u << PICTURE_PNG | 1u << PICTURE_JPEG); /* that one has died */
	assert_probed(4, false, "has ended");
	probe(5);
	what = take_scale();
	assert_int_equal(what.format, PICTURE_JPEG);
	assert_silent(f.web);
	say_scaled(what.id, PICTURE_OK, png, len);
	assert_probed(5, true, "ok");
	probe(6);
	say_scaled(take_scale().id, PICTURE_OK, png, len - 1); /* not what was asked for */
	assert_probed(6, false, "cannot make one");
	probe(7);
	say_scaled(take_scale().id, PICTURE_KILLED, NULL, 0);
	assert_probed(7, false, "died");
	probe(8); /* its picture is no killer for that */
	what = take_scale();
	probe(9); /* another question: the first has no answer */
	say_scaled(what.id, PICTURE_OK, png, len);
	assert_silent(f.web);
	say_scaled(take_scale().id, PICTURE_OK, png, len);
	assert_probed(9, true, "ok");
	assert_silent(f.web);
	/* Web goes while the scaler works. */
	probe(10);
	what = take_scale();
	close(f.web);
	f.web = -1;
	turn();
	say_scaled(what.id, PICTURE_OK, png, len);
	connect_web();
	assert_silent(f.web);
}

static void fail_host(const char *name, unsigned times)
{
	struct host *h = host_get(flights_hosts(f.flights), name, 443);

	assert_non_null(h);
	while (times--)
		host_failed(h, &f.conf->limits);
	host_put(&h);
}

static uint32_t ask_hosts(uint32_t *all)
{
	ipc_begin(&f.out, IPC_HOSTS);
	assert_int_equal(ipc_send(f.web, &f.out), 0);
	turn();
	assert_int_equal(ipc_recv(f.web, &f.in, ROLE_WEB, ROLE_MEDIA), 0);
	assert_int_equal(f.in.type, IPC_FAILING);
	*all = ipc_get_u32(&f.in);
	return ipc_get_u32(&f.in);
}

static void assert_host(const char *name, uint32_t failures, enum host_breaker breaker,
			uint32_t left)
{
	assert_string_equal(ipc_get_str(&f.in), name);
	assert_int_equal(ipc_get_u32(&f.in), 443);
	assert_int_equal(ipc_get_u32(&f.in), failures);
	assert_int_equal(ipc_get_u8(&f.in), breaker);
	assert_int_equal(ipc_get_u32(&f.in), left);
}

static void hosts_that_fail(void **state UNUSED)
{
	struct conf_limits *l = &f.conf->limits;
	char longest[254];
	struct host *h;
	uint32_t all;
	unsigned i;

	l->breaker_failures = 3;
	l->breaker_open = 30000;
	assert_int_equal(ask_hosts(&all), 0);
	assert_int_equal(all, 0);
	ipc_in_fini(&f.in);
	fail_host("once.example", 1);
	fail_host("often.example", 3);
	fail_host("well.example", 2);
	h = host_get(flights_hosts(f.flights), "well.example", 443);
	host_succeeded(h);
	host_put(&h);
	clock_fake(1000 + 10000);
	assert_int_equal(ask_hosts(&all), 2);
	assert_int_equal(all, 2);
	assert_host("often.example", 3, HOST_OPEN, 20000);
	assert_host("once.example", 1, HOST_CLOSED, 0);
	assert_int_equal(ipc_end(&f.in), 0);
	ipc_in_fini(&f.in);
	clock_fake(1000 + 30000);
	assert_int_equal(ask_hosts(&all), 2);
	assert_host("often.example", 3, HOST_TRIAL, 0);
	ipc_in_fini(&f.in);
	/* More than are told, with the longest names: one message holds them. */
	memset(longest, 'x', sizeof(longest));
	longest[253] = '\0';
	for (i = 0; i < 300; i++) {
		snprintf(longest, 5, "%04u", i);
		longest[4] = 'x';
		fail_host(longest, 1);
	}
	assert_int_equal(ask_hosts(&all), 100);
	assert_int_equal(all, 302);
	assert_host("often.example", 3, HOST_TRIAL, 0); /* before those that are not left alone */
	for (i = 0; i < 99; i++) {
		snprintf(longest, 5, "%04u", 299 - i);
		longest[4] = 'x';
		assert_host(longest, 1, HOST_CLOSED, 0);
	}
	assert_int_equal(ipc_end(&f.in), 0);
	ipc_in_fini(&f.in);
}

/* A box that is not itself any more cannot choose what others' addresses show. */
static void offers_of_its_own_addresses_alone(void **state UNUSED)
{
	static const char *const others[] = {
		"http://media.example/pic.png",
		"http://box.example.evil.example/f/01",
		"http://box.example:81/f/01",
		"http://box.example/t/01",
		"http://box.example/f/../x",
		"http://evil.example/http://box.example/f/01",
		"http://box.example/f",
		"box.example/f/01",
		"",
	};
	const char *o[] = { "listen.a.bind=127.0.0.1:5222", "listen.a.upstream=127.0.0.1:1" };
	struct conf_source source = { .overrides = o, .overrides_n = ARRAY_SIZE(o) };
	struct conf_problems problems = { 0 };
	struct list waiters;
	struct conf *conf;
	const uint8_t *png;
	size_t len = sample_picture(PICTURE_PNG, &png), i;

	assert_int_equal(conf_read(&source, &conf, &problems), 0);
	free(conf->upload.public_url);
	conf->upload.public_url = strdup("HTTP://Box.example");
	assert_int_equal(flights_set_conf(f.flights, conf), 0);
	connect_scaler(1u << PICTURE_PNG);
	list_init(&waiters);
	refused = 0;
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(flights_offer(f.flights, &offers, &waiters, 1, others[i],
					       ipc_memfd("x", png, len)),
				 1);
		assert_int_equal(refused, i + 1);
		assert_silent(f.scaler);
	}
	assert_int_equal(flights_offer(f.flights, &offers, &waiters, 1,
				       "http://box.example/f/01.png", ipc_memfd("x", png, len)),
			 1);
	(void)take_scale();
	flights_leave(&waiters);
	conf_unref(&conf);
}

static void nonsense_closes_the_channel(void **state UNUSED)
{
	static const enum ipc_type types[] = { IPC_PROBE, IPC_HOSTS, IPC_PROBED, IPC_JOB };
	uint8_t bytes[8] = { 0 };
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		for (len = 0; len <= sizeof(bytes); len++) {
			if ((types[i] == IPC_PROBE && len == 8) ||
			    (types[i] == IPC_HOSTS && len == 0))
				continue;
			connect_web();
			ipc_begin(&f.out, types[i]);
			ipc_put_bytes(&f.out, bytes, len);
			assert_int_equal(ipc_send(f.web, &f.out), 0);
			turn();
			assert_int_equal(ipc_recv(f.web, &f.in, ROLE_WEB, ROLE_MEDIA), ERR_CLOSED);
		}
	connect_web();
	probe(1);
	assert_probed(1, false, "away");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(trials, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(offers_of_its_own_addresses_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_closes_the_channel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
