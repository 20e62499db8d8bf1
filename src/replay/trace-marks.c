/* SPDX-License-Identifier: MIT */
/*
 * trace-marks - captured sessions made ready: who each is, where its login ends, and the places of
 * its units where a clone differs. See trace.h.
 *
 * Looks for bytes, not for XML: a mark too few makes a clone say what the original said.
 */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "replay/trace.h"
#include "xmpp/ns.h"

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
	size_t i, n, tag_len, tag_end;
	bool stanza = u->kind == UNIT_MESSAGE || u->kind == UNIT_PRESENCE || u->kind == UNIT_IQ;
	int rc = 0;

	tag = trace_unit_tag(u->p, u->len, &tag_len);
	tag_end = (size_t)(tag - u->p) + tag_len;
	for (i = 0; i < u->len && !rc; i++) {
		if (stanza && i < tag_end && isspace(u->p[i])) {
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
		trace_session_end(&t->v[i]);
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
