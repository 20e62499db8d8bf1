/* SPDX-License-Identifier: MIT */
/*
 * trace - see trace.h.
 */
#include "config.h"

#include "replay/trace.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/reader.h"
#include "xmpp/ns.h"

/* --- cutting ----------------------------------------------------------------------------- */

void trace_cut_init(struct trace_cut *c, bool s2c)
{
	*c = (struct trace_cut){ .s2c = s2c };
	framer_init(&c->framer);
	buf_init(&c->pending, TRACE_UNIT_MAX);
}

void trace_cut_fini(struct trace_cut *c)
{
	nsctx_unref(&c->ctx);
	buf_fini(&c->pending);
	framer_fini(&c->framer);
}

/* The start tag that a unit begins with, white space before it skipped. */
static const uint8_t *unit_tag(const uint8_t *p, size_t len, size_t *len_out)
{
	const uint8_t *end = p + len, *q;
	uint8_t quote = 0;

	while (p < end && (isspace(*p) || (end - p > 1 && p[0] == '<' && p[1] == '?'))) {
		if (*p == '<')
			while (p < end && *p != '>')
				p++;
		if (p < end)
			p++;
	}
	for (q = p; q < end; q++) {
		if (quote)
			quote = *q == quote ? 0 : quote;
		else if (*q == '"' || *q == '\'')
			quote = *q;
		else if (*q == '>')
			break;
	}
	*len_out = q < end ? (size_t)(q - p) + 1 : 0;
	return p;
}

static enum unit_kind cut_classify(struct trace_cut *c, enum framer_event ev)
{
	struct tag t;
	size_t len;
	const uint8_t *p = unit_tag(c->pending.p, c->pending.len, &len);

	if (ev == FRAMER_CLOSE)
		return UNIT_CLOSE;
	if (tag_read(&t, p, len))
		return ev == FRAMER_HEADER ? UNIT_HEADER : UNIT_OTHER;
	if (ev == FRAMER_HEADER) {
		nsctx_unref(&c->ctx);
		c->ctx = nsctx_of_header(&t);
		return UNIT_HEADER;
	}
	return unit_classify(&t, c->ctx);
}

/* Restarts, as lane.c allows them. */
static void cut_unit_ended(struct trace_cut *c, struct trace_cut *other, enum unit_kind kind)
{
	if (!c->s2c && (kind == UNIT_SASL_AUTH || kind == UNIT_SASL_RESPONSE))
		framer_allow_restart(&c->framer, true);
	if (c->s2c && kind == UNIT_SASL_SUCCESS) {
		framer_allow_restart(&c->framer, true);
		if (other)
			framer_allow_restart(&other->framer, true);
	}
}

int trace_cut_feed(struct trace_cut *c, struct trace_cut *other, const uint8_t *p, size_t len,
		   trace_unit_fn fn, void *ctx)
{
	enum framer_event ev;
	size_t at = 0, from = 0;
	int rc;

	do {
		at += framer_feed(&c->framer, p + at, len - at, &ev);
		if (ev == FRAMER_ERROR)
			return framer_error(&c->framer);
		if (ev == FRAMER_HEADER || ev == FRAMER_END || ev == FRAMER_CLOSE) {
			enum unit_kind kind;

			rc = buf_add(&c->pending, p + from, at - from);
			if (rc)
				return rc;
			from = at;
			kind = cut_classify(c, ev);
			rc = fn(ctx, c->pending.p, c->pending.len, kind);
			if (rc)
				return rc;
			buf_drop(&c->pending, c->pending.len);
			cut_unit_ended(c, other, kind);
		}
	} while (ev != FRAMER_MORE);
	rc = at > from ? buf_add(&c->pending, p + from, at - from) : 0;
	if (!c->pending.len)
		buf_clear(&c->pending);
	return rc;
}

/* --- loading ----------------------------------------------------------------------------- */

void trace_init(struct trace *t, uint64_t max_bytes)
{
	*t = (struct trace){ .max_bytes = max_bytes };
}

static void unit_fini(struct trace_unit *u)
{
	free(u->p);
	free(u->marks);
}

static void session_end_cuts(struct trace_session *s)
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
		session_end_cuts(&t->v[i]);
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

/* --- names and marks --------------------------------------------------------------------- */

/* The address in <jid>...</jid> of the bind result, without its resource. */
static char *jid_of_bind(const struct trace_unit *u)
{
	static const char open[] = "<jid>";
	const uint8_t *p = memmem(u->p, u->len, open, sizeof(open) - 1), *q, *slash;

	if (!p || !memmem(u->p, u->len, NS_BIND, strlen(NS_BIND)))
		return NULL;
	p += sizeof(open) - 1;
	q = memchr(p, '<', u->len - (size_t)(p - u->p));
	if (!q)
		return NULL;
	slash = memchr(p, '/', (size_t)(q - p));
	if (slash)
		q = slash;
	return memchr(p, '@', (size_t)(q - p)) ? strndup((const char *)p, (size_t)(q - p)) : NULL;
}

static void session_learn(struct trace_session *s)
{
	size_t i;

	s->login = (uint32_t)s->lane[0].n;
	s->login_s2c = (uint32_t)s->lane[1].n;
	for (i = 0; i < s->lane[1].n; i++) {
		const struct trace_unit *u = &s->lane[1].v[i];

		if (u->kind == UNIT_IQ)
			s->jid = jid_of_bind(u);
		if (s->jid || u->kind == UNIT_RESUMED) {
			s->login = u->before;
			s->login_s2c = (uint32_t)i + 1;
			return;
		}
	}
}

static int unit_mark(struct trace_unit *u, size_t at, size_t len, enum trace_mark_kind kind)
{
	struct trace_mark *v = realloc(u->marks, (u->marks_n + 1) * sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	u->marks = v;
	v[u->marks_n++] =
		(struct trace_mark){ .at = (uint32_t)at, .len = (uint32_t)len, .kind = kind };
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whose addresses a clone changes: all that a session of these captures was bound to. */
static int trace_gather_ours(struct trace *t)
{
	size_t i, n = 0;

	t->ours = calloc(t->n + 1, sizeof(*t->ours));
	if (!t->ours)
		return ERR_NOMEM;
	for (i = 0; i < t->n; i++)
		if (t->v[i].jid)
			t->ours[n++] = t->v[i].jid;
	qsort(t->ours, n, sizeof(*t->ours), by_text);
	for (i = 0; i < n; i++)
		if (!t->ours_n || strcmp(t->ours[t->ours_n - 1], t->ours[i]) != 0)
			t->ours[t->ours_n++] = t->ours[i];
	return 0;
}

static bool is_jid_end(uint8_t b)
{
	return isspace(b) || b == '<' || b == '>' || b == '"' || b == '\'' || b == '/' ||
	       b == ',' || b == ';' || b == ':' || b == '@';
}

/* Is the address around this @ one of ours? */
static bool is_ours(const struct trace *t, const uint8_t *begin, const uint8_t *at,
		    const uint8_t *end)
{
	const uint8_t *from = at, *to = at + 1;
	char text[3072];
	const char *key = text;

	while (from > begin && !is_jid_end(from[-1]))
		from--;
	while (to < end && !is_jid_end(*to))
		to++;
	if ((size_t)(to - from) >= sizeof(text))
		return false;
	memcpy(text, from, (size_t)(to - from));
	text[to - from] = '\0';
	return bsearch(&key, t->ours, t->ours_n, sizeof(*t->ours), by_text) != NULL;
}

static bool is_url_end(uint8_t b)
{
	return isspace(b) || b == '<' || b == '"' || b == '\'' || b == '/' || b == '?' ||
	       b == '#' || b == '&' || b == ')' || b == '>';
}

/* Scheme and host of an http(s) URL at p; its length, or 0. Namespaces are none. */
static size_t origin_len(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
	size_t n = (size_t)(end - p), scheme;

	if (n > 8 && memcmp(p, "https://", 8) == 0)
		scheme = 8;
	else if (n > 7 && memcmp(p, "http://", 7) == 0)
		scheme = 7;
	else
		return 0;
	/* Element text only: attributes hold namespaces and other names. */
	if (p == begin || p[-1] == '"' || p[-1] == '\'')
		return 0;
	n = scheme;
	while (p + n < end && !is_url_end(p[n]))
		n++;
	return n > scheme && p + n < end && p[n] == '/' ? n : 0;
}

/* The end of a value of id='...' in the start tag. */
static int unit_mark_id(struct trace_unit *u, size_t i, size_t tag_end)
{
	uint8_t quote;
	const uint8_t *close;

	if (i + 5 >= tag_end || !isspace(u->p[i]) || memcmp(u->p + i + 1, "id=", 3) != 0)
		return 0;
	quote = u->p[i + 4];
	close = memchr(u->p + i + 5, quote, tag_end - i - 5);
	return close ? unit_mark(u, (size_t)(close - u->p), 0, TRACE_CLONE) : 0;
}

static int unit_find_marks(const struct trace *t, struct trace_unit *u)
{
	const uint8_t *end = u->p + u->len, *tag;
	size_t i, n, tag_len, tag_end, id_at = 0;
	bool stanza = u->kind == UNIT_MESSAGE || u->kind == UNIT_PRESENCE || u->kind == UNIT_IQ;
	int rc = 0;

	tag = unit_tag(u->p, u->len, &tag_len);
	tag_end = (size_t)(tag - u->p) + tag_len;
	for (i = 0; i < u->len && !rc; i++) {
		if (stanza && i < tag_end && i >= id_at && isspace(u->p[i])) {
			uint32_t had = u->marks_n;

			rc = unit_mark_id(u, i, tag_end);
			if (u->marks_n > had) {
				i = u->marks[had].at; /* an address in an id stays */
				continue;
			}
		}
		if (u->p[i] == '@' && is_ours(t, u->p, u->p + i, end))
			rc = unit_mark(u, i, 0, TRACE_CLONE);
		else if (u->p[i] == 'h' && (n = origin_len(u->p + i, u->p, end)) > 0)
			rc = unit_mark(u, i, n, TRACE_ORIGIN);
	}
	return rc;
}

static bool unit_holds(const struct trace_unit *u, const char *needle)
{
	return memmem(u->p, u->len, needle, strlen(needle)) != NULL;
}

/* May the filter `thumbnail` act on it? By its needles; what it decides in full is its own. */
static bool unit_is_candidate(const struct trace_unit *u)
{
	return u->kind == UNIT_MESSAGE && unit_holds(u, NS_OOB) && unit_holds(u, ">http") &&
	       !unit_holds(u, NS_EME) && !unit_holds(u, NS_AXOLOTL) && !unit_holds(u, NS_E2E) &&
	       !unit_holds(u, NS_ENCRYPTED) && !unit_holds(u, NS_OPENPGP) &&
	       !unit_holds(u, NS_ESFS) && !unit_holds(u, NS_THUMBS1) && !unit_holds(u, NS_IBB) &&
	       !unit_holds(u, "type='error'") && !unit_holds(u, "type=\"error\"");
}

int trace_prepare(struct trace *t)
{
	size_t i, k;
	int dir, rc = 0;

	for (i = 0; i < t->n; i++) {
		session_end_cuts(&t->v[i]);
		session_learn(&t->v[i]);
		/* A session that began before its file has no header: it cannot be played. */
		if (t->v[i].lane[0].n && t->v[i].lane[0].v[0].kind != UNIT_HEADER)
			t->v[i].error = t->v[i].error ? t->v[i].error : ERR_BAD_FORMAT;
		t->cut += t->v[i].error != 0;
	}
	rc = trace_gather_ours(t);
	for (i = 0; i < t->n && !rc; i++)
		for (dir = 0; dir < 2 && !rc; dir++)
			for (k = 0; k < t->v[i].lane[dir].n && !rc; k++) {
				struct trace_unit *u = &t->v[i].lane[dir].v[k];

				u->candidate = dir == 0 && unit_is_candidate(u);
				rc = unit_find_marks(t, u);
			}
	return rc;
}

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
