/* SPDX-License-Identifier: MIT */
/*
 * trace - see trace.h: captures into memory, and clones out of it.
 */
#include "config.h"

#include "replay/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/reader.h"

void trace_init(struct trace *t, uint64_t max_bytes)
{
	*t = (struct trace){ .max_bytes = max_bytes };
}

static void unit_fini(struct trace_unit *u)
{
	free(u->p);
	free(u->marks);
}

void trace_session_end(struct trace_session *s)
{
	int dir;

	for (dir = 0; dir < 2; dir++) {
		if (s->cut[dir])
			trace_cut_fini(s->cut[dir]);
		free(s->cut[dir]);
		s->cut[dir] = NULL;
	}
}

static void slots_clear(struct trace *t)
{
	free(t->slots);
	t->slots = NULL;
	t->slots_room = t->slots_n = 0;
}

void trace_fini(struct trace *t)
{
	size_t i, k;
	int dir;

	for (i = 0; i < t->n; i++) {
		for (dir = 0; dir < 2; dir++) {
			for (k = 0; k < t->v[i].lane[dir].n; k++)
				unit_fini(&t->v[i].lane[dir].v[k]);
			free(t->v[i].lane[dir].v);
		}
		trace_session_end(&t->v[i]);
		free(t->v[i].jid);
	}
	free(t->v);
	free(t->stem);
	slots_clear(t);
	free(t->ours);
	*t = (struct trace){ .v = NULL };
}

/* --- sessions while they are read --------------------------------------------------------- */

static struct trace_slot *slot_of(const struct trace *t, uint64_t id, bool after)
{
	size_t i = (size_t)((id * 2 + after) * 0x9e3779b97f4a7c15ULL >> 20) & (t->slots_room - 1);

	while (t->slots[i].used && (t->slots[i].id != id || t->slots[i].after != after))
		i = (i + 1) & (t->slots_room - 1);
	return &t->slots[i];
}

static int slots_grow(struct trace *t)
{
	struct trace old = *t;
	size_t i;

	t->slots_room = old.slots_room ? 2 * old.slots_room : 64;
	t->slots = calloc(t->slots_room, sizeof(*t->slots));
	if (!t->slots) {
		*t = old;
		return ERR_NOMEM;
	}
	for (i = 0; i < old.slots_room; i++)
		if (old.slots[i].used)
			*slot_of(t, old.slots[i].id, old.slots[i].after) = old.slots[i];
	free(old.slots);
	return 0;
}

/* The slot of a session, a new one if need be; NULL without memory. */
static struct trace_slot *slot_get(struct trace *t, uint64_t id, bool after)
{
	struct trace_slot *slot;

	if (2 * t->slots_n >= t->slots_room && slots_grow(t))
		return NULL;
	slot = slot_of(t, id, after);
	t->slots_n += !slot->used;
	slot->used = true;
	slot->id = id;
	slot->after = after;
	return slot;
}

/* Where a line belongs: sessions are those of their group; before and after are two. */
static struct trace_session *trace_session(struct trace *t, const struct reader_event *e,
					   int64_t t_us)
{
	bool after = e->where == CAPTURE_AFTER;
	struct trace_slot *slot = slot_get(t, e->session, after);
	struct trace_session *s;
	size_t i;

	if (!slot)
		return NULL;
	if (slot->number)
		return &t->v[slot->number - 1];
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct trace_session *v = realloc(t->v, room * sizeof(*v));

		if (!v)
			return NULL;
		t->v = v;
		t->room = room;
	}
	s = &t->v[t->n++];
	slot->number = t->n;
	*s = (struct trace_session){ .id = e->session,
				     .group = t->group,
				     .after = after,
				     .start_us = t_us,
				     .end_us = t_us };
	for (i = 0; i < 2; i++) {
		s->cut[i] = malloc(sizeof(*s->cut[i]));
		if (!s->cut[i])
			return NULL;
		trace_cut_init(s->cut[i], i == 1);
	}
	return s;
}

/* Its number is free for another session. */
static int trace_forget(struct trace *t, uint64_t id)
{
	int after;

	for (after = 0; after <= 1; after++) {
		struct trace_slot *slot = slot_get(t, id, after != 0);

		if (!slot)
			return ERR_NOMEM;
		slot->number = 0;
	}
	return 0;
}

struct loading {
	struct trace *trace;
	struct trace_session *session;
	int64_t t_us;
	bool s2c;
};

static int on_unit(void *ctx, const uint8_t *p, size_t len, enum unit_kind kind)
{
	struct loading *l = ctx;
	struct trace_session *s = l->session;
	struct trace_lane *lane = &s->lane[l->s2c];
	struct trace_unit *u;

	l->trace->bytes += len;
	if (l->trace->bytes > l->trace->max_bytes)
		return ERR_FULL;
	if (lane->n == lane->room) {
		size_t room = lane->room ? 2 * lane->room : 16;
		struct trace_unit *v = realloc(lane->v, room * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		lane->v = v;
		lane->room = room;
	}
	u = &lane->v[lane->n];
	*u = (struct trace_unit){ .t_us = l->t_us - s->start_us,
				  .p = malloc(len),
				  .len = len,
				  .kind = kind,
				  .before = (uint32_t)s->lane[!l->s2c].n };
	if (!u->p)
		return ERR_NOMEM;
	memcpy(u->p, p, len);
	lane->n++;
	return 0;
}

static int trace_event(struct trace *t, const struct reader_event *e, int64_t t_us)
{
	struct loading l = { .trace = t, .t_us = t_us, .s2c = e->s2c };
	const struct trace_lane *lane;
	struct trace_session *s;
	int rc;

	if (e->event == CAPTURE_OPEN && trace_forget(t, e->session))
		return ERR_NOMEM;
	s = l.session = trace_session(t, e, t_us);
	if (!s)
		return ERR_NOMEM;
	s->end_us = t_us;
	t->duration_us = MAX_OF(t->duration_us, t_us);
	s->blind += e->blind;
	if (e->event == CAPTURE_CLOSE)
		return trace_forget(t, e->session);
	if (e->event != CAPTURE_DATA || s->error || s->blind)
		return 0;
	/* slixmpp acknowledges stanzas behind its </stream:stream>: nobody reads that. */
	lane = &s->lane[e->s2c];
	if (lane->n && lane->v[lane->n - 1].kind == UNIT_CLOSE)
		return 0;
	rc = trace_cut_feed(s->cut[e->s2c], s->cut[!e->s2c], e->p, e->len, on_unit, &l);
	if (rc == ERR_NOMEM || rc == ERR_FULL)
		return rc;
	s->error = rc;
	return 0;
}

/* "a/proxy-0.000012.jsonl.gz" goes on where "a/proxy-0.000011.jsonl.gz" ended. */
static int trace_group(struct trace *t, const char *path)
{
	size_t len = strlen(path), tail = strlen(".000001.jsonl.gz");
	char *stem =
		len > tail && path[len - tail] == '.' ? strndup(path, len - tail) : strdup(path);

	if (!stem)
		return ERR_NOMEM;
	if (!t->stem || strcmp(t->stem, stem) != 0) {
		t->group++;
		slots_clear(t);
	}
	free(t->stem);
	t->stem = stem;
	return 0;
}

int trace_load(struct trace *t, const char *path, struct err_msg *msg)
{
	struct reader_event e;
	struct reader *r;
	int64_t offset_us;
	int rc = reader_open(&r, path, msg);

	if (rc)
		return rc;
	if (trace_group(t, path)) {
		reader_close(&r);
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	}
	if (!t->files)
		t->first_ms = reader_start_ms(r);
	offset_us = MAX_OF(reader_start_ms(r) - t->first_ms, 0) * 1000;
	while (!(rc = reader_next(r, &e, msg))) {
		if (strcmp(reader_at(r), "after") == 0)
			e.where = CAPTURE_BEFORE; /* there is nothing in front of it */
		rc = trace_event(t, &e, e.t_us + offset_us);
		if (rc) {
			err_msg_set(msg, rc, "%s: %s", path, err_str(rc));
			break;
		}
	}
	t->truncated += reader_is_truncated(r);
	reader_close(&r);
	t->files++;
	return rc == ERR_CLOSED ? 0 : rc;
}

/* --- printing ---------------------------------------------------------------------------- */

int trace_print(const struct trace_unit *u, unsigned clone, const char *origin, struct buf *out)
{
	char suffix[16];
	size_t at = 0, i;
	int rc = 0;

	snprintf(suffix, sizeof(suffix), ".%u", clone);
	for (i = 0; i < u->marks_n && !rc; i++) {
		const struct trace_mark *m = &u->marks[i];

		rc = buf_add(out, u->p + at, m->at - at);
		at = m->at;
		if (rc)
			break;
		if (m->kind == TRACE_CLONE && clone)
			rc = buf_add_str(out, suffix);
		if (m->kind == TRACE_ORIGIN && origin) {
			rc = buf_add_str(out, origin);
			at += m->len;
		}
	}
	return rc ? rc : buf_add(out, u->p + at, u->len - at);
}
