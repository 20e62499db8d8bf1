/* SPDX-License-Identifier: MIT */
/*
 * test_box_offer - what the media process may ask the box for, and what becomes of the channel when
 * it says something else. The store and the socket are real ones.
 */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/ipc.h"
#include "box/http.h"
#include "box/offer.h"

#define URL    "http://box.example/f/01000000000000000000000000000000.png"
#define LENGTH 5000

static char folder[64];
static char public_url[] = "http://box.example";
static char bucket[] = "";
static char *old_url, *old_bucket;
static struct event_base *base;
static struct store *store;
static struct conf *conf;
static struct offers *offers;
static struct ipc_in in;
static struct ipc_out out;
static int media; /* its end of the channel */

static void connect_media(void)
{
	int fds[2];

	assert_int_equal(ipc_pair(fds), 0);
	offers_set_channel(offers, fds[0]);
	media = fds[1];
}

static void put_file(void)
{
	const uint8_t user[TOKEN_USER_LEN] = { 9 };
	struct store_file f = { .id = { 1 }, .expires = http_now() + 1000, .type = "image/png" };
	uint8_t bytes[LENGTH] = "\x89PNG\r\n\x1a\n";
	struct store_draft *d;

	assert_int_equal(store_begin(store, user, sizeof(bytes), &d), 0);
	assert_int_equal(store_write(d, bytes, sizeof(bytes)), 0);
	assert_int_equal(store_commit(&d, &f, http_now()), 0);
}

static int setup(void **state UNUSED)
{
	struct err_msg msg = { 0 };

	strcpy(folder, "/tmp/inset-offer-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	base = event_base_new();
	store = store_open(folder, http_now(), &msg);
	conf = conf_new();
	offers = offers_new(base);
	if (!base || !store || !conf || !offers)
		return -1;
	old_url = conf->upload.public_url;
	old_bucket = conf->upload.s3;
	conf->upload.public_url = public_url;
	conf->upload.s3 = bucket;
	offers_set_site(offers, conf, store, NULL);
	put_file();
	connect_media();
	return 0;
}

static int teardown(void **state UNUSED)
{
	char command[128];

	offers_free(&offers);
	close(media);
	store_close(&store);
	conf->upload.public_url = old_url;
	conf->upload.s3 = old_bucket;
	conf_unref(&conf);
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* The answer: is it there? */
static bool load(uint64_t most, const char *url)
{
	const uint8_t *p;
	uint8_t there;
	size_t len;

	ipc_begin(&out, IPC_LOAD);
	ipc_put_u64(&out, 7);
	ipc_put_u64(&out, most);
	ipc_put_str(&out, url);
	assert_int_equal(ipc_send(media, &out), 0);
	assert_int_equal(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
	assert_int_equal(ipc_recv(media, &in, ROLE_MEDIA, ROLE_BOX), 0);
	assert_int_equal(in.type, IPC_LOADED);
	assert_int_equal(ipc_get_u64(&in), 7);
	there = ipc_get_u8(&in);
	assert_int_equal(ipc_end(&in), 0);
	if (there) {
		assert_int_equal(ipc_memfd_map(in.fd, LENGTH, &p, &len), 0);
		assert_int_equal(len, LENGTH);
		in.map = p;
		in.map_len = len;
	}
	ipc_in_fini(&in);
	return there;
}

/* Whatever media says how much it takes: what goes is copied into memory first. */
static void a_file_no_larger_than_a_fetch(void **state UNUSED)
{
	conf->fetch.max_bytes = LENGTH;
	assert_true(load(LENGTH, URL));
	assert_true(load(UINT64_MAX, URL));
	assert_false(load(LENGTH - 1, URL));
	assert_false(load(LENGTH, "http://other.example/f/01000000000000000000000000000000.png"));
	assert_false(load(LENGTH, "http://box.example/f/../01000000000000000000000000000000"));
	conf->fetch.max_bytes = LENGTH - 1;
	assert_false(load(LENGTH, URL));
	assert_false(load(UINT64_MAX, URL));
}

/* Every kind of message cut at every length, and some that no field fits in: the channel ends. */
static void nonsense_ends_the_channel(void **state UNUSED)
{
	uint8_t bytes[64];
	uint32_t type;
	size_t len;

	memset(bytes, 0xff, sizeof(bytes));
	for (type = 0; type < IPC_TYPE_COUNT + 2; type++)
		for (len = 0; len <= sizeof(bytes); len++) {
			bool alive;

			memcpy(bytes, &type, sizeof(type));
			assert_int_equal(write(media, bytes, len), len);
			(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			ipc_begin(&out, IPC_LOAD);
			ipc_put_u64(&out, 1);
			ipc_put_u64(&out, 0);
			ipc_put_str(&out, "");
			alive = ipc_send(media, &out) == 0;
			assert_false(alive && !(type == IPC_OFFERED && len == 4 + 8 + 4));
			(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
			close(media);
			connect_media();
		}
	conf->fetch.max_bytes = LENGTH;
	assert_true(load(LENGTH, URL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_no_larger_than_a_fetch, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_ends_the_channel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
