/* SPDX-License-Identifier: MIT */
/*
 * report - see report.h. JSON and terminal; report-html.c is the page.
 */
#include "config.h"

#include "replay/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	double share;
} quantiles[] = {
	{ "p50", 0.5 },
	{ "p90", 0.9 },
	{ "p99", 0.99 },
	{ "p99.9", 0.999 },
};

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *json_of_histogram(const struct histogram *h)
{
	json_t *o = json_object(), *buckets = json_array();
	size_t i;

	json_object_set_new(o, "count", number(h->count));
	json_object_set_new(o, "mean_us",
			    json_real(h->count ? (double)h->sum / (double)h->count : 0));
	json_object_set_new(o, "max_us", number(h->max));
	for (i = 0; i < ARRAY_SIZE(quantiles); i++) {
		char key[16];

		snprintf(key, sizeof(key), "%s_us", quantiles[i].name);
		json_object_set_new(o, key, number(histogram_quantile(h, quantiles[i].share)));
	}
	for (i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h->n[i])
			json_array_append_new(buckets,
					      json_pack("[I, I]", (json_int_t)histogram_bound(i),
							(json_int_t)h->n[i]));
	json_object_set_new(o, "buckets", buckets);
	return o;
}

static json_t *json_of_units(const struct player_result *r)
{
	json_t *o = json_object();
	int i;

	json_object_set_new(o, "sent", number(r->units_sent));
	json_object_set_new(o, "arrived", number(r->units_arrived));
	json_object_set_new(o, "in_flight", number(r->in_flight));
	for (i = 0; i < CHECKER_RESULT_COUNT; i++)
		json_object_set_new(o, checker_result_name((enum checker_result)i),
				    number(r->sums.n[i]));
	return o;
}

static json_t *json_of_edits(const struct checker_sums *s)
{
	json_t *a = json_array();
	const char *filter, *kind;
	unsigned i;

	for (i = 0; (filter = edits_name(i, &kind)); i++)
		json_array_append_new(a, json_pack("{s:s, s:s, s:I}", "filter", filter, "kind",
						   kind, "count", (json_int_t)s->edits[i]));
	return a;
}

static json_t *json_of_series(const struct player_result *r)
{
	json_t *a = json_array();
	size_t i;

	for (i = 0; i < r->steps_n; i++) {
		const struct player_step *s = &r->steps[i];

		json_array_append_new(a, json_pack("[I, I, I, I]", (json_int_t)s->units,
						   (json_int_t)s->bytes, (json_int_t)s->open,
						   (json_int_t)s->p99_us));
	}
	return a;
}

static json_t *json_of_media(const struct player_result *r)
{
	json_t *o = json_object();
	int i;

	for (i = 0; i < MEDIA_FAULT_COUNT; i++)
		json_object_set_new(o, media_fault_name((enum media_fault)i), number(r->media[i]));
	return o;
}

json_t *report_json(const struct player_config *c, const struct player_result *r)
{
	json_t *o = json_object();
	const struct buf *first = &r->sums.first;

	json_object_set_new(o, "format", json_string("inset-replay-report"));
	json_object_set_new(o, "version", json_integer(1));
	json_object_set_new(o, "inset", json_string(PACKAGE_VERSION));
	json_object_set_new(o, "started_ms", json_integer(r->started_ms));
	json_object_set_new(o, "seconds", json_real((double)r->took_us / 1e6));
	json_object_set_new(o, "speed", json_real(c->speed));
	json_object_set_new(o, "rate", json_real(c->rate));
	json_object_set_new(o, "interrupted", json_boolean(r->interrupted));
	json_object_set_new(o, "verdict",
			    json_string(player_is_clean(c, r) ? "clean" : "different"));
	json_object_set_new(
		o, "sessions",
		json_pack("{s:I, s:I, s:I, s:I, s:I}", "captured", (json_int_t)r->capture_sessions,
			  "started", (json_int_t)r->sessions, "finished", (json_int_t)r->finished,
			  "failed", (json_int_t)r->failed, "unknown", (json_int_t)r->unknown));
	json_object_set_new(o, "why", json_string(r->why));
	json_object_set_new(o, "units", json_of_units(r));
	json_object_set_new(o, "bytes",
			    json_pack("{s:I, s:I}", "sent", (json_int_t)r->bytes_sent, "arrived",
				      (json_int_t)r->bytes_arrived));
	json_object_set_new(o, "edits", json_of_edits(&r->sums));
	json_object_set_new(o, "thumbnails",
			    json_pack("{s:I, s:I}", "expected", (json_int_t)r->sums.expected,
				      "present", (json_int_t)r->sums.present));
	json_object_set_new(o, "media", json_of_media(r));
	json_object_set_new(o, "latency", json_of_histogram(&r->latency));
	json_object_set_new(o, "held", json_of_histogram(&r->held));
	json_object_set_new(o, "late_max_us", number(r->late_us));
	json_object_set_new(o, "step_us", json_integer(r->step_us));
	json_object_set_new(o, "series", json_of_series(r));
	/* What arrived may be anything; JSON takes UTF-8 only. */
	if (first->len) {
		json_t *text = json_stringn((const char *)first->p, first->len);

		json_object_set_new(o, "first_difference",
				    text ? text : json_string("(not UTF-8)"));
	}
	return o;
}

int report_write(const json_t *report, const char *path, struct err_msg *msg)
{
	if (json_dump_file(report, path, JSON_INDENT(1) | JSON_PRESERVE_ORDER) == -1)
		return err_msg_set(msg, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

int report_read(const char *path, json_t **out, struct err_msg *msg)
{
	json_error_t error;

	*out = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!*out)
		return err_msg_set(msg, ERR_SYNTAX, "%s:%d: %s", path, error.line, error.text);
	if (!json_is_object(*out) ||
	    strcmp(json_string_value(json_object_get(*out, "format")) ?: "",
		   "inset-replay-report") != 0) {
		json_decref(*out);
		*out = NULL;
		return err_msg_set(msg, ERR_SYNTAX, "%s: not a report of inset-replay", path);
	}
	return 0;
}

static json_int_t figure(const json_t *o, const char *group, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(o, group), key));
}

static void print_latency(const json_t *o, const char *name, FILE *f)
{
	if (figure(o, name, "count"))
		fprintf(f,
			"%-10s %" JSON_INTEGER_FORMAT " units  p50 %.2f ms  p90 %.2f ms  "
			"p99 %.2f ms  p99.9 %.2f ms  max %.2f ms\n",
			name, figure(o, name, "count"), (double)figure(o, name, "p50_us") / 1e3,
			(double)figure(o, name, "p90_us") / 1e3,
			(double)figure(o, name, "p99_us") / 1e3,
			(double)figure(o, name, "p99.9_us") / 1e3,
			(double)figure(o, name, "max_us") / 1e3);
}

void report_print(const json_t *o, FILE *f)
{
	double seconds = json_real_value(json_object_get(o, "seconds"));
	json_int_t arrived = figure(o, "units", "arrived");
	const char *why = json_string_value(json_object_get(o, "why"));
	const char *first = json_string_value(json_object_get(o, "first_difference"));
	const json_t *edit;
	size_t i;

	fprintf(f,
		"sessions   %" JSON_INTEGER_FORMAT " started, %" JSON_INTEGER_FORMAT
		" finished, %" JSON_INTEGER_FORMAT " failed\n",
		figure(o, "sessions", "started"), figure(o, "sessions", "finished"),
		figure(o, "sessions", "failed"));
	fprintf(f,
		"units      %" JSON_INTEGER_FORMAT " sent, %" JSON_INTEGER_FORMAT
		" arrived in %.1f s: %.0f units/s, %.2f MB/s\n",
		figure(o, "units", "sent"), arrived, seconds,
		seconds > 0 ? (double)arrived / seconds : 0,
		seconds > 0 ? (double)figure(o, "bytes", "arrived") / 1e6 / seconds : 0);
	print_latency(o, "latency", f);
	print_latency(o, "held", f);
	fprintf(f,
		"thumbnails %" JSON_INTEGER_FORMAT " expected, %" JSON_INTEGER_FORMAT " present\n",
		figure(o, "thumbnails", "expected"), figure(o, "thumbnails", "present"));
	json_array_foreach(json_object_get(o, "edits"), i,
			   edit) if (json_integer_value(json_object_get(edit, "count")))
		fprintf(f, "edits      %" JSON_INTEGER_FORMAT " %s by %s\n",
			json_integer_value(json_object_get(edit, "count")),
			json_string_value(json_object_get(edit, "kind")),
			json_string_value(json_object_get(edit, "filter")));
	if (why && *why)
		fprintf(f, "failed     %s\n", why);
	if (first)
		fprintf(f, "%s", first);
	fprintf(f,
		"verdict    %s%s: %" JSON_INTEGER_FORMAT " same, %" JSON_INTEGER_FORMAT
		" edited, %" JSON_INTEGER_FORMAT " changed, %" JSON_INTEGER_FORMAT
		" lost, %" JSON_INTEGER_FORMAT " doubled, %" JSON_INTEGER_FORMAT
		" reordered, %" JSON_INTEGER_FORMAT " foreign\n",
		json_string_value(json_object_get(o, "verdict")),
		json_is_true(json_object_get(o, "interrupted")) ? " (interrupted)" : "",
		figure(o, "units", "same"), figure(o, "units", "edited"),
		figure(o, "units", "changed"), figure(o, "units", "lost"),
		figure(o, "units", "doubled"), figure(o, "units", "reordered"),
		figure(o, "units", "foreign"));
}
