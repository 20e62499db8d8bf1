/* SPDX-License-Identifier: MIT */
/*
 * sockets - see sockets.h.
 */
#include "config.h"

#include "master/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/value.h"

#define BACKLOG 1024

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

static int find_old(const struct sockets *old, const char *address, enum role role, unsigned index)
{
	size_t i;

	for (i = 0; old && i < old->n; i++)
		if (old->v[i].role == role && old->v[i].index == index &&
		    strcmp(old->v[i].address, address) == 0)
			return old->v[i].fd;
	return -1;
}

/* A listening socket, a duplicate of the old one where there is one; or -1 and errno. */
static int open_one(const char *address, enum role role, unsigned index, const struct sockets *old)
{
	int fd = find_old(old, address, role, index);

	if (fd != -1)
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	/*
	 * With SO_REUSEPORT a second insetd of the same user could share the port unnoticed:
	 * a first try without it finds out.
	 */
	if (index == 0) {
		fd = bind_one(address, false);
		if (fd == -1)
			return -1;
		close(fd);
	}
	fd = bind_one(address, role == ROLE_PROXY);
	if (fd != -1 && listen(fd, BACKLOG) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int add(struct sockets *s, const struct socket_row *row, const struct sockets *old,
	       struct err_msg *msg)
{
	struct socket_row *v = reallocarray(s->v, s->n + 1, sizeof(*v));

	if (!v)
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	s->v = v;
	v[s->n] = *row;
	v[s->n].fd = open_one(row->address, row->role, row->index, old);
	if (v[s->n].fd == -1)
		return err_msg_set(msg, ERR_IO, "cannot listen on %s for %s: %s", row->address,
				   row->listener, strerror(errno));
	s->n++;
	return 0;
}

int sockets_open(struct sockets *out, const struct conf *conf, unsigned proxies,
		 const struct sockets *old, struct err_msg *msg)
{
	size_t i, k;
	unsigned p;
	int rc = 0;

	*out = (struct sockets){ 0 };
	for (i = 0; i < conf->listens_n; i++)
		for (k = 0; k < conf->listens[i].bind.n; k++)
			for (p = 0; p < proxies && !rc; p++) {
				struct socket_row row = { .listener = conf->listens[i].name,
							  .address = conf->listens[i].bind.v[k],
							  .role = ROLE_PROXY,
							  .index = p };

				rc = add(out, &row, old, msg);
			}
	for (i = 0; i < conf->web.bind.n && !rc; i++) {
		struct socket_row row = { .listener = "web",
					  .address = conf->web.bind.v[i],
					  .role = ROLE_WEB };

		rc = add(out, &row, old, msg);
	}
	for (i = 0; i < conf->upload.bind.n && !rc; i++) {
		struct socket_row row = { .listener = "box",
					  .address = conf->upload.bind.v[i],
					  .role = ROLE_BOX };

		rc = add(out, &row, old, msg);
	}
	if (rc)
		sockets_close(out);
	return rc;
}

void sockets_close(struct sockets *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		close(s->v[i].fd);
	free(s->v);
	*s = (struct sockets){ 0 };
}
