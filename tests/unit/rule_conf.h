/* SPDX-License-Identifier: MIT */
/*
 * rule_conf - configurations with rules, and decisions, for the tests of rule/. Include once,
 * after unit.h.
 */
#pragma once

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "conf/read.h"
#include "rule/rule.h"
#include "xmpp/ns.h"

static struct conf_problems problems, warnings;
static struct nsctx *rule_ns;
static struct arena *rule_arena;
static time_t rule_wall;
static int64_t rule_us;
static unsigned rule_takes;
static char rule_trace[8192];

static UNUSED time_t fake_wall(void *ctx UNUSED)
{
	return rule_wall;
}

static UNUSED int64_t fake_now(void *ctx UNUSED)
{
	return rule_us++;
}

/* Exact, and for as many things as a test has. */
static UNUSED bool fake_rate(void *ctx UNUSED, uint64_t key, uint32_t count, uint32_t per_ms UNUSED,
			     bool take)
{
	static struct {
		uint64_t key;
		uint32_t n;
	} seen[64];
	static size_t seen_n;
	size_t i;

	for (i = 0; i < seen_n && seen[i].key != key; i++)
		;
	if (i == seen_n) {
		assert_true(seen_n < ARRAY_SIZE(seen));
		seen[seen_n++].key = key;
	}
	if (seen[i].n >= count)
		return false;
	seen[i].n += take;
	rule_takes += take;
	return true;
}

static UNUSED void fake_trace(void *ctx UNUSED, const struct rule_step *s)
{
	static const char *const outcomes[] = { "decided", "shadow", "failed", "open", "stuck" };
	size_t n = strlen(rule_trace);

	snprintf(rule_trace + n, sizeof(rule_trace) - n, "%s:%s%s%s\n",
		 s->rule ? s->rule->name : "-", outcomes[s->outcome], s->condition ? ":" : "",
		 s->condition ? s->condition : "");
}

static UNUSED struct rule_env rule_env = {
	.now_us = fake_now, .wall = fake_wall, .rate = fake_rate, .trace = fake_trace
};

/* NULL: problems say why. With a listener "main" that looks at both lanes. */
static UNUSED struct conf *conf_of_file(const char *path)
{
	static const char *const both[] = { "listen.main.directions=c2s,s2c" };
	const struct conf_source source = { .file = path,
					    .listen = "127.0.0.1:5222",
					    .upstream = "127.0.0.1:5269",
					    .overrides = both,
					    .overrides_n = 1,
					    .check_rules = rule_check,
					    .warnings = &warnings };
	struct err_msg msg = { 0 };
	struct conf *c;

	conf_problems_free(&problems);
	conf_problems_free(&warnings);
	if (conf_read(&source, &c, &problems))
		return NULL;
	assert_int_equal(rule_attach(c, &msg), 0);
	return c;
}

static UNUSED struct conf *conf_of_text(const char *text)
{
	char path[] = "/tmp/inset-rule-XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	c = conf_of_file(path);
	unlink(path);
	return c;
}

static UNUSED const char *all_of(const struct conf_problems *p)
{
	static char text[16384];
	size_t i, n = 0;

	text[0] = '\0';
	for (i = 0; i < p->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", p->v[i]);
	return text;
}

/* The message's parts that the filter would hand over: its first address and type. */
static UNUSED void input_of(struct rule_input *in, const char *xml, enum lane_dir dir,
			    const char *from)
{
	const struct outline_limits limits = { .depth = 64, .attributes = 100, .elements = 20000 };
	struct outline *o = arena_alloc(rule_arena, sizeof(*o));
	const char *type;
	char *copy = arena_strndup(rule_arena, xml, strlen(xml));
	int x, url;

	assert_non_null(o);
	assert_int_equal(
		outline_parse(rule_arena, rule_ns, (const uint8_t *)copy, strlen(xml), &limits, o),
		0);
	*in = (struct rule_input){ .dir = dir,
				   .from = from,
				   .connection = 7,
				   .declared = "",
				   .outline = o,
				   .ns = rule_ns };
	x = outline_child(o, 0, NS_OOB, "x", 1);
	url = x == -1 ? -1 : outline_child(o, x, NS_OOB, "url", x + 1);
	if (url == -1)
		return;
	in->url = o->elements[url].text;
	type = outline_attr(o, url, "", "type");
	in->declared = type ? type : "";
}

static UNUSED int rule_setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;

	outline_setup();
	assert_int_equal(tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1), 0);
	rule_ns = nsctx_of_header(&tag);
	rule_arena = arena_new(256 * 1024 * 1024);
	assert_non_null(rule_ns);
	assert_non_null(rule_arena);
	return 0;
}

static UNUSED int rule_teardown(void **state UNUSED)
{
	conf_problems_free(&problems);
	conf_problems_free(&warnings);
	nsctx_unref(&rule_ns);
	arena_free(&rule_arena);
	return 0;
}
