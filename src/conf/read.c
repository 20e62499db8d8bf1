/* SPDX-License-Identifier: MIT */
/*
 * read - see read.h.
 *
 * The file first (read-file.c, its rules read-rules.c), then the command line (read-line.c), then
 * what values must be to each other: the larger groups have files of their own.
 */
#include "config.h"

#include "conf/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"
#include "conf/reading-inside.h"
#include "conf/redis.h"

#define WEB_TOKEN_MIN 16

void conf_problems_free(struct conf_problems *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
	*p = (struct conf_problems){ 0 };
}

/* The message does not repeat the value: there may be a password in it. */
static void check_redis(struct reading *r, const char *text)
{
	struct redis_address where;

	if (text[0] && redis_parse(text, &where))
		reading_problem_with(r, "cache.redis",
				     "\"redis://host:port\", \"redis://:password@host:port/0\" or "
				     "\"unix:/path\"; there is no TLS to it");
	explicit_bzero(&where, sizeof(where));
}

/* Printable, without what headers and shells take apart. The message does not repeat it. */
static bool is_token(const char *text)
{
	size_t len = strlen(text);

	return len >= WEB_TOKEN_MIN &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "-._~+/=")];
}

static void check_web(struct reading *r, const struct conf_web *w)
{
	char what[256];
	size_t i;

	if (w->token[0] && !is_token(w->token))
		reading_problem_with(r, "web.token",
				     "16 or more letters, digits and -._~+/= are needed, such as "
				     "openssl rand -hex 16 prints");
	for (i = 0; i < w->bind.n; i++) {
		if (w->token[0] || address_is_local(w->bind.v[i]))
			continue;
		snprintf(what, sizeof(what),
			 "\"%.80s\" is not a loopback address, \"127.0.0.1:5290\" or "
			 "\"[::1]:5290\": "
			 "on it web.token is needed",
			 w->bind.v[i]);
		reading_problem_with(r, "web.bind", what);
	}
}

static void check_all(struct reading *r)
{
	struct conf *c = r->conf;
	const struct conf_limits *limits = &c->limits;

	conf_link(c); /* a listener whose profile is missing is named by reading_check_listens() */
	if (c->listens_n == 0 && !reading_is_given(r, "listen"))
		reading_problem_with(
			r, "listen",
			"no listener: listen = { NAME = { bind = \"ADDRESS:PORT\"  upstream = "
			"\"ADDRESS:PORT\" } }");
	reading_check_upload(r, c);
	check_redis(r, c->cache.redis);
	check_web(r, &c->web);
	reading_check_fetch(r, c);
	reading_check_listens(r, c, r->src->check_filter);
	if (c->rules_n)
		reading_check_rules(r);
	if (limits->write_low >= limits->write_high)
		reading_problem_with(r, "limits.write-low", "must be less than write-high");
	if (limits->breaker_open > limits->breaker_max)
		reading_problem_with(r, "limits.breaker-open", "may not be more than breaker-max");
	if (limits->hold_budget > limits->hold_window)
		reading_problem_with(r, "limits.hold-budget", "may not be more than hold-window");
}

int conf_read(const struct conf_source *src, struct conf **out, struct conf_problems *problems)
{
	struct reading r = { .src = src, .conf = conf_new(), .problems = problems };
	bool readable = true;

	*out = NULL;
	if (!r.conf)
		return ERR_NOMEM;
	config_init(&r.file);
	if (src->file)
		readable = reading_file(&r);
	if (!r.nomem)
		reading_command_line(&r, src, r.conf);
	/* Of a file that could not be read nothing else need be said. */
	if (!r.nomem && readable)
		check_all(&r);
	config_destroy(&r.file);
	free(r.dir);
	if (!r.nomem && problems->n == 0) {
		*out = r.conf;
		return 0;
	}
	conf_unref(&r.conf);
	return r.nomem ? ERR_NOMEM : ERR_CONFIG;
}
