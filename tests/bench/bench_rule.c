/* SPDX-License-Identifier: MIT */
/*
 * Cost of rules: one candidate message and 1,000 rules that do not match, of each kind of
 * condition and of all; the same without any rule. One line per figure; exit status 1 if 1,000
 * rules take a millisecond or more.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/counters.h"
#include "conf/read.h"
#include "rule/rule.h"
#include "xmpp/ns.h"

#define RULES  1000
#define ROUNDS 200

static const char message[] =
	"<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' "
	"type='chat' id='ktx72v49'><body>https://upload.montague.example/a1b2c3/summit.jpg</body>"
	"<x xmlns='jabber:x:oob'><url type='image/jpeg'>"
	"https://upload.montague.example/a1b2c3/summit.jpg</url></x></message>";

static NORETURN void die(const char *what)
{
	fprintf(stderr, "bench_rule: %s\n", what);
	exit(2);
}

static int64_t now_us(void *ctx UNUSED)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static time_t wall(void *ctx UNUSED)
{
	return 1704067200;
}

static struct conf *conf_of(const char *condition)
{
	char path[] = "/tmp/inset-bench-XXXXXX", line[512];
	struct conf_problems problems = { 0 };
	struct conf_source source = { .file = path,
				      .listen = "127.0.0.1:5222",
				      .upstream = "127.0.0.1:5269",
				      .check_rules = rule_check,
				      .warnings = &problems };
	struct conf_problems wrong = { 0 };
	struct err_msg msg = { 0 };
	struct conf *c;
	int i, n, fd = mkstemp(path);

	if (fd == -1)
		die("no temporary file");
	for (i = 0; i < RULES && condition; i++) {
		n = snprintf(line, sizeof(line), "%s{ name=\"r%d\" action=\"pass\" %s%s",
			     i ? ", " : "rules = ( ", i, condition,
			     i == RULES - 1 ? " } )\n" : " }\n");
		for (char *at = line; (at = strchr(at, '%')) != NULL;)
			*at = (char)('0' + i % 10);
		if (write(fd, line, (size_t)n) != n)
			die("cannot write");
	}
	close(fd);
	n = conf_read(&source, &c, &wrong);
	unlink(path);
	if (n || rule_attach(c, &msg))
		die(wrong.n ? wrong.v[0] : "no configuration");
	conf_number_rules(c, NULL, counters_rule_clear);
	conf_problems_free(&problems);
	return c;
}

/* Microseconds for one message, the best of many. */
static double measure(const char *name, const char *condition, const struct rule_input *in)
{
	static const struct rule_env env = { .now_us = now_us, .wall = wall };
	struct conf *c = conf_of(condition);
	int64_t best = INT64_MAX, from;
	struct rule_case one;
	int i, k;

	for (i = 0; i < ROUNDS; i++) {
		from = now_us(NULL);
		for (k = 0; k < 10; k++)
			if (!rule_before(&one, c, &c->listens[0], &env, in) || one.rule != -1)
				die("a rule matched");
		best = MIN_OF(best, now_us(NULL) - from);
	}
	conf_unref(&c);
	printf("rules %s: %.1f us a message\n", name, (double)best / 10);
	return (double)best / 10;
}

int main(void)
{
	static const struct {
		const char *name;
		const char *condition;
	} rows[] = {
		{ "none", NULL },
		{ "1000 x direction", "direction = \"s2c\"" },
		{ "1000 x from", "from = [\"tybalt%@capulet.example\", \"*@verona%.example\"]" },
		{ "1000 x host", "host = \"upload%.example.org\"" },
		{ "1000 x url", "url = \"https://*/%/*.png\"" },
		{ "1000 x time", "time = \"mon-fri 22:00-06:0%\"" },
		{ "1000 x xpath", "xpath = \"/c:message/c:subject = '%'\"" },
		{ "1000 x all but xpath",
		  "direction = \"c2s\" type = \"chat\" from = \"romeo@*\" to = "
		  "\"*@capulet.example\" host = \"*.montague.example\" url = "
		  "\"*.jpg\" declared = \"image/*\" time = \"08:00-18:0%\"" },
	};
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	const struct outline_limits limits = { .depth = 64, .attributes = 100, .elements = 2000 };
	struct arena *a = arena_new(1024 * 1024);
	struct outline o;
	struct tag tag;
	struct nsctx *ns;
	struct rule_input in;
	double worst = 0;
	size_t i;

	outline_setup();
	if (!a || counters_map(counters_create(), 0) ||
	    tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		die("no memory");
	ns = nsctx_of_header(&tag);
	if (!ns || outline_parse(a, ns, (const uint8_t *)message, sizeof(message) - 1, &limits, &o))
		die("the message cannot be read");
	in = (struct rule_input){ .from = "romeo@montague.example/orchard",
				  .url = "https://upload.montague.example/a1b2c3/summit.jpg",
				  .declared = "image/jpeg",
				  .outline = &o,
				  .ns = ns };
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		double us = measure(rows[i].name, rows[i].condition, &in);

		worst = MAX_OF(worst, us);
	}
	nsctx_unref(&ns);
	arena_free(&a);
	return worst < 1000 ? 0 : 1;
}
