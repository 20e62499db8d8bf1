/* SPDX-License-Identifier: MIT */
/*
 * insetctl-explain - what the rules of a configuration make of one stanza.
 *
 * Runs the real chain of filters over it, with a host that writes down what the rules tell
 * and, with --fetch, lets a media process of its own make the thumbnails. Talks to no daemon.
 */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "conf/read.h"
#include "filter/chain.h"
#include "insetctl.h"
#include "rule/rule.h"
#include "xmpp/ns.h"
#include "xmpp/outline.h"

#define DEFAULT_FILE SYSCONFDIR "/inset/inset.conf"
#define JOBS_MAX     16 /* of one stanza */

struct explaining {
	const struct explain *options;
	struct conf *conf;
	const struct conf_listen *listen;
	struct nsctx *ns;
	struct buf stanza;
	json_t *steps;   /* what the rules told */
	json_t *jobs;    /* what would be fetched, or was */
	const char *why; /* nothing was judged */
	bool asked;      /* a job waits to be done */
	struct job job;
	char url[JOB_URL_MAX + 1];
	char declared[256];
	struct fetch *fetch;
};

static const char *const outcome_names[] = {
	[RULE_DECIDED] = "decided", [RULE_SHADOWED] = "shadow", [RULE_FAILED] = "failed",
	[RULE_OPEN] = "open",       [RULE_STUCK] = "stuck",
};

/* --- what the rules tell --------------------------------------------------------------- */

static json_t *text_new(const char *s)
{
	json_t *t = s ? json_string(s) : json_null();

	return t ? t : json_string("(not UTF-8)");
}

static void on_step(void *ctx, const struct rule_step *s)
{
	struct explaining *x = ctx;

	json_array_append_new(x->steps, json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:I, s:s}",
						  "rule", text_new(s->rule ? s->rule->name : NULL),
						  "url", text_new(s->url), "action",
						  conf_kind_words(CONF_KIND_ENUM_ACTION)[s->action],
						  "outcome", outcome_names[s->outcome], "condition",
						  text_new(s->condition), "seen", text_new(s->seen),
						  "microseconds", (json_int_t)s->us, "phase",
						  s->after ? "after" : "before"));
}

static int64_t rule_now(void *ctx UNUSED)
{
	return clock_us();
}

static time_t rule_wall(void *ctx UNUSED)
{
	return time(NULL);
}

/* --- jobs ------------------------------------------------------------------------------ */

static bool start_job(void *ctx, struct filter_unit *u UNUSED, const struct job *job)
{
	struct explaining *x = ctx;

	if (json_array_size(x->jobs) >= JOBS_MAX)
		return false;
	x->job = *job;
	snprintf(x->url, sizeof(x->url), "%s", job->url);
	snprintf(x->declared, sizeof(x->declared), "%s", job->declared);
	x->job.url = x->url;
	x->job.declared = x->declared;
	x->job.deadline_ms = 30000;
	x->asked = true;
	return true;
}

static void note_job(struct explaining *x, const struct job_result *r)
{
	json_t *o = json_pack("{s:o, s:i, s:i, s:I}", "url", text_new(x->job.url), "width",
			      (int)x->job.width, "height", (int)x->job.height, "max-bytes",
			      (json_int_t)x->job.max_bytes);

	if (r)
		json_object_set_new(o, "status", json_string(job_status_name(r->status)));
	if (r && r->status == JOB_OK) {
		json_object_set_new(o, "media", json_string(picture_mime(r->media_format)));
		json_object_set_new(o, "media-bytes", json_integer((json_int_t)r->media_size));
		json_object_set_new(o, "media-width", json_integer(r->media_width));
		json_object_set_new(o, "media-height", json_integer(r->media_height));
	}
	json_array_append_new(x->jobs, o);
}

/* The jobs of a stanza, one after the other. False: they could not be done. */
static bool do_jobs(struct explaining *x, struct chain_unit *u, enum chain_result *result)
{
	struct job_result r;

	while (*result == CHAIN_WAIT) {
		if (!x->options->fetch) {
			note_job(x, NULL);
			return true;
		}
		if (!x->fetch)
			x->fetch = fetch_open(x->conf);
		if (!x->fetch || fetch_do(x->fetch, &x->job, &r)) {
			fprintf(stderr, "insetctl: the media process did not answer\n");
			return false;
		}
		note_job(x, &r);
		*result = chain_unit_result(u, &r);
	}
	return true;
}

/* --- the stanza ------------------------------------------------------------------------ */

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "insetctl: %s%s%s\n", what, why[0] ? ": " : "", why);
	return EXIT_REFUSED;
}

static int read_stanza(struct explaining *x)
{
	char piece[16384];
	size_t n;

	buf_init(&x->stanza, x->listen->max_stanza);
	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
		if (buf_add(&x->stanza, piece, n))
			return refuse("the stanza is larger than max-stanza", "");
	if (ferror(stdin))
		return refuse("standard input", strerror(errno));
	while (x->stanza.len && strchr(" \t\r\n", x->stanza.p[x->stanza.len - 1]))
		x->stanza.len--;
	for (n = 0; n < x->stanza.len && strchr(" \t\r\n", x->stanza.p[n]);)
		n++;
	buf_drop(&x->stanza, n);
	return 0;
}

/* Whether it is a stanza at all, and which. */
static int check_stanza(struct explaining *x, enum unit_kind *kind)
{
	const struct conf_limits *l = &x->conf->limits;
	const struct outline_limits limits = { .depth = (unsigned)l->depth,
					       .attributes = (unsigned)l->attributes,
					       .elements = (unsigned)l->elements };
	struct arena *a = arena_new(1024 * 1024 + 16 * x->stanza.len);
	struct outline o;
	struct tag tag;
	int rc;

	if (!a)
		return EXIT_FAULT;
	rc = outline_parse(a, x->ns, x->stanza.p, x->stanza.len, &limits, &o);
	if (!rc)
		rc = tag_read(&tag, x->stanza.p, o.elements[0].start_end);
	if (!rc)
		*kind = unit_classify(&tag, x->ns);
	arena_free(&a);
	return rc ? refuse("standard input is no stanza", err_str(rc)) : 0;
}

static int open_stream(struct explaining *x)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;

	if (tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		return EXIT_FAULT;
	x->ns = nsctx_of_header(&tag);
	return x->ns ? 0 : EXIT_FAULT;
}

/* What the filter counted tells why it asked no rule. */
static const char *reason(void)
{
	static const struct {
		enum metric metric;
		const char *why;
	} rows[] = {
		{ METRIC_UNITS_ENCRYPTED, "it has a sign of encryption" },
		{ METRIC_UNITS_THERE, "it has a thumbnail already" },
		{ METRIC_UNITS_INELIGIBLE, "it is no message with an address of media" },
		{ METRIC_UNITS_PARSE, "it cannot be read" },
		{ METRIC_UNITS_SHAPE,
		  "it has more elements, attributes or depth than limits allow" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (counters_sum(rows[i].metric))
			return rows[i].why;
	return "no filter looks at it";
}

/* --- showing --------------------------------------------------------------------------- */

static const char *string_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void print_step(const json_t *o)
{
	const char *rule = json_string_value(json_object_get(o, "rule"));
	const char *outcome = string_of(o, "outcome"), *condition = string_of(o, "condition");

	printf("  %-9s %-10s %7lld us  %s", outcome, string_of(o, "action"),
	       (long long)json_integer_value(json_object_get(o, "microseconds")),
	       rule ? rule : "(default-action)");
	if (condition[0])
		printf(": %s saw \"%s\"", condition, string_of(o, "seen"));
	printf("\n");
}

static void print_text(const struct explaining *x, const json_t *root)
{
	const char *url = NULL, *phase = NULL;
	const json_t *o;
	size_t i;

	printf("listener %s, %s, from %s\n", x->listen->name,
	       x->options->dir == LANE_C2S ? "c2s" : "s2c",
	       x->options->from ? x->options->from : "unknown");
	json_array_foreach(json_object_get(root, "rules"), i, o)
	{
		if (!url || strcmp(url, string_of(o, "url")) != 0 ||
		    strcmp(phase, string_of(o, "phase")) != 0)
			printf("%s the fetch, %s\n", string_of(o, "phase"),
			       string_of(o, "url")[0] ? string_of(o, "url")
						      : "no address of media");
		url = string_of(o, "url");
		phase = string_of(o, "phase");
		print_step(o);
	}
	json_array_foreach(json_object_get(root, "fetches"), i, o)
	{
		const char *status = string_of(o, "status");

		printf("%s %s, box %lld x %lld, at most %lld bytes%s%s\n",
		       status[0] ? "fetched" : "would fetch", string_of(o, "url"),
		       (long long)json_integer_value(json_object_get(o, "width")),
		       (long long)json_integer_value(json_object_get(o, "height")),
		       (long long)json_integer_value(json_object_get(o, "max-bytes")),
		       status[0] ? ": " : "", status);
		if (json_object_get(o, "media"))
			printf("  %s, %lld bytes, %lld x %lld\n", string_of(o, "media"),
			       (long long)json_integer_value(json_object_get(o, "media-bytes")),
			       (long long)json_integer_value(json_object_get(o, "media-width")),
			       (long long)json_integer_value(json_object_get(o, "media-height")));
	}
	if (x->why)
		printf("not judged: %s\n", x->why);
	printf("leaves: %s\n", string_of(root, "leaves"));
	if (json_object_get(root, "stanza"))
		printf("%s\n", string_of(root, "stanza"));
}

static void show(struct explaining *x, struct chain_unit *u, enum chain_result result)
{
	const char *leaves = result == CHAIN_WAIT     ? "with a thumbnail, if the media allow"
			     : result == CHAIN_EDITED ? "changed"
						      : "as it came";
	json_t *root = json_pack("{s:s, s:s, s:o, s:o, s:s, s:O, s:O}", "listener", x->listen->name,
				 "direction", x->options->dir == LANE_C2S ? "c2s" : "s2c", "from",
				 text_new(x->options->from), "why", text_new(x->why), "leaves",
				 leaves, "rules", x->steps, "fetches", x->jobs);
	size_t len;
	const uint8_t *p;

	if (result == CHAIN_EDITED) {
		p = chain_unit_bytes(u, &len);
		json_object_set_new(root, "stanza", json_stringn((const char *)p, len));
	}
	if (x->options->as_json) {
		json_dumpf(root, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
		putchar('\n');
	} else {
		print_text(x, root);
	}
	json_decref(root);
}

static int judge(struct explaining *x, enum unit_kind kind)
{
	const struct rule_env env = {
		.ctx = x, .now_us = rule_now, .wall = rule_wall, .trace = on_step
	};
	const struct filter_host host = { .ctx = x, .start_job = start_job, .rules = &env };
	const struct chain_input in = { .kind = kind,
					.dir = x->options->dir,
					.bytes = x->stanza.p,
					.len = x->stanza.len,
					.ctx = x->ns,
					.from = x->options->from,
					.max_final = x->conf->limits.final_stanza };
	struct chain *chain = chain_new(x->conf, x->listen, &host);
	enum chain_result result = CHAIN_PASS;
	struct chain_unit *u = NULL;
	bool done = true;

	if (!chain)
		return EXIT_FAULT;
	if (!(x->listen->directions & 1u << x->options->dir))
		x->why = "the listener's directions leave its lane out";
	else if (!chain_has_needle(chain, in.dir, kind, in.bytes, in.len))
		x->why = "it has nothing that a filter looks for";
	else
		result = chain_run(chain, &in, &u);
	done = do_jobs(x, u, &result);
	if (!x->why && json_array_size(x->steps) == 0)
		x->why = reason();
	if (done)
		show(x, u, result);
	chain_unit_free(&u);
	chain_free(&chain);
	return done ? 0 : EXIT_FAULT;
}

static const struct conf_listen *first_listener(const struct conf *c)
{
	size_t i, k;

	for (i = 0; i < c->listens_n; i++)
		for (k = 0; k < c->listens[i].filters.n; k++)
			if (strcmp(c->listens[i].filters.v[k], "thumbnail") == 0)
				return &c->listens[i];
	return &c->listens[0];
}

static int read_conf(struct explaining *x)
{
	struct conf_problems problems = { 0 }, warnings = { 0 };
	const struct conf_source source = {
		.file = x->options->file ? x->options->file : DEFAULT_FILE,
		.check_rules = rule_check,
		.warnings = &warnings,
	};
	struct err_msg msg = { 0 };
	int rc = conf_read(&source, &x->conf, &problems);
	size_t i;

	for (i = 0; i < problems.n; i++)
		fprintf(stderr, "%s\n", problems.v[i]);
	conf_problems_free(&problems);
	conf_problems_free(&warnings);
	if (rc)
		return rc == ERR_CONFIG ? EXIT_REFUSED : EXIT_FAULT;
	return rule_attach(x->conf, &msg) ? EXIT_FAULT : 0;
}

int explain_run(const struct explain *e)
{
	struct explaining x = { .options = e };
	enum unit_kind kind = UNIT_OTHER;
	int code;

	outline_setup();
	log_set_level(LOG_LEVEL_ERROR); /* what rules log stands in the answer */
	code = read_conf(&x);
	if (!code)
		code = open_stream(&x);
	if (!code) {
		x.listen = first_listener(x.conf);
		x.steps = json_array();
		x.jobs = json_array();
		code = read_stanza(&x);
	}
	if (!code)
		code = check_stanza(&x, &kind);
	if (!code)
		code = judge(&x, kind);
	if (code == EXIT_FAULT)
		fprintf(stderr, "insetctl: %s\n", err_str(ERR_NOMEM));
	fetch_close(&x.fetch);
	json_decref(x.steps);
	json_decref(x.jobs);
	buf_fini(&x.stanza);
	nsctx_unref(&x.ns);
	conf_unref(&x.conf);
	return code;
}
