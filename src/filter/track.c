/* SPDX-License-Identifier: MIT */
/*
 * track - see track.h. The table is short, so it is searched from end to end.
 */
#include "config.h"

#include "filter/track.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

void track_init(struct track *t, size_t max)
{
	list_init(&t->requests);
	t->n = 0;
	t->max = max;
}

static struct track_request *request_of(struct list *l)
{
	return CONTAINER_OF(l, struct track_request, link);
}

static void request_unlink(struct track *t, struct track_request *r)
{
	list_remove(&r->link);
	t->n--;
}

void track_request_free(struct track_request **rp)
{
	struct track_request *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	free(r->id);
	free(r->to);
	free(r->data);
	free(r);
}

static void forget_oldest(struct track *t)
{
	struct track_request *r = request_of(t->requests.next);

	request_unlink(t, r);
	track_request_free(&r);
}

void track_fini(struct track *t)
{
	while (!list_is_empty(&t->requests))
		forget_oldest(t);
}

int track_add(struct track *t, const char *id, const char *to, const void *data, size_t len)
{
	struct track_request *r;

	if (strlen(id) > TRACK_ID_MAX)
		return ERR_TOO_BIG;
	r = calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	list_init(&r->link);
	r->id = strdup(id);
	r->to = strdup(to);
	r->data = malloc(len ? len : 1);
	if (!r->id || !r->to || !r->data) {
		track_request_free(&r);
		return ERR_NOMEM;
	}
	if (len)
		memcpy(r->data, data, len);
	r->len = len;
	if (t->n >= t->max)
		forget_oldest(t);
	list_add_tail(&t->requests, &r->link);
	t->n++;
	return 0;
}

bool track_has(const struct track *t, const char *id)
{
	struct list *i;

	LIST_EACH(i, &t->requests)
		if (strcmp(request_of(i)->id, id) == 0)
			return true;
	return false;
}

bool track_awaits(const struct track *t, const struct tag *reply)
{
	char id[TRACK_ID_MAX + 1];
	struct tag_span raw;

	if (list_is_empty(&t->requests))
		return false;
	raw = tag_attr(reply, "id");
	return raw.p && tag_text(raw, id, sizeof(id)) == 0 && track_has(t, id);
}

struct track_request *track_take(struct track *t, const char *id, const char *from)
{
	struct list *i;

	if (!from)
		return NULL;
	LIST_EACH(i, &t->requests) {
		struct track_request *r = request_of(i);

		if (strcmp(r->id, id) != 0 || strcasecmp(r->to, from) != 0)
			continue;
		request_unlink(t, r);
		return r;
	}
	return NULL;
}
