/* SPDX-License-Identifier: MIT */
/*
 * commands - see commands.h.
 *
 * Every answer has "ok"; without it "problems" says why, and "fault" that inset is to blame. An
 * answer that lacks what some processes know is one all the same: "problems" names them.
 */
#include "config.h"

#include "master/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/asks.h"
#include "master/control.h"
#include "master/fleet.h"
#include "master/status.h"

#define PATIENCE_MS    3000
#define STATUS_MS      1000 /* what is shown without the slow ones is better than nothing */
#define SESSIONS_SHOWN 50
#define SESSIONS_MAX   1000

static const char *const orders[] = {
	[ASK_ORDER_AGE] = "age",
	[ASK_ORDER_BYTES] = "bytes",
	[ASK_ORDER_HELD] = "held",
};

static void refuse(struct master *m, uint64_t client, const char *why, bool fault)
{
	control_answer(m->control, client,
		       json_pack("{s:b, s:b, s:[s]}", "ok", 0, "fault", fault, "problems", why));
}

/* An argument that is a text without control characters; NULL: it is none, or too long. */
static const char *argument(const json_t *request, const char *key, const char *otherwise)
{
	const json_t *v = json_object_get(request, key);
	const char *text = v ? json_string_value(v) : otherwise;
	size_t i, len = text ? strlen(text) : 0;

	if (!text || len > ASK_TEXT_MAX || (v && len != json_string_length(v)))
		return NULL;
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return NULL;
	return text;
}

static void ask(struct master *m, uint64_t client, const struct ask *q, unsigned ms,
		asks_done_fn done)
{
	if (asks_start(m, client, q, ms, done))
		refuse(m, client, "too much is being asked already", true);
}

/* There is no answer at all: refused. */
static bool refuse_silence(struct master *m, const struct asked *asked)
{
	if (json_array_size(asked->answers))
		return false;
	control_answer(m->control, asked->client,
		       json_pack("{s:b, s:b, s:O}", "ok", 0, "fault", asked->silence, "problems",
				 asked->problems));
	return true;
}

/* --- status and rules ------------------------------------------------------------------ */

static void on_status(struct master *m, const struct asked *asked)
{
	json_t *status = status_new(m);

	status_add(status, m, asked);
	control_answer(m->control, asked->client, status);
}

static void run_status(struct master *m, uint64_t client, const json_t *request UNUSED)
{
	const struct ask q = { .command = ASK_STATUS, .text = "" };

	ask(m, client, &q, STATUS_MS, on_status);
}

static void run_rules(struct master *m, uint64_t client, const json_t *request UNUSED)
{
	control_answer(m->control, client, status_rules_new(m));
}

/* --- sessions -------------------------------------------------------------------------- */

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* As large as it gets: children say what they like. */
static json_int_t sum_of(json_int_t a, json_int_t b)
{
	json_int_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static json_int_t weight(const json_t *session, enum ask_order order)
{
	switch (order) {
	case ASK_ORDER_AGE:
		return number_of(session, "age-ms");
	case ASK_ORDER_BYTES:
		return sum_of(number_of(session, "bytes-c2s"), number_of(session, "bytes-s2c"));
	case ASK_ORDER_HELD:
		return number_of(session, "held");
	case ASK_ORDER_COUNT:
		break;
	}
	BUG();
}

static int compare(const void *a, const void *b, void *arg)
{
	enum ask_order order = *(const enum ask_order *)arg;
	json_int_t x = weight(*(json_t *const *)a, order), y = weight(*(json_t *const *)b, order);

	return x == y ? 0 : x < y ? 1 : -1;
}

/* The heaviest of all lists, at most asked->number. */
static json_t *merge_sessions(const struct asked *asked)
{
	json_t *list = json_array(), **all, *answer, *session;
	enum ask_order order = asked->order;
	size_t i, k, n = 0;

	json_array_foreach(asked->answers, i, answer) n +=
		json_array_size(json_object_get(answer, "list"));
	all = calloc(n + 1, sizeof(*all));
	n = 0;
	json_array_foreach(asked->answers, i, answer)
	{
		json_array_foreach(json_object_get(answer, "list"), k, session)
		{
			json_object_set(session, "worker", json_object_get(answer, "process"));
			if (all)
				all[n++] = session;
		}
	}
	if (all)
		qsort_r(all, n, sizeof(*all), compare, &order);
	for (i = 0; i < n && i < asked->number; i++)
		json_array_append(list, all[i]);
	free(all);
	return list;
}

static void on_sessions(struct master *m, const struct asked *asked)
{
	json_int_t sessions = 0, matches = 0;
	json_t *answer;
	size_t i;

	if (refuse_silence(m, asked))
		return;
	json_array_foreach(asked->answers, i, answer)
	{
		sessions = sum_of(sessions, number_of(answer, "sessions"));
		matches = sum_of(matches, number_of(answer, "matches"));
	}
	control_answer(m->control, asked->client,
		       json_pack("{s:b, s:I, s:I, s:o, s:O}", "ok", 1, "sessions", sessions,
				 "matches", matches, "list", merge_sessions(asked), "problems",
				 asked->problems));
}

static void run_sessions(struct master *m, uint64_t client, const json_t *request)
{
	const json_t *limit = json_object_get(request, "limit");
	const char *jid = argument(request, "jid", "");
	const char *order = argument(request, "order", "age");
	struct ask q = { .command = ASK_SESSIONS, .number = SESSIONS_SHOWN, .text = jid };
	size_t i;

	for (i = 0; order && i < ARRAY_SIZE(orders) && strcmp(order, orders[i]) != 0;)
		i++;
	if (!jid || !order || i == ARRAY_SIZE(orders)) {
		refuse(m, client, "order is age, bytes or held; jid is a JID", false);
		return;
	}
	q.choice = (uint8_t)i;
	if (limit) {
		json_int_t n = json_integer_value(limit);

		if (!json_is_integer(limit) || n < 1 || n > SESSIONS_MAX) {
			refuse(m, client, "limit is a number from 1 to 1000", false);
			return;
		}
		q.number = (uint32_t)n;
	}
	ask(m, client, &q, PATIENCE_MS, on_sessions);
}

/* --- the cache ------------------------------------------------------------------------- */

/* One process answers, for all: its answer is the answer. */
static void on_one(struct master *m, const struct asked *asked)
{
	json_t *answer;

	if (refuse_silence(m, asked))
		return;
	answer = json_incref(json_array_get(asked->answers, 0));
	json_object_set_new(answer, "ok", json_true());
	json_object_set(answer, "problems", asked->problems);
	control_answer(m->control, asked->client, answer);
}

static void run_cache(struct master *m, uint64_t client, const json_t *request UNUSED)
{
	const struct ask q = { .command = ASK_CACHE, .text = "" };

	ask(m, client, &q, PATIENCE_MS, on_one);
}

/* What several processes have dropped. */
static void on_dropped(struct master *m, const struct asked *asked)
{
	json_int_t entries = 0, bytes = 0;
	const char *shared = "off", *said;
	json_t *answer;
	size_t i;

	if (refuse_silence(m, asked))
		return;
	json_array_foreach(asked->answers, i, answer)
	{
		entries = sum_of(entries, number_of(answer, "entries"));
		bytes = sum_of(bytes, number_of(answer, "bytes"));
		said = json_string_value(json_object_get(answer, "shared"));
		shared = said ? said : shared;
	}
	control_answer(m->control, asked->client,
		       json_pack("{s:b, s:I, s:I, s:s, s:O}", "ok", 1, "entries", entries, "bytes",
				 bytes, "shared", shared, "problems", asked->problems));
}

static void run_cache_flush(struct master *m, uint64_t client, const json_t *request UNUSED)
{
	const struct ask q = { .command = ASK_CACHE_FLUSH, .text = "" };

	log_notice("the cache is flushed, asked for by insetctl");
	ask(m, client, &q, PATIENCE_MS, on_dropped);
}

static void run_cache_purge(struct master *m, uint64_t client, const json_t *request)
{
	const struct ask q = { .command = ASK_CACHE_PURGE, .text = argument(request, "url", NULL) };

	if (q.text)
		ask(m, client, &q, PATIENCE_MS, on_dropped);
	else
		refuse(m, client, "url is missing, or none", false);
}

/* --- the log --------------------------------------------------------------------------- */

static void on_log(struct master *m, const struct asked *asked)
{
	control_answer(m->control, asked->client,
		       json_pack("{s:b, s:s, s:s, s:O}", "ok", 1, "level",
				 log_level_name((enum log_level)asked->number), "configured",
				 log_level_name((enum log_level)m->conf->log.level), "problems",
				 asked->problems));
}

static void run_log(struct master *m, uint64_t client, const json_t *request)
{
	const char *word = argument(request, "level", "");
	int level = word ? log_level_parse(word) : -1;
	struct ask q = { .command = ASK_LOG, .number = (uint32_t)level, .text = "" };

	if (level == -1) {
		refuse(m, client, "level is error, warning, notice, info or debug", false);
		return;
	}
	log_notice("log level is %s until the next reload, asked for by insetctl", word);
	asks_set_level(m, (enum log_level)level);
	ask(m, client, &q, PATIENCE_MS, on_log);
}

/* --- trace ----------------------------------------------------------------------------- */

static void run_trace(struct master *m, uint64_t client, const json_t *request)
{
	const struct ask q = { .command = ASK_TRACE, .text = argument(request, "jid", NULL) };

	if (!q.text || q.text[0] == '\0') {
		refuse(m, client, "jid is missing, or none", false);
		return;
	}
	if (asks_stream(m, client, &q))
		refuse(m, client, "too much is being asked already", true);
}

/* --- drain ----------------------------------------------------------------------------- */

static void run_drain(struct master *m, uint64_t client, const json_t *request UNUSED)
{
	if (!m->stopping)
		log_notice("draining asked for by insetctl timeout=%ums", m->conf->drain_timeout);
	/* The answer first: without sessions the end is near. */
	control_answer(m->control, client,
		       json_pack("{s:b, s:I, s:I}", "ok", 1, "sessions",
				 (json_int_t)fleet_sessions(m), "timeout",
				 (json_int_t)m->conf->drain_timeout));
	master_stop(m, 0);
}

/* --- all of them ----------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(struct master *m, uint64_t client, const json_t *request);
} rows[] = {
	{ "cache", run_cache },
	{ "cache-flush", run_cache_flush },
	{ "cache-purge", run_cache_purge },
	{ "drain", run_drain },
	{ "log", run_log },
	{ "rules", run_rules },
	{ "sessions", run_sessions },
	{ "status", run_status },
	{ "trace", run_trace },
};

bool commands_run(struct master *m, uint64_t client, const char *command, const json_t *request)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(command, rows[i].name) != 0)
			continue;
		rows[i].run(m, client, request);
		return true;
	}
	return false;
}
