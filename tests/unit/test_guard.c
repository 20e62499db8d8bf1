/* SPDX-License-Identifier: MIT */
/*
 * Every denied range: first, last, inside and both neighbours; names, ports and origins.
 */
#include "config.h"

#include "media/guard.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "unit.h"

static struct guard *guard_with(const char *const *allow, size_t allow_n, const char *const *deny,
				size_t deny_n)
{
	struct conf *c = conf_new();
	struct guard *g;

	assert_non_null(c);
	c->fetch.allow_origin = (struct conf_list){ (char **)(uintptr_t)allow, allow_n };
	c->fetch.deny_network = (struct conf_list){ (char **)(uintptr_t)deny, deny_n };
	g = guard_new(&c->fetch);
	assert_non_null(g);
	c->fetch.allow_origin = c->fetch.deny_network = (struct conf_list){ 0 };
	conf_unref(&c);
	return g;
}

static bool allows(const struct guard *g, const char *text)
{
	struct sockaddr_storage ss = { 0 };

	if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&ss)->sin_addr) == 1) {
		ss.ss_family = AF_INET;
	} else {
		assert_int_equal(
			inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&ss)->sin6_addr), 1);
		ss.ss_family = AF_INET6;
	}
	return guard_allows_address(g, (struct sockaddr *)&ss);
}

/* first, inside, last: denied. before, after: allowed, unless "". */
static const struct {
	const char *first, *inside, *last, *before, *after;
} ranges[] = {
	{ "0.0.0.0", "0.1.2.3", "0.255.255.255", "", "1.0.0.0" },
	{ "10.0.0.0", "10.9.8.7", "10.255.255.255", "9.255.255.255", "11.0.0.0" },
	{ "100.64.0.0", "100.100.100.200", "100.127.255.255", "100.63.255.255", "100.128.0.0" },
	{ "127.0.0.0", "127.0.0.1", "127.255.255.255", "126.255.255.255", "128.0.0.0" },
	{ "169.254.0.0", "169.254.169.254", "169.254.255.255", "169.253.255.255", "169.255.0.0" },
	{ "172.16.0.0", "172.20.1.1", "172.31.255.255", "172.15.255.255", "172.32.0.0" },
	{ "192.0.0.0", "192.0.0.192", "192.0.0.255", "191.255.255.255", "192.0.1.0" },
	{ "192.0.2.0", "192.0.2.1", "192.0.2.255", "192.0.1.255", "192.0.3.0" },
	{ "192.31.196.0", "192.31.196.9", "192.31.196.255", "192.31.195.255", "192.31.197.0" },
	{ "192.52.193.0", "192.52.193.9", "192.52.193.255", "192.52.192.255", "192.52.194.0" },
	{ "192.88.99.0", "192.88.99.1", "192.88.99.255", "192.88.98.255", "192.88.100.0" },
	{ "192.168.0.0", "192.168.1.1", "192.168.255.255", "192.167.255.255", "192.169.0.0" },
	{ "192.175.48.0", "192.175.48.6", "192.175.48.255", "192.175.47.255", "192.175.49.0" },
	{ "198.18.0.0", "198.18.200.1", "198.19.255.255", "198.17.255.255", "198.20.0.0" },
	{ "198.51.100.0", "198.51.100.1", "198.51.100.255", "198.51.99.255", "198.51.101.0" },
	{ "203.0.113.0", "203.0.113.1", "203.0.113.255", "203.0.112.255", "203.0.114.0" },
	{ "224.0.0.0", "239.255.255.250", "239.255.255.255", "223.255.255.255", "" },
	{ "240.0.0.0", "250.1.2.3", "255.255.255.255", "", "" },
	{ "168.63.129.16", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17" },
	{ "::", "64:ff9b::8.8.8.8", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::" },
	{ "4000::", "fc00::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },
	{ "2001::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
	  "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "2001:200::" },
	{ "2001:db8::", "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
	  "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
	{ "2002::", "2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::" },
	{ "3fff::", "3fff:abc::1", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::" },
	{ "2620:4f:8000::", "2620:4f:8000::1", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
	  "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::" },
};

static void test_ranges(void **state UNUSED)
{
	struct guard *g = guard_with(NULL, 0, NULL, 0);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (allows(g, ranges[i].first) || allows(g, ranges[i].inside) ||
		    allows(g, ranges[i].last))
			fail_msg("allowed in the range from %s", ranges[i].first);
		if (ranges[i].before[0] && !allows(g, ranges[i].before))
			fail_msg("denied: %s", ranges[i].before);
		if (ranges[i].after[0] && !allows(g, ranges[i].after))
			fail_msg("denied: %s", ranges[i].after);
	}
	guard_free(&g);
}

/* The same IPv4 ranges within IPv6: mapped, and as the end of an ISATAP address. */
static void test_ranges_within_ipv6(void **state UNUSED)
{
	static const char *const ways[] = { "::ffff:", "2a00:1::5efe:", "2a00:1::200:5efe:" };
	struct guard *g = guard_with(NULL, 0, NULL, 0);
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		const char *const bad[] = { ranges[i].first, ranges[i].inside, ranges[i].last };
		const char *const good[] = { ranges[i].before, ranges[i].after };
		char text[INET6_ADDRSTRLEN + 32];
		size_t n;

		if (strchr(ranges[i].first, ':'))
			continue;
		for (k = 0; k < ARRAY_SIZE(ways); k++) {
			for (n = 0; n < ARRAY_SIZE(bad); n++) {
				snprintf(text, sizeof(text), "%s%s", ways[k], bad[n]);
				if (allows(g, text))
					fail_msg("allowed: %s", text);
			}
			for (n = 0; n < ARRAY_SIZE(good); n++) {
				snprintf(text, sizeof(text), "%s%s", ways[k], good[n]);
				if (good[n][0] && !allows(g, text))
					fail_msg("denied: %s", text);
			}
		}
	}
	guard_free(&g);
}

static void test_single_addresses(void **state UNUSED)
{
	static const char *const bad[] = {
		"::1",
		"::ffff:127.0.0.1",
		"::ffff:10.0.0.1",
		"::ffff:0.0.0.0",
		"::127.0.0.1",
		"::8.8.8.8",
		"::ffff:0:8.8.8.8",
		"64:ff9b::127.0.0.1",
		"64:ff9b:1::10.0.0.1",
		"100::1",
		"5f00::1",
		"fd00:ec2::254",
		"fe80::1",
		"fec0::1",
		"ff02::1",
		"2002:7f00:1::",
		"2001:10::1",
		"2001:20::1",
		"2001:30::1",
		"2001:2::1",
		"2a00:1::5efe:7f00:1",
		"2a00:1::200:5efe:a00:1",
		"::ffff:169.254.169.254",
	};
	static const char *const good[] = {
		"1.1.1.1",
		"8.8.8.8",
		"93.184.216.34",
		"2606:4700:4700::1111",
		"2a00:1450:4001:81b::200e",
		"::ffff:8.8.8.8",
		"2a00:1::5efe:808:808",
		"2a00:1::200:5efe:808:808",
		"2a00:1::1:5efe:7f00:1",
	};
	struct sockaddr other = { .sa_family = AF_UNIX };
	struct guard *g = guard_with(NULL, 0, NULL, 0);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (allows(g, bad[i]))
			fail_msg("allowed: %s", bad[i]);
	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (!allows(g, good[i]))
			fail_msg("denied: %s", good[i]);
	assert_false(guard_allows_address(g, &other));
	guard_free(&g);
}

static void test_deny_network(void **state UNUSED)
{
	static const char *const deny[] = { "8.8.8.0/23", "2a00:1450::/33", "1.1.1.1/32",
					    "2606::/0" };
	struct guard *g = guard_with(NULL, 0, deny, 3);

	assert_false(allows(g, "8.8.8.0"));
	assert_false(allows(g, "8.8.9.255"));
	assert_false(allows(g, "::ffff:8.8.8.8"));
	assert_true(allows(g, "8.8.10.0"));
	assert_true(allows(g, "8.8.7.255"));
	assert_false(allows(g, "1.1.1.1"));
	assert_true(allows(g, "1.1.1.2"));
	assert_false(allows(g, "2a00:1450:7fff::1"));
	assert_true(allows(g, "2a00:1450:8000::1"));
	guard_free(&g);
	g = guard_with(NULL, 0, deny, 4);
	assert_false(allows(g, "2a00:1::1"));
	guard_free(&g);
}

/* Whatever addresses this machine has, it is not to be fetched from. */
static void test_local(void **state UNUSED)
{
	struct guard *g = guard_with(NULL, 0, NULL, 0);
	struct ifaddrs *all, *i;

	assert_int_equal(getifaddrs(&all), 0);
	for (i = all; i; i = i->ifa_next)
		if (i->ifa_addr &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			assert_false(guard_allows_address(g, i->ifa_addr));
	freeifaddrs(all);
	assert_int_equal(guard_refresh(g), 0);
	guard_free(&g);
}

static void test_names(void **state UNUSED)
{
	static const char *const bad[] = { "localhost",     "ip6-localhost",
					   "printer.local", "x.onion",
					   "x.i2p",         "metadata.google.internal",
					   "nas.home.arpa", "home.arpa",
					   "a.localhost" };
	static const char *const good[] = { "example.org", "local.example.org", "xonion.net",
					    "internal.com" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(guard_allows_name(bad[i]));
	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(guard_allows_name(good[i]));
}

static bool exempt(const struct guard *g, const char *url)
{
	struct target t;
	bool yes;

	assert_int_equal(target_parse(&t, url, NULL), 0);
	yes = guard_is_exempt(g, &t);
	target_fini(&t);
	return yes;
}

static void test_origins(void **state UNUSED)
{
	static const char *const allow[] = { "http://127.0.0.1:8080", "https://Upload.Local",
					     "http://[::1]:81" };
	struct guard *g = guard_with(allow, 3, NULL, 0);

	assert_true(exempt(g, "http://127.0.0.1:8080/a?b"));
	assert_true(exempt(g, "HTTP://2130706433:8080/"));
	assert_false(exempt(g, "http://127.0.0.1:8081/"));
	assert_false(exempt(g, "http://127.0.0.1/"));
	assert_false(exempt(g, "http://127.0.0.2:8080/"));
	assert_false(exempt(g, "https://127.0.0.1:8080/"));
	assert_true(exempt(g, "https://upload.local:443/x"));
	assert_false(exempt(g, "http://upload.local/x"));
	assert_false(exempt(g, "https://x.upload.local/x"));
	assert_true(exempt(g, "http://[0:0::1]:81/"));
	assert_true(guard_allows_port(g, 443));
	assert_false(guard_allows_port(g, 22));
	assert_false(guard_allows_port(g, 8080));
	guard_free(&g);
}

static void test_targets(void **state UNUSED)
{
	static const char *const bad[] = {
		"http://4294967296/",
		"http://256.256.256.256/",
		"http://[::1%lo]/",
		"http://[fe80::1%25lo]/",
		"http://127.0.0.1./",
		"http://localhost./",
		"http://127.0.0.1%00.example.com/",
		"http://1.1.1.1&@127.0.0.1/",
		"http://1.1.1.1 @127.0.0.1/",
		"http://a\\@127.0.0.1/",
		"http://user:pw@127.0.0.1/",
		"http://user@example.org/",
		"http:\\\\127.0.0.1\\",
		"http:127.0.0.1/",
		"http://127.0.0.1:80:80/",
		"http://127.0.0.1:0/",
		"http://127.0.0.1:65536/",
		"127.0.0.1",
		"ftp.example.com",
		"http://127.0.0.1\n/",
		"http://127.0.0.1\t/",
		" http://127.0.0.1/",
		"file:///etc/passwd",
		"file://localhost/etc/passwd",
		"gopher://127.0.0.1:70/x",
		"dict://127.0.0.1:11211/stat",
		"ftp://example.org/",
		"http:///",
		"http://",
		"",
		"http://a..b/",
		"http://\xe2\x91\xa0\xe2\x91\xa1/",
		"http://127\343\200\2020.0.1/",
		"http://x.0x7f/",
	};
	static const char *const loopback[] = {
		"http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
		"http://127.1/",      "http://0x7f.1/",     "http://%31%32%37.0.0.1/",
		"http:/127.0.0.1/",   "http:///127.0.0.1/", "http://127.0.0.1:/",
		"HTTP://127.0.0.1/",
	};
	struct target t, next;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (target_parse(&t, bad[i], NULL) == 0)
			fail_msg("parsed: %s as %s", bad[i], t.origin);
	for (i = 0; i < ARRAY_SIZE(loopback); i++) {
		assert_int_equal(target_parse(&t, loopback[i], NULL), 0);
		assert_true(t.is_numeric);
		assert_string_equal(t.origin, "http://127.0.0.1:80");
		target_fini(&t);
	}
	assert_int_equal(target_parse(&t, "https://Example.COM/a/b?c#d@e", NULL), 0);
	assert_string_equal(t.text, "https://example.com/a/b?c");
	assert_int_equal(target_parse(&next, "../x#y", &t), 0);
	assert_string_equal(next.text, "https://example.com/x");
	target_fini(&next);
	assert_int_equal(target_parse(&next, "//other.example:81/z", &t), 0);
	assert_string_equal(next.origin, "https://other.example:81");
	target_fini(&next);
	assert_int_not_equal(target_parse(&next, "//u:p@other.example/z", &t), 0);
	assert_int_not_equal(target_parse(&next, "file:///etc/passwd", &t), 0);
	target_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_ranges_within_ipv6),
		cmocka_unit_test(test_single_addresses),
		cmocka_unit_test(test_deny_network),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
