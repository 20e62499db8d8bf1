/* SPDX-License-Identifier: MIT */
/*
 * list - intrusive doubly linked list.
 *
 * A struct list is a head or a member. A member that is on no list points at itself,
 * so list_remove() may be called on it any number of times.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_before(struct list *at, struct list *m)
{
	m->next = at;
	m->prev = at->prev;
	at->prev->next = m;
	at->prev = m;
}

/* Appends m to the list with this head. m must not be on a list. */
static inline void list_add_tail(struct list *head, struct list *m)
{
	list_add_before(head, m);
}

static inline void list_add_head(struct list *head, struct list *m)
{
	list_add_before(head->next, m);
}

static inline void list_remove(struct list *m)
{
	m->prev->next = m->next;
	m->next->prev = m->prev;
	list_init(m);
}

static inline struct list *list_first(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

#define LIST_EACH(it, head) for ((it) = (head)->next; (it) != (head); (it) = (it)->next)

/* As LIST_EACH, but the current member may be removed or freed. */
#define LIST_EACH_SAFE(it, tmp, head)                                 \
	for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); \
	     (it) = (tmp), (tmp) = (it)->next)
