/* SPDX-License-Identifier: MIT */
/*
 * outbox - see outbox.h.
 */
#include "config.h"

#include "media/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

struct letter {
	struct list link;
	size_t len;
	uint8_t data[];
};

static void letter_drop(struct outbox *o, struct letter *l)
{
	list_remove(&l->link);
	o->bytes -= sizeof(*l) + l->len;
	free(l);
}

static void outbox_on_writable(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct outbox *o = arg;

	while (!list_is_empty(&o->waiting)) {
		struct letter *l = CONTAINER_OF(list_first(&o->waiting), struct letter, link);

		if (send(fd, l->data, l->len, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
			if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
				return;
			break; /* whoever reads the channel will find out */
		}
		letter_drop(o, l);
	}
	while (!list_is_empty(&o->waiting))
		letter_drop(o, CONTAINER_OF(list_first(&o->waiting), struct letter, link));
	event_del(o->writable);
}

void outbox_init(struct outbox *o)
{
	*o = (struct outbox){ .fd = -1 };
	list_init(&o->waiting);
}

int outbox_open(struct outbox *o, struct event_base *base, int fd)
{
	o->fd = fd;
	o->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, outbox_on_writable, o);
	return o->writable ? 0 : ERR_NOMEM;
}

void outbox_close(struct outbox *o)
{
	while (!list_is_empty(&o->waiting))
		letter_drop(o, CONTAINER_OF(list_first(&o->waiting), struct letter, link));
	if (o->writable)
		event_free(o->writable);
	outbox_init(o);
}

int outbox_send(struct outbox *o, struct ipc_out *out)
{
	bool bare = out->fd == -1 && out->own_fd == -1;
	struct letter *l;
	int rc;

	if (list_is_empty(&o->waiting)) {
		rc = ipc_send(o->fd, out);
		if (rc != ERR_AGAIN || !bare || !o->writable)
			return rc;
	} else if (!bare) {
		return ipc_send(o->fd, out);
	}
	rc = ipc_check(out);
	if (rc)
		return rc;
	if (o->bytes + sizeof(*l) + out->len > OUTBOX_MAX)
		return ERR_FULL;
	l = malloc(sizeof(*l) + out->len);
	if (!l)
		return ERR_NOMEM;
	if (list_is_empty(&o->waiting) && event_add(o->writable, NULL) == -1) {
		free(l);
		return ERR_NOMEM;
	}
	list_init(&l->link);
	l->len = out->len;
	memcpy(l->data, out->data, out->len);
	list_add_tail(&o->waiting, &l->link);
	o->bytes += sizeof(*l) + l->len;
	return 0;
}
