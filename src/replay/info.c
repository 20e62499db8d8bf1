/* SPDX-License-Identifier: MIT */
/*
 * info - see info.h.
 */
#include "config.h"

#include "replay/info.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct totals {
	uint64_t sessions;
	uint64_t bytes[2];
	uint64_t units[2];
	uint64_t stanzas;
	uint64_t messages;
	uint64_t candidates;
	uint64_t blind;
	uint64_t broken;
};

static void totals_add(struct totals *x, const struct trace_session *s)
{
	size_t i;
	int dir;

	if (s->after)
		return; /* the same once more */
	x->sessions++;
	x->blind += s->blind;
	x->broken += s->error != 0;
	for (dir = 0; dir < 2; dir++)
		for (i = 0; i < s->lane[dir].n; i++) {
			const struct trace_unit *u = &s->lane[dir].v[i];

			x->bytes[dir] += u->len;
			x->units[dir]++;
			x->stanzas += u->kind == UNIT_MESSAGE || u->kind == UNIT_PRESENCE ||
				      u->kind == UNIT_IQ;
			x->messages += u->kind == UNIT_MESSAGE;
			x->candidates += u->candidate;
		}
}

void info_print(const struct trace *t, bool json, FILE *f)
{
	struct totals x = { 0 };
	size_t i;

	for (i = 0; i < t->n; i++)
		totals_add(&x, &t->v[i]);
	if (json) {
		fprintf(f,
			"{\"files\": %u, \"sessions\": %" PRIu64 ", \"stanzas\": %" PRIu64
			", \"messages\": %" PRIu64 ", \"candidates\": %" PRIu64
			", \"units\": {\"c2s\": %" PRIu64 ", \"s2c\": %" PRIu64
			"}, \"bytes\": {\"c2s\": %" PRIu64 ", \"s2c\": %" PRIu64
			", \"blind\": %" PRIu64 "}, \"seconds\": %.3f, \"truncated\": %u, "
			"\"unreadable\": %" PRIu64 "}\n",
			t->files, x.sessions, x.stanzas, x.messages, x.candidates, x.units[0],
			x.units[1], x.bytes[0], x.bytes[1], x.blind, (double)t->duration_us / 1e6,
			t->truncated, x.broken);
		return;
	}
	fprintf(f, "files       %u%s\n", t->files, t->truncated ? ", cut off at the end" : "");
	fprintf(f, "sessions    %" PRIu64 "\n", x.sessions);
	fprintf(f, "stanzas     %" PRIu64 ", of which messages %" PRIu64 "\n", x.stanzas,
		x.messages);
	fprintf(f, "candidates  %" PRIu64 "\n", x.candidates);
	fprintf(f, "units       %" PRIu64 " c2s, %" PRIu64 " s2c\n", x.units[0], x.units[1]);
	fprintf(f, "bytes       %" PRIu64 " c2s, %" PRIu64 " s2c, %" PRIu64 " blind\n", x.bytes[0],
		x.bytes[1], x.blind);
	fprintf(f, "duration    %.3f s\n", (double)t->duration_us / 1e6);
	if (x.broken)
		fprintf(f, "unreadable  %" PRIu64 " sessions (see inset-replay check)\n", x.broken);
}

/* --- check -------------------------------------------------------------------------------- */

struct pairing {
	const struct trace_lane *before;
};

static const uint8_t *pair_unit(void *ctx, uint64_t number, size_t *len_out,
				enum unit_kind *kind_out)
{
	const struct pairing *p = ctx;

	if (number >= p->before->n)
		return NULL;
	*len_out = p->before->v[number].len;
	*kind_out = p->before->v[number].kind;
	return p->before->v[number].p;
}

/* The same session, recorded in front of the filters: it was opened before this one was seen. */
static const struct trace_session *find_before(const struct trace *t, const struct trace_session *s)
{
	const struct trace_session *b = s;

	while (b-- > t->v)
		if (!b->after && b->group == s->group && b->id == s->id)
			return b;
	return NULL;
}

static unsigned check_pair(const struct trace_session *before, const struct trace_session *after,
			   FILE *f)
{
	struct checker_sums sums = { .expected = 0 };
	unsigned faults = 0;
	int dir;

	for (dir = 0; dir < 2; dir++) {
		struct pairing pairing = { &before->lane[dir] };
		struct checker c = { .sums = &sums,
				     .unit = pair_unit,
				     .ctx = &pairing,
				     .sent = before->lane[dir].n };
		enum checker_result result;
		size_t i;

		snprintf(c.name, sizeof(c.name), "session %" PRIu64 " %s", before->id,
			 dir ? "s2c" : "c2s");
		for (i = 0; i < after->lane[dir].n; i++)
			(void)checker_arrived(&c, after->lane[dir].v[i].p,
					      after->lane[dir].v[i].len, &result);
		/* What was on its way when the session or the file ended is nobody's fault. */
	}
	if (!checker_is_clean(&sums)) {
		faults = 1;
		fprintf(f, "%.*s", (int)sums.first.len, (const char *)sums.first.p);
	}
	checker_sums_fini(&sums);
	return faults;
}

unsigned info_check(const struct trace *t, FILE *f)
{
	unsigned faults = 0;
	size_t i;

	if (t->truncated) {
		fprintf(f, "%u file%s cut off at the end\n", t->truncated,
			t->truncated > 1 ? "s are" : " is");
		faults++;
	}
	for (i = 0; i < t->n; i++) {
		const struct trace_session *s = &t->v[i], *before;

		if (s->error) {
			fprintf(f, "session %" PRIu64 "%s: %s\n", s->id, s->after ? " after" : "",
				err_str(s->error));
			faults++;
		}
		before = s->after ? find_before(t, s) : NULL;
		if (before && !before->error && !s->error)
			faults += check_pair(before, s, f);
	}
	return faults;
}
