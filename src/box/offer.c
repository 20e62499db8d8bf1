/* SPDX-License-Identifier: MIT */
/*
 * offer - see offer.h.
 *
 * Files go as sealed memfds, copied here: what a file of the store holds is not to be mapped
 * by two processes of which one may write.
 */
#include "config.h"

#include "box/offer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/picture.h"
#include "box/http.h"

#define OFFERS_MAX        256
#define LOADS_MAX         256  /* as many as media has under way */
#define WAIT_MS           2000 /* an upload's answer waits no longer for its thumbnail */
#define MESSAGES_PER_TURN 32
#define COPY_LEN          65536

struct offer {
	struct list link;
	uint64_t id;
	uint32_t answers;
	offer_done_fn done;
	void *arg;
	int64_t deadline;
};

struct offers {
	struct event_base *base; /* borrowed */
	struct conf *conf;       /* borrowed */
	struct store *store;     /* borrowed */
	struct s3 *s3;           /* borrowed */
	uint64_t channels;       /* so many were lost */
	int fd;                  /* owned; -1: media is away */
	struct event *event;     /* owned */
	struct event *timer;     /* owned */
	struct list waiting;     /* struct offer, oldest first */
	size_t n;
	size_t loads; /* asked of the bucket for media */
	uint64_t last_id;
	struct ipc_in in;
	struct ipc_out out;
};

static struct offer *offer_of(struct list *l)
{
	return CONTAINER_OF(l, struct offer, link);
}

static void offer_end(struct offers *o, struct offer *f)
{
	offer_done_fn done = f->done;
	void *arg = f->arg;

	list_remove(&f->link);
	o->n--;
	free(f);
	done(arg);
}

void offers_end(struct offers *o)
{
	while (!list_is_empty(&o->waiting))
		offer_end(o, offer_of(o->waiting.next));
}

/* --- files as memfds -------------------------------------------------------------------- */

/* A sealed copy of a stored file, or -1. head: its first bytes, if it has as many. */
static int copy_file(struct store *s, const struct store_file *f, uint8_t head[16])
{
	uint8_t *chunk = malloc(COPY_LEN);
	int from = store_read(s, f), to = -1;
	uint64_t left = f->size;
	bool ok = chunk && from != -1 && f->size >= 16 && pread(from, head, 16, 0) == 16;

	if (ok)
		to = memfd_create("inset-upload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ok = to != -1;
	while (ok && left) {
		ssize_t n = read(from, chunk, MIN_OF(left, (uint64_t)COPY_LEN));

		ok = n > 0 && write(to, chunk, (size_t)n) == n;
		left -= ok ? (uint64_t)n : 0;
	}
	ok = ok && lseek(to, 0, SEEK_SET) == 0 &&
	     fcntl(to, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != -1;
	free(chunk);
	if (from != -1)
		close(from);
	if (!ok && to != -1)
		close(to);
	return ok ? to : -1;
}

/* --- messages --------------------------------------------------------------------------- */

static int on_offered(struct offers *o)
{
	uint64_t id = ipc_get_u64(&o->in);
	uint32_t all = ipc_get_u32(&o->in);
	struct list *i;

	if (ipc_end(&o->in))
		return ERR_BAD_MESSAGE;
	LIST_EACH(i, &o->waiting) {
		struct offer *f = offer_of(i);

		if (f->id != id)
			continue;
		if (++f->answers >= all)
			offer_end(o, f);
		return 0;
	}
	return 0; /* came too late */
}

/* Is it one of our addresses? Then its id. */
static bool parse_own(const struct offers *o, const char *url, uint8_t id[TOKEN_ID_LEN])
{
	size_t len = o->conf ? strlen(o->conf->upload.public_url) : 0;

	return o->conf && strncmp(url, o->conf->upload.public_url, len) == 0 &&
	       strncmp(url + len, "/f/", 3) == 0 && http_parse_id(url + len + 3, id);
}

/* The file behind one of our addresses, if it is there and not too large; -1. */
static int load(struct offers *o, const char *url, uint64_t max)
{
	uint8_t id[TOKEN_ID_LEN], head[16];
	struct store_file f;

	if (!o->store || !parse_own(o, url, id) || store_find(o->store, id, http_now(), &f) ||
	    f.size > max)
		return -1;
	return copy_file(o->store, &f, head);
}

/* fd: -1, or closed here. */
static void answer_load(struct offers *o, uint64_t id, int fd)
{
	ipc_begin(&o->out, IPC_LOADED);
	ipc_put_u64(&o->out, id);
	ipc_put_u8(&o->out, fd != -1);
	if (fd != -1)
		ipc_put_fd(&o->out, fd);
	if (ipc_send(o->fd, &o->out))
		log_debug("a file found the channel to media full or closed");
	if (fd != -1)
		close(fd);
}

/* What media asked for and another box has taken. */
struct load {
	struct offers *offers; /* borrowed */
	uint64_t id;
	uint64_t max;
	uint64_t channels; /* whom to answer: not another media process */
};

static void on_fetched(void *arg, int rc, const struct store_file *f)
{
	struct load *l = arg;
	struct offers *o = l->offers;
	uint8_t head[16];

	o->loads--;
	if (o->fd != -1 && o->channels == l->channels)
		answer_load(o, l->id, rc || f->size > l->max ? -1 : copy_file(o->store, f, head));
	free(l);
}

/* Also if it is too large: its bytes are not asked for then. */
static bool is_here(const struct offers *o, const uint8_t id[TOKEN_ID_LEN], uint64_t max)
{
	struct store_file f;
	int fd;

	if (store_find(o->store, id, http_now(), &f))
		return false;
	if (f.size > max)
		return true;
	fd = store_read(o->store, &f);
	if (fd != -1)
		close(fd);
	return fd != -1;
}

/* True: it will be answered. */
static bool fetch(struct offers *o, const char *url, uint64_t id, uint64_t max)
{
	uint8_t file[TOKEN_ID_LEN];
	struct load *l;

	if (!o->store || !o->conf->upload.s3[0] || !parse_own(o, url, file) ||
	    o->loads >= LOADS_MAX || is_here(o, file, max))
		return false;
	l = calloc(1, sizeof(*l));
	if (!l)
		return false;
	*l = (struct load){ .offers = o, .id = id, .max = max, .channels = o->channels };
	o->loads++;
	if (s3_fetch(o->s3, o->conf, o->store, file, on_fetched, l) == 0)
		return true;
	o->loads--;
	free(l);
	return false;
}

static int on_load(struct offers *o)
{
	uint64_t id = ipc_get_u64(&o->in), max = ipc_get_u64(&o->in);
	const char *url = ipc_get_str(&o->in);

	if (ipc_end(&o->in))
		return ERR_BAD_MESSAGE;
	/* Copied into memory: no more than media may want. */
	max = MIN_OF(max, o->conf ? o->conf->fetch.max_bytes : 0);
	if (!fetch(o, url, id, max))
		answer_load(o, id, load(o, url, max));
	return 0;
}

static int on_keep(struct offers *o)
{
	size_t len;
	const uint8_t *p = ipc_get_blob(&o->in, 65535, &len);
	bool fresh;

	if (ipc_end(&o->in) || len < 16 || picture_sniff(p, len) == PICTURE_NONE)
		return ERR_BAD_MESSAGE;
	if (!o->store)
		return 0;
	if (store_keep(o->store, p, len, http_now() + o->conf->upload.expire / 1000, http_now(),
		       &fresh))
		log_debug("no room for a thumbnail");
	else if (fresh && o->conf->upload.s3[0] && s3_share_thumbnail(o->s3, o->conf, p, len))
		log_debug("a thumbnail stays on this machine");
	return 0;
}

static void lose_channel(struct offers *o)
{
	if (o->event)
		event_free(o->event);
	o->event = NULL;
	if (o->fd != -1)
		close(o->fd);
	o->fd = -1;
	o->channels++;
	offers_end(o);
}

static void on_channel(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct offers *o = arg;
	int i, rc = 0;

	clock_update();
	for (i = 0; i < MESSAGES_PER_TURN && !rc && o->fd != -1; i++) {
		rc = ipc_recv(o->fd, &o->in, ROLE_BOX, ROLE_MEDIA);
		if (rc)
			break;
		rc = o->in.type == IPC_OFFERED     ? on_offered(o)
		     : o->in.type == IPC_THUMBNAIL ? on_keep(o)
		     : o->in.type == IPC_LOAD      ? on_load(o)
						   : ERR_BAD_MESSAGE;
		ipc_in_fini(&o->in);
	}
	if (!rc || rc == ERR_AGAIN)
		return;
	if (rc == ERR_BAD_MESSAGE)
		counter_inc(METRIC_IPC_BAD);
	lose_channel(o);
}

/* --- offering --------------------------------------------------------------------------- */

static void arm(struct offers *o)
{
	struct timeval tv;
	int64_t ms;

	if (list_is_empty(&o->waiting))
		return;
	ms = MAX_OF(offer_of(o->waiting.next)->deadline - clock_now(), 1);
	tv = (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	if (evtimer_add(o->timer, &tv) == -1)
		offers_end(o);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct offers *o = arg;

	clock_update();
	while (!list_is_empty(&o->waiting) && offer_of(o->waiting.next)->deadline <= clock_now())
		offer_end(o, offer_of(o->waiting.next));
	arm(o);
}

static bool send_offer(struct offers *o, uint64_t id, const char *url, const struct store_file *f)
{
	uint8_t head[16];
	int fd = copy_file(o->store, f, head), rc = ERR_UNSUPPORTED;

	if (fd == -1)
		return false;
	if (picture_sniff(head, sizeof(head)) != PICTURE_NONE) {
		ipc_begin(&o->out, IPC_OFFER);
		ipc_put_u64(&o->out, id);
		ipc_put_str(&o->out, url);
		ipc_put_fd(&o->out, fd);
		rc = ipc_send(o->fd, &o->out);
	}
	close(fd);
	return rc == 0;
}

bool offer_start(struct offers *o, const char *url, const struct store_file *f, offer_done_fn done,
		 void *arg)
{
	struct offer *offer;

	if (o->fd == -1 || !o->store || o->n >= OFFERS_MAX || f->size > o->conf->fetch.max_bytes)
		return false;
	offer = calloc(1, sizeof(*offer));
	if (!offer)
		return false;
	offer->id = ++o->last_id;
	if (!send_offer(o, offer->id, url, f)) {
		free(offer);
		return false;
	}
	offer->done = done;
	offer->arg = arg;
	offer->deadline = clock_now() + WAIT_MS;
	list_init(&offer->link);
	list_add_tail(&o->waiting, &offer->link);
	if (o->n++ == 0)
		arm(o);
	return true;
}

/* --- life ------------------------------------------------------------------------------- */

void offers_set_site(struct offers *o, struct conf *conf, struct store *store, struct s3 *s3)
{
	o->conf = conf;
	o->store = store;
	o->s3 = s3;
}

void offers_set_channel(struct offers *o, int fd)
{
	lose_channel(o);
	o->fd = fd;
	o->event = event_new(o->base, fd, EV_READ | EV_PERSIST, on_channel, o);
	if (!o->event || event_add(o->event, NULL) == -1) {
		log_error("out of memory for the channel to the media process");
		lose_channel(o);
	}
}

struct offers *offers_new(struct event_base *base)
{
	struct offers *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->base = base;
	o->fd = -1;
	list_init(&o->waiting);
	o->timer = evtimer_new(base, on_timer, o);
	if (!o->timer)
		offers_free(&o);
	return o;
}

void offers_free(struct offers **op)
{
	struct offers *o = *op;

	*op = NULL;
	if (!o)
		return;
	lose_channel(o);
	if (o->timer)
		event_free(o->timer);
	free(o);
}
