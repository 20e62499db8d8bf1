/* SPDX-License-Identifier: MIT */
/*
 * inquiry - see inquiry.h.
 */
#include "config.h"

#include "web/inquiry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/picture.h"
#include "web/json.h"

#define MESSAGES_PER_TURN 32
#define FRESH_MS          1000
#define PATIENCE_S        5 /* media has a deadline of its own, which is shorter */
#define HOSTS_MAX         100
#define HOST_NAME_MAX_LEN 255

/* What FAILING says of a breaker. */
static const char *const breaker_names[] = { "closed", "open", "trial" };

struct failing_host {
	char name[HOST_NAME_MAX_LEN + 1];
	uint32_t port;
	uint32_t failures;
	uint8_t breaker;
	uint32_t left_ms;
};

struct inquiry {
	struct event_base *base; /* borrowed */
	int fd;                  /* owned; -1: media is away */
	struct event *event;     /* owned */
	struct event *late;      /* owned: the end of all waiting */
	struct list waiters;
	struct inquiry_health health;
	bool asked; /* for health, and no answer yet */
	uint64_t id;
	int64_t looked; /* clock_now() of the last HOSTS */
	struct failing_host hosts[HOSTS_MAX];
	size_t hosts_n;
	uint32_t hosts_all;
	struct inquiry_thumbnail thumbnails[INQUIRY_THUMBNAILS]; /* by id modulo their number */
	size_t thumbnails_max;
	uint64_t thumbnail_id; /* of the newest */
	struct ipc_in in;
	struct ipc_out out;
};

/* --- health ----------------------------------------------------------------------------- */

void inquiry_leave(struct inquiry_waiter *w)
{
	list_remove(&w->in);
}

void inquiry_wake_all(struct inquiry *i)
{
	while (!list_is_empty(&i->waiters)) {
		struct inquiry_waiter *w =
			CONTAINER_OF(list_first(&i->waiters), struct inquiry_waiter, in);

		list_remove(&w->in);
		w->wake(w);
	}
}

static void health_settle(struct inquiry *i, bool ok, uint32_t ms, const char *why)
{
	i->asked = false;
	event_del(i->late);
	i->health = (struct inquiry_health){ .ok = ok, .ms = ms, .at = clock_now() };
	snprintf(i->health.why, sizeof(i->health.why), "%s%s", ok ? "" : "no thumbnails: ", why);
	counter_inc(ok ? METRIC_HEALTH_OK : METRIC_HEALTH_FAILED);
	inquiry_wake_all(i);
}

static void on_late(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	clock_update();
	health_settle(arg, false, PATIENCE_S * 1000, "the media process does not answer");
}

static void health_ask(struct inquiry *i)
{
	const struct timeval tv = { .tv_sec = PATIENCE_S };
	int rc;

	if (i->asked)
		return;
	if (i->fd == -1) {
		health_settle(i, false, 0, "the media process is away");
		return;
	}
	ipc_begin(&i->out, IPC_PROBE);
	ipc_put_u64(&i->out, ++i->id);
	rc = ipc_send(i->fd, &i->out);
	if (!rc && evtimer_add(i->late, &tv) == -1)
		rc = ERR_NOMEM;
	if (rc)
		health_settle(i, false, 0, "the media process cannot be asked");
	else
		i->asked = true;
}

bool inquiry_health(struct inquiry *i, struct inquiry_waiter *w, struct inquiry_health *out)
{
	if (!i->health.at || clock_now() - i->health.at > FRESH_MS)
		health_ask(i);
	if (!i->asked) {
		*out = i->health;
		return true;
	}
	list_init(&w->in);
	list_add_tail(&i->waiters, &w->in);
	return false;
}

const struct inquiry_health *inquiry_last_health(const struct inquiry *i)
{
	return &i->health;
}

/* --- what media says -------------------------------------------------------------------- */

static int on_probed(struct inquiry *i)
{
	uint64_t id = ipc_get_u64(&i->in);
	uint8_t ok = ipc_get_u8(&i->in);
	uint32_t ms = ipc_get_u32(&i->in);
	const char *why = ipc_get_str(&i->in);

	if (ipc_end(&i->in) || ok > 1)
		return ERR_BAD_MESSAGE;
	if (i->asked && id == i->id)
		health_settle(i, ok == 1, ms, why);
	return 0;
}

static int on_failing(struct inquiry *i)
{
	uint32_t all = ipc_get_u32(&i->in), n = ipc_get_u32(&i->in), k;

	if (n > HOSTS_MAX || n > all)
		return ERR_BAD_MESSAGE;
	i->hosts_n = 0;
	for (k = 0; k < n; k++) {
		struct failing_host *h = &i->hosts[k];
		const char *name = ipc_get_str(&i->in);

		if (strlen(name) > HOST_NAME_MAX_LEN)
			return ERR_BAD_MESSAGE;
		snprintf(h->name, sizeof(h->name), "%s", name);
		h->port = ipc_get_u32(&i->in);
		h->failures = ipc_get_u32(&i->in);
		h->breaker = ipc_get_u8(&i->in);
		h->left_ms = ipc_get_u32(&i->in);
		if (h->breaker >= ARRAY_SIZE(breaker_names))
			return ERR_BAD_MESSAGE;
	}
	if (ipc_end(&i->in))
		return ERR_BAD_MESSAGE;
	i->hosts_n = n;
	i->hosts_all = all;
	return 0;
}

static void thumbnail_fini(struct inquiry_thumbnail *t)
{
	free(t->bytes);
	*t = (struct inquiry_thumbnail){ 0 };
}

static int on_made(struct inquiry *i)
{
	uint8_t format = ipc_get_u8(&i->in);
	struct inquiry_thumbnail t = { .width = ipc_get_u32(&i->in), .at = clock_wall() };
	struct inquiry_thumbnail *to;
	const uint8_t *p;

	t.height = ipc_get_u32(&i->in);
	t.media_width = ipc_get_u32(&i->in);
	t.media_height = ipc_get_u32(&i->in);
	p = ipc_get_blob(&i->in, IPC_INLINE_MAX, &t.len);
	if (ipc_end(&i->in) || format >= PICTURE_FORMAT_COUNT || !t.len)
		return ERR_BAD_MESSAGE;
	/* It goes into a browser. */
	if (!picture_is_clean((enum picture_format)format, p, t.len, t.width, t.height))
		return ERR_BAD_MESSAGE;
	if (!i->thumbnails_max)
		return 0;
	to = &i->thumbnails[(i->thumbnail_id + 1) % i->thumbnails_max];
	t.kept = clock_now();
	if (to->id && t.kept - to->kept < INQUIRY_STAY_MS)
		return 0;
	t.bytes = malloc(t.len);
	if (!t.bytes)
		return 0;
	memcpy(t.bytes, p, t.len);
	t.type = picture_mime((enum picture_format)format);
	t.id = ++i->thumbnail_id;
	thumbnail_fini(to);
	*to = t;
	return 0;
}

static void inquiry_close(struct inquiry *i)
{
	if (i->event)
		event_free(i->event);
	i->event = NULL;
	if (i->fd != -1)
		close(i->fd);
	i->fd = -1;
	i->hosts_n = 0;
	i->hosts_all = 0;
	if (i->asked)
		health_settle(i, false, 0, "the media process has ended");
}

static int inquiry_on_message(struct inquiry *i)
{
	if (i->in.type == IPC_PROBED)
		return on_probed(i);
	if (i->in.type == IPC_FAILING)
		return on_failing(i);
	return i->in.type == IPC_MADE ? on_made(i) : ERR_BAD_MESSAGE;
}

static void on_channel(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct inquiry *i = arg;
	int k, rc = 0;

	clock_update();
	for (k = 0; k < MESSAGES_PER_TURN && i->fd == fd && !rc; k++) {
		rc = ipc_recv(i->fd, &i->in, ROLE_WEB, ROLE_MEDIA);
		if (rc)
			break;
		rc = inquiry_on_message(i);
		ipc_in_fini(&i->in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc != ERR_CLOSED) {
		counter_inc(METRIC_IPC_BAD);
		log_error("malformed message from media, its channel is closed");
	}
	inquiry_close(i);
}

void inquiry_set_channel(struct inquiry *i, int fd)
{
	inquiry_close(i);
	i->fd = fd;
	i->event = event_new(i->base, fd, EV_READ | EV_PERSIST, on_channel, i);
	if (!i->event || event_add(i->event, NULL) == -1) {
		log_error("no way to media: out of memory");
		inquiry_close(i);
	}
}

/* --- for the page ----------------------------------------------------------------------- */

void inquiry_look(struct inquiry *i)
{
	if (i->fd == -1 || (i->looked && clock_now() - i->looked < FRESH_MS))
		return;
	i->looked = clock_now();
	ipc_begin(&i->out, IPC_HOSTS);
	if (ipc_send(i->fd, &i->out))
		log_debug("a question found the channel to media full or closed");
}

int inquiry_print_hosts(const struct inquiry *i, struct buf *out, unsigned *all)
{
	int rc = buf_add_str(out, "[");
	size_t k;

	*all = i->hosts_all;
	for (k = 0; k < i->hosts_n && !rc; k++) {
		const struct failing_host *h = &i->hosts[k];

		rc = buf_add_str(out, k ? ",\n{\"host\":" : "{\"host\":");
		if (!rc)
			rc = json_text(out, h->name);
		if (!rc)
			rc = buf_printf(out,
					",\"port\":%" PRIu32 ",\"failures\":%" PRIu32
					",\"breaker\":\"%s\",\"left_ms\":%" PRIu32 "}",
					h->port, h->failures, breaker_names[h->breaker],
					h->left_ms);
	}
	return rc ? rc : buf_add_str(out, "]");
}

void inquiry_set_thumbnails(struct inquiry *i, size_t n)
{
	size_t k;

	BUG_ON(n > INQUIRY_THUMBNAILS);
	if (n == i->thumbnails_max)
		return;
	for (k = 0; k < INQUIRY_THUMBNAILS; k++)
		thumbnail_fini(&i->thumbnails[k]);
	i->thumbnails_max = n;
}

const struct inquiry_thumbnail *inquiry_thumbnail(const struct inquiry *i, uint64_t id)
{
	const struct inquiry_thumbnail *t;

	if (!id || !i->thumbnails_max)
		return NULL;
	t = &i->thumbnails[id % i->thumbnails_max];
	return t->id == id ? t : NULL;
}

/* The newest first. */
int inquiry_print_thumbnails(const struct inquiry *i, struct buf *out)
{
	int rc = buf_add_str(out, "[");
	bool more = false;
	uint64_t id;

	for (id = i->thumbnail_id; id && !rc; id--) {
		const struct inquiry_thumbnail *t = inquiry_thumbnail(i, id);

		if (!t)
			break;
		rc = buf_printf(out,
				"%s{\"id\":%" PRIu64 ",\"at\":%" PRId64
				",\"type\":\"%s\",\"bytes\":%zu,\"width\":%u,\"height\":%u,"
				"\"media_width\":%u,\"media_height\":%u}",
				more ? ",\n" : "", id, t->at, t->type, t->len, t->width, t->height,
				t->media_width, t->media_height);
		more = true;
	}
	return rc ? rc : buf_add_str(out, "]");
}

/* --- life ------------------------------------------------------------------------------- */

struct inquiry *inquiry_new(struct event_base *base)
{
	struct inquiry *i = calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->base = base;
	i->fd = -1;
	list_init(&i->waiters);
	i->late = evtimer_new(base, on_late, i);
	if (!i->late) {
		free(i);
		return NULL;
	}
	return i;
}

void inquiry_free(struct inquiry **i)
{
	if (!*i)
		return;
	BUG_ON(!list_is_empty(&(*i)->waiters));
	inquiry_close(*i);
	inquiry_set_thumbnails(*i, 0);
	event_free((*i)->late);
	free(*i);
	*i = NULL;
}
