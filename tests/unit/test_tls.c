/* SPDX-License-Identifier: MIT */
/*
 * test_tls - struct tls on a socket pair, against an OpenSSL client whose bytes the test
 * passes on one by one, cuts off and damages.
 *
 * Certificates are made here. Real clients are test_tls.py's.
 */
#include "config.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "stream/tls.h"

static struct conf *conf;
static struct conf_listen *listener;

/* A self-signed certificate with its key, as PEM. */
static char *make_key(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	X509_EXTENSION *names;
	char text[128], *out, *p;
	long len;

	assert_non_null(key);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	snprintf(text, sizeof(text), "DNS:%s", name);
	names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
	X509_add_ext(x, names, -1);
	X509_EXTENSION_free(names);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	PEM_write_bio_X509(bio, x);
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	len = BIO_get_mem_data(bio, &p);
	out = strndup(p, (size_t)len);
	BIO_free(bio);
	X509_free(x);
	EVP_PKEY_free(key);
	return out;
}

static void listen_add_key(const char *name)
{
	struct conf_list *lists[] = { &listener->certificates, &listener->keys };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		struct conf_list *l = lists[i];

		l->v = reallocarray(l->v, l->n + 1, sizeof(*l->v));
		assert_non_null(l->v);
		l->v[l->n++] = i ? make_key(name) : strdup(name);
	}
}

static int setup(void **state UNUSED)
{
	signal(SIGPIPE, SIG_IGN);
	conf = conf_new();
	listener = conf_add_listen(conf, "main");
	if (!listener)
		return -1;
	listen_add_key("a.example");
	listen_add_key("b.example");
	return 0;
}

static int teardown(void **state UNUSED)
{
	conf_unref(&conf);
	return 0;
}

static long handshake_bytes; /* from the client; test_cut_at_every_byte finds out */

/* --- a pair ---------------------------------------------------------------------------- */

/* The client writes into and reads from memory; `wire` is the other end of the server's socket. */
static struct pair {
	struct tls_context *context;
	struct tls *server;
	SSL_CTX *ctx;
	SSL *client;
	BIO *in, *out;
	int fd, wire;
	bool secured;
} t;

static void pair_open(const char *sni, const char *domain)
{
	int fds[2];

	t.context = tls_context_get(conf, listener, false, NULL);
	assert_non_null(t.context);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t.fd = fds[0];
	t.wire = fds[1];
	t.server = tls_new(t.context, t.fd, domain);
	assert_non_null(t.server);
	t.ctx = SSL_CTX_new(TLS_client_method());
	t.client = SSL_new(t.ctx);
	t.in = BIO_new(BIO_s_mem());
	t.out = BIO_new(BIO_s_mem());
	SSL_set_bio(t.client, t.in, t.out);
	SSL_set_connect_state(t.client);
	if (sni)
		SSL_ctrl(t.client, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			 (void *)(uintptr_t)sni);
	t.secured = false;
}

static void pair_close(void)
{
	tls_free(&t.server);
	tls_context_put(&t.context);
	SSL_free(t.client);
	SSL_CTX_free(t.ctx);
	close(t.fd);
	if (t.wire != -1)
		close(t.wire);
	ERR_clear_error();
}

/* What the server has written, to the client. */
static void pull(void)
{
	char buf[16384];
	ssize_t n;

	while ((n = read(t.wire, buf, sizeof(buf))) > 0)
		BIO_write(t.in, buf, (int)n);
}

/* One byte from the client to the server, damaged by `flip`. False: it has none. */
static bool push_byte(uint8_t flip)
{
	uint8_t c;

	if (BIO_read(t.out, &c, 1) != 1)
		return false;
	c ^= flip;
	assert_int_equal(write(t.wire, &c, 1), 1);
	return true;
}

/* Handshake byte by byte; the byte number `bad` is damaged. 0, or what the server said. */
static int shake(long bad)
{
	long n = 0;
	int rc = ERR_AGAIN, turns;

	for (turns = 0; turns < 20; turns++) {
		int done = SSL_do_handshake(t.client);

		while (BIO_pending(t.out)) {
			push_byte(n++ == bad ? 0x20 : 0);
			if (!t.secured)
				rc = tls_handshake(t.server);
			if (rc == 0)
				t.secured = true;
			else if (rc != ERR_AGAIN)
				return rc;
		}
		pull();
		if (done == 1 && t.secured)
			return 0;
	}
	return ERR_AGAIN;
}

static void test_byte_by_byte(void **state UNUSED)
{
	char text[40000], got[40000];
	size_t len = 0, i;
	ssize_t n;

	pair_open("a.example", NULL);
	assert_int_equal(shake(-1), 0);
	assert_string_equal(tls_version(t.server), "TLSv1.3");
	memset(text, 'x', sizeof(text));
	for (i = 0; i < sizeof(text); i += 97)
		text[i] = (char)i;
	assert_int_equal(SSL_write(t.client, text, sizeof(text)), sizeof(text));
	while (push_byte(0)) {
		n = tls_read(t.server, got + len, sizeof(got) - len);
		if (n != ERR_AGAIN) {
			assert_true(n > 0);
			len += (size_t)n;
		}
	}
	while ((n = tls_read(t.server, got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	assert_int_equal(len, sizeof(text));
	assert_memory_equal(got, text, len);
	assert_int_equal(tls_read(t.server, got, sizeof(got)), ERR_AGAIN);
	assert_false(tls_wants_write(t.server));
	/* The client's end. */
	SSL_shutdown(t.client);
	while (push_byte(0))
		;
	assert_int_equal(tls_read(t.server, got, sizeof(got)), 0);
	assert_int_equal(tls_read(t.server, got, sizeof(got)), 0);
	/* Half closed: the other way still works. */
	assert_int_equal(tls_write(t.server, "later", 5), 5);
	tls_close_notify(t.server);
	pull();
	assert_int_equal(SSL_read(t.client, got, sizeof(got)), 5);
	assert_int_equal(SSL_read(t.client, got, sizeof(got)), 0);
	assert_int_equal(SSL_get_error(t.client, 0), SSL_ERROR_ZERO_RETURN);
	pair_close();
}

/* A peer that reads nothing: what was taken comes, in order, when it reads again. */
static void test_full_socket(void **state UNUSED)
{
	static char block[100000], got[200000];
	size_t sent = 0, received = 0, i;
	ssize_t n;
	int turns;

	pair_open("a.example", NULL);
	assert_int_equal(shake(-1), 0);
	for (i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 >> 3);
	for (turns = 0; sent < 40 * sizeof(block) && turns < 100000; turns++) {
		size_t at = sent % sizeof(block);

		n = tls_write(t.server, block + at, sizeof(block) - at);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		assert_int_equal(n, ERR_AGAIN);
		assert_true(tls_wants_write(t.server));
		pull();
		while ((n = SSL_read(t.client, got, sizeof(got))) > 0)
			for (i = 0; i < (size_t)n; i++, received++)
				if (got[i] != block[received % sizeof(block)])
					fail_msg("byte %zu", received);
	}
	pull();
	while ((n = SSL_read(t.client, got, sizeof(got))) > 0)
		received += (size_t)n;
	assert_int_equal(received, sent);
	pair_close();
}

static void test_cut_at_every_byte(void **state UNUSED)
{
	long cut, most = 0;
	char c;

	for (cut = 0; cut == 0 || most == 0; cut++) {
		long n = 0;
		int rc = ERR_AGAIN, turns;

		pair_open("a.example", NULL);
		for (turns = 0; turns < 10 && n < cut && rc == ERR_AGAIN; turns++) {
			(void)SSL_do_handshake(t.client);
			while (n < cut && push_byte(0)) {
				n++;
				rc = tls_handshake(t.server);
				if (rc != ERR_AGAIN)
					break;
			}
			pull();
		}
		if (rc == 0) {
			most = n;
			handshake_bytes = n;
		} else {
			assert_int_equal(rc, ERR_AGAIN);
			close(t.wire);
			t.wire = -1;
			rc = tls_handshake(t.server);
			assert_true(rc == ERR_CLOSED || rc == ERR_TLS);
			assert_true(strlen(tls_error(t.server)) > 0);
			rc = (int)tls_read(t.server, &c, 1);
			assert_true(rc == ERR_CLOSED || rc == 0);
		}
		pair_close();
	}
	assert_in_range(most, 200, 5000);
}

/*
 * Any byte of the handshake: it does not succeed. But for the version of the client's first
 * record, bytes 1 and 2, which nobody may look at (RFC 8446 5.1).
 */
static void test_damage_at_every_byte(void **state UNUSED)
{
	unsigned failed = 0;
	long bad;

	for (bad = 0; bad < 600; bad++) {
		bool secured;

		pair_open("a.example", NULL);
		secured = shake(bad) == 0;
		failed += !secured;
		if (secured && bad > 2 && bad < handshake_bytes)
			fail_msg("byte %ld damaged, and nobody minds", bad);
		pair_close();
	}
	assert_in_range(failed, handshake_bytes - 2, handshake_bytes);
}

static void check_name(const char *sni, const char *domain, const char *wanted)
{
	X509 *x;

	pair_open(sni, domain);
	assert_int_equal(shake(-1), 0);
	x = SSL_get1_peer_certificate(t.client);
	assert_int_equal(X509_check_host(x, wanted, 0, 0, NULL), 1);
	X509_free(x);
	pair_close();
}

static void test_choice_of_certificate(void **state UNUSED)
{
	check_name("a.example", NULL, "a.example");
	check_name("b.example", NULL, "b.example");
	check_name("B.Example", NULL, "b.example");
	check_name("c.example", NULL, "a.example");
	check_name(NULL, NULL, "a.example");
	check_name(NULL, "b.example", "b.example");
	check_name(NULL, "", "a.example");
	check_name("a.example", "b.example", "a.example");
}

static void test_versions(void **state UNUSED)
{
	pair_open("a.example", NULL);
	SSL_set_max_proto_version(t.client, TLS1_2_VERSION);
	assert_int_equal(shake(-1), 0);
	assert_string_equal(tls_version(t.server), "TLSv1.2");
	/* RFC 5746 or not: no renegotiation. */
	assert_int_equal(SSL_renegotiate(t.client), 1);
	(void)SSL_do_handshake(t.client);
	while (push_byte(0))
		;
	assert_int_equal(tls_read(t.server, &(char){ 0 }, 1), ERR_AGAIN);
	pull();
	assert_int_equal(SSL_do_handshake(t.client), -1);
	pair_close();
	pair_open("a.example", NULL);
	SSL_set_security_level(t.client, 0);
	SSL_set_min_proto_version(t.client, TLS1_VERSION);
	SSL_set_max_proto_version(t.client, TLS1_1_VERSION);
	assert_int_equal(shake(-1), ERR_TLS);
	pair_close();
}

static void test_keys_that_are_none(void **state UNUSED)
{
	char *good = listener->keys.v[1], nonsense[] = "-----BEGIN CERTIFICATE-----\nAAAA\n";
	struct err_msg msg = { 0 };

	listener->keys.v[1] = nonsense;
	assert_null(tls_context_get(conf, listener, false, &msg));
	assert_true(strlen(msg.text) > 0);
	listener->keys.v[1] = good;
	t.context = tls_context_get(conf, listener, false, NULL);
	assert_non_null(t.context);
	assert_ptr_equal(tls_context_get(conf, listener, false, NULL), t.context);
	tls_context_put(&(struct tls_context *){ t.context });
	tls_context_put(&t.context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_damage_at_every_byte),
		cmocka_unit_test(test_choice_of_certificate),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_keys_that_are_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
