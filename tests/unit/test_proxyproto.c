/* SPDX-License-Identifier: MIT */
/*
 * test_proxyproto - headers cut at every byte, one byte short, one byte too many, and what is
 * no header; and what is printed is read again.
 */
#include "config.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "stream/proxyproto.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BOTH      (PROXYPROTO_V1 | PROXYPROTO_V2)

/* First `cut` bytes, then the rest; data stand behind the header. */
static int read_cut(const void *bytes, size_t len, size_t cut, unsigned versions, size_t *taken,
		    struct proxyproto_ends *ends)
{
	struct proxyproto pp = { 0 };
	const uint8_t *p = bytes;
	size_t used;
	int rc;

	rc = proxyproto_feed(&pp, versions, p, cut, &used, ends);
	*taken = used;
	if (rc != ERR_AGAIN || cut == len)
		return rc;
	assert_int_equal(used, cut);
	rc = proxyproto_feed(&pp, versions, p + cut, len - cut, &used, ends);
	*taken += used;
	return rc;
}

static void check(const void *bytes, size_t len, int wanted, const char *from, unsigned port)
{
	struct proxyproto_ends ends;
	char text[INET6_ADDRSTRLEN];
	uint8_t *more = malloc(len + 5);
	size_t cut, taken;
	int rc;

	assert_non_null(more);
	memcpy(more, bytes, len);
	memcpy(more + len, "<?xml", 5);
	for (cut = 0; cut <= len; cut++) {
		rc = read_cut(more, len + 5, cut, BOTH, &taken, &ends);
		if (rc != wanted)
			fail_msg("cut at %zu: %d", cut, rc);
		if (rc)
			continue;
		assert_int_equal(taken, len);
		assert_int_equal(ends.known, from != NULL);
		if (!from)
			continue;
		inet_ntop(ends.from.ss_family,
			  ends.from.ss_family == AF_INET
				  ? (void *)&((struct sockaddr_in *)&ends.from)->sin_addr
				  : (void *)&((struct sockaddr_in6 *)&ends.from)->sin6_addr,
			  text, sizeof(text));
		assert_string_equal(text, from);
		assert_int_equal(ntohs(((struct sockaddr_in *)&ends.from)->sin_port), port);
	}
	if (!wanted)
		for (cut = 0; cut < len; cut++)
			assert_int_equal(read_cut(more, cut, cut, BOTH, &taken, &ends), ERR_AGAIN);
	free(more);
}

static void check_text(const char *text, int wanted, const char *from, unsigned port)
{
	check(text, strlen(text), wanted, from, port);
}

static void test_version_1(void **state UNUSED)
{
	check_text("PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222\r\n", 0, "192.0.2.7", 4711);
	check_text("PROXY TCP6 2001:db8::7 2001:db8::1 65535 0\r\n", 0, "2001:db8::7", 65535);
	check_text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		   0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	check_text("PROXY UNKNOWN\r\n", 0, NULL, 0);
	check_text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", 0, NULL, 0);
}

static void test_version_1_malformed(void **state UNUSED)
{
	static const char *const bad[] = {
		"PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222 1\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 4711 5222 \r\n",
		"PROXY TCP4  192.0.2.7 198.51.100.1 4711 5222\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 65536 5222\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 -1 5222\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 +1 5222\r\n",
		"PROXY TCP4 192.0.2.7 198.51.100.1 x 5222\r\n",
		"PROXY TCP4 192.0.2.777 198.51.100.1 1 5222\r\n",
		"PROXY TCP4 ::1 ::1 1 5222\r\n",
		"PROXY TCP6 192.0.2.7 198.51.100.1 1 5222\r\n",
		"PROXY TCP5 192.0.2.7 198.51.100.1 1 5222\r\n",
		"PROXY UDP4 192.0.2.7 198.51.100.1 1 5222\r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY \r\n",
		"PROXY\r\n",
		"proxy TCP4 192.0.2.7 198.51.100.1 1 5222\r\n",
		"<?xml version='1.0'?>",
		"\x16\x03\x01",
		"\r\n\r\n",
	};
	char endless[200];
	size_t i;

	for (i = 0; i + 1 < ARRAY_SIZE(bad); i++)
		check_text(bad[i], ERR_SYNTAX, NULL, 0);
	memset(endless, '1', sizeof(endless));
	memcpy(endless, "PROXY TCP4 ", 11);
	check(endless, sizeof(endless), ERR_SYNTAX, NULL, 0);
	check("PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", 34, ERR_SYNTAX, NULL, 0);
}

static void test_version_2(void **state UNUSED)
{
	static const char four[] =
		SIGNATURE "\x21\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66";
	static const char tlv[] =
		SIGNATURE "\x21\x11\0\x13\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66\x01\0\4xmpp";
	static const char six[] = SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
					    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
					    "\x12\x67\x14\x66";
	static const char local[] = SIGNATURE "\x20\0\0\0";
	static const char local_more[] = SIGNATURE "\x20\x11\0\x0c\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char unspec[] = SIGNATURE "\x21\0\0\3abc";

	check(four, sizeof(four) - 1, 0, "192.0.2.7", 4711);
	check(tlv, sizeof(tlv) - 1, 0, "192.0.2.7", 4711);
	check(six, sizeof(six) - 1, 0, "2001:db8::7", 4711);
	check(local, sizeof(local) - 1, 0, NULL, 0);
	check(local_more, sizeof(local_more) - 1, 0, NULL, 0);
	check(unspec, sizeof(unspec) - 1, 0, NULL, 0);
}

static void test_version_2_malformed(void **state UNUSED)
{
	static const char version[] =
		SIGNATURE "\x11\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66";
	static const char command[] =
		SIGNATURE "\x22\x11\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66";
	static const char udp[] =
		SIGNATURE "\x21\x12\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66";
	static const char empty[] = SIGNATURE "\x21\x11\0\0";
	static const char small[] =
		SIGNATURE "\x21\x21\0\x0c\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66";
	static const char tlv[] =
		SIGNATURE "\x21\x11\0\x0f\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66\x01\0\1";
	static const char torn[] =
		SIGNATURE "\x21\x11\0\x0e\xc0\0\2\7\xc6\x33\x64\1\x12\x67\x14\x66\x01\0";
	static const char huge[] = SIGNATURE "\x21\x11\xff\xff";

	check(version, sizeof(version) - 1, ERR_SYNTAX, NULL, 0);
	check(command, sizeof(command) - 1, ERR_SYNTAX, NULL, 0);
	check(udp, sizeof(udp) - 1, ERR_SYNTAX, NULL, 0);
	check(empty, sizeof(empty) - 1, ERR_SYNTAX, NULL, 0);
	check(small, sizeof(small) - 1, ERR_SYNTAX, NULL, 0);
	check(tlv, sizeof(tlv) - 1, ERR_SYNTAX, NULL, 0);
	check(torn, sizeof(torn) - 1, ERR_SYNTAX, NULL, 0);
	check(huge, sizeof(huge) - 1, ERR_SYNTAX, NULL, 0);
}

static void test_only_the_versions_asked_for(void **state UNUSED)
{
	static const char one[] = "PROXY UNKNOWN\r\n", two[] = SIGNATURE "\x20\0\0\0";
	struct proxyproto_ends ends;
	size_t taken;

	assert_int_equal(read_cut(one, sizeof(one) - 1, 0, PROXYPROTO_V1, &taken, &ends), 0);
	assert_int_equal(read_cut(one, sizeof(one) - 1, 0, PROXYPROTO_V2, &taken, &ends),
			 ERR_SYNTAX);
	assert_int_equal(read_cut(two, sizeof(two) - 1, 0, PROXYPROTO_V2, &taken, &ends), 0);
	assert_int_equal(read_cut(two, sizeof(two) - 1, 0, PROXYPROTO_V1, &taken, &ends),
			 ERR_SYNTAX);
}

static void fill(struct sockaddr_storage *ss, int family, const char *text, uint16_t port)
{
	*ss = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	((struct sockaddr_in *)ss)->sin_port = htons(port);
	assert_int_equal(inet_pton(family, text,
				   family == AF_INET
					   ? (void *)&((struct sockaddr_in *)ss)->sin_addr
					   : (void *)&((struct sockaddr_in6 *)ss)->sin6_addr),
			 1);
}

static void test_print(void **state UNUSED)
{
	const struct proxyproto_tls tls = { "TLSv1.3", "TLS_AES_256_GCM_SHA384", "example.org",
					    "xmpp-client" };
	struct proxyproto_ends ends = { .known = true };
	struct buf b;
	int version;

	for (version = PROXYPROTO_V1; version <= PROXYPROTO_V2; version++) {
		fill(&ends.from, AF_INET, "192.0.2.7", 4711);
		fill(&ends.to, AF_INET, "198.51.100.1", 5222);
		buf_init(&b, 4096);
		assert_int_equal(proxyproto_print(&b, version, &ends, &tls), 0);
		check(b.p, b.len, 0, "192.0.2.7", 4711);
		if (version == PROXYPROTO_V2)
			assert_non_null(memmem(b.p, b.len,
					       "\x02\0\x0b"
					       "example.org",
					       14));
		buf_clear(&b);
		fill(&ends.from, AF_INET6, "2001:db8::7", 1);
		fill(&ends.to, AF_INET6, "2001:db8::1", 2);
		assert_int_equal(proxyproto_print(&b, version, &ends, NULL), 0);
		check(b.p, b.len, 0, "2001:db8::7", 1);
		buf_clear(&b);
		assert_int_equal(
			proxyproto_print(&b, version, &(struct proxyproto_ends){ 0 }, NULL), 0);
		if (version == PROXYPROTO_V1)
			check(b.p, b.len, 0, "0.0.0.0", 0);
		else
			check(b.p, b.len, 0, NULL, 0);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_version_1_malformed),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_version_2_malformed),
		cmocka_unit_test(test_only_the_versions_asked_for),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
