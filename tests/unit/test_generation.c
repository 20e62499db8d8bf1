/* SPDX-License-Identifier: MIT */
/*
 * test_generation - what is printed is parsed back the same; everything else is refused,
 * also where the hashes are right. Reading files: test_conf.c.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "conf/generation.h"
#include "conf/read.h"

static struct buf printed;

static int setup(void **state UNUSED)
{
	static const char *const o[] = { "listen.second.bind=[::1]:1,127.0.0.1:2",
					 "listen.second.upstream=unix:/x",
					 "listen.second.profile=p",
					 "profiles.p.type=image/webp",
					 "workers=7",
					 "fetch.deny-network=10.0.0.0/8,::/0",
					 "limits.per-sender=3/1s",
					 "log.level=debug",
					 "drain-timeout=1h" };
	struct conf_source source = { .listen = "127.0.0.1:5222",
				      .upstream = "127.0.0.1:15222",
				      .overrides = o,
				      .overrides_n = ARRAY_SIZE(o) };
	struct conf_problems problems = { 0 };
	struct conf *c;

	if (conf_read(&source, &c, &problems))
		return -1;
	c->generation = 42;
	buf_init(&printed, GENERATION_MAX);
	if (generation_print(c, GENERATION_FOR_PROXY, &printed))
		return -1;
	conf_unref(&c);
	return 0;
}

static int teardown(void **state UNUSED)
{
	buf_fini(&printed);
	return 0;
}

/* Behind a changed body the sum is made right again: the checks below it must hold alone. */
static void seal(uint8_t *p, size_t len)
{
	assert_int_equal(hash_sha256(p, len - HASH_SHA256_LEN, p + len - HASH_SHA256_LEN), 0);
}

/* The key that signs uploads is the proxies' and the box's, the box's certificate and its key to a
 * bucket its own, the shared cache's password media's, the token of the status page web's. */
static void secrets_of_the_box(void **state UNUSED)
{
	static const struct {
		enum generation_for reader;
		bool key, pem, redis, token;
	} rows[] = {
		{ GENERATION_FOR_OTHERS, false, false, false, true },
		{ GENERATION_FOR_PROXY, true, false, false, false },
		{ GENERATION_FOR_BOX, true, true, false, false },
		{ GENERATION_FOR_MEDIA, false, false, true, false },
	};
	struct conf *c = conf_new(), *read;
	struct err_msg msg = { 0 };
	struct buf b;
	size_t i;

	assert_non_null(c);
	assert_non_null(conf_add_service(c));
	c->upload.key = strdup("planted-key");
	c->upload.pem = strdup("planted-pem");
	c->upload.s3_key = strdup("planted:pair");
	free(c->cache.redis);
	c->cache.redis = strdup("redis://:planted-password@h");
	free(c->web.token);
	c->web.token = strdup("planted-web-token");
	assert_non_null(conf_add_origin(c));
	free(c->origins[0].url);
	c->origins[0].url = strdup("https://o.example");
	free(c->origins[0].client_certificate);
	c->origins[0].client_certificate = strdup("/etc/o.pem");
	c->origins[0].pem = strdup("planted-origin");
	c->fetch.cas = strdup("planted-cas");
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_init(&b, GENERATION_MAX);
		assert_int_equal(generation_print(c, rows[i].reader, &b), 0);
		assert_int_equal(memmem(b.p, b.len, "planted-key", 11) != NULL, rows[i].key);
		assert_int_equal(memmem(b.p, b.len, "planted-pem", 11) != NULL, rows[i].pem);
		assert_int_equal(memmem(b.p, b.len, "planted:pair", 12) != NULL, rows[i].pem);
		assert_int_equal(memmem(b.p, b.len, "planted-password", 16) != NULL, rows[i].redis);
		assert_int_equal(memmem(b.p, b.len, "planted-web-token", 17) != NULL,
				 rows[i].token);
		assert_int_equal(memmem(b.p, b.len, "planted-origin", 14) != NULL, rows[i].redis);
		assert_int_equal(memmem(b.p, b.len, "planted-cas", 11) != NULL, rows[i].redis);
		assert_int_equal(generation_parse(b.p, b.len, &read, &msg), 0);
		assert_int_equal(read->origins_n, 1);
		assert_string_equal(read->origins[0].url, "https://o.example");
		assert_int_equal(read->origins[0].pem != NULL, rows[i].redis);
		assert_int_equal(read->fetch.cas != NULL, rows[i].redis);
		assert_int_equal(read->upload.s3_key != NULL, rows[i].pem);
		assert_int_equal(read->upload.key != NULL, rows[i].key);
		assert_int_equal(read->upload.pem != NULL, rows[i].pem);
		assert_int_equal(read->services_n, 1);
		assert_string_equal(read->services[0].node, "kontalkbox");
		conf_unref(&read);
		buf_fini(&b);
	}
	conf_unref(&c);
}

/* Keys go to those who end TLS, and to nobody else. */
static void secrets_only_where_asked_for(void **state UNUSED)
{
	static char name[] = "/etc/key.pem", key[] = "-----BEGIN PRIVATE KEY-----", ca[] = "the ca";
	static char *names[] = { name }, *keys[] = { key };
	struct conf *c = conf_new(), *read;
	struct conf_listen *l = c ? conf_add_listen(c, "main") : NULL;
	struct buf full, open;

	BUG_ON(!l);
	free(l->upstream);
	l->upstream = strdup("127.0.0.1:1");
	assert_true(conf_link(c));
	l->bind = l->certificates = (struct conf_list){ .v = names, .n = 1 };
	l->keys = (struct conf_list){ .v = keys, .n = 1 };
	l->upstream_cas = ca;
	buf_init(&full, GENERATION_MAX);
	buf_init(&open, GENERATION_MAX);
	assert_int_equal(generation_print(c, GENERATION_FOR_PROXY, &full), 0);
	assert_int_equal(generation_print(c, GENERATION_FOR_OTHERS, &open), 0);
	assert_non_null(memmem(full.p, full.len, key, strlen(key)));
	assert_null(memmem(open.p, open.len, key, strlen(key)));
	assert_null(memmem(open.p, open.len, ca, strlen(ca)));
	l->bind = l->certificates = l->keys = (struct conf_list){ 0 };
	l->upstream_cas = NULL;
	conf_unref(&c);
	assert_int_equal(generation_parse(full.p, full.len, &read, NULL), 0);
	assert_string_equal(read->listens[0].keys.v[0], key);
	assert_string_equal(read->listens[0].upstream_cas, ca);
	conf_unref(&read);
	assert_int_equal(generation_parse(open.p, open.len, &read, NULL), 0);
	assert_int_equal(read->listens[0].keys.n, 0);
	assert_null(read->listens[0].upstream_cas);
	conf_unref(&read);
	buf_fini(&full);
	buf_fini(&open);
}

static void round_trip(void **state UNUSED)
{
	struct buf again;
	struct conf *c;

	assert_int_equal(generation_parse(printed.p, printed.len, &c, NULL), 0);
	assert_int_equal(c->generation, 42);
	assert_int_equal(c->listens_n, 2);
	assert_int_equal(c->profiles_n, 6);
	assert_string_equal(conf_listen_find(c, "second")->upstream, "unix:/x");
	assert_string_equal(conf_listen_find(c, "second")->bind.v[1], "127.0.0.1:2");
	assert_ptr_equal(conf_listen_find(c, "second")->profile_ref, &c->profiles[5]);
	assert_int_equal(c->workers, 7);
	assert_int_equal(c->limits.per_sender.per_ms, 1000);
	buf_init(&again, GENERATION_MAX);
	assert_int_equal(generation_print(c, GENERATION_FOR_PROXY, &again), 0);
	assert_int_equal(again.len, printed.len);
	assert_memory_equal(again.p, printed.p, printed.len);
	buf_fini(&again);
	conf_unref(&c);
}

static void every_truncation_is_refused(void **state UNUSED)
{
	struct conf *c;
	size_t len;

	for (len = 0; len < printed.len; len++) {
		uint8_t *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, printed.p, len);
		assert_int_equal(generation_parse(copy, len, &c, NULL), ERR_BAD_MESSAGE);
		assert_null(c);
		if (len > 2 * HASH_SHA256_LEN) {
			seal(copy, len);
			assert_int_equal(generation_parse(copy, len, &c, NULL), ERR_BAD_MESSAGE);
		}
		free(copy);
	}
}

static void every_flipped_byte_is_refused(void **state UNUSED)
{
	uint8_t *copy = malloc(printed.len);
	struct conf *c;
	size_t i;

	assert_non_null(copy);
	memcpy(copy, printed.p, printed.len);
	for (i = 0; i < printed.len; i++) {
		copy[i] ^= (uint8_t)(1u << (i % 8));
		assert_int_equal(generation_parse(copy, printed.len, &c, NULL), ERR_BAD_MESSAGE);
		copy[i] ^= (uint8_t)(1u << (i % 8));
	}
	free(copy);
}

/* With right sums: either refused, or a configuration within its ranges; never worse. */
static void hostile_bodies_do_no_harm(void **state UNUSED)
{
	uint8_t *copy = malloc(printed.len);
	unsigned seed = 20260201, refused = 0, n = 0;
	struct conf *c;
	size_t i, k;

	assert_non_null(copy);
	for (i = HASH_SHA256_LEN; i < printed.len - HASH_SHA256_LEN; i++) {
		static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };

		for (k = 0; k < ARRAY_SIZE(values) + 1; k++) {
			memcpy(copy, printed.p, printed.len);
			seed = seed * 1103515245 + 12345;
			copy[i] = k < ARRAY_SIZE(values) ? values[k] : (uint8_t)(seed >> 16);
			seal(copy, printed.len);
			n++;
			if (generation_parse(copy, printed.len, &c, NULL)) {
				refused++;
				assert_null(c);
				continue;
			}
			assert_true(c->workers <= 64);
			assert_non_null(c->listens[0].profile_ref);
			conf_unref(&c);
		}
	}
	assert_true(refused > n / 4);
	free(copy);
}

static void bytes_behind_the_end_are_refused(void **state UNUSED)
{
	uint8_t *copy = calloc(1, printed.len + 8);
	struct conf *c;

	assert_non_null(copy);
	memcpy(copy, printed.p, printed.len - HASH_SHA256_LEN);
	seal(copy, printed.len + 8);
	assert_int_equal(generation_parse(copy, printed.len + 8, &c, NULL), ERR_BAD_MESSAGE);
	free(copy);
}

static void a_small_buffer_is_full(void **state UNUSED)
{
	struct conf *c = conf_new();
	struct buf b;

	assert_non_null(c);
	buf_init(&b, 100);
	assert_int_equal(generation_print(c, GENERATION_FOR_PROXY, &b), ERR_FULL);
	buf_fini(&b);
	conf_unref(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(secrets_only_where_asked_for),
		cmocka_unit_test(secrets_of_the_box),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_byte_is_refused),
		cmocka_unit_test(hostile_bodies_do_no_harm),
		cmocka_unit_test(bytes_behind_the_end_are_refused),
		cmocka_unit_test(a_small_buffer_is_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
