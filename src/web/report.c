/* SPDX-License-Identifier: MIT */
/*
 * report - see report.h.
 */
#include "config.h"

#include "web/report.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/ipc.h"
#include "web/json.h"

/* --- figures: {"sessions": 3, "jobs_total": {"ok": 1, ...}, ...} ------------------------- */

static bool is_first_of_name(int row)
{
	int i;

	for (i = 0; i < row; i++)
		if (strcmp(metric_rows[i].name, metric_rows[row].name) == 0)
			return false;
	return true;
}

/* Rows have one label at most: its value, with the quotes, is the key. */
static int print_labelled(int first, struct buf *out)
{
	bool more = false;
	int i, rc = buf_add_str(out, "{");

	for (i = first; i < METRIC_COUNT && !rc; i++) {
		const struct metric_row *r = &metric_rows[i];
		const char *value = strchr(r->labels, '"');

		if (!value || strcmp(r->name, metric_rows[first].name) != 0)
			continue;
		rc = buf_printf(out, "%s%s:%" PRIu64, more ? "," : "", value,
				counters_sum((enum metric)i));
		more = true;
	}
	return rc ? rc : buf_add_str(out, "}");
}

static int print_figures(struct buf *out)
{
	int i, rc = buf_add_str(out, ",\n\"figures\":{");

	for (i = 0; i < METRIC_COUNT && !rc; i++) {
		const struct metric_row *r = &metric_rows[i];

		if (!is_first_of_name(i))
			continue;
		rc = buf_printf(out, "%s\"%s\":", i ? ",\n" : "", r->name);
		if (!rc)
			rc = r->labels[0]
				     ? print_labelled(i, out)
				     : buf_printf(out, "%" PRIu64, counters_sum((enum metric)i));
	}
	return rc ? rc : buf_add_str(out, "}");
}

/* --- stages ----------------------------------------------------------------------------- */

static int print_buckets(const struct counters_histogram *h, const char *key, struct buf *out)
{
	int rc = buf_printf(out, ",\"%s\":[", key);
	unsigned i;

	for (i = 0; i <= HISTOGRAM_BUCKETS && !rc; i++)
		rc = buf_printf(out, "%s%" PRIu64, i ? "," : "", h->bucket[i]);
	return rc ? rc : buf_add_str(out, "]");
}

static int print_stage(const struct history *history, enum histogram_id id, struct buf *out)
{
	struct counters_histogram h;
	int rc = buf_printf(out, "{\"name\":\"%s\"", histogram_rows[id].name);

	if (!rc)
		rc = buf_add_str(out, ",\"help\":");
	if (!rc)
		rc = json_text(out, histogram_rows[id].help);
	history_recent(history, id, &h);
	if (!rc)
		rc = print_buckets(&h, "recent", out);
	counters_histogram_sum(id, &h);
	if (!rc)
		rc = print_buckets(&h, "all", out);
	return rc ? rc : buf_printf(out, ",\"sum\":%" PRIu64 "}", h.sum);
}

static int print_stages(const struct history *history, struct buf *out)
{
	int i, rc = buf_add_str(out, ",\n\"bounds\":[");

	for (i = 0; i < HISTOGRAM_BUCKETS && !rc; i++)
		rc = buf_printf(out, "%s%u", i ? "," : "", histogram_bounds[i]);
	if (!rc)
		rc = buf_add_str(out, "],\n\"stages\":[");
	for (i = 0; i < HISTOGRAM_COUNT && !rc; i++) {
		if (i)
			rc = buf_add_str(out, ",\n");
		if (!rc)
			rc = print_stage(history, (enum histogram_id)i, out);
	}
	return rc ? rc : buf_add_str(out, "]");
}

/* --- listeners, rules, processes -------------------------------------------------------- */

static int print_listener(const struct conf_listen *l, struct buf *out)
{
	const char *const *tls = conf_kind_words(CONF_KIND_ENUM_TLS);
	size_t i;
	int rc = buf_add_str(out, "{\"name\":");

	if (!rc)
		rc = json_text(out, l->name);
	if (!rc)
		rc = buf_add_str(out, ",\"upstream\":");
	if (!rc)
		rc = json_text(out, l->upstream);
	if (!rc)
		rc = buf_printf(out, ",\"tls\":\"%s\",\"bind\":[", tls[l->tls]);
	for (i = 0; i < l->bind.n && !rc; i++) {
		if (i)
			rc = buf_add_str(out, ",");
		if (!rc)
			rc = json_text(out, l->bind.v[i]);
	}
	return rc ? rc
		  : buf_printf(out,
			       "],\"connections\":%" PRIu64 ",\"sessions\":%" PRIu64
			       ",\"bytes_c2s\":%" PRIu64 ",\"bytes_s2c\":%" PRIu64 "}",
			       counters_listener_sum(l->row, LISTENER_FIGURE_ACCEPTED),
			       counters_listener_sum(l->row, LISTENER_FIGURE_SESSIONS),
			       counters_listener_sum(l->row, LISTENER_FIGURE_BYTES_C2S),
			       counters_listener_sum(l->row, LISTENER_FIGURE_BYTES_S2C));
}

static int print_listeners(const struct conf *conf, struct buf *out)
{
	size_t i;
	int rc = buf_add_str(out, ",\n\"listeners\":[");

	for (i = 0; i < conf->listens_n && !rc; i++) {
		if (i)
			rc = buf_add_str(out, ",\n");
		if (!rc)
			rc = print_listener(&conf->listens[i], out);
	}
	return rc ? rc : buf_add_str(out, "]");
}

static int print_rule(const struct conf_rule *r, struct buf *out)
{
	int f, rc = buf_add_str(out, "{\"name\":");

	if (!rc)
		rc = json_text(out, r->name);
	if (!rc)
		rc = buf_printf(out, ",\"action\":\"%s\",\"mode\":\"%s\"",
				conf_kind_words(CONF_KIND_ENUM_ACTION)[r->action],
				r->shadow ? "shadow" : "enforce");
	for (f = 0; f < RULE_FIGURE_COUNT && !rc; f++)
		rc = buf_printf(out, ",\"%s\":%" PRIu64, rule_figure_rows[f].key,
				counters_rule_sum(r->row, (enum rule_figure)f));
	return rc ? rc : buf_add_str(out, "}");
}

static int print_rules(const struct conf *conf, struct buf *out)
{
	size_t i, n = MIN_OF(conf->rules_n, (size_t)REPORT_RULES);
	int rc = buf_printf(out, ",\n\"default_action\":\"%s\",\"rules_all\":%zu,\n\"rules\":[",
			    conf_kind_words(CONF_KIND_ENUM_ACTION)[conf->default_action],
			    conf->rules_n);

	for (i = 0; i < n && !rc; i++) {
		if (i)
			rc = buf_add_str(out, ",\n");
		if (!rc)
			rc = print_rule(&conf->rules[i], out);
	}
	return rc ? rc : buf_add_str(out, "]");
}

static int print_process(unsigned slot, const struct counters_process *p, struct buf *out)
{
	static const char *const states[] = { [COUNTERS_UNUSED] = "unused",
					      [COUNTERS_DOWN] = "down",
					      [COUNTERS_STARTING] = "starting",
					      [COUNTERS_UP] = "up",
					      [COUNTERS_ENDING] = "ending" };
	uint64_t longest = 0, stalls = 0;
	int m;

	/* Each process counts in its own role's rows alone. */
	for (m = METRIC_STALL_MAX_BOX; m <= METRIC_STALL_MAX_WEB; m++)
		longest += counters_of(slot, (enum metric)m);
	for (m = METRIC_STALLS_BOX; m <= METRIC_STALLS_WEB; m++)
		stalls += counters_of(slot, (enum metric)m);
	return buf_printf(out,
			  "{\"role\":\"%s\",\"index\":%" PRIu32 ",\"pid\":%" PRIu32
			  ",\"state\":\"%s\",\"restarts\":%" PRIu32 ",\"since\":%" PRId64
			  ",\"sessions\":%" PRIu64 ",\"stall_max_ms\":%" PRIu64
			  ",\"stalls\":%" PRIu64 "}",
			  p->role < ROLE_COUNT ? role_name((enum role)p->role) : "", p->index,
			  p->pid, states[p->state], p->restarts, p->since,
			  counters_of(slot, METRIC_SESSIONS), longest, stalls);
}

static int print_processes(struct buf *out)
{
	struct counters_process p;
	bool more = false;
	unsigned slot;
	int rc = buf_add_str(out, ",\n\"processes\":[");

	for (slot = 0; slot < COUNTERS_SLOTS && !rc; slot++) {
		if (!counters_process_get(slot, &p))
			continue;
		if (more)
			rc = buf_add_str(out, ",\n");
		if (!rc)
			rc = print_process(slot, &p, out);
		more = true;
	}
	return rc ? rc : buf_add_str(out, "]");
}

/* --- what media says -------------------------------------------------------------------- */

static int print_health(const struct inquiry *inquiry, struct buf *out)
{
	const struct inquiry_health *h = inquiry_last_health(inquiry);
	int rc;

	if (!h->at)
		return buf_add_str(out, ",\n\"health\":null");
	rc = buf_printf(out, ",\n\"health\":{\"ok\":%s,\"ms\":%u,\"ago_ms\":%" PRId64 ",\"why\":",
			h->ok ? "true" : "false", h->ms, clock_now() - h->at);
	if (!rc)
		rc = json_text(out, h->why);
	return rc ? rc : buf_add_str(out, "}");
}

static int print_media(const struct conf *conf, const struct inquiry *inquiry, struct buf *out)
{
	unsigned all = 0;
	int rc = print_health(inquiry, out);

	if (!rc)
		rc = buf_add_str(out, ",\n\"hosts\":");
	if (!rc)
		rc = inquiry_print_hosts(inquiry, out, &all);
	if (!rc)
		rc = buf_printf(out, ",\n\"hosts_all\":%u,\n\"thumbnails\":", all);
	if (!rc)
		rc = conf->web.thumbnails ? inquiry_print_thumbnails(inquiry, out)
					  : buf_add_str(out, "null");
	return rc;
}

int report_print(const struct conf *conf, const struct history *history,
		 const struct inquiry *inquiry, struct buf *out)
{
	int rc = buf_printf(out,
			    "{\"version\":\"%s\",\"now\":%" PRId64 ",\"generation\":%" PRIu64
			    ",\"step\":%d",
			    PACKAGE_VERSION, clock_wall(), conf->generation, HISTORY_STEP_S);

	if (!rc)
		rc = print_figures(out);
	if (!rc)
		rc = print_stages(history, out);
	if (!rc)
		rc = print_listeners(conf, out);
	if (!rc)
		rc = print_rules(conf, out);
	if (!rc)
		rc = print_processes(out);
	if (!rc)
		rc = print_media(conf, inquiry, out);
	return rc ? rc : buf_add_str(out, "}\n");
}
