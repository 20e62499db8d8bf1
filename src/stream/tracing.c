/* SPDX-License-Identifier: MIT */
/*
 * tracing - see tracing.h.
 */
#include "config.h"

#include "stream/tracing.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "rule/fold.h"
#include "stream/session.h"
#include "xmpp/jid.h"

#define TRACES_MAX  4
#define EVENTS_MAX  500 /* a second */
#define EVENT_BYTES (32 * 1024)

struct trace_one {
	uint64_t id; /* 0: free */
	bool all;
	bool bare;
	char jid[ASK_TEXT_MAX + 1]; /* folded */
};

struct tracing {
	struct trace_one v[TRACES_MAX];
	int64_t second; /* that events are counted for */
	unsigned events;
	uint64_t lost;
	uint32_t last_unit;
};

static struct tracing tracing;
struct tracing *tracing_on;

/* What the filters count when they see a unit, and what that says. */
static const struct {
	enum metric metric;
	const char *why;
} reasons[] = {
	{ METRIC_UNITS_ENCRYPTED, "it has a sign of encryption" },
	{ METRIC_UNITS_THERE, "it has a thumbnail already" },
	{ METRIC_UNITS_INELIGIBLE, "it has no address of media in a place that counts" },
	{ METRIC_UNITS_PARSE, "it cannot be read" },
	{ METRIC_UNITS_SHAPE, "it has more elements, attributes or depth than limits allow" },
	{ METRIC_UNITS_SIZE, "it is larger than max-stanza" },
	{ METRIC_RULES_STUCK, "a rule could not be worked out" },
	{ METRIC_CHECK_FAILED, "the changed message did not read as it should" },
};

/* The message that rules, filters and jobs speak of now. */
static struct {
	uint32_t unit; /* 0: none, or not traced */
	uint8_t by;
	const struct lane *lane;
	int64_t since;
	bool candidate; /* told */
	bool judged;
	enum job_status status; /* that the filters have been given */
	bool has_status;
	uint64_t before[ARRAY_SIZE(reasons)];
	uint64_t candidates;
} now;

/* --- events ---------------------------------------------------------------------------- */

static bool may_tell(void)
{
	int64_t second = clock_now() / 1000;

	if (second != tracing.second) {
		tracing.second = second;
		tracing.events = 0;
	}
	if (tracing.events >= EVENTS_MAX) {
		tracing.lost++;
		return false;
	}
	tracing.events++;
	return true;
}

static int64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* False: nothing is to be told. */
static bool event_open(struct jtext *j, const struct lane *l, uint32_t unit, int64_t since,
		       const char *stage)
{
	const struct session *s = l->both->ctx;
	char id[24];

	if (!may_tell())
		return false;
	snprintf(id, sizeof(id), "%06llx", (unsigned long long)s->id);
	jtext_init(j, EVENT_BYTES);
	jtext_open(j, NULL, '{');
	jtext_int(j, "time", wall_ms());
	jtext_str(j, "session", id);
	jtext_int(j, "unit", unit);
	jtext_str(j, "direction", l->dir == LANE_C2S ? "c2s" : "s2c");
	jtext_int(j, "ms", clock_now() - since);
	jtext_str(j, "stage", stage);
	if (tracing.lost)
		jtext_int(j, "lost", (int64_t)tracing.lost);
	return true;
}

static void event_close(struct jtext *j, uint8_t by)
{
	bool sent = false;
	int i;

	jtext_close(j, '}');
	for (i = 0; i < TRACES_MAX && !j->error; i++)
		if (by & 1u << i && tracing.v[i].id)
			sent |= child_answer(tracing.v[i].id, ASK_MORE, j->b.p, j->b.len) == 0;
	if (sent)
		tracing.lost = 0;
	else
		tracing.lost++;
	jtext_fini(j);
}

/* Of an address only this is told. */
static void put_host(struct jtext *j, const char *url)
{
	char host[JOB_URL_MAX + 1];

	jtext_str(j, "host", url && fold_host(url, host, sizeof(host)) ? host : NULL);
}

static void put_box(struct jtext *j, const char *key, unsigned width, unsigned height)
{
	char text[32];

	snprintf(text, sizeof(text), "%ux%u", width, height);
	jtext_str(j, key, text);
}

/* --- whose message ---------------------------------------------------------------------- */

static bool is_of(const struct trace_one *t, const char *jid)
{
	char folded[JID_MAX + 1];

	if (t->all)
		return true;
	if (!jid || strlen(jid) > JID_MAX)
		return false;
	strcpy(folded, jid);
	fold_jid(folded);
	if (t->bare)
		folded[strcspn(folded, "/")] = '\0';
	return strcmp(folded, t->jid) == 0;
}

/* On the stream of a component or a server everybody's messages pass: there the stanza says. */
static const char *named(const struct lane *l, const uint8_t *p, size_t len, char *text,
			 size_t room)
{
	struct tag_span raw;
	struct tag t;

	if (l->both->jid)
		return l->both->jid;
	if (!p || tag_read(&t, p, lane_tag_len(p, len)))
		return NULL;
	raw = tag_attr(&t, l->dir == LANE_C2S ? "from" : "to");
	return raw.p && tag_text(raw, text, room) == 0 ? text : NULL;
}

/* Makes it the one that others speak of, if somebody wants to know. */
static void now_begin(struct lane *l, const uint8_t *p, size_t len)
{
	char text[JID_MAX + 1];
	const char *jid = named(l, p, len, text, sizeof(text));
	struct jtext j;
	size_t i;

	now.unit = 0;
	now.by = 0;
	for (i = 0; i < TRACES_MAX; i++)
		if (tracing.v[i].id && is_of(&tracing.v[i], jid))
			now.by |= (uint8_t)(1u << i);
	if (!now.by)
		return;
	now.unit = ++tracing.last_unit ? tracing.last_unit : ++tracing.last_unit;
	now.lane = l;
	now.since = clock_now();
	now.candidate = now.judged = now.has_status = false;
	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		now.before[i] = counters_mine->value[reasons[i].metric];
	now.candidates = counters_mine->value[METRIC_UNITS_CANDIDATE];
	if (!event_open(&j, l, now.unit, now.since, "seen"))
		return;
	jtext_int(&j, "bytes", (int64_t)len);
	jtext_str(&j, "listener", l->both->listen->name);
	jtext_str(&j, "jid", jid);
	event_close(&j, now.by);
}

/* --- what becomes of it ----------------------------------------------------------------- */

static const char *now_reason(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (counters_mine->value[reasons[i].metric] != now.before[i])
			return reasons[i].why;
	return NULL;
}

/* Before what follows from it is told. */
static void now_candidate(void)
{
	struct jtext j;

	if (now.candidate || counters_mine->value[METRIC_UNITS_CANDIDATE] == now.candidates)
		return;
	now.candidate = true;
	if (event_open(&j, now.lane, now.unit, now.since, "candidate"))
		event_close(&j, now.by);
}

static void now_leaves(const char *how, const char *why, size_t in, size_t out)
{
	struct jtext j;

	now.judged = true;
	if (!event_open(&j, now.lane, now.unit, now.since, "leaves"))
		return;
	jtext_str(&j, "how", how);
	if (why)
		jtext_str(&j, "why", why);
	if (out)
		jtext_int(&j, "added", (int64_t)out - (int64_t)in);
	jtext_int(&j, "held-ms", 0);
	event_close(&j, now.by);
}

void tracing_seen(struct lane *l, const uint8_t *p, size_t len)
{
	now.unit = 0;
	if (l->kind == UNIT_MESSAGE)
		now_begin(l, p, len);
}

void tracing_take(struct fifo_entry *e)
{
	e->traced = now.unit;
	e->traced_by = now.by;
}

void tracing_judged(struct fifo_entry *e, enum chain_result r)
{
	const char *why = now_reason();
	size_t len;

	now_candidate();
	now.judged = true;
	if (r == CHAIN_WAIT)
		return;
	if (r == CHAIN_EDITED)
		(void)chain_unit_bytes(e->unit, &len);
	else
		len = 0;
	if (!why && r == CHAIN_PASS)
		why = now.candidate ? "no rule or profile asks for more" : "no filter changes it";
	now_leaves(r == CHAIN_EDITED ? "changed" : "as it came", r == CHAIN_EDITED ? NULL : why,
		   e->bytes.len, len);
	e->traced = 0;
}

void tracing_passed(const struct lane *l)
{
	const char *why = now_reason();

	if (!now.unit)
		return;
	if (!now.judged) {
		if (!why && l->fifo && l->fifo->units >= FIFO_UNITS_MAX)
			why = "too many units wait already";
		now_leaves("as it came", why ? why : "it has nothing that a filter looks for", 0,
			   0);
	}
	now.unit = 0;
}

void tracing_through(struct lane *l)
{
	now_begin(l, NULL, (size_t)l->since);
	if (!now.unit)
		return;
	now_leaves("as it came",
		   l->since > l->both->listen->max_stanza
			   ? "it is larger than max-stanza"
			   : "no filter looks at messages of this direction",
		   0, 0);
	now.unit = 0;
}

/* --- rules, jobs, results ---------------------------------------------------------------- */

/* Rules that do not match are not told, nor what a condition saw: it may be of the message. */
static void on_rule(void *ctx UNUSED, const struct rule_step *step)
{
	static const char *const outcomes[] = {
		[RULE_DECIDED] = "decided", [RULE_SHADOWED] = "shadow", [RULE_FAILED] = NULL,
		[RULE_OPEN] = "open",       [RULE_STUCK] = "stuck",
	};
	struct jtext j;

	if (!now.unit || !outcomes[step->outcome])
		return;
	now_candidate();
	if (!event_open(&j, now.lane, now.unit, now.since, "rule"))
		return;
	jtext_str(&j, "rule", step->rule ? step->rule->name : "(default-action)");
	jtext_str(&j, "outcome", outcomes[step->outcome]);
	jtext_str(&j, "action", conf_kind_words(CONF_KIND_ENUM_ACTION)[step->action]);
	if (step->condition)
		jtext_str(&j, "condition", step->condition);
	jtext_str(&j, "phase", step->after ? "after the fetch" : "before the fetch");
	put_host(&j, step->url);
	event_close(&j, now.by);
}

void tracing_job(const struct fifo_entry *e, const struct job *job, bool sent)
{
	struct jtext j;

	if (now.unit == e->traced)
		now_candidate();
	if (!event_open(&j, e->lane, e->traced, e->since, "job"))
		return;
	jtext_bool(&j, "sent", sent);
	if (job->find_cid)
		jtext_bool(&j, "cid", true);
	else
		put_host(&j, job->url);
	put_box(&j, "box", job->width, job->height);
	jtext_int(&j, "max-bytes", job->max_bytes);
	jtext_bool(&j, "cached-only", job->cached_only);
	jtext_int(&j, "deadline-ms", job->deadline_ms);
	event_close(&j, e->traced_by);
}

void tracing_result(const struct fifo_entry *e, const struct job_result *r)
{
	struct jtext j;
	size_t i;

	now.unit = e->traced;
	now.by = e->traced_by;
	now.lane = e->lane;
	now.since = e->since;
	now.candidate = true;
	now.has_status = true;
	now.status = r->status;
	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		now.before[i] = counters_mine->value[reasons[i].metric];
	if (!event_open(&j, e->lane, e->traced, e->since, "result"))
		return;
	jtext_str(&j, "status", job_status_name(r->status));
	jtext_bool(&j, "from-cache", r->from_cache);
	if (r->queue_ms || r->fetch_ms || r->scale_ms) {
		jtext_int(&j, "queue-ms", r->queue_ms);
		jtext_int(&j, "fetch-ms", r->fetch_ms);
		jtext_int(&j, "scale-ms", r->scale_ms);
	}
	if (r->status == JOB_OK) {
		jtext_str(&j, "media", picture_mime(r->media_format));
		jtext_int(&j, "media-bytes", (int64_t)r->media_size);
		put_box(&j, "media-size", r->media_width, r->media_height);
		jtext_int(&j, "thumbnail-bytes", (int64_t)r->len);
		put_box(&j, "thumbnail-size", r->width, r->height);
	}
	event_close(&j, e->traced_by);
}

void tracing_done(void)
{
	now.unit = 0;
	now.has_status = false;
}

/* Why a unit that has waited leaves as it came. */
static const char *waited_for(const struct fifo_entry *e)
{
	const char *why = now_reason();

	if (now.unit == e->traced && now.has_status && now.status != JOB_OK)
		return job_status_name(now.status);
	if (now.unit == e->traced && now.has_status)
		return why ? why : "no rule or form takes this thumbnail";
	if (e->deadline <= clock_now())
		return "deadline";
	return e->job ? "the session or its stream moves on" : "the media process is away";
}

void tracing_leaves(const struct fifo_entry *e)
{
	struct jtext j;
	size_t len;

	if (!event_open(&j, e->lane, e->traced, e->since, "leaves"))
		return;
	jtext_str(&j, "how", e->edited ? "changed" : "as it came");
	if (e->edited) {
		(void)fifo_entry_bytes(e, &len);
		jtext_int(&j, "added", (int64_t)len - (int64_t)e->bytes.len);
	} else {
		jtext_str(&j, "why", waited_for(e));
	}
	jtext_int(&j, "held-ms", clock_now() - e->since);
	event_close(&j, e->traced_by);
}

/* --- on and off -------------------------------------------------------------------------- */

void tracing_start(const struct ask *a)
{
	static const char begins[] = "{\"stage\":\"begins\"}";
	struct trace_one *t = NULL;
	struct jid jid;
	int i;

	for (i = 0; i < TRACES_MAX && !t; i++)
		if (!tracing.v[i].id)
			t = &tracing.v[i];
	if (!t) {
		child_refuse(a->id, "too many traces at a time");
		return;
	}
	*t = (struct trace_one){ .id = a->id, .all = strcmp(a->text, "*") == 0 };
	strcpy(t->jid, a->text);
	fold_jid(t->jid);
	t->bare = !strchr(t->jid, '/');
	if (!t->all && jid_parse(&jid, t->jid)) {
		*t = (struct trace_one){ 0 };
		child_refuse(a->id, "this is no JID");
		return;
	}
	tracing_on = &tracing;
	session_trace_rules(on_rule);
	if (child_answer(a->id, ASK_MORE, begins, strlen(begins)))
		log_debug("a trace begins unsaid: the channel to the master is full or closed");
}

void tracing_stop(uint64_t id)
{
	bool left = false;
	int i;

	for (i = 0; i < TRACES_MAX; i++) {
		if (tracing.v[i].id == id)
			tracing.v[i] = (struct trace_one){ 0 };
		left |= tracing.v[i].id != 0;
	}
	if (left)
		return;
	tracing_on = NULL;
	tracing.lost = 0;
	session_trace_rules(NULL);
}
