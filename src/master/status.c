/* SPDX-License-Identifier: MIT */
/*
 * status - see status.h.
 */
#include "config.h"

#include "master/status.h"

#include <unistd.h>

#include "base/clock.h"
#include "master/control.h"
#include "master/fleet.h"

static const char *const state_names[] = {
	[PROC_DOWN] = "down", [PROC_STARTING] = "starting", [PROC_COMMITTED] = "starting",
	[PROC_UP] = "up",     [PROC_ENDING] = "ending",
};

/* The figures worth a look by hand; all are in /metrics. */
static const struct {
	const char *name;
	enum metric metric;
} figures[] = {
	{ "cache_entries", METRIC_CACHE_ENTRIES },
	{ "connections", METRIC_ACCEPTED },
	{ "fetches", METRIC_FETCHES },
	{ "fetches_refused", METRIC_FETCH_REFUSED },
	{ "held_units", METRIC_HELD_UNITS },
	{ "scaled", METRIC_SCALED },
	{ "scaler_formats", METRIC_SCALER_FORMATS },
	{ "sessions", METRIC_SESSIONS },
	{ "sessions_opaque", METRIC_SESSIONS_OPAQUE },
	{ "stream_errors", METRIC_STREAM_ERRORS },
	{ "thumbnails", METRIC_THUMBNAILS },
	{ "units_c2s", METRIC_UNITS_C2S },
	{ "units_s2c", METRIC_UNITS_S2C },
};

static json_t *children(const struct master *m)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < m->procs_n; i++) {
		const struct proc *p = &m->procs[i];
		json_int_t uptime = p->pid ? (clock_now() - p->started_ms) / 1000 : 0;

		if (p->unwanted && p->pid == 0)
			continue;
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:i, s:i, s:s, s:I, s:o}", "role",
						role_name(p->role), "index", (int)p->index, "pid",
						(int)p->pid, "restarts", (int)p->restarts, "state",
						state_names[p->state], "uptime", uptime, "versions",
						control_text(p->versions)));
	}
	return list;
}

static json_t *listeners(const struct master *m)
{
	json_t *list = json_array();
	size_t i, k;

	for (i = 0; i < m->conf->listens_n; i++) {
		const struct conf_listen *l = &m->conf->listens[i];
		json_t *bind = json_array();

		for (k = 0; k < l->bind.n; k++)
			json_array_append_new(bind, json_string(l->bind.v[k]));
		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "name", l->name, "bind",
						      bind, "upstream", control_text(l->upstream)));
	}
	return list;
}

/* Those that were here before and have sessions still. */
static json_t *elders(const struct master *m)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < m->elders_n; i++) {
		const struct elder *e = &m->elders[i];

		json_array_append_new(list, json_pack("{s:i, s:o, s:I, s:I}", "pid", (int)e->pid,
						      "control", control_text(e->control),
						      "sessions", (json_int_t)e->sessions, "since",
						      (json_int_t)e->since));
	}
	return list;
}

/* null, or how many sessions have how many seconds still. */
static json_t *drain(const struct master *m)
{
	int64_t left = m->drain_until - clock_now();

	if (!m->stopping)
		return json_null();
	return json_pack("{s:I, s:I, s:b}", "sessions", (json_int_t)fleet_sessions(m), "seconds",
			 (json_int_t)MAX_OF(left / 1000, (int64_t)0), "upgraded", (int)m->handed);
}

json_t *status_new(const struct master *m)
{
	json_t *counters = json_object();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_set_new(counters, figures[i].name,
				    json_integer((json_int_t)counters_sum(figures[i].metric)));
	return json_pack("{s:b, s:s, s:i, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "ok", 1,
			 "version", PACKAGE_VERSION, "pid", (int)getpid(), "uptime",
			 (json_int_t)((clock_now() - m->started_ms) / 1000), "generation",
			 (json_int_t)m->conf->generation, "state", master_state(m), "children",
			 children(m), "listeners", listeners(m), "counters", counters, "elders",
			 elders(m), "drain", drain(m));
}

/* Sessions of each listener, over all workers that answered. */
static void add_sessions(json_t *status, const struct asked *asked)
{
	json_t *listener, *answer;
	size_t i, k;

	json_array_foreach(json_object_get(status, "listeners"), i, listener)
	{
		const char *name = json_string_value(json_object_get(listener, "name"));
		json_int_t n = 0;

		json_array_foreach(asked->answers, k, answer) n += json_integer_value(
			json_object_get(json_object_get(answer, "listeners"), name));
		json_object_set_new(listener, "sessions", json_integer(n));
	}
}

static const char *thumbnails(const struct master *m)
{
	return fleet_running(m, ROLE_MEDIA) == 0          ? "off: the media process is away"
	       : counters_sum(METRIC_SCALER_FORMATS) == 0 ? "off: the scaler is away, or no format "
							    "passed its self-test"
							  : "on";
}

void status_add(json_t *status, const struct master *m, const struct asked *asked)
{
	const char *shared = m->conf->cache.redis[0] ? "unknown" : "off", *said;
	json_int_t records = 0;
	json_t *answer;
	size_t i;

	add_sessions(status, asked);
	json_array_foreach(asked->answers, i, answer)
	{
		records += json_is_true(json_object_get(answer, "records"));
		said = json_string_value(json_object_get(answer, "shared"));
		shared = said ? said : shared;
	}
	json_object_set_new(status, "shared-cache", json_string(shared));
	json_object_set_new(status, "thumbnails", json_string(thumbnails(m)));
	json_object_set_new(status, "record",
			    json_pack("{s:o, s:I}", "path", control_text(m->conf->record.path),
				      "workers", records));
	json_object_set_new(status, "log-level", json_string(log_level_name(log_get_level())));
	json_object_set(status, "problems", asked->problems);
}

json_t *status_rules_new(const struct master *m)
{
	json_t *list = json_array();
	size_t i;
	int f;

	for (i = 0; i < m->conf->rules_n; i++) {
		const struct conf_rule *r = &m->conf->rules[i];
		json_t *o = json_pack("{s:o, s:s, s:s}", "name", control_text(r->name), "action",
				      conf_kind_words(CONF_KIND_ENUM_ACTION)[r->action], "mode",
				      r->shadow ? "shadow" : "enforce");

		for (f = 0; f < RULE_FIGURE_COUNT; f++)
			json_object_set_new(o, rule_figure_rows[f].key,
					    json_integer((json_int_t)counters_rule_sum(
						    r->row, (enum rule_figure)f)));
		json_array_append_new(list, o);
	}
	return json_pack("{s:b, s:s, s:o}", "ok", 1, "default-action",
			 conf_kind_words(CONF_KIND_ENUM_ACTION)[m->conf->default_action], "rules",
			 list);
}
