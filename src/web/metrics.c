/* SPDX-License-Identifier: MIT */
/*
 * metrics - see metrics.h.
 */
#include "config.h"

#include "web/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/counters.h"

static int print_head(struct buf *out, const char *name, const char *type, const char *help)
{
	return buf_printf(out, "# HELP inset_%s %s\n# TYPE inset_%s %s\n", name, help, name, type);
}

static bool is_first_of_name(int row)
{
	int i;

	for (i = 0; i < row; i++)
		if (strcmp(metric_rows[i].name, metric_rows[row].name) == 0)
			return false;
	return true;
}

/* Each name once with all its rows behind it, wherever they stand in the table. */
static int print_name(struct buf *out, int first)
{
	const struct metric_row *f = &metric_rows[first];
	int i, rc = print_head(out, f->name, f->type == METRIC_TYPE_COUNTER ? "counter" : "gauge",
			       f->help);

	for (i = first; i < METRIC_COUNT && !rc; i++) {
		const struct metric_row *r = &metric_rows[i];

		if (strcmp(r->name, f->name) == 0)
			rc = buf_printf(out, "inset_%s%s%s%s %" PRIu64 "\n", r->name,
					r->labels[0] ? "{" : "", r->labels, r->labels[0] ? "}" : "",
					counters_sum((enum metric)i));
	}
	return rc;
}

static int print_rows(struct buf *out)
{
	int i, rc = 0;

	for (i = 0; i < METRIC_COUNT && !rc; i++)
		if (is_first_of_name(i))
			rc = print_name(out, i);
	return rc;
}

static int print_histogram(struct buf *out, enum histogram_id id)
{
	const char *name = histogram_rows[id].name;
	struct counters_histogram h;
	uint64_t below = 0;
	int rc = print_head(out, name, "histogram", histogram_rows[id].help);
	int i;

	counters_histogram_sum(id, &h);
	for (i = 0; i < HISTOGRAM_BUCKETS && !rc; i++) {
		below += h.bucket[i];
		rc = buf_printf(out, "inset_%s_bucket{le=\"%u\"} %" PRIu64 "\n", name,
				histogram_bounds[i], below);
	}
	/* Processes count on while this is read: the total is that of the buckets, so that the
	 * lines agree. */
	below += h.bucket[HISTOGRAM_BUCKETS];
	if (!rc)
		rc = buf_printf(out,
				"inset_%s_bucket{le=\"+Inf\"} %" PRIu64 "\ninset_%s_sum %" PRIu64
				"\ninset_%s_count %" PRIu64 "\n",
				name, below, name, h.sum, name, below);
	return rc;
}

int metrics_print(struct buf *out)
{
	int i, rc;

	rc = buf_printf(out,
			"# HELP inset_build_info version of inset\n# TYPE inset_build_info gauge\n"
			"inset_build_info{version=\"%s\"} 1\n",
			PACKAGE_VERSION);
	if (!rc)
		rc = print_rows(out);
	for (i = 0; i < HISTOGRAM_COUNT && !rc; i++)
		rc = print_histogram(out, (enum histogram_id)i);
	return rc;
}

/* A label's value: \ and " behind a \. Names of rules hold no control characters. */
static int print_label(struct buf *out, const char *text)
{
	int rc = 0;

	for (; *text && !rc; text++) {
		if (*text == '"' || *text == '\\')
			rc = buf_add(out, "\\", 1);
		if (!rc)
			rc = buf_add(out, text, 1);
	}
	return rc;
}

static int print_figure(const struct conf *conf, enum rule_figure f, struct buf *out)
{
	const struct rule_figure_row *row = &rule_figure_rows[f];
	bool gauge = row->type == RULE_FIGURE_TYPE_LATEST;
	int rc = print_head(out, row->name, gauge ? "gauge" : "counter", row->help);
	size_t i;

	for (i = 0; i < conf->rules_n && !rc; i++) {
		rc = buf_printf(out, "inset_%s{rule=\"", row->name);
		if (!rc)
			rc = print_label(out, conf->rules[i].name);
		if (!rc)
			rc = buf_printf(out, "\"} %" PRIu64 "\n",
					counters_rule_sum(conf->rules[i].row, f));
	}
	return rc;
}

int metrics_print_rules(const struct conf *conf, struct buf *out)
{
	int f, rc = 0;

	for (f = 0; f < RULE_FIGURE_COUNT && conf->rules_n && !rc; f++)
		rc = print_figure(conf, (enum rule_figure)f, out);
	return rc;
}

/* One name: a line for each listener and label. */
static int print_listener_figures(const struct conf *conf, enum listener_figure first,
				  struct buf *out)
{
	const struct listener_figure_row *head = &listener_figure_rows[first];
	int f, rc = print_head(out, head->name,
			       head->type == METRIC_TYPE_COUNTER ? "counter" : "gauge", head->help);
	size_t i;

	for (f = (int)first; f < LISTENER_FIGURE_COUNT; f++) {
		const struct listener_figure_row *row = &listener_figure_rows[f];

		if (strcmp(row->name, head->name) != 0)
			break;
		for (i = 0; i < conf->listens_n && !rc; i++)
			rc = buf_printf(out, "inset_%s{listener=\"%s\"%s%s} %" PRIu64 "\n",
					row->name, conf->listens[i].name, row->labels[0] ? "," : "",
					row->labels,
					counters_listener_sum(conf->listens[i].row,
							      (enum listener_figure)f));
	}
	return rc;
}

int metrics_print_listeners(const struct conf *conf, struct buf *out)
{
	int f, rc = 0;

	for (f = 0; f < LISTENER_FIGURE_COUNT && !rc; f++)
		if (f == 0 ||
		    strcmp(listener_figure_rows[f].name, listener_figure_rows[f - 1].name) != 0)
			rc = print_listener_figures(conf, (enum listener_figure)f, out);
	return rc;
}

bool metrics_is_healthy(const char **why_out)
{
	static const struct {
		enum metric metric;
		const char *why;
	} needed[] = {
		{ METRIC_PROCS_PROXY, "no proxy process is up" },
		{ METRIC_PROCS_MEDIA, "no thumbnails: the media process is away" },
		{ METRIC_PROCS_SCALER, "no thumbnails: the scaler is away" },
		{ METRIC_SCALER_FORMATS,
		  "no thumbnails: no picture format passed the scaler's self-test" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(needed); i++)
		if (counters_sum(needed[i].metric) == 0) {
			*why_out = needed[i].why;
			return false;
		}
	if (counters_sum(METRIC_SCALER_PAUSED)) {
		*why_out = "no thumbnails of some types: their decoders crash one after the "
			   "other, the next try is in a while";
		return false;
	}
	*why_out = "ok";
	return true;
}
