/* SPDX-License-Identifier: MIT */
/*
 * proxy-asks - see proxy-asks.h.
 *
 * All sessions are looked at in one turn, which costs some nanoseconds each; only as many as were
 * asked for are written, and sorted.
 */
#include "config.h"

#include "stream/proxy-asks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/err.h"
#include "rule/fold.h"
#include "stream/record.h"
#include "stream/tracing.h"
#include "xmpp/jid.h"

#define LISTENERS_MAX 256
#define SHOWN_MAX     1000

/* --- sessions -------------------------------------------------------------------------- */

/* The heaviest sessions so far: a heap with the lightest on top. */
struct shown {
	enum ask_order order;
	size_t max;
	size_t n;
	struct session **v;
};

static int64_t weight(const struct session *s, enum ask_order order)
{
	const struct lane *lane = s->lanes.lane;

	switch (order) {
	case ASK_ORDER_AGE:
		return -s->since;
	case ASK_ORDER_BYTES:
		return (int64_t)(lane[LANE_C2S].bytes + lane[LANE_S2C].bytes);
	case ASK_ORDER_HELD:
		return (lane[LANE_C2S].fifo ? lane[LANE_C2S].fifo->units : 0) +
		       (lane[LANE_S2C].fifo ? lane[LANE_S2C].fifo->units : 0);
	case ASK_ORDER_COUNT:
		break;
	}
	BUG();
}

static void shown_swap(struct shown *h, size_t a, size_t b)
{
	struct session *s = h->v[a];

	h->v[a] = h->v[b];
	h->v[b] = s;
}

static bool shown_less(const struct shown *h, size_t a, size_t b)
{
	return weight(h->v[a], h->order) < weight(h->v[b], h->order);
}

static void shown_sink(struct shown *h)
{
	size_t at = 0, next;

	while ((next = 2 * at + 1) < h->n) {
		if (next + 1 < h->n && shown_less(h, next + 1, next))
			next++;
		if (!shown_less(h, next, at))
			return;
		shown_swap(h, at, next);
		at = next;
	}
}

static void shown_add(struct shown *h, struct session *s)
{
	size_t at;

	if (h->n == h->max) {
		if (weight(s, h->order) <= weight(h->v[0], h->order))
			return;
		h->v[0] = s;
		shown_sink(h);
		return;
	}
	h->v[h->n] = s;
	for (at = h->n++; at && shown_less(h, at, (at - 1) / 2); at = (at - 1) / 2)
		shown_swap(h, at, (at - 1) / 2);
}

static void print_address(const struct sockaddr_in6 *in6, char *out, size_t room)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)in6;
	char ip[INET6_ADDRSTRLEN] = "?";

	if (in6->sin6_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		snprintf(out, room, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else {
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(out, room, "%s:%u", ip, ntohs(in->sin_port));
	}
}

static void put_session(struct jtext *j, const struct session *s)
{
	const struct lane *lane = s->lanes.lane;
	const struct leg *client = &s->leg[SESSION_CLIENT];
	char id[24], from[80];

	snprintf(id, sizeof(id), "%06llx", (unsigned long long)s->id);
	print_address(&s->from, from, sizeof(from));
	jtext_open(j, NULL, '{');
	jtext_str(j, "id", id);
	jtext_str(j, "listener", s->lanes.listen->name);
	jtext_str(j, "state", session_state_name((enum session_state)s->state));
	jtext_str(j, "client", from);
	jtext_str(j, "jid", s->lanes.jid);
	jtext_int(j, "age-ms", clock_now() - s->since);
	jtext_str(j, "tls", client->tls && !client->securing ? tls_version(client->tls) : NULL);
	jtext_bool(j, "compressed", s->lanes.compressed);
	jtext_bool(j, "opaque", s->lanes.opaque);
	jtext_int(j, "units-c2s", lane[LANE_C2S].units);
	jtext_int(j, "units-s2c", lane[LANE_S2C].units);
	jtext_int(j, "bytes-c2s", (int64_t)lane[LANE_C2S].bytes);
	jtext_int(j, "bytes-s2c", (int64_t)lane[LANE_S2C].bytes);
	jtext_int(j, "held", weight(s, ASK_ORDER_HELD));
	jtext_close(j, '}');
}

/* folded: what jid_fold() made of the JID that is looked for; bare: every resource of it. */
static bool is_whose(const struct session *s, const char *folded, bool bare)
{
	char own[JID_MAX + 1];

	if (!s->lanes.jid || strlen(s->lanes.jid) > JID_MAX)
		return false;
	strcpy(own, s->lanes.jid);
	fold_jid(own);
	if (bare)
		own[strcspn(own, "/")] = '\0';
	return strcmp(own, folded) == 0;
}

static void tell_sessions(const struct pool *pool, const struct ask *a)
{
	struct shown h = { .order = (enum ask_order)a->choice,
			   .max = MIN_OF(MAX_OF(a->number, 1U), (uint32_t)SHOWN_MAX) };
	size_t matches = 0, i;
	char folded[ASK_TEXT_MAX + 1];
	bool bare = !strchr(a->text, '/');
	struct jtext j;
	struct list *it;
	int state;

	h.v = calloc(h.max, sizeof(struct session *));
	if (!h.v) {
		child_refuse(a->id, err_str(ERR_NOMEM));
		return;
	}
	strcpy(folded, a->text);
	fold_jid(folded);
	for (state = 0; state < SESSION_CLOSED; state++)
		LIST_EACH(it, &pool->state[state]) {
			struct session *s = CONTAINER_OF(it, struct session, link);

			if (folded[0] && !is_whose(s, folded, bare))
				continue;
			matches++;
			shown_add(&h, s);
		}
	jtext_init(&j, ASK_ANSWER_MAX);
	jtext_open(&j, NULL, '{');
	jtext_int(&j, "sessions", (int64_t)pool->sessions);
	jtext_int(&j, "matches", (int64_t)matches);
	jtext_open(&j, "list", '[');
	/* JIDs may be long: what does not fit is left out, and "matches" tells. */
	for (i = 0; i < h.n && j.b.len < ASK_ANSWER_MAX - 8 * JID_MAX; i++)
		put_session(&j, h.v[i]);
	jtext_close(&j, ']');
	jtext_close(&j, '}');
	free(h.v);
	child_answer_json(a->id, &j);
}

/* --- status ---------------------------------------------------------------------------- */

struct crowd {
	const char *name;
	size_t sessions;
};

/* Whose row; generations have structs of their own for one listener. */
static size_t crowd_of(struct crowd *v, size_t *n, const char *name)
{
	size_t i;

	for (i = 0; i < *n; i++)
		if (v[i].name == name || strcmp(v[i].name, name) == 0)
			return i;
	if (i < LISTENERS_MAX)
		v[(*n)++] = (struct crowd){ .name = name };
	return i;
}

static void tell_status(const struct pool *pool, uint64_t id)
{
	struct crowd crowds[LISTENERS_MAX + 1] = { 0 };
	size_t n = 0, i;
	struct jtext j;
	struct list *it;
	int state;

	for (state = 0; state < SESSION_CLOSED; state++)
		LIST_EACH(it, &pool->state[state])
			crowds[crowd_of(crowds, &n,
					CONTAINER_OF(it, struct session, link)->lanes.listen->name)]
				.sessions++;
	jtext_init(&j, 64 * 1024);
	jtext_open(&j, NULL, '{');
	jtext_open(&j, "listeners", '{');
	for (i = 0; i < n; i++)
		jtext_int(&j, crowds[i].name, (int64_t)crowds[i].sessions);
	jtext_close(&j, '}');
	jtext_bool(&j, "records", record_is_on(pool->record));
	jtext_close(&j, '}');
	child_answer_json(id, &j);
}

void proxy_on_ask(const struct pool *pool, const struct ask *a)
{
	switch (a->command) {
	case ASK_SESSIONS:
		tell_sessions(pool, a);
		return;
	case ASK_STATUS:
		tell_status(pool, a->id);
		return;
	case ASK_TRACE:
		tracing_start(a);
		return;
	case ASK_TRACE_STOP:
		tracing_stop(a->id);
		return;
	case ASK_CACHE:
	case ASK_CACHE_FLUSH:
	case ASK_CACHE_PURGE:
	case ASK_LOG:
	case ASK_COMMAND_COUNT:
		break; /* ask_get() lets none of these through */
	}
	BUG();
}
