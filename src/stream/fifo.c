/* SPDX-License-Identifier: MIT */
/*
 * fifo - see fifo.h.
 */
#include "config.h"

#include "stream/fifo.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

struct fifo *fifo_new(void)
{
	struct fifo *f = calloc(1, sizeof(*f));

	if (f)
		list_init(&f->entries);
	return f;
}

void fifo_free(struct fifo **f)
{
	struct list *it, *tmp;

	if (!*f)
		return;
	LIST_EACH_SAFE(it, tmp, &(*f)->entries) {
		struct fifo_entry *e = CONTAINER_OF(it, struct fifo_entry, link);

		list_remove(it);
		fifo_entry_free(&e);
	}
	free(*f);
	*f = NULL;
}

struct fifo_entry *fifo_entry_new(struct lane *l, const uint8_t *p, size_t len)
{
	struct fifo_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	list_init(&e->link);
	e->lane = l;
	buf_init(&e->bytes, SIZE_MAX / 2);
	if (buf_add(&e->bytes, p, len))
		fifo_entry_free(&e);
	return e;
}

void fifo_entry_free(struct fifo_entry **e)
{
	if (!*e)
		return;
	chain_unit_free(&(*e)->unit);
	buf_fini(&(*e)->bytes);
	free((*e)->from);
	free(*e);
	*e = NULL;
}

void fifo_add(struct fifo *f, struct fifo_entry *e)
{
	list_add_tail(&f->entries, &e->link);
	f->bytes += e->bytes.len;
	if (!e->is_span)
		f->units++;
}

int fifo_add_span(struct fifo *f, struct lane *l, const uint8_t *p, size_t len)
{
	struct fifo_entry *e = NULL;
	int rc;

	if (!list_is_empty(&f->entries))
		e = CONTAINER_OF(f->entries.prev, struct fifo_entry, link);
	if (e && e->is_span) {
		rc = buf_add(&e->bytes, p, len);
		if (!rc)
			f->bytes += len;
		return rc;
	}
	e = fifo_entry_new(l, p, len);
	if (!e)
		return ERR_NOMEM;
	e->is_span = true;
	fifo_add(f, e);
	return 0;
}

struct fifo_entry *fifo_head(const struct fifo *f)
{
	struct list *first = list_first(&f->entries);

	return first ? CONTAINER_OF(first, struct fifo_entry, link) : NULL;
}

void fifo_remove(struct fifo *f, struct fifo_entry *e)
{
	list_remove(&e->link);
	f->bytes -= e->bytes.len;
	if (!e->is_span)
		f->units--;
}

const uint8_t *fifo_entry_bytes(const struct fifo_entry *e, size_t *len_out)
{
	if (e->edited)
		return chain_unit_bytes(e->unit, len_out);
	*len_out = e->bytes.len;
	return e->bytes.p;
}

/* Turns the ring so that slot[0] is the present one. */
static void fifo_turn(struct fifo *f, uint32_t window)
{
	int64_t no = clock_now() / MAX_OF(1, window / FIFO_SLOTS);
	int64_t by = no - f->slot_no;

	if (by <= 0 && by > -FIFO_SLOTS)
		return;
	if (by < 0 || by > FIFO_SLOTS)
		by = FIFO_SLOTS + 1;
	memmove(f->slot + by, f->slot, sizeof(f->slot[0]) * (size_t)(FIFO_SLOTS + 1 - by));
	memset(f->slot, 0, sizeof(f->slot[0]) * (size_t)by);
	f->slot_no = no;
}

void fifo_note(struct fifo *f, uint32_t window)
{
	struct fifo_entry *head = fifo_head(f);
	bool waits = head && head->waiting;

	if (waits && !f->since) {
		f->since = clock_now();
	} else if (!waits && f->since) {
		fifo_turn(f, window);
		f->slot[0] += (uint32_t)(clock_now() - f->since);
		f->since = 0;
	}
}

uint32_t fifo_budget(struct fifo *f, uint32_t budget, uint32_t window)
{
	uint64_t used = 0;
	size_t i;

	if (!f)
		return budget;
	fifo_turn(f, window);
	for (i = 0; i < ARRAY_SIZE(f->slot); i++)
		used += f->slot[i];
	if (f->since)
		used += (uint64_t)(clock_now() - f->since);
	return used >= budget ? 0 : (uint32_t)(budget - used);
}
