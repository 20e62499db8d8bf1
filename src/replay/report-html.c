/* SPDX-License-Identifier: MIT */
/*
 * report-html - the page of report.h: plots in SVG, nothing from elsewhere, no script.
 *
 * Everything that comes out of a report or a name is escaped or a number.
 */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replay/report.h"

#define WIDTH  860
#define HEIGHT 260
#define LEFT   64
#define BOTTOM 32
#define TOP    12
#define POINTS 400 /* drawn of a series */

static const char *const colors[] = { "#2f7fc4", "#d9730d" };

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
	"<title>inset-replay</title>\n<style>\n"
	":root{color-scheme:light dark;--ground:#fff;--ink:#222;--soft:#555;--grid:#ddd;"
	"--code:#f4f4f4;--clean:#15803d;--different:#b91c1c}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#161b1e;--ink:#e3e9ec;--soft:#9eacb4;"
	"--grid:#313b41;--code:#20272b;--clean:#6fcf97;--different:#f08aa0}}\n"
	"body{font:14px/1.45 sans-serif;margin:0 auto;padding:2em 1em;max-width:900px;"
	"background:var(--ground);color:var(--ink)}\n"
	"h1{font-size:1.5em}h2{font-size:1.15em;margin:1.6em 0 .3em}\n"
	"table{border-collapse:collapse}td,th{padding:.15em .9em .15em 0;text-align:right}\n"
	"td:first-child,th:first-child{text-align:left}\n"
	"td{font-variant-numeric:tabular-nums}\n"
	"pre{background:var(--code);padding:.7em;white-space:pre-wrap;word-break:break-all}\n"
	"svg{display:block;max-width:100%;height:auto}svg line{stroke:var(--grid)}"
	"svg text{font:11px sans-serif;fill:var(--soft)}\n"
	".clean{color:var(--clean)}.different{color:var(--different)}"
	".key{display:inline-block;width:1.1em;"
	"height:.7em;margin:0 .4em 0 1em}\n</style></head><body>\n";

struct page {
	FILE *f;
	const json_t *const *r;
	const char *const *names;
	size_t n;
};

static void put_text(FILE *f, const char *s)
{
	for (; s && *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*s, f);
		}
	}
}

static double figure(const json_t *o, const char *group, const char *key)
{
	return json_number_value(json_object_get(json_object_get(o, group), key));
}

/* --- a plot ------------------------------------------------------------------------------- */

struct plot {
	FILE *f;
	double x_max;
	double y_max;
	bool log_y;
	double y_min; /* of a logarithmic scale */
};

static double plot_x(const struct plot *p, double x)
{
	return LEFT + (WIDTH - LEFT - 10) * (p->x_max > 0 ? x / p->x_max : 0);
}

static double plot_y(const struct plot *p, double y)
{
	double share;

	if (p->log_y)
		share = log10(MAX_OF(y, p->y_min) / p->y_min) / log10(p->y_max / p->y_min);
	else
		share = p->y_max > 0 ? y / p->y_max : 0;
	return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * MIN_OF(share, 1);
}

static void plot_rule(const struct plot *p, double y, const char *label)
{
	fprintf(p->f,
		"<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
		"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
		LEFT, plot_y(p, y), WIDTH - 10, plot_y(p, y), LEFT - 6, plot_y(p, y) + 4, label);
}

static void plot_begin(struct plot *p, const char *title, const char *unit)
{
	char label[32];
	double y;
	int i;

	fprintf(p->f,
		"<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		"role=\"img\"><title>%s</title>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT, title);
	for (i = 0; !p->log_y && i <= 4; i++) {
		y = p->y_max * i / 4;
		snprintf(label, sizeof(label), y >= 100 ? "%.0f %s" : "%.3g %s", y, unit);
		plot_rule(p, y, label);
	}
	for (y = p->y_min; p->log_y && y <= p->y_max * 1.001; y *= 10) {
		snprintf(label, sizeof(label), "%.4g %s", y, unit);
		plot_rule(p, y, label);
	}
}

static void plot_tick(const struct plot *p, double x, const char *label)
{
	fprintf(p->f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", plot_x(p, x),
		HEIGHT - BOTTOM + 18, label);
}

/* The next number whose quarters are round. */
static double round_up(double y)
{
	static const double steps[] = { 1, 2, 4, 6, 8, 10 };
	double power = pow(10, floor(log10(y)));
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(steps) && steps[i] * power < y)
		i++;
	return steps[i] * power;
}

static void plot_seconds(const struct plot *p)
{
	char label[32];
	int i;

	for (i = 0; i <= 4; i++) {
		snprintf(label, sizeof(label), "%.3g s", p->x_max * i / 4);
		plot_tick(p, p->x_max * i / 4, label);
	}
}

static void line_begin(const struct plot *p, size_t which)
{
	fprintf(p->f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" points=\"",
		colors[which]);
}

static void line_point(const struct plot *p, double x, double y)
{
	fprintf(p->f, "%.1f,%.1f ", plot_x(p, x), plot_y(p, y));
}

static void line_end(const struct plot *p)
{
	fputs("\"/>\n", p->f);
}

/* --- percentiles -------------------------------------------------------------------------- */

/* Where a share stands: each nine takes the same room, so that p99.9 can be seen. */
static double nines(double share)
{
	return -log10(MAX_OF(1 - share, 1e-5));
}

static void plot_percentiles(const struct page *g, const char *which, const char *title)
{
	static const struct {
		const char *label;
		double share;
	} ticks[] = {
		{ "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p99.9", .999 }, { "p99.99", .9999 }
	};
	struct plot p = { .f = g->f, .x_max = 4.3, .log_y = true, .y_min = 0.01, .y_max = 0.1 };
	double max_us = 0;
	const json_t *b;
	size_t i, k;

	for (i = 0; i < g->n; i++)
		max_us = MAX_OF(max_us, figure(g->r[i], which, "max_us"));
	if (max_us <= 0)
		return;
	while (p.y_max < max_us / 1e3)
		p.y_max *= 10;
	fprintf(g->f, "<h2>%s</h2>\n", title);
	plot_begin(&p, title, "ms");
	for (i = 0; i < ARRAY_SIZE(ticks); i++)
		plot_tick(&p, nines(ticks[i].share), ticks[i].label);
	for (i = 0; i < g->n; i++) {
		double seen = 0, count = figure(g->r[i], which, "count");

		if (count <= 0)
			continue;
		line_begin(&p, i);
		json_array_foreach(json_object_get(json_object_get(g->r[i], which), "buckets"), k,
				   b)
		{
			line_point(&p, MIN_OF(nines(seen / count), p.x_max),
				   json_number_value(json_array_get(b, 0)) / 1e3);
			seen += json_number_value(json_array_get(b, 1));
			line_point(&p, MIN_OF(nines(seen / count), p.x_max),
				   json_number_value(json_array_get(b, 0)) / 1e3);
		}
		line_end(&p);
	}
	fputs("</svg>\n", g->f);
}

/* --- over time ---------------------------------------------------------------------------- */

/* Column of the series, per second, and scaled. */
static double series_at(const json_t *r, size_t i, size_t column, double scale, bool per_second)
{
	double step = json_number_value(json_object_get(r, "step_us")) / 1e6;
	const json_t *row = json_array_get(json_object_get(r, "series"), i);
	double y = json_number_value(json_array_get(row, column)) * scale;

	return per_second && step > 0 ? y / step : y;
}

static void plot_series(const struct page *g, size_t column, double scale, bool per_second,
			const char *unit, const char *title)
{
	struct plot p = { .f = g->f };
	size_t i, k, rows;

	for (i = 0; i < g->n; i++) {
		double step = json_number_value(json_object_get(g->r[i], "step_us")) / 1e6;

		rows = json_array_size(json_object_get(g->r[i], "series"));
		p.x_max = MAX_OF(p.x_max, (double)rows * step);
		for (k = 0; k < rows; k++)
			p.y_max = MAX_OF(p.y_max, series_at(g->r[i], k, column, scale, per_second));
	}
	if (p.y_max <= 0)
		return;
	p.y_max = round_up(p.y_max);
	fprintf(g->f, "<h2>%s</h2>\n", title);
	plot_begin(&p, title, unit);
	plot_seconds(&p);
	for (i = 0; i < g->n; i++) {
		double step = json_number_value(json_object_get(g->r[i], "step_us")) / 1e6;

		rows = json_array_size(json_object_get(g->r[i], "series"));
		line_begin(&p, i);
		for (k = 0; k < rows; k += rows / POINTS + 1)
			line_point(&p, (double)(k + 1) * step,
				   series_at(g->r[i], k, column, scale, per_second));
		line_end(&p);
	}
	fputs("</svg>\n", g->f);
}

/* --- outcomes ----------------------------------------------------------------------------- */

static void bars(const struct page *g, const char *title, const char *group,
		 const char *const *keys)
{
	double max = 0;
	int y = 0, rows = 0;
	size_t i, k;

	for (k = 0; keys[k]; k++, rows++)
		for (i = 0; i < g->n; i++)
			max = MAX_OF(max, figure(g->r[i], group, keys[k]));
	if (max <= 0)
		return;
	fprintf(g->f,
		"<h2>%s</h2>\n<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">"
		"<title>%s</title>\n",
		title, WIDTH, rows * 26, WIDTH, rows * 26, title);
	for (k = 0; keys[k]; k++, y += 26) {
		fprintf(g->f, "<text x=\"0\" y=\"%d\">%s</text>\n", y + 15, keys[k]);
		for (i = 0; i < g->n; i++) {
			double v = figure(g->r[i], group, keys[k]);
			int h = g->n > 1 ? 10 : 18, at = y + (int)i * 11;

			fprintf(g->f,
				"<rect x=\"110\" y=\"%d\" width=\"%.1f\" height=\"%d\" "
				"fill=\"%s\"/>"
				"<text x=\"%.1f\" y=\"%d\">%.0f</text>\n",
				at, 620 * v / max, h, colors[i], 116 + 620 * v / max,
				at + h / 2 + 4, v);
		}
	}
	fputs("</svg>\n", g->f);
}

/* --- the page ------------------------------------------------------------------------------ */

static void row(const struct page *g, const char *title, const char *group, const char *key,
		double scale, const char *form)
{
	size_t i;

	fprintf(g->f, "<tr><td>%s</td>", title);
	for (i = 0; i < g->n; i++) {
		char cell[64];
		double v = group ? figure(g->r[i], group, key)
				 : json_number_value(json_object_get(g->r[i], key));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(cell, sizeof(cell), form, v * scale);
#pragma GCC diagnostic pop
		fprintf(g->f, "<td>%s</td>", cell);
	}
	fputs("</tr>\n", g->f);
}

static void table(const struct page *g)
{
	size_t i;

	fputs("<table><tr><th></th>", g->f);
	for (i = 0; i < g->n; i++) {
		fprintf(g->f, "<th><span class=\"key\" style=\"background:%s\"></span>", colors[i]);
		put_text(g->f, g->names[i]);
		fputs("</th>", g->f);
	}
	fputs("</tr>\n<tr><td>verdict</td>", g->f);
	for (i = 0; i < g->n; i++) {
		const char *v = json_string_value(json_object_get(g->r[i], "verdict"));
		bool clean = v && strcmp(v, "clean") == 0;

		fprintf(g->f, "<td class=\"%s\">%s</td>", clean ? "clean" : "different",
			clean ? "clean" : "different");
	}
	fputs("</tr>\n", g->f);
	row(g, "seconds", NULL, "seconds", 1, "%.1f");
	row(g, "sessions finished", "sessions", "finished", 1, "%.0f");
	row(g, "sessions failed", "sessions", "failed", 1, "%.0f");
	row(g, "units arrived", "units", "arrived", 1, "%.0f");
	row(g, "latency p50", "latency", "p50_us", 1e-3, "%.2f ms");
	row(g, "latency p90", "latency", "p90_us", 1e-3, "%.2f ms");
	row(g, "latency p99", "latency", "p99_us", 1e-3, "%.2f ms");
	row(g, "latency p99.9", "latency", "p99.9_us", 1e-3, "%.2f ms");
	row(g, "latency max", "latency", "max_us", 1e-3, "%.2f ms");
	row(g, "held p50", "held", "p50_us", 1e-3, "%.2f ms");
	row(g, "held p99", "held", "p99_us", 1e-3, "%.2f ms");
	row(g, "thumbnails expected", "thumbnails", "expected", 1, "%.0f");
	row(g, "thumbnails present", "thumbnails", "present", 1, "%.0f");
	row(g, "written late, at most", NULL, "late_max_us", 1e-3, "%.2f ms");
	fputs("</table>\n", g->f);
}

static void differences(const struct page *g)
{
	size_t i;

	for (i = 0; i < g->n; i++) {
		const char *s = json_string_value(json_object_get(g->r[i], "first_difference"));

		if (!s)
			continue;
		fputs("<h2>First difference, ", g->f);
		put_text(g->f, g->names[i]);
		fputs("</h2>\n<pre>", g->f);
		put_text(g->f, s);
		fputs("</pre>\n", g->f);
	}
}

int report_html(const json_t *const *reports, const char *const *names, size_t n, const char *path,
		struct err_msg *msg)
{
	static const char *const units[] = { "same",    "edited",    "changed", "lost",
					     "doubled", "reordered", "foreign", NULL };
	static const char *const media[] = { "picture", "slow",     "endless", "truncated",
					     "404",     "redirect", "type",    NULL };
	static const char *const thumbs[] = { "expected", "present", NULL };
	struct page g = { .f = fopen(path, "we"), .r = reports, .names = names, .n = n };

	if (!g.f)
		return err_msg_set(msg, ERR_IO, "%s: %s", path, strerror(errno));
	fputs(page_head, g.f);
	fputs("<h1>inset-replay</h1>\n", g.f);
	table(&g);
	differences(&g);
	plot_percentiles(&g, "latency", "Latency, from the planned time");
	plot_percentiles(&g, "held", "Messages with pictures, held time included");
	plot_series(&g, 0, 1, true, "/s", "Units a second");
	plot_series(&g, 1, 1e-6, true, "MB/s", "Throughput");
	plot_series(&g, 3, 1e-3, false, "ms", "Latency p99 over time");
	plot_series(&g, 2, 1, false, "", "Open sessions");
	bars(&g, "Outcome of units", "units", units);
	bars(&g, "Thumbnails", "thumbnails", thumbs);
	bars(&g, "Outcome of jobs, by the media server's answers", "media", media);
	fputs("</body></html>\n", g.f);
	if (ferror(g.f) | fclose(g.f))
		return err_msg_set(msg, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}
