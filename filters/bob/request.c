/* SPDX-License-Identifier: MIT */
/*
 * request - see request.h.
 */
#include "config.h"

#include "bob/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "xmpp/jid.h"

static void drop_first(struct requests *r, int dir)
{
	struct request *gone = r->first[dir];

	r->first[dir] = gone->next;
	r->count[dir]--;
	free(gone);
}

static char *put(char **at, const char *text)
{
	char *to = *at;

	*at = stpcpy(to, text) + 1;
	return to;
}

int requests_add(struct requests *r, enum lane_dir dir, unsigned max, const char *id,
		 const char *asked, const char *asker, const uint8_t cid[HASH_SHA1_LEN])
{
	struct request *q, **at;
	char *text;

	q = malloc(sizeof(*q) + strlen(id) + strlen(asked) + (asker ? strlen(asker) : 0) + 3);
	if (!q)
		return ERR_NOMEM;
	text = q->text;
	q->next = NULL;
	q->id = put(&text, id);
	q->asked = put(&text, asked);
	q->asker = asker ? put(&text, asker) : NULL;
	memcpy(q->cid, cid, sizeof(q->cid));
	while (r->count[dir] >= max)
		drop_first(r, dir);
	for (at = &r->first[dir]; *at; at = &(*at)->next)
		;
	*at = q;
	r->count[dir]++;
	return 0;
}

/* The same resource or none, and the same bare JID. */
static bool same_jid(const char *a, const char *b)
{
	return strcmp(a + jid_bare_len(a), b + jid_bare_len(b)) == 0 && jid_same_bare(a, b);
}

/* The JID in this attribute; "" if it is absent; false if it is none that could match. */
static bool jid_attr(const struct tag *t, const char *name, char out[JID_MAX + 1])
{
	struct tag_span raw = tag_attr(t, name);

	out[0] = '\0';
	return !raw.p || tag_text(raw, out, JID_MAX + 1) == 0;
}

/*
 * From the server a `from` is true, and must be there. From the client it may be left out, for
 * the server puts it in; but then `to` must name who asked. The server may have completed the
 * `to` of a reply to its own client, so there the bare JID counts.
 */
static bool answers(const struct request *q, enum lane_dir dir, const char *from, const char *to)
{
	if (dir == LANE_S2C)
		return same_jid(from, q->asked) &&
		       (!q->asker || !to[0] || jid_same_bare(to, q->asker));
	return q->asker && same_jid(to, q->asker) && (!from[0] || same_jid(from, q->asked));
}

struct request *requests_find(const struct requests *r, enum lane_dir dir, const struct tag *reply)
{
	struct request *q = r->first[!dir];
	char id[REQUEST_ID_MAX + 1], from[JID_MAX + 1], to[JID_MAX + 1];
	struct tag_span raw;

	if (!q)
		return NULL;
	raw = tag_attr(reply, "id");
	if (!raw.p || tag_text(raw, id, sizeof(id)))
		return NULL;
	while (q && strcmp(q->id, id) != 0)
		q = q->next;
	if (!q || !jid_attr(reply, "from", from) || !jid_attr(reply, "to", to))
		return NULL;
	for (; q; q = q->next)
		if (strcmp(q->id, id) == 0 && answers(q, dir, from, to))
			return q;
	return NULL;
}

void requests_drop(struct requests *r, const struct request *gone)
{
	struct request **at;
	int dir;

	for (dir = LANE_C2S; dir <= LANE_S2C; dir++) {
		for (at = &r->first[dir]; *at && *at != gone; at = &(*at)->next)
			;
		if (!*at)
			continue;
		*at = gone->next;
		r->count[dir]--;
		free((void *)(uintptr_t)gone);
		return;
	}
	BUG();
}

void requests_fini(struct requests *r)
{
	int dir;

	for (dir = LANE_C2S; dir <= LANE_S2C; dir++)
		while (r->first[dir])
			drop_first(r, dir);
}
