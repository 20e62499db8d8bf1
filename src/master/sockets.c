/* SPDX-License-Identifier: MIT */
/*
 * sockets - see sockets.h.
 */
#include "config.h"

#include "master/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/value.h"

#define BACKLOG       1024
#define PER_PROXY_MAX 256 /* that a proxy takes */

/* A bound socket, or -1 and errno. */
static int bind_one(const char *address, bool shared)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd, one = 1;

	BUG_ON(value_address(address, &ss, &len)); /* checked when it was read */
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == -1) ||
	    (ss.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == -1) ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool sockets_same_address(const char *a, const char *b)
{
	struct sockaddr_storage sa, sb;
	socklen_t la, lb;

	memset(&sa, 0, sizeof(sa));
	memset(&sb, 0, sizeof(sb));
	return value_address(a, &sa, &la) == 0 && value_address(b, &sb, &lb) == 0 && la == lb &&
	       memcmp(&sa, &sb, la) == 0;
}

int sockets_address(int fd, char out[SOCKETS_ADDRESS], struct err_msg *msg)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { 0 };
	socklen_t len = sizeof(a), n = sizeof(int);
	char host[INET6_ADDRSTRLEN];
	int listening = 0;

	if (getsockname(fd, (struct sockaddr *)&a, &len) == -1)
		return err_msg_set(msg, ERR_IO, "%s", strerror(errno));
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == -1 || !listening ||
	    (a.any.ss_family != AF_INET && a.any.ss_family != AF_INET6))
		return err_msg_set(msg, ERR_IO, "is no listening TCP socket");
	if (a.any.ss_family == AF_INET)
		snprintf(out, SOCKETS_ADDRESS, "%s:%u",
			 inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host)),
			 ntohs(a.v4.sin_port));
	else
		snprintf(out, SOCKETS_ADDRESS, "[%s]:%u",
			 inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host)),
			 ntohs(a.v6.sin6_port));
	return 0;
}

/* A fresh listening socket, or -1 and errno. */
static int open_new(const char *address, bool shared, bool first)
{
	int fd;

	/*
	 * With SO_REUSEPORT a second insetd of the same user could share the port unnoticed:
	 * a first try without it finds out.
	 */
	if (first) {
		fd = bind_one(address, false);
		if (fd == -1)
			return -1;
		close(fd);
	}
	fd = bind_one(address, shared);
	if (fd != -1 && listen(fd, BACKLOG) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int sockets_add(struct sockets *s, const struct socket_row *row)
{
	struct socket_row *v = reallocarray(s->v, s->n + 1, sizeof(*v));

	if (!v) {
		close(row->fd);
		return ERR_NOMEM;
	}
	s->v = v;
	v[s->n++] = *row;
	return 0;
}

static int add(struct sockets *s, struct socket_row *row, unsigned index, int fd,
	       struct err_msg *msg)
{
	row->index = index;
	row->fd = fd;
	if (fd == -1)
		return err_msg_set(msg, ERR_IO, "cannot listen on %s for %s: %s", row->address,
				   row->listener, strerror(errno));
	return sockets_add(s, row) ? err_msg_set(msg, ERR_NOMEM, "out of memory") : 0;
}

bool sockets_have(const struct sockets *s, enum role role, const char *address)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].role == role && sockets_same_address(s->v[i].address, address))
			return true;
	return false;
}

static bool has_option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) == 0 && value;
}

/* A service manager's [::]:5222 may take IPv4 as well; then 0.0.0.0:5222 needs no socket. */
static bool is_covered(const struct sockets *old, const char *address)
{
	char both[SOCKETS_ADDRESS];
	size_t i;

	if (strncmp(address, "0.0.0.0:", 8) != 0)
		return false;
	snprintf(both, sizeof(both), "[::]:%s", address + 8);
	for (i = 0; old && i < old->n; i++)
		if (sockets_same_address(old->v[i].address, both) &&
		    !has_option(old->v[i].fd, IPPROTO_IPV6, IPV6_V6ONLY))
			return true;
	return false;
}

/* All sockets of one address: the old ones, and as many new ones as it takes to have n. */
static int open_address(struct sockets *s, struct socket_row *row, unsigned n,
			const struct sockets *old, struct err_msg *msg)
{
	unsigned count = 0;
	const struct socket_row *first = NULL;
	bool shared = false;
	int rc = 0;
	size_t i;

	for (i = 0; old && i < old->n && !rc; i++) {
		const struct socket_row *o = &old->v[i];

		if (o->role != row->role || !sockets_same_address(o->address, row->address))
			continue;
		if (!first) {
			first = o;
			row->given = o->given;
			shared = o->given || !has_option(o->fd, SOL_SOCKET, SO_REUSEPORT);
		}
		rc = add(s, row, count++ % n, fcntl(o->fd, F_DUPFD_CLOEXEC, 0), msg);
	}
	if (!first && is_covered(old, row->address))
		return 0;
	for (; count < n && !rc; count++) {
		if (shared)
			rc = add(s, row, count, fcntl(first->fd, F_DUPFD_CLOEXEC, 0), msg);
		else if (first && old->adopted)
			s->missing++;
		else
			rc = add(s, row, count,
				 open_new(row->address, row->role == ROLE_PROXY, count == 0), msg);
	}
	return rc;
}

int sockets_open(struct sockets *out, const struct conf *conf, unsigned proxies,
		 const struct sockets *old, struct err_msg *msg)
{
	struct socket_row row;
	size_t i, k;
	int rc = 0;

	*out = (struct sockets){ 0 };
	for (i = 0; i < conf->listens_n; i++)
		for (k = 0; k < conf->listens[i].bind.n && !rc; k++) {
			row = (struct socket_row){ .listener = conf->listens[i].name,
						   .address = conf->listens[i].bind.v[k],
						   .role = ROLE_PROXY };
			rc = open_address(out, &row, proxies, old, msg);
		}
	for (i = 0; i < conf->web.bind.n && !rc; i++) {
		row = (struct socket_row){ .listener = "web",
					   .address = conf->web.bind.v[i],
					   .role = ROLE_WEB };
		rc = open_address(out, &row, 1, old, msg);
	}
	for (i = 0; i < conf->upload.bind.n && !rc; i++) {
		row = (struct socket_row){ .listener = "box",
					   .address = conf->upload.bind.v[i],
					   .role = ROLE_BOX };
		rc = open_address(out, &row, 1, old, msg);
	}
	for (i = k = 0; i < out->n && !rc; i++)
		k += out->v[i].role == ROLE_PROXY && out->v[i].index == 0;
	if (k > PER_PROXY_MAX)
		rc = err_msg_set(msg, ERR_TOO_BIG,
				 "%zu listening sockets are too many for %u workers", k, proxies);
	if (rc)
		sockets_close(out);
	return rc;
}

void sockets_close_proxies(struct sockets *s)
{
	size_t i, n = 0;

	for (i = 0; i < s->n; i++) {
		if (s->v[i].role == ROLE_PROXY)
			close(s->v[i].fd);
		else
			s->v[n++] = s->v[i];
	}
	s->n = n;
}

void sockets_close(struct sockets *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		close(s->v[i].fd);
	free(s->v);
	*s = (struct sockets){ 0 };
}
