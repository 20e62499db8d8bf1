/* SPDX-License-Identifier: MIT */
/*
 * history - see history.h.
 */
#include "config.h"

#include "web/history.h"

#include <inttypes.h>
#include <stdlib.h>

#define MINUTES_ROWS 301 /* ten minutes, both ends */
#define DAY_ROWS     1441
#define DAY_STEP_S   60
#define RECENT_ROWS  11

/* A column is the sum of metrics that stand together in metrics.def. */
static const struct {
	const char *name;
	enum metric first;
	enum metric last;
} columns[] = {
	{ "sessions", METRIC_SESSIONS, METRIC_SESSIONS },
	{ "held", METRIC_HELD_UNITS, METRIC_HELD_UNITS },
	{ "bytes_c2s", METRIC_BYTES_C2S, METRIC_BYTES_C2S },
	{ "bytes_s2c", METRIC_BYTES_S2C, METRIC_BYTES_S2C },
	{ "units_c2s", METRIC_UNITS_C2S, METRIC_UNITS_C2S },
	{ "units_s2c", METRIC_UNITS_S2C, METRIC_UNITS_S2C },
	{ "candidates", METRIC_UNITS_CANDIDATE, METRIC_UNITS_CANDIDATE },
	{ "thumbnails", METRIC_THUMBNAILS, METRIC_THUMBNAILS },
	{ "jobs_ok", METRIC_JOB_OK, METRIC_JOB_OK },
	{ "jobs_failed", METRIC_JOB_OK + 1, METRIC_JOB_UNAVAILABLE },
	{ "cache_hit", METRIC_CACHE_HITS, METRIC_CACHE_HITS },
	{ "cache_joined", METRIC_CACHE_JOINED, METRIC_CACHE_JOINED },
	{ "cache_negative", METRIC_CACHE_NEGATIVE, METRIC_CACHE_NEGATIVE },
	{ "cache_miss", METRIC_CACHE_MISSES, METRIC_CACHE_MISSES },
	{ "stalls", METRIC_STALLS_BOX, METRIC_STALLS_WEB },
};

struct row {
	int64_t at;
	uint64_t v[ARRAY_SIZE(columns)];
	uint64_t hold[HISTOGRAM_BUCKETS + 1];
};

struct ring {
	struct row *v; /* owned, max of them */
	size_t max;
	size_t n;
	size_t next; /* where the next one goes */
};

struct recent {
	struct counters_histogram v[HISTOGRAM_COUNT];
};

struct history {
	struct ring ring[HISTORY_SPANS];
	struct recent recent[RECENT_ROWS]; /* one a minute */
	size_t recent_n;
	size_t recent_next;
	int64_t minute; /* of the last row of a minute */
};

static bool ring_init(struct ring *r, size_t max)
{
	*r = (struct ring){ .v = calloc(max, sizeof(*r->v)), .max = max };
	return r->v != NULL;
}

struct history *history_new(void)
{
	struct history *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	if (!ring_init(&h->ring[HISTORY_MINUTES], MINUTES_ROWS) ||
	    !ring_init(&h->ring[HISTORY_DAY], DAY_ROWS))
		history_free(&h);
	return h;
}

void history_free(struct history **h)
{
	int i;

	if (!*h)
		return;
	for (i = 0; i < HISTORY_SPANS; i++)
		free((*h)->ring[i].v);
	free(*h);
	*h = NULL;
}

static void ring_add(struct ring *r, const struct row *row)
{
	r->v[r->next] = *row;
	r->next = (r->next + 1) % r->max;
	r->n = MIN_OF(r->n + 1, r->max);
}

/* i 0: the oldest. */
static const struct row *ring_at(const struct ring *r, size_t i)
{
	return &r->v[(r->next + r->max - r->n + i) % r->max];
}

static void history_keep_histograms(struct history *h)
{
	struct recent *to = &h->recent[h->recent_next];
	int i;

	for (i = 0; i < HISTOGRAM_COUNT; i++)
		counters_histogram_sum((enum histogram_id)i, &to->v[i]);
	h->recent_next = (h->recent_next + 1) % RECENT_ROWS;
	h->recent_n = MIN_OF(h->recent_n + 1, RECENT_ROWS);
}

void history_sample(struct history *h, int64_t now)
{
	struct counters_histogram hold;
	struct row row = { .at = now };
	size_t i;
	int m;

	for (i = 0; i < ARRAY_SIZE(columns); i++)
		for (m = (int)columns[i].first; m <= (int)columns[i].last; m++)
			row.v[i] += counters_sum((enum metric)m);
	counters_histogram_sum(HISTOGRAM_HOLD, &hold);
	for (i = 0; i <= HISTOGRAM_BUCKETS; i++)
		row.hold[i] = hold.bucket[i];
	ring_add(&h->ring[HISTORY_MINUTES], &row);
	/* The wall clock may be set back; then a minute is as good as over. */
	if (h->recent_n && now >= h->minute && now - h->minute < DAY_STEP_S)
		return;
	h->minute = now;
	ring_add(&h->ring[HISTORY_DAY], &row);
	history_keep_histograms(h);
}

void history_recent(const struct history *h, enum histogram_id id, struct counters_histogram *out)
{
	const struct counters_histogram *old;
	size_t i;

	counters_histogram_sum(id, out);
	if (!h->recent_n)
		return;
	old = &h->recent[(h->recent_next + RECENT_ROWS - h->recent_n) % RECENT_ROWS].v[id];
	for (i = 0; i <= HISTOGRAM_BUCKETS; i++)
		out->bucket[i] -= old->bucket[i];
	out->sum -= old->sum;
	out->count -= old->count;
}

/* --- output ----------------------------------------------------------------------------- */

static int print_column(const struct ring *r, const char *name, size_t offset, struct buf *out)
{
	int rc = buf_printf(out, ",\n\"%s\":[", name);
	size_t i;

	for (i = 0; i < r->n && !rc; i++) {
		const uint64_t *v = (const void *)((const char *)ring_at(r, i) + offset);

		rc = buf_printf(out, "%s%" PRIu64, i ? "," : "", *v);
	}
	return rc ? rc : buf_add_str(out, "]");
}

static int print_hold(const struct ring *r, struct buf *out)
{
	int rc = buf_add_str(out, ",\n\"hold\":[");
	size_t i, b;

	for (i = 0; i < r->n && !rc; i++)
		for (b = 0; b <= HISTOGRAM_BUCKETS && !rc; b++)
			rc = buf_printf(out, "%s%" PRIu64,
					b   ? ","
					: i ? "],["
					    : "[",
					ring_at(r, i)->hold[b]);
	return rc ? rc : buf_add_str(out, r->n ? "]]" : "]");
}

int history_print(const struct history *h, enum history_span span, struct buf *out)
{
	const struct ring *r = &h->ring[span];
	size_t i;
	int rc = buf_printf(out, "{\"step\":%d", span == HISTORY_DAY ? DAY_STEP_S : HISTORY_STEP_S);

	if (!rc)
		rc = print_column(r, "at", offsetof(struct row, at), out);
	for (i = 0; i < ARRAY_SIZE(columns) && !rc; i++)
		rc = print_column(r, columns[i].name,
				  offsetof(struct row, v) + i * sizeof(uint64_t), out);
	if (!rc)
		rc = print_hold(r, out);
	return rc ? rc : buf_add_str(out, "}\n");
}
