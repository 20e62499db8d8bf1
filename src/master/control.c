/* SPDX-License-Identifier: MIT */
/*
 * control - see control.h.
 */
#include "config.h"

#include "master/control.h"

#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"

#define CLIENTS_MAX 16
#define INPUT_MAX   16384
#define OUTPUT_MAX  (4 * 1024 * 1024)
#define BACKLOG_MAX (256 * 1024) /* parts are dropped above */
#define PAUSE_MS    200
#define IDLE_S      60 /* a client that says nothing, or takes nothing, for so long */

struct client {
	struct control *control; /* borrowed */
	uint64_t id;             /* 0: free */
	int fd;
	struct event *read;  /* owned */
	struct event *write; /* owned */
	struct buf in;
	struct buf out;
	bool waiting;   /* for an answer */
	bool streaming; /* ... of which there has been a part */
	bool ended;     /* says no more: goes with what it waits for */
};

struct control {
	struct event_base *base; /* borrowed */
	control_fn on_command;
	control_gone_fn on_gone;
	void *ctx;
	int fd;
	char path[108];
	struct event *accept; /* owned, as the next */
	struct event *pause;  /* out of descriptors */
	uint64_t last_id;
	struct client clients[CLIENTS_MAX];
};

static void client_close(struct client *c)
{
	struct control *ctl = c->control;
	uint64_t gone = c->waiting ? c->id : 0;

	if (c->read)
		event_free(c->read);
	if (c->write)
		event_free(c->write);
	if (c->fd != -1)
		close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c = (struct client){ .fd = -1 };
	if (gone)
		ctl->on_gone(ctl->ctx, gone);
}

static void client_write(struct client *c)
{
	static const struct timeval patience = { .tv_sec = IDLE_S };
	ssize_t n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		client_close(c);
		return;
	}
	if (n > 0)
		buf_drop(&c->out, (size_t)n);
	if (c->out.len ? event_add(c->write, &patience) == -1 : c->ended && !c->waiting)
		client_close(c);
}

static void client_on_write(evutil_socket_t fd UNUSED, short what, void *arg)
{
	clock_update();
	if (what & EV_TIMEOUT)
		client_close(arg);
	else
		client_write(arg);
}

json_t *control_text(const char *s)
{
	json_t *text = json_string(s);
	char *copy, *c;

	if (text)
		return text;
	copy = strdup(s);
	for (c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	text = copy ? json_string(copy) : NULL;
	free(copy);
	return text;
}

/* One line more for the client, which may close it. */
static void client_say(struct client *c, const json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	int rc = text ? buf_add_str(&c->out, text) : ERR_NOMEM;

	if (!rc)
		rc = buf_add(&c->out, "\n", 1);
	free(text);
	if (rc)
		client_close(c);
	else
		client_write(c);
}

static void client_answer(struct client *c, const json_t *answer)
{
	c->waiting = false;
	c->streaming = false;
	if (c->in.len) /* the next request has arrived meanwhile */
		event_active(c->read, EV_READ, 0);
	client_say(c, answer);
}

static struct client *client_find(struct control *ctl, uint64_t id)
{
	size_t i;

	for (i = 0; ctl && id && i < CLIENTS_MAX; i++)
		if (ctl->clients[i].id == id)
			return &ctl->clients[i];
	return NULL;
}

bool control_say(struct control *ctl, uint64_t client, json_t *part)
{
	struct client *c = client_find(ctl, client);
	bool takes = false;

	if (c && c->ended) /* who wants a stream stays: it may be for ever */
		client_close(c);
	else if (c && part && c->waiting && c->out.len < BACKLOG_MAX)
		takes = json_object_set_new(part, "more", json_true()) == 0;
	if (takes) {
		c->streaming = true;
		client_say(c, part);
	}
	json_decref(part);
	return takes;
}

void control_answer(struct control *ctl, uint64_t client, json_t *answer)
{
	struct client *c = client_find(ctl, client);

	if (c && answer)
		client_answer(c, answer);
	else if (c)
		client_close(c);
	json_decref(answer);
}

/* One line of a client. */
static void client_line(struct client *c, const char *line, size_t len)
{
	json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const char *command = json_string_value(json_object_get(root, "command"));
	struct control *ctl = c->control;

	c->waiting = true;
	if (command)
		ctl->on_command(ctl->ctx, c->id, command, root);
	else
		control_answer(ctl, c->id,
			       json_pack("{s:b, s:[s]}", "ok", 0, "problems", "not a request"));
	json_decref(root);
}

/* What has arrived, as far as no answer is due. May close the client. */
static void client_lines(struct client *c)
{
	uint64_t id = c->id;
	uint8_t *end;

	while (c->id == id && !c->waiting && c->in.len &&
	       (end = memchr(c->in.p, '\n', c->in.len)) != NULL) {
		size_t len = (size_t)(end - c->in.p);
		char line[INPUT_MAX];

		memcpy(line, c->in.p, len);
		buf_drop(&c->in, len + 1);
		client_line(c, line, len);
	}
}

/* It says no more, or is gone. Who waits for one answer may still read it. */
static void client_on_end(struct client *c)
{
	struct pollfd p = { .fd = c->fd };

	/* POLLHUP: it does not read either. */
	if (!c->waiting || c->streaming || poll(&p, 1, 0) == -1 || p.revents & POLLHUP) {
		client_close(c);
		return;
	}
	c->ended = true;
	(void)event_del(c->read);
}

static void client_on_read(evutil_socket_t fd UNUSED, short what, void *arg)
{
	struct client *c = arg;
	char piece[1024];
	ssize_t n;

	clock_update();
	if (what & EV_TIMEOUT) {
		if (!c->waiting)
			client_close(c);
		return;
	}
	n = recv(c->fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (n == 0) {
		client_on_end(c);
		return;
	}
	/* What arrives while an answer is due waits, within the cap. */
	if ((n == -1 && errno != EAGAIN && errno != EINTR) ||
	    (n > 0 && buf_add(&c->in, piece, (size_t)n)))
		client_close(c);
	else
		client_lines(c);
}

/* Root and the user we run as; others are shut out even where the file's mode would let them in. */
static bool is_allowed(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1)
		return false;
	return who.uid == 0 || who.uid == geteuid();
}

/* Whoever waits would wake us at once again, for ever. */
static void control_pause(struct control *ctl)
{
	static const struct timeval tv = { .tv_usec = PAUSE_MS * 1000 };

	counter_inc(METRIC_ACCEPT_PAUSES);
	if (event_add(ctl->pause, &tv) == 0)
		event_del(ctl->accept);
}

static void control_on_pause(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct control *ctl = arg;

	clock_update();
	if (event_add(ctl->accept, NULL) == -1)
		control_pause(ctl);
}

static void control_on_accept(evutil_socket_t listener, short what UNUSED, void *arg)
{
	static const struct timeval patience = { .tv_sec = IDLE_S };
	struct control *ctl = arg;
	struct client *c = NULL;
	size_t i;
	int fd;

	clock_update();
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			control_pause(ctl);
		return;
	}
	for (i = 0; i < CLIENTS_MAX && !c; i++)
		if (ctl->clients[i].id == 0)
			c = &ctl->clients[i];
	if (!c || !is_allowed(fd)) {
		close(fd);
		return;
	}
	*c = (struct client){ .control = ctl, .id = ++ctl->last_id, .fd = fd };
	buf_init(&c->in, INPUT_MAX);
	buf_init(&c->out, OUTPUT_MAX);
	c->read = event_new(ctl->base, fd, EV_READ | EV_PERSIST, client_on_read, c);
	c->write = event_new(ctl->base, fd, EV_WRITE, client_on_write, c);
	if (!c->read || !c->write || event_add(c->read, &patience) == -1)
		client_close(c);
}

/* The folder, if it is missing and may be made; a socket that nobody answers on goes. */
static int path_prepare(const char *path, const struct sockaddr_un *un, struct err_msg *msg)
{
	char copy[108];
	struct stat st;
	int fd, rc;

	strcpy(copy, path);
	(void)mkdir(dirname(copy), 0755); /* whatever is wrong with it, bind says */
	if (lstat(path, &st) == -1)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_msg_set(msg, ERR_IO, "it exists and is no socket");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)un, sizeof(*un));
	if (rc == 0 || errno != ECONNREFUSED) {
		close(fd);
		return err_msg_set(msg, ERR_IO, "%s",
				   rc == 0 ? "another insetd answers there" : strerror(errno));
	}
	close(fd);
	if (unlink(path) == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	return 0;
}

static int control_listen(struct control *ctl, const char *path, struct err_msg *msg)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	mode_t old;
	int rc;

	if (strlen(path) >= sizeof(un.sun_path))
		return err_msg_set(msg, ERR_TOO_BIG, "path is longer than %zu bytes",
				   sizeof(un.sun_path) - 1);
	strcpy(un.sun_path, path);
	rc = path_prepare(path, &un, msg);
	if (rc)
		return rc;
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ctl->fd == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	old = umask(0117);
	rc = bind(ctl->fd, (struct sockaddr *)&un, sizeof(un));
	umask(old);
	if (rc == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	strcpy(ctl->path, path);
	if (listen(ctl->fd, CLIENTS_MAX) == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	return 0;
}

struct control *control_new(struct event_base *base, const char *path, control_fn on_command,
			    control_gone_fn on_gone, void *ctx, struct err_msg *msg)
{
	struct control *ctl = calloc(1, sizeof(*ctl));
	size_t i;

	if (!ctl) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		return NULL;
	}
	ctl->base = base;
	ctl->on_command = on_command;
	ctl->on_gone = on_gone;
	ctl->ctx = ctx;
	ctl->fd = -1;
	for (i = 0; i < CLIENTS_MAX; i++)
		ctl->clients[i].fd = -1;
	if (control_listen(ctl, path, msg))
		goto fail;
	ctl->accept = event_new(base, ctl->fd, EV_READ | EV_PERSIST, control_on_accept, ctl);
	ctl->pause = evtimer_new(base, control_on_pause, ctl);
	if (!ctl->accept || !ctl->pause || event_add(ctl->accept, NULL) == -1) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		goto fail;
	}
	return ctl;
fail:
	control_free(&ctl);
	return NULL;
}

int control_move(struct control *ctl, const char *path, bool leave)
{
	if (strlen(path) >= sizeof(ctl->path)) {
		errno = ENAMETOOLONG;
		return ERR_TOO_BIG;
	}
	if (leave) {
		(void)unlink(path); /* of a process that had this number before us */
		if (link(ctl->path, path) == -1)
			return ERR_IO;
	} else if (rename(ctl->path, path) == -1) {
		return ERR_IO;
	}
	strcpy(ctl->path, path);
	return 0;
}

const char *control_path(const struct control *ctl)
{
	return ctl ? ctl->path : "";
}

void control_free(struct control **cp)
{
	struct control *ctl = *cp;
	size_t i;

	*cp = NULL;
	if (!ctl)
		return;
	for (i = 0; i < CLIENTS_MAX; i++)
		client_close(&ctl->clients[i]);
	if (ctl->accept)
		event_free(ctl->accept);
	if (ctl->pause)
		event_free(ctl->pause);
	if (ctl->fd != -1)
		close(ctl->fd);
	if (ctl->path[0])
		unlink(ctl->path);
	free(ctl);
}
