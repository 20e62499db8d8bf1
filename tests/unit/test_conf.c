/* SPDX-License-Identifier: MIT */
/*
 * test_conf - values of every type, the edges of every row, and that every wrong value in a
 * file is named with its line. Generations: test_generation.c; -t and exit codes:
 * integration/test_processes.py.
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

#include "base/counters.h"
#include "conf/address.h"
#include "conf/overlong.h"
#include "conf/read.h"
#include "conf/value.h"

static char path[64];

/* Writes a file and reads it; problems are the caller's to free. */
static int read_text(const char *text, const char *const *overrides, size_t n, struct conf **out,
		     struct conf_problems *problems)
{
	struct conf_source source = { .file = path, .overrides = overrides, .overrides_n = n };
	FILE *f;

	strcpy(path, "/tmp/test_conf.XXXXXX");
	f = fdopen(mkstemp(path), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	*problems = (struct conf_problems){ 0 };
	return conf_read(&source, out, problems);
}

#define LISTENER "listen = { a = { bind = \"127.0.0.1:5222\" upstream = \"127.0.0.1:15222\" } }\n"

/* The file has exactly one problem: that text at that line. */
static void assert_problem(const char *text, unsigned line, const char *what)
{
	struct conf_problems problems;
	struct conf *c;
	char start[128];

	assert_int_equal(read_text(text, NULL, 0, &c, &problems), ERR_CONFIG);
	unlink(path);
	assert_null(c);
	if (problems.n != 1)
		fail_msg("%zu problems in: %s (first: %s)", problems.n, text,
			 problems.n ? problems.v[0] : "");
	snprintf(start, sizeof(start), "%s:%u: ", path, line);
	if (strncmp(problems.v[0], start, strlen(start)) != 0 || !strstr(problems.v[0], what))
		fail_msg("\"%s\" has not: %s %s", problems.v[0], start, what);
	conf_problems_free(&problems);
}

static struct conf *assert_reads(const char *text)
{
	struct conf_problems problems;
	struct conf *c;
	int rc = read_text(text, NULL, 0, &c, &problems);

	unlink(path);
	if (rc)
		fail_msg("%s: %s", text, problems.n ? problems.v[0] : err_str(rc));
	conf_problems_free(&problems);
	return c;
}

static void defaults_are_what_the_table_says(void **state UNUSED)
{
	struct conf *c = assert_reads(LISTENER);

	assert_int_equal(c->drain_timeout, 1000);
	assert_int_equal(c->fetch.max_bytes, 10 * 1024 * 1024);
	assert_int_equal(c->scale.max_pixels, 28000000);
	assert_int_equal(c->limits.per_sender.count, 10);
	assert_int_equal(c->limits.per_sender.per_ms, 60000);
	assert_int_equal(c->fetch.ports.n, 6);
	assert_string_equal(c->fetch.ports.v[5], "7443");
	assert_int_equal(c->listens_n, 1);
	assert_int_equal(c->listens[0].directions, 1u << LANE_C2S);
	assert_ptr_equal(c->listens[0].profile_ref, &c->profiles[0]);
	assert_string_equal(c->profiles[0].name, "default");
	assert_ptr_equal(conf_listen_find(c, "a"), &c->listens[0]);
	assert_null(conf_listen_find(c, "b"));
	conf_unref(&c);
	assert_null(c);
}

static void built_in_profiles(void **state UNUSED)
{
	static const struct {
		const char *name;
		uint32_t formats;
		uint64_t side;
	} rows[] = {
		{ "default", 1u << CONF_FORMAT_BOB | 1u << CONF_FORMAT_SFS, 128 },
		{ "classic", 1u << CONF_FORMAT_IBB, 128 },
		{ "kontalk", 1u << CONF_FORMAT_BOB, 256 },
		{ "modern", 1u << CONF_FORMAT_SFS, 256 },
		/* Not sims, which changes how Converse.js shows a picture; not ibb, for Gajim; not
		 * http, which needs a box. */
		{ "everyone",
		  ((1u << CONF_FORMAT_COUNT) -
		   1) & ~(1u << CONF_FORMAT_SIMS | 1u << CONF_FORMAT_IBB | 1u << CONF_FORMAT_HTTP),
		  256 },
	};
	char text[512];
	struct conf *c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct conf_profile *p;

		snprintf(text, sizeof(text),
			 "listen = { a = { bind = \"0.0.0.0:5222\"  upstream = \"unix:/x\"  "
			 "profile = \"%s\" } }",
			 rows[i].name);
		c = assert_reads(text);
		p = c->listens[0].profile_ref;
		assert_string_equal(p->name, rows[i].name);
		assert_int_equal(p->formats, rows[i].formats);
		assert_int_equal(p->width, rows[i].side);
		assert_int_equal(p->height, rows[i].side);
		assert_int_equal(p->max_bytes, 8192);
		assert_false(p->links);
		assert_false(c->listens[0].links);
		conf_unref(&c);
	}
	/* A group of the same name changes what it names. */
	c = assert_reads(LISTENER
			 "profiles = { modern = { formats = [\"sims\", \"bob\"]  width = 64 "
			 " links = true } }");
	assert_int_equal(c->profiles_n, ARRAY_SIZE(rows));
	assert_string_equal(c->profiles[3].name, "modern");
	assert_int_equal(c->profiles[3].formats, 1u << CONF_FORMAT_SIMS | 1u << CONF_FORMAT_BOB);
	assert_int_equal(c->profiles[3].width, 64);
	assert_int_equal(c->profiles[3].height, 256);
	assert_true(c->listens[0].links); /* a rule may choose it */
	conf_unref(&c);
}

static void values_from_a_file(void **state UNUSED)
{
	struct conf *c =
		assert_reads("workers = 3\ndefault-action = \"pass\"\ndrain-timeout = \"1h\"\n"
			     "log = { level = \"debug\"  format = \"json\"  target = \"syslog\" }\n"
			     "profiles = { small = { width = 64  height = 48  type = \"image/png\" "
			     " max-bytes = 2048 }\n"
			     "             default = { width = 96 } }\n"
			     "listen = { a = { bind = [\"0.0.0.0:5222\", \"[0:0::0]:5222\"]  "
			     "upstream = \"unix:/run/x.sock\"\n"
			     "  directions = (\"c2s\", \"s2c\")  hold = \"3s\"  hold-s2c = 0  "
			     "profile = \"small\"  opaque = \"close\" } }\n"
			     "fetch = { ports = [1, 65535]  allow-origin = \"https://[::1]:8443\"  "
			     "deny-network = \"2001:db8::/32\" }\n"
			     "cache = { memory = \"16GiB\" }\nlimits = { per-sender = \"0\" }\nweb "
			     "= { bind = \"[::1]:80\" }\n");

	assert_int_equal(c->workers, 3);
	assert_int_equal(c->default_action, CONF_ACTION_PASS);
	assert_int_equal(c->drain_timeout, 3600000);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_int_equal(c->log.target, LOG_TARGET_SYSLOG);
	assert_int_equal(c->profiles_n, 6); /* the built-in ones, and one more */
	assert_int_equal(c->profiles[0].width, 96);
	assert_int_equal(c->listens[0].profile_ref->width, 64);
	assert_int_equal(c->listens[0].profile_ref->type, PICTURE_OUT_PNG);
	assert_string_equal(c->listens[0].bind.v[1], "[::]:5222");
	assert_string_equal(c->listens[0].upstream, "unix:/run/x.sock");
	assert_int_equal(c->listens[0].directions, 3);
	assert_int_equal(c->listens[0].hold_s2c, 0);
	assert_int_equal(c->listens[0].opaque, CONF_CLOSE);
	assert_int_equal(c->cache.memory, 16ULL << 30);
	assert_int_equal(c->limits.per_sender.count, 0);
	assert_string_equal(c->fetch.ports.v[0], "1");
	conf_unref(&c);
}

static void services_of_the_upload_group(void **state UNUSED)
{
	struct conf *c = assert_reads(
		"listen = { a = { bind = \"0.0.0.0:5222\"  upstream = \"unix:/x\"  caps = "
		"\"rewrite\" } }\n"
		"state-dir = \"/x\"  box-user = \"them\"\n"
		"upload = { bind = \"[::]:5280\"  public-url = \"https://m.example/box\"  domains "
		"= "
		"\"example.org\"\n  http-upload = true  max-bytes = \"1GiB\"  expire = \"7d\"\n"
		"  services = ( { node = \"a\"  accept = [\"image/png\", \"text/*\"] }, { node = "
		"\"b\"  name = \"B\"  uri = \"https://b.example\" } ) }\n");

	assert_int_equal(c->listens[0].caps, CONF_CAPS_REWRITE);
	assert_string_equal(c->upload.bind.v[0], "[::]:5280");
	assert_int_equal(c->upload.max_bytes, 1u << 30);
	assert_int_equal(c->upload.expire, 7 * 86400000);
	assert_true(c->upload.http_upload);
	assert_string_equal(c->state_dir, "/x");
	assert_string_equal(c->box_user, "them");
	assert_int_equal(c->services_n, 2);
	assert_string_equal(c->services[0].node, "a");
	assert_int_equal(c->services[0].accept.n, 2);
	assert_string_equal(c->services[0].name, "Kontalk dropbox service");
	assert_string_equal(c->services[1].uri, "https://b.example");
	assert_string_equal(c->services[1].accept.v[0], "*/*");
	conf_unref(&c);
	/* Without any there is the one that Kontalk's clients know. */
	c = assert_reads(LISTENER "upload = { domains = \"example.org\" }\n");
	assert_int_equal(c->services_n, 1);
	assert_string_equal(c->services[0].node, "kontalkbox");
	conf_unref(&c);
}

/* Each numeric row at its edges and one beyond, through the same function as file and -o. */
static void edges_of_every_row(void **state UNUSED)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];
		const char *unit = o->kind == CONF_KIND_TIME ? "ms" : "";
		enum conf_store store = conf_kind_store(o->kind);
		union {
			uint64_t u64;
			uint32_t u32;
		} field = { 0 };
		char text[64];

		if (store != CONF_STORE_U64 && store != CONF_STORE_U32)
			continue;
		assert_true(o->min <= o->max);
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)o->min, unit);
		assert_int_equal(value_set(o, &field, text, NULL), 0);
		assert_true(value_is_in_range(o, &field));
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)o->max, unit);
		assert_int_equal(value_set(o, &field, text, NULL), 0);
		assert_int_equal(store == CONF_STORE_U64 ? field.u64 : field.u32, o->max);
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)o->max + 1, unit);
		assert_int_equal(value_set(o, &field, text, NULL), ERR_SYNTAX);
		assert_int_equal(store == CONF_STORE_U64 ? field.u64 : field.u32, o->max);
		if (o->min == 0)
			continue;
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)o->min - 1, unit);
		assert_int_equal(value_set(o, &field, text, NULL), ERR_SYNTAX);
	}
}

static int set_number(const char *section_path, enum conf_section section, const char *text,
		      uint64_t *out)
{
	const struct conf_option *o = conf_option_find(section, section_path);
	uint64_t v = 0;
	int rc;

	assert_non_null(o);
	rc = value_set(o, &v, text, NULL);
	*out = v;
	return rc;
}

static void numbers_and_units(void **state UNUSED)
{
	static const char *const bad_sizes[] = { "",
						 "KiB",
						 "1 KiB",
						 "1kib",
						 "1KB",
						 "-1",
						 "+1",
						 " 1",
						 "1.5KiB",
						 "0x400",
						 "1e3",
						 "18446744073709551616",
						 "17179869184GiB",
						 "1KiBB",
						 "\xc2\xb9" };
	static const char *const bad_times[] = { "12", "1.5s", "s",   "1 s",
						 "1S", "1sec", "-1s", "99999999999999999999s" };
	uint64_t v;
	size_t i;

	assert_int_equal(set_number("max-bytes", CONF_FETCH, "1024", &v), 0);
	assert_int_equal(v, 1024);
	assert_int_equal(set_number("max-bytes", CONF_FETCH, "1MiB", &v), 0);
	assert_int_equal(v, 1048576);
	for (i = 0; i < ARRAY_SIZE(bad_sizes); i++)
		assert_int_equal(set_number("max-bytes", CONF_FETCH, bad_sizes[i], &v), ERR_SYNTAX);
	assert_int_equal(set_number("timeout", CONF_FETCH, "2s", &v), 0);
	assert_int_equal((uint32_t)v, 2000);
	for (i = 0; i < ARRAY_SIZE(bad_times); i++)
		assert_int_equal(set_number("timeout", CONF_FETCH, bad_times[i], &v), ERR_SYNTAX);
	assert_int_equal(set_number("max-pixels", CONF_SCALE, "28M", &v), 0);
	assert_int_equal(v, 28000000);
	assert_int_equal(set_number("max-pixels", CONF_SCALE, "28k", &v), 0);
	assert_int_equal(set_number("max-pixels", CONF_SCALE, "28KiB", &v), ERR_SYNTAX);
	assert_int_equal(set_number("max-pixels", CONF_SCALE, "28m", &v), ERR_SYNTAX);
}

static void units_are_printed_as_written(void **state UNUSED)
{
	char out[32];

	value_print_size(262144, out);
	assert_string_equal(out, "256KiB");
	value_print_size(1025, out);
	assert_string_equal(out, "1025");
	value_print_time(0, out);
	assert_string_equal(out, "0ms");
	value_print_time(90000, out);
	assert_string_equal(out, "90s");
	value_print_time(86400000, out);
	assert_string_equal(out, "1d");
}

static int set_rate(const char *text, struct conf_rate *r)
{
	return value_set(conf_option_find(CONF_LIMITS, "per-sender"), r, text, NULL);
}

static void rates(void **state UNUSED)
{
	static const char *const bad[] = { "10",
					   "10/",
					   "/1m",
					   "10/1",
					   "x/1m",
					   "10/1m/1m",
					   "10 / 1m",
					   "10/999ms",
					   "1000001/1m",
					   "10/2d",
					   "12345678901234567/1m" };
	struct conf_rate r;
	size_t i;

	assert_int_equal(set_rate("10/1m", &r), 0);
	assert_int_equal(r.count, 10);
	assert_int_equal(r.per_ms, 60000);
	assert_int_equal(set_rate("5/1s", &r), 0);
	assert_int_equal(r.per_ms, 1000);
	assert_int_equal(set_rate("", &r), 0);
	assert_int_equal(r.count, 0);
	assert_int_equal(set_rate("0/1m", &r), 0);
	assert_int_equal(r.count, 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (set_rate(bad[i], &r) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
}

/* One entry into an empty list of that option; what is kept of it goes to out. */
static int add_entry(enum conf_section section, const char *name, const char *text, char out[64])
{
	const struct conf_option *o = conf_option_find(section, name);
	struct conf_list l = { 0 };
	int rc = value_add(o, &l, text, NULL);

	snprintf(out, 64, "%s", l.n ? l.v[0] : "");
	value_clear(o, &l);
	return rc;
}

static void addresses(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "5222",
					   ":5222",
					   "0.0.0.0",
					   "0.0.0.0:",
					   "0.0.0.0:0",
					   "0.0.0.0:65536",
					   "0.0.0.0:x",
					   "1.2.3:5222",
					   "::1:5222",
					   "[::1]",
					   "[::1]5222",
					   "[::1]:",
					   "[127.0.0.1]:5222",
					   "localhost:5222",
					   "unix:/x",
					   "0.0.0.0:52 22",
					   "[::1",
					   "[fe80::1%eth0]:5222" };
	static const char *const bad_upstream[] = { "unix:",
						    "unix:x",
						    "nohost",
						    ":1",
						    "[localhost]:5222",
						    "host:0",
						    "does-not-exist.invalid:5222" };
	const struct conf_option *up = conf_option_find(CONF_LISTEN, "upstream");
	char out[64], *text = NULL, longest[200];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (add_entry(CONF_LISTEN, "bind", bad[i], out) != ERR_SYNTAX)
			fail_msg("%s", bad[i]);
	assert_int_equal(add_entry(CONF_LISTEN, "bind", "[0:0:0::1]:5222", out), 0);
	assert_string_equal(out, "[::1]:5222");
	assert_true(address_is_local("127.3.2.1:80"));
	assert_false(address_is_local("128.0.0.1:80"));
	assert_false(address_is_local("[::]:80"));

	assert_int_equal(value_set(up, &text, "localhost:15222", NULL), 0);
	assert_string_equal(text, "127.0.0.1:15222");
	for (i = 0; i < ARRAY_SIZE(bad_upstream); i++)
		if (value_set(up, &text, bad_upstream[i], NULL) != ERR_SYNTAX)
			fail_msg("%s", bad_upstream[i]);
	assert_string_equal(text, "127.0.0.1:15222");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "unix:/", 6);
	longest[5 + 107] = '\0';
	assert_int_equal(value_set(up, &text, longest, NULL), 0);
	longest[5 + 107] = 'x';
	longest[5 + 108] = '\0';
	assert_int_equal(value_set(up, &text, longest, NULL), ERR_SYNTAX);
	free(text);
}

static void networks_origins_servers_ports(void **state UNUSED)
{
	static const struct {
		const char *name, *text;
		bool good;
	} rows[] = {
		{ "deny-network", "10.0.0.0/8", true },
		{ "deny-network", "::/0", true },
		{ "deny-network", "10.0.0.0/33", false },
		{ "deny-network", "10.0.0.0", false },
		{ "deny-network", "10.0.0.0/", false },
		{ "deny-network", "::/129", false },
		{ "deny-network", "x/8", false },
		{ "allow-origin", "http://127.0.0.1:8080", true },
		{ "allow-origin", "https://upload.example.org", true },
		{ "allow-origin", "http://[::1]:80", true },
		{ "allow-origin", "http://[::1]", true },
		{ "allow-origin", "http://a/", false },
		{ "allow-origin", "ftp://a", false },
		{ "allow-origin", "http://", false },
		{ "allow-origin", "http://u@a", false },
		{ "allow-origin", "http://a:0", false },
		{ "allow-origin", "http://a:", false },
		{ "allow-origin", "http://[::1", false },
		{ "allow-origin", "http://[::1]x", false },
		{ "allow-origin", "http://[::1%25eth0]", false },
		{ "allow-origin", "a:80", false },
		{ "dns-servers", "192.0.2.53", true },
		{ "dns-servers", "192.0.2.53:53", true },
		{ "dns-servers", "::1", true },
		{ "dns-servers", "[::1]:53", true },
		{ "dns-servers", "dns.example", false },
		{ "dns-servers", "unix:/x", false },
		{ "ports", "1", true },
		{ "ports", "65535", true },
		{ "ports", "0", false },
		{ "ports", "65536", false },
		{ "ports", "80-90", false },
	};
	char out[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if ((add_entry(CONF_FETCH, rows[i].name, rows[i].text, out) == 0) != rows[i].good)
			fail_msg("%s %s", rows[i].name, rows[i].text);
}

static void every_kind_of_mistake_has_its_line(void **state UNUSED)
{
	assert_problem(LISTENER "workres = 1\n", 2, "did you mean \"workers\"");
	assert_problem(LISTENER "\n\nxyzzy = 1\n", 4, "no such setting");
	assert_problem(LISTENER "log = 5\n", 2, "a group is needed");
	assert_problem(LISTENER "log = { level = \"loud\" }\n", 2, "none of: error, warning");
	assert_problem(LISTENER "log = {\n level = 3\n}\n", 3, "text in quotes");
	assert_problem(LISTENER "workers = \"x\"\n", 2, "no number");
	assert_problem(LISTENER "workers = 65\n", 2, "0 to 64");
	assert_problem(LISTENER "workers = -1\n", 2, "no number");
	assert_problem(LISTENER "workers = true\n", 2, "whole number");
	assert_problem(LISTENER "workers = 1.0\n", 2, "whole number");
	assert_problem(LISTENER "workers = { }\n", 2, "whole number");
	assert_problem(LISTENER "workers = [1]\n", 2, "whole number");
	assert_problem(LISTENER "drain-timeout = 5\n", 2, "no time");
	assert_problem(LISTENER "user = \"a b\"\n", 2, "no user name");
	assert_problem(LISTENER "control = \"a\\nb\"\n", 2, "control character");
	assert_problem(LISTENER "fetch = { ports = [] }\n", 2, "at least one");
	assert_problem(LISTENER "fetch = { ports = [80, 80] }\n", 2, "twice");
	assert_problem(LISTENER "fetch = {\n ports = (80,\n \"x\") }\n", 4, "no port");
	assert_problem(LISTENER "profiles = { p = 3 }\n", 2, "a group is needed");
	assert_problem(LISTENER "limits = { write-low = \"256KiB\" }\n", 2, "less than write-high");
	assert_problem("listen = { a = {\n bind = \"127.0.0.1:1\"\n upstream = \"127.0.0.1:2\"\n "
		       "profile = \"no\" } }\n",
		       4, "\"no\": no such profile; there are: default classic");
	assert_problem("listen = {\n a = {\n bind = \"127.0.0.1:1\" } }\n", 2, "upstream: missing");
	assert_problem("listen = {\n a = {\n upstream = \"127.0.0.1:1\" } }\n", 2, "bind: missing");
	assert_problem(LISTENER "cache = { memory = 5000000000 }\n", 2, "over 2147483647");
	assert_problem(LISTENER "upload = { services = 3 }\n", 2, "a list of groups is needed");
	assert_problem(LISTENER "upload = { services = ( 3 ) }\n", 2, "a group is needed");
	assert_problem(LISTENER "upload = { services = (\n{ nod = \"a\" } ) }\n", 3, "no such");
	assert_problem(LISTENER "upload = {\nservices = ({ }, { }) }\n", 3, "two services");
	assert_problem(LISTENER "upload = {\nservices = ({ accept = \"png\" }) }\n", 3, "accept");
	assert_problem(LISTENER "upload = {\nservices = ({ uri = \"drop\" }) }\n", 3, "uri");
	assert_problem(LISTENER "upload = { public-url = \"m.example\" }\n", 2, "http://");
	assert_problem(LISTENER "upload = { public-url = \"http://m/\" }\n", 2, "no / at the end");
	assert_problem(LISTENER "upload = { bind = \"[::]:1\" }\n", 2, "public-url: missing");
	assert_problem(LISTENER "upload = { secret-file = \"/nowhere\" }\n", 2, "No such file");
	assert_problem(LISTENER "upload = { secret-file = \"/dev/zero\" }\n", 2, "is no file");
	assert_problem("x = {\n", 2, "syntax error");
	assert_problem("workers = 1\nworkers = 2\n", 2, "duplicate");
}

static void same_bind_twice_is_named(void **state UNUSED)
{
	assert_problem(
		"listen = { a = { bind = \"[::1]:1\" upstream = \"127.0.0.1:2\" }\n"
		"b = {\n bind = [\"127.0.0.1:1\", \"[0::1]:1\"]\n upstream = \"127.0.0.1:2\" } }\n",
		3, "is listener \"a\"'s already");
}

static void all_problems_at_once(void **state UNUSED)
{
	struct conf_problems problems;
	struct conf *c;
	size_t i;

	assert_int_equal(
		read_text(
			"workers = 99\nfoo = 1\nlog = {\n level = 1\n format = \"x\" }\n" LISTENER,
			NULL, 0, &c, &problems),
		ERR_CONFIG);
	unlink(path);
	assert_int_equal(problems.n, 4);
	for (i = 0; i < problems.n; i++) {
		char start[80];

		snprintf(start, sizeof(start), "%s:%zu: ", path, i < 2 ? i + 1 : i + 2);
		assert_true(strncmp(problems.v[i], start, strlen(start)) == 0);
	}
	conf_problems_free(&problems);
}

static void the_number_of_problems_is_capped(void **state UNUSED)
{
	char *text = calloc(1, 100000);
	struct conf_problems problems;
	struct conf *c;
	size_t n = 0;
	int i;

	assert_non_null(text);
	for (i = 0; i < 1000; i++)
		n += (size_t)sprintf(text + n, "unknown%d = 1\n", i);
	assert_int_equal(read_text(text, NULL, 0, &c, &problems), ERR_CONFIG);
	unlink(path);
	assert_int_equal(problems.n, 200);
	assert_true(problems.more >= 800);
	conf_problems_free(&problems);
	free(text);
}

/* Who is not on this machine names a token; a bad one is not repeated. */
static void the_page_is_local_or_has_a_token(void **state UNUSED)
{
	static const char *const good[] = {
		"web = { bind = [\"127.0.0.1:1\", \"[::1]:1\", \"127.9.9.9:1\"] }\n",
		"web = { bind = \"0.0.0.0:1\"\ntoken = \"0123456789abcdeF\" }\n",
		"web = { token = \"a-b._~+/=aaaaaaaaaaaaaaaaaaaaaaaaaaa\" }\n",
	};
	static const char *const local = "is not a loopback address";
	static const char *const bad_token = "16 or more letters";
	static const struct {
		const char *text;
		unsigned line;
		const char *what;
	} bad[] = {
		{ LISTENER "web = {\nbind = \"0.0.0.0:1\" }\n", 3, local },
		{ LISTENER "web = {\nbind = [\"127.0.0.1:1\",\n\"[::]:1\"] }\n", 3, local },
		{ LISTENER "web = {\nbind = \"192.0.2.1:1\"\ntoken = \"\" }\n", 3, local },
		{ LISTENER "web = {\nbind = \"[::ffff:127.0.0.1]:1\" }\n", 3, local },
		{ LISTENER "web = {\n\ntoken = \"hunter2hunter2!!\" }\n", 4, bad_token },
		{ LISTENER "web = {\n\ntoken = \"hunter2hunter22\" }\n", 4, bad_token },
		{ LISTENER "web = {\n\ntoken = \"hunter2 hunter2 hunter2\" }\n", 4, bad_token },
	};
	struct conf_problems problems;
	char text[512];
	struct conf *c;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(text, sizeof(text), "%s%s", LISTENER, good[i]);
		assert_int_equal(read_text(text, NULL, 0, &c, &problems), 0);
		unlink(path);
		conf_unref(&c);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_problem(bad[i].text, bad[i].line, bad[i].what);
		assert_int_equal(read_text(bad[i].text, NULL, 0, &c, &problems), ERR_CONFIG);
		unlink(path);
		assert_null(strstr(problems.v[0], "hunter2"));
		conf_problems_free(&problems);
	}
}

static void included_files_keep_their_names(void **state UNUSED)
{
	struct conf_problems problems;
	char part[] = "/tmp/test_conf_part.XXXXXX", text[200], want[80];
	struct conf *c;
	FILE *f = fdopen(mkstemp(part), "w");

	assert_non_null(f);
	fputs("\nworkers = \"many\"\n", f);
	fclose(f);
	snprintf(text, sizeof(text), LISTENER "@include \"%s\"\n", strrchr(part, '/') + 1);
	assert_int_equal(read_text(text, NULL, 0, &c, &problems), ERR_CONFIG);
	unlink(path);
	unlink(part);
	assert_int_equal(problems.n, 1);
	snprintf(want, sizeof(want), "%s:2: workers: ", part);
	assert_non_null(strstr(problems.v[0], want));
	conf_problems_free(&problems);
}

static void overrides_win(void **state UNUSED)
{
	static const char *const good[] = { "workers=2",
					    "listen.a.hold=3s",
					    "listen.a.directions=s2c, c2s",
					    "profiles.tiny.width=32",
					    "listen.a.profile=tiny",
					    "fetch.ports=80,81",
					    "listen.b.bind=127.0.0.1:7",
					    "listen.b.upstream=127.0.0.1:8",
					    "fetch.allow-origin=",
					    "control=" };
	struct conf_problems problems;
	struct conf *c;

	assert_int_equal(read_text("workers = 1\n" LISTENER, good, ARRAY_SIZE(good), &c, &problems),
			 0);
	unlink(path);
	assert_int_equal(c->workers, 2);
	assert_int_equal(c->listens_n, 2);
	assert_int_equal(c->listens[0].hold, 3000);
	assert_int_equal(c->listens[0].directions, 3);
	assert_int_equal(c->listens[0].profile_ref->width, 32);
	assert_int_equal(c->fetch.ports.n, 2);
	assert_int_equal(c->fetch.allow_origin.n, 0);
	assert_string_equal(c->control, "");
	conf_unref(&c);
}

static void wrong_overrides(void **state UNUSED)
{
	static const char *const bad[] = { "",
					   "=",
					   "workers",
					   "workers=",
					   "workers=x",
					   "foo.bar=1",
					   ".=1",
					   "a.b.c.d=1",
					   "listen.a=1",
					   "listen..hold=1s",
					   "listen.a.hold",
					   "fetch=1",
					   "fetch.x.y=1",
					   "log.level.x=1",
					   "fetch.ports=80,,81" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct conf_problems problems;
		struct conf *c;

		if (read_text(LISTENER, &bad[i], 1, &c, &problems) != ERR_CONFIG ||
		    problems.n == 0 || strncmp(problems.v[0], "-o ", 3) != 0)
			fail_msg("%s", bad[i]);
		unlink(path);
		conf_problems_free(&problems);
	}
}

static void without_a_file(void **state UNUSED)
{
	struct conf_source source = { .listen = "127.0.0.1:5222", .upstream = "[::1]:15222" };
	struct conf_problems problems = { 0 };
	struct conf *c;

	assert_int_equal(conf_read(&source, &c, &problems), 0);
	assert_int_equal(c->listens_n, 1);
	assert_string_equal(c->listens[0].name, "main");
	assert_string_equal(c->listens[0].bind.v[0], "127.0.0.1:5222");
	assert_string_equal(c->listens[0].upstream, "[::1]:15222");
	conf_unref(&c);
	source.listen = "5222";
	assert_int_equal(conf_read(&source, &c, &problems), ERR_CONFIG);
	assert_int_equal(problems.n, 1);
	assert_true(strncmp(problems.v[0], "--listen: ", 10) == 0);
	conf_problems_free(&problems);
}

static void unreadable_files(void **state UNUSED)
{
	static const char *const files[] = { "/nonexistent/x.conf", "/tmp" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		struct conf_source source = { .file = files[i] };
		struct conf_problems problems = { 0 };
		struct conf *c;

		assert_int_equal(conf_read(&source, &c, &problems), ERR_CONFIG);
		assert_int_equal(problems.n, 1);
		assert_true(strncmp(problems.v[0], files[i], strlen(files[i])) == 0);
		conf_problems_free(&problems);
	}
}

static int judge(const char *filter, const struct conf *conf UNUSED,
		 const struct conf_listen *listen, struct err_msg *msg)
{
	assert_non_null(listen->profile_ref);
	return strcmp(filter, "good") == 0 ? 0 : err_msg_set(msg, ERR_NOT_FOUND, "no such filter");
}

static void filters_are_judged_by_the_caller(void **state UNUSED)
{
	static const char *const o[] = { "listen.main.filters=good, bad",
					 "listen.main.profile=missing" };
	struct conf_source source = { .listen = "127.0.0.1:1",
				      .upstream = "127.0.0.1:2",
				      .overrides = o,
				      .overrides_n = 2,
				      .check_filter = judge };
	struct conf_problems problems = { 0 };
	struct conf *c;

	assert_int_equal(conf_read(&source, &c, &problems), ERR_CONFIG);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.v[0], "no such profile"));
	assert_non_null(strstr(problems.v[1], "\"bad\": no such filter"));
	conf_problems_free(&problems);
}

/* libconfig wraps them; comments, texts and names do not count. */
static void overlong_numbers_are_found(void **state UNUSED)
{
	static const struct {
		const char *text;
		unsigned line;
	} rows[] = {
		{ "a = 2147483647\n", 0 },
		{ "a = 2147483648\n", 1 },
		{ "\n\na = [1,\n99999999999999999999999]", 4 },
		{ "a = 5000000000L\n", 0 },
		{ "# 5000000000\n// 5000000000\n", 0 },
		{ "/* 5000000000\n*/ a = 5000000000\n", 2 },
		{ "a = \"5000000000\"\n", 0 },
		{ "a = \"\\\"5000000000\"\n", 0 },
		{ "a5000000000 = 1\n", 0 },
		{ "a = -5000000000\n", 1 },
		{ "a = 0xffffffffff\n", 1 },
		{ "a = 5000000000.5\n", 0 },
		{ "a = \"x", 0 },
		{ "/*", 0 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char file[] = "/tmp/test_conf.XXXXXX";
		FILE *f = fdopen(mkstemp(file), "w");

		assert_non_null(f);
		fputs(rows[i].text, f);
		fclose(f);
		if (overlong_line(file, 0) != rows[i].line)
			fail_msg("%s: %u", rows[i].text, overlong_line(file, 0));
		unlink(file);
	}
}

/* What is documented is sorted, unique and has a default that its own parser takes. */
static void the_table_is_sound(void **state UNUSED)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		assert_ptr_equal(conf_option_find(o->section, o->name), o);
		assert_true(strlen(o->help) > 3);
		if (i && conf_options[i - 1].section == o->section &&
		    strcmp(conf_options[i - 1].name, o->name) >= 0)
			fail_msg("%s is not in order", o->name);
	}
}

static unsigned fresh_rows;

static void note_fresh(unsigned row UNUSED)
{
	fresh_rows++;
}

static void listeners_keep_their_rows_by_name(void **state UNUSED)
{
	static const char *const names[][3] = { { "a", "b", NULL },
						{ "c", "b", "a" },
						{ "d", "a", NULL } };
	struct conf *c[ARRAY_SIZE(names)];
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		c[i] = conf_new();
		assert_non_null(c[i]);
		for (k = 0; k < 3 && names[i][k]; k++)
			assert_non_null(conf_add_listen(c[i], names[i][k]));
		conf_number_listeners(c[i], i ? c[i - 1] : NULL, note_fresh);
	}
	assert_int_equal(fresh_rows, 4);
	assert_int_equal(c[0]->listens[0].row, 0);
	assert_int_equal(c[0]->listens[1].row, 1);
	assert_int_equal(c[1]->listens[0].row, 2);
	assert_int_equal(c[1]->listens[1].row, 1);
	assert_int_equal(c[1]->listens[2].row, 0);
	assert_int_equal(c[2]->listens[0].row, 3); /* not the one that b has just left */
	assert_int_equal(c[2]->listens[1].row, 0);
	/* Round and round: never one that is in use, never one past the end. */
	for (i = 0; i < 3 * COUNTERS_LISTENERS; i++) {
		struct conf *next = conf_new();

		assert_non_null(next);
		assert_non_null(conf_add_listen(next, i % 2 ? "x" : "y"));
		conf_number_listeners(next, c[2], note_fresh);
		assert_true(next->listens[0].row < COUNTERS_LISTENERS);
		assert_int_not_equal(next->listens[0].row, c[2]->listens[0].row);
		conf_unref(&c[2]);
		c[2] = next;
	}
	for (i = 0; i < ARRAY_SIZE(c); i++)
		conf_unref(&c[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_what_the_table_says),
		cmocka_unit_test(built_in_profiles),
		cmocka_unit_test(values_from_a_file),
		cmocka_unit_test(services_of_the_upload_group),
		cmocka_unit_test(edges_of_every_row),
		cmocka_unit_test(numbers_and_units),
		cmocka_unit_test(units_are_printed_as_written),
		cmocka_unit_test(rates),
		cmocka_unit_test(addresses),
		cmocka_unit_test(networks_origins_servers_ports),
		cmocka_unit_test(every_kind_of_mistake_has_its_line),
		cmocka_unit_test(same_bind_twice_is_named),
		cmocka_unit_test(all_problems_at_once),
		cmocka_unit_test(the_number_of_problems_is_capped),
		cmocka_unit_test(the_page_is_local_or_has_a_token),
		cmocka_unit_test(included_files_keep_their_names),
		cmocka_unit_test(overrides_win),
		cmocka_unit_test(wrong_overrides),
		cmocka_unit_test(without_a_file),
		cmocka_unit_test(unreadable_files),
		cmocka_unit_test(filters_are_judged_by_the_caller),
		cmocka_unit_test(listeners_keep_their_rows_by_name),
		cmocka_unit_test(overlong_numbers_are_found),
		cmocka_unit_test(the_table_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
