/* SPDX-License-Identifier: MIT */
/*
 * handover - see handover.h.
 */
#include "config.h"

#include "master/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/fleet.h"

#define MESSAGE_MAX 4096

/* --- writing --------------------------------------------------------------------------- */

static json_t *slots_new(const bool slots[COUNTERS_SLOTS])
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < COUNTERS_SLOTS; i++)
		if (slots[i])
			json_array_append_new(list, json_integer(i));
	return list;
}

static json_t *own_slots_new(const struct master *m)
{
	bool slots[COUNTERS_SLOTS] = { false };
	size_t i;

	slots[m->slot] = true;
	for (i = 0; i < m->procs_n; i++)
		slots[m->procs[i].slot] = true;
	return slots_new(slots);
}

static json_t *rules_new(const struct conf *conf)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < conf->rules_n; i++)
		json_array_append_new(list, json_pack("{s:s, s:i}", "name", conf->rules[i].name,
						      "row", (int)conf->rules[i].row));
	return list;
}

static json_t *listeners_new(const struct conf *conf)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < conf->listens_n; i++)
		json_array_append_new(list, json_pack("{s:s, s:i}", "name", conf->listens[i].name,
						      "row", (int)conf->listens[i].row));
	return list;
}

static json_t *sockets_new(const struct sockets *s)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < s->n; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:i, s:s, s:i, s:b}", "role",
						role_name(s->v[i].role), "index",
						(int)s->v[i].index, "address", s->v[i].address,
						"fd", s->v[i].fd, "given", (int)s->v[i].given));
	return list;
}

static json_t *elders_new(const struct master *m)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < m->elders_n; i++) {
		const struct elder *e = &m->elders[i];

		json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I, s:o}", "pid",
						      (int)e->pid, "fd", e->fd, "control",
						      e->control, "since", (json_int_t)e->since,
						      "slots", slots_new(e->slots)));
	}
	return list;
}

json_t *handover_new(const struct master *m, int channel)
{
	return json_pack("{s:i, s:i, s:i, s:s, s:I, s:b, s:{s:i, s:I}, s:o, s:o, s:o, s:o, s:o}",
			 "version", HANDOVER_VERSION, "pid", (int)getpid(), "channel", channel,
			 "control", m->control ? m->conf->control : "", "generation",
			 (json_int_t)m->generations, "scaler", (int)(fleet_formats(m) > 0),
			 "counters", "fd", m->counters, "layout", (json_int_t)counters_layout(),
			 "slots", own_slots_new(m), "rules", rules_new(m->conf), "listeners",
			 listeners_new(m->conf), "sockets", sockets_new(&m->sockets), "elders",
			 elders_new(m));
}

static void each_fd(const json_t *o, void (*fn)(int fd))
{
	const json_t *fd = json_object_get(o, "fd");
	json_int_t n = json_integer_value(fd);

	if (json_is_integer(fd) && n > STDERR_FILENO && n <= 0x7fffffff)
		fn((int)n);
}

void handover_each_fd(const json_t *root, void (*fn)(int fd))
{
	static const char *const lists[] = { "sockets", "elders" };
	const json_t *channel = json_object_get(root, "channel"), *o;
	size_t i, k;

	if (json_integer_value(channel) > STDERR_FILENO)
		fn((int)json_integer_value(channel));
	each_fd(json_object_get(root, "counters"), fn);
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		json_array_foreach(json_object_get(root, lists[i]), k, o) each_fd(o, fn);
}

/* --- reading --------------------------------------------------------------------------- */

static int bad(struct err_msg *msg, const char *what)
{
	return err_msg_set(msg, ERR_BAD_FORMAT, "what the old insetd hands over is damaged: %s",
			   what);
}

/* A number from 0 to max; -1 for anything else. */
static json_int_t number_of(const json_t *o, const char *key, json_int_t max)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	return json_is_integer(v) && n >= 0 && n <= max ? n : -1;
}

static int fd_of(const json_t *o, const char *key)
{
	int fd = (int)number_of(o, key, 0x7fffffff);

	return fd > STDERR_FILENO && fcntl(fd, F_GETFD) != -1 ? fd : -1;
}

static int parse_slots(const json_t *list, bool slots[COUNTERS_SLOTS], struct err_msg *msg)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		json_int_t n = json_integer_value(v);

		if (!json_is_integer(v) || n < 0 || n >= COUNTERS_SLOTS)
			return bad(msg, "slots");
		slots[n] = true;
	}
	return 0;
}

static int parse_counters(struct handover *h, struct err_msg *msg)
{
	const json_t *o = json_object_get(h->root, "counters");
	int fd = fd_of(o, "fd");

	if (fd == -1)
		return bad(msg, "counters");
	if ((uint64_t)json_integer_value(json_object_get(o, "layout")) != counters_layout() ||
	    !counters_fit(fd)) {
		close(fd);
		return 0;
	}
	h->counters = fd;
	return parse_slots(json_object_get(h->root, "slots"), h->slots, msg);
}

static int parse_rules(struct handover *h, struct err_msg *msg)
{
	const json_t *list = json_object_get(h->root, "rules"), *o;
	size_t i;

	h->rules = conf_new();
	if (!h->rules)
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	if (json_array_size(list) > COUNTERS_RULES / 2)
		return bad(msg, "rules");
	h->rules->rules = calloc(MAX_OF(json_array_size(list), 1u), sizeof(*h->rules->rules));
	if (!h->rules->rules)
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	json_array_foreach(list, i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));
		json_int_t row = number_of(o, "row", COUNTERS_RULES - 1);

		if (!name || row == -1)
			return bad(msg, "rules");
		h->rules->rules[i].name = strdup(name);
		h->rules->rules[i].row = (unsigned)row;
		if (!h->rules->rules[i].name)
			return err_msg_set(msg, ERR_NOMEM, "out of memory");
		h->rules->rules_n++;
	}
	return 0;
}

static int parse_listeners(struct handover *h, struct err_msg *msg)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(h->root, "listeners"), i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));
		json_int_t row = number_of(o, "row", COUNTERS_LISTENERS - 1);
		struct conf_listen *l;

		if (!name || row == -1 || i >= COUNTERS_LISTENERS / 2)
			return bad(msg, "listeners");
		l = conf_add_listen(h->rules, name);
		if (!l)
			return err_msg_set(msg, ERR_NOMEM, "out of memory");
		l->row = (unsigned)row;
	}
	return 0;
}

static int parse_sockets(struct handover *h, struct err_msg *msg)
{
	const json_t *o;
	size_t i;

	h->sockets.adopted = true;
	json_array_foreach(json_object_get(h->root, "sockets"), i, o)
	{
		const char *address = json_string_value(json_object_get(o, "address"));
		const char *role = json_string_value(json_object_get(o, "role"));
		int known = role ? role_parse(role) : -1, fd = fd_of(o, "fd");
		struct socket_row row = { .listener = "", .address = address, .fd = fd };
		char bound[SOCKETS_ADDRESS];

		if (fd == -1 || !address || !role)
			return bad(msg, "sockets");
		if (known == -1) { /* of a role that is not there any more */
			close(fd);
			continue;
		}
		if (sockets_address(fd, bound, msg) || !sockets_same_address(bound, address)) {
			close(fd);
			return bad(msg, "a socket is not what it is said to be");
		}
		row.role = (enum role)known;
		row.given = json_is_true(json_object_get(o, "given"));
		row.index = (unsigned)MAX_OF(number_of(o, "index", PROCS_MAX), 0);
		if (sockets_add(&h->sockets, &row))
			return err_msg_set(msg, ERR_NOMEM, "out of memory");
	}
	return 0;
}

static int parse_elders(struct handover *h, struct err_msg *msg)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(h->root, "elders"), i, o)
	{
		struct elder *e = &h->elders[h->elders_n];
		const char *control = json_string_value(json_object_get(o, "control"));
		json_int_t pid = number_of(o, "pid", 0x7fffffff);

		if (h->elders_n == ELDERS_MAX || pid <= 0 || !control ||
		    strlen(control) >= sizeof(e->control))
			return bad(msg, "elders");
		e->fd = fd_of(o, "fd");
		if (e->fd == -1)
			return bad(msg, "elders");
		h->elders_n++;
		e->pid = (pid_t)pid;
		strcpy(e->control, control);
		e->since = MAX_OF(number_of(o, "since", INT64_MAX), 0);
		if (h->counters != -1 && parse_slots(json_object_get(o, "slots"), e->slots, msg))
			return ERR_BAD_FORMAT;
	}
	return 0;
}

static void keep_to_oneself(int fd)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int handover_parse(json_t *root, struct handover *out, struct err_msg *msg)
{
	int rc;

	*out = (struct handover){ .root = root, .channel = -1, .counters = -1 };
	handover_each_fd(root, keep_to_oneself);
	if (number_of(root, "version", INT64_MAX) != HANDOVER_VERSION)
		rc = err_msg_set(msg, ERR_BAD_FORMAT,
				 "the old insetd hands over in a way that this one does not know");
	else
		rc = parse_counters(out, msg);
	if (!rc)
		rc = parse_rules(out, msg);
	if (!rc)
		rc = parse_listeners(out, msg);
	if (!rc)
		rc = parse_sockets(out, msg);
	if (!rc)
		rc = parse_elders(out, msg);
	if (!rc) {
		out->pid = (pid_t)number_of(root, "pid", 0x7fffffff);
		out->channel = fd_of(root, "channel");
		out->control = json_string_value(json_object_get(root, "control"));
		out->generation = (uint64_t)MAX_OF(number_of(root, "generation", INT64_MAX), 0);
		out->scaler = json_is_true(json_object_get(root, "scaler"));
		if (out->pid <= 0 || out->channel == -1 || !out->control)
			rc = bad(msg, "channel");
	}
	if (rc)
		handover_fini(out);
	return rc;
}

void handover_fini(struct handover *h)
{
	size_t i;

	sockets_close(&h->sockets);
	if (h->counters != -1)
		close(h->counters);
	if (h->channel != -1)
		close(h->channel);
	for (i = 0; i < h->elders_n; i++)
		if (h->elders[i].fd != -1)
			close(h->elders[i].fd);
	conf_unref(&h->rules);
	json_decref(h->root);
	*h = (struct handover){ .channel = -1, .counters = -1 };
}

/* --- messages -------------------------------------------------------------------------- */

int handover_send(int fd, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	ssize_t n;

	json_decref(message);
	if (!text)
		return ERR_NOMEM;
	n = send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	if (n == (ssize_t)len)
		return 0;
	if (errno == EAGAIN || errno == ENOBUFS)
		return ERR_AGAIN;
	return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? ERR_CLOSED : ERR_IO;
}

json_t *handover_recv(int fd, int *rc_out)
{
	char text[MESSAGE_MAX];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	json_t *o;

	if (n <= 0) {
		*rc_out = n == -1 && (errno == EAGAIN || errno == EINTR) ? ERR_AGAIN : ERR_CLOSED;
		return NULL;
	}
	o = json_loadb(text, (size_t)n, 0, NULL);
	*rc_out = json_is_object(o) ? 0 : ERR_BAD_MESSAGE;
	if (*rc_out) {
		json_decref(o);
		return NULL;
	}
	return o;
}
