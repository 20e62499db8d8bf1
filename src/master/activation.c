/* SPDX-License-Identifier: MIT */
/*
 * activation - see activation.h.
 */
#include "config.h"

#include "master/activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3
#define FDS_MAX  1024

static long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || text[0] < '0' || text[0] > '9')
		return -1;
	n = strtol(text, &end, 10);
	return *end ? -1 : n;
}

static const char *find_bind(const struct conf_list *bind, const char *address)
{
	size_t i;

	for (i = 0; i < bind->n; i++)
		if (sockets_same_address(bind->v[i], address))
			return bind->v[i];
	return NULL;
}

/* Who binds this address: listener, address and role of row, or false. */
static bool find_owner(const struct conf *conf, const char *address, struct socket_row *row)
{
	size_t i;

	for (i = 0; i < conf->listens_n; i++) {
		row->address = find_bind(&conf->listens[i].bind, address);
		row->listener = conf->listens[i].name;
		row->role = ROLE_PROXY;
		if (row->address)
			return true;
	}
	row->address = find_bind(&conf->web.bind, address);
	row->listener = "web";
	row->role = ROLE_WEB;
	if (row->address)
		return true;
	row->address = find_bind(&conf->upload.bind, address);
	row->listener = "box";
	row->role = ROLE_BOX;
	return row->address;
}

/* Is that the socket's owner: "c2s" or "listen.c2s", "web", "box" or "upload"? */
static bool is_owner(const char *name, const char *owner, enum role role)
{
	if (role == ROLE_PROXY && strncmp(name, "listen.", 7) == 0)
		name += 7;
	if (role == ROLE_BOX && strcmp(name, "upload") == 0)
		return true;
	return strcmp(name, owner) == 0;
}

/* Does a socket's name speak of one of ours? Others, such as inset.socket, say nothing. */
static bool is_ours(const struct conf *conf, const char *name)
{
	return is_owner(name, "web", ROLE_WEB) || is_owner(name, "box", ROLE_BOX) ||
	       strncmp(name, "listen.", 7) == 0 || conf_listen_find(conf, name);
}

static int take_one(const struct conf *conf, int fd, const char *name, struct sockets *out,
		    struct err_msg *msg)
{
	struct socket_row row = { .fd = fd, .given = true };
	struct err_msg why = { 0 };
	char address[SOCKETS_ADDRESS];

	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (sockets_address(fd, address, &why))
		return err_msg_set(msg, ERR_CONFIG, "socket activation: descriptor %d (%.60s): %s",
				   fd, name, why.text);
	if (!find_owner(conf, address, &row))
		return err_msg_set(msg, ERR_CONFIG,
				   "socket activation: descriptor %d (%.60s): no listener, web or "
				   "upload has %s in its bind",
				   fd, name, address);
	if (is_ours(conf, name) && !is_owner(name, row.listener, row.role))
		return err_msg_set(msg, ERR_CONFIG,
				   "socket activation: descriptor %d is called %.60s, but %s is in "
				   "the bind of %.60s",
				   fd, name, address, row.listener);
	return sockets_add(out, &row) ? err_msg_set(msg, ERR_NOMEM, "out of memory") : 0;
}

int activation_take(const struct conf *conf, struct sockets *out, struct err_msg *msg)
{
	long pid = number_of("LISTEN_PID"), n = number_of("LISTEN_FDS"), i;
	const char *names = getenv("LISTEN_FDNAMES");
	char *copy, *at, *name;
	int rc = 0;

	if (pid != (long)getpid() || n <= 0)
		return 0; /* not there, or for somebody else */
	if (n > FDS_MAX)
		return err_msg_set(msg, ERR_CONFIG, "socket activation: LISTEN_FDS=%ld", n);
	copy = at = strdup(names ? names : "");
	if (!copy)
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	for (i = 0; i < n && !rc; i++) {
		name = strsep(&at, ":");
		rc = take_one(conf, FIRST_FD + (int)i, name && name[0] ? name : "unnamed", out,
			      msg);
	}
	free(copy);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return rc;
}
