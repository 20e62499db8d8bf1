/* SPDX-License-Identifier: MIT */
/*
 * ipc - see ipc.h.
 */
#include "config.h"

#include "base/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define IPC_SOCKET_BUFFER (1024 * 1024)
#define IPC_SEALS         (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const struct {
	const char *name;
	unsigned from;
	unsigned to;
	size_t max;
	int fds;
} rows[] = {
#define IPC(n, f, t, m, d) [IPC_##n] = { #n, f, t, m, d },
#include "base/ipc.def"
#undef IPC
};

static const char *const role_names[] = { "master", "proxy", "media", "web", "box", "scaler" };

const char *role_name(enum role role)
{
	return role_names[role];
}

int role_parse(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(role_names); i++)
		if (strcmp(word, role_names[i]) == 0)
			return (int)i;
	return -1;
}

const char *ipc_name(enum ipc_type type)
{
	return type < IPC_TYPE_COUNT ? rows[type].name : "?";
}

int ipc_pair(int fds_out[2])
{
	int i, size = IPC_SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_out) == -1)
		return ERR_IO;
	for (i = 0; i < 2; i++) {
		/* The kernel caps this at wmem_max; whatever it grants will do. */
		(void)setsockopt(fds_out[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		(void)setsockopt(fds_out[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	return 0;
}

int ipc_memfd(const char *name, const void *p, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const uint8_t *at = p;
	size_t left = len;

	if (fd == -1)
		return -1;
	while (left) {
		ssize_t n = write(fd, at, left);

		if (n <= 0)
			goto fail;
		at += n;
		left -= (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) == -1 || fcntl(fd, F_ADD_SEALS, IPC_SEALS | F_SEAL_SEAL) == -1)
		goto fail;
	return fd;
fail:
	close(fd);
	return -1;
}

int ipc_memfd_map(int fd, size_t max, const uint8_t **p_out, size_t *len_out)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	void *p;

	*p_out = NULL;
	*len_out = 0;
	if (seals == -1 || (seals & IPC_SEALS) != IPC_SEALS)
		return ERR_BAD_MESSAGE;
	if (fstat(fd, &st) == -1 || st.st_size < 0 || (uint64_t)st.st_size > max)
		return ERR_BAD_MESSAGE;
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return ERR_NOMEM;
	*p_out = p;
	*len_out = (size_t)st.st_size;
	return 0;
}

/* --- writing --------------------------------------------------------------------------- */

void ipc_begin(struct ipc_out *out, enum ipc_type type)
{
	out->type = type;
	out->error = 0;
	out->fd = -1;
	out->own_fd = -1;
	out->len = 0;
	ipc_put_u32(out, (uint32_t)type);
}

void ipc_put_bytes(struct ipc_out *out, const void *p, size_t len)
{
	if (out->error)
		return;
	if (len > sizeof(out->data) - out->len) {
		out->error = ERR_TOO_BIG;
		return;
	}
	if (len)
		memcpy(out->data + out->len, p, len);
	out->len += len;
}

void ipc_put_u8(struct ipc_out *out, uint8_t v)
{
	ipc_put_bytes(out, &v, sizeof(v));
}

void ipc_put_u32(struct ipc_out *out, uint32_t v)
{
	ipc_put_bytes(out, &v, sizeof(v));
}

void ipc_put_u64(struct ipc_out *out, uint64_t v)
{
	ipc_put_bytes(out, &v, sizeof(v));
}

void ipc_put_str(struct ipc_out *out, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	ipc_put_u32(out, (uint32_t)len);
	ipc_put_bytes(out, s, len);
}

void ipc_put_blob(struct ipc_out *out, const void *p, size_t len)
{
	bool inside = len <= IPC_INLINE_MAX - 1024 && out->len + len <= rows[out->type].max;

	if (out->error)
		return;
	ipc_put_u8(out, inside);
	ipc_put_u32(out, (uint32_t)len);
	if (inside) {
		ipc_put_bytes(out, p, len);
		return;
	}
	if (len > IPC_BLOB_MAX) {
		out->error = ERR_TOO_BIG;
		return;
	}
	out->own_fd = ipc_memfd("inset-blob", p, len);
	if (out->own_fd == -1)
		out->error = ERR_NOMEM;
	out->fd = out->own_fd;
}

void ipc_put_fd(struct ipc_out *out, int fd)
{
	out->fd = fd;
}

static int ipc_send_now(int sock, const struct ipc_out *out)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)out->data, .iov_len = out->len };
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (out->fd != -1) {
		struct cmsghdr *c;

		msg.msg_control = control.data;
		msg.msg_controllen = sizeof(control.data);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &out->fd, sizeof(int));
	}
	while (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
			return ERR_AGAIN;
		return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? ERR_CLOSED
										  : ERR_IO;
	}
	return 0;
}

int ipc_check(const struct ipc_out *out)
{
	if (!out->error && out->len - sizeof(uint32_t) > rows[out->type].max + 16)
		return ERR_TOO_BIG;
	return out->error;
}

int ipc_send(int sock, struct ipc_out *out)
{
	int rc = ipc_check(out);

	if (!rc)
		rc = ipc_send_now(sock, out);
	if (out->own_fd != -1)
		close(out->own_fd);
	out->own_fd = -1;
	return rc;
}

/* --- reading --------------------------------------------------------------------------- */

/* Keeps one descriptor, closes any others: a peer cannot fill our table. Returns their number. */
static int ipc_keep_fd(struct ipc_in *in, struct msghdr *msg)
{
	struct cmsghdr *c;
	int count = 0;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t i, n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++, count++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (in->fd == -1)
				in->fd = fd;
			else
				close(fd);
		}
	}
	return count;
}

int ipc_recv(int sock, struct ipc_in *in, enum role me, enum role peer)
{
	struct iovec iov = { .iov_base = in->data, .iov_len = sizeof(in->data) };
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.data,
			      .msg_controllen = sizeof(control.data) };
	uint32_t type;
	ssize_t n;
	int fds;

	in->error = 0;
	in->fd = -1;
	in->map = NULL;
	in->at = 0;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == EAGAIN ? ERR_AGAIN : errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
	fds = ipc_keep_fd(in, &msg);
	if (n == 0 && fds == 0)
		return ERR_CLOSED;
	in->len = (size_t)n;
	type = ipc_get_u32(in);
	if (in->error || type >= IPC_TYPE_COUNT || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    !(rows[type].from & 1u << peer) || !(rows[type].to & 1u << me) ||
	    fds > rows[type].fds || in->len > rows[type].max + 32) {
		ipc_in_fini(in);
		return ERR_BAD_MESSAGE;
	}
	in->type = (enum ipc_type)type;
	return 0;
}

const uint8_t *ipc_get_bytes(struct ipc_in *in, size_t len)
{
	const uint8_t *p = in->data + in->at;

	if (in->error || len > in->len - in->at) {
		in->error = ERR_BAD_MESSAGE;
		return NULL;
	}
	in->at += len;
	return p;
}

uint8_t ipc_get_u8(struct ipc_in *in)
{
	const uint8_t *p = ipc_get_bytes(in, 1);

	return p ? *p : 0;
}

uint32_t ipc_get_u32(struct ipc_in *in)
{
	const uint8_t *p = ipc_get_bytes(in, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t ipc_get_u64(struct ipc_in *in)
{
	const uint8_t *p = ipc_get_bytes(in, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

/* The text is moved down over its length field, which makes room for the NUL. */
const char *ipc_get_str(struct ipc_in *in)
{
	size_t start = in->at;
	uint32_t len = ipc_get_u32(in);
	const uint8_t *p = ipc_get_bytes(in, len);
	char *s;

	if (!p)
		return "";
	if (len && memchr(p, '\0', len)) {
		in->error = ERR_BAD_MESSAGE;
		return "";
	}
	s = (char *)in->data + start;
	memmove(s, p, len);
	s[len] = '\0';
	return s;
}

const uint8_t *ipc_get_blob(struct ipc_in *in, size_t max, size_t *len_out)
{
	uint8_t inside = ipc_get_u8(in);
	uint32_t len = ipc_get_u32(in);
	int rc;

	*len_out = 0;
	if (!in->error && len > max)
		in->error = ERR_BAD_MESSAGE;
	if (in->error || len == 0)
		return NULL;
	if (inside) {
		const uint8_t *p = ipc_get_bytes(in, len);

		*len_out = p ? len : 0;
		return p;
	}
	rc = in->fd == -1 || in->map ? ERR_BAD_MESSAGE
				     : ipc_memfd_map(in->fd, max, &in->map, &in->map_len);
	if (rc || in->map_len != len) {
		in->error = rc ? rc : ERR_BAD_MESSAGE;
		return NULL;
	}
	*len_out = len;
	return in->map;
}

int ipc_take_fd(struct ipc_in *in)
{
	int fd = in->fd;

	if (fd == -1)
		in->error = ERR_BAD_MESSAGE;
	if (in->error)
		return -1;
	in->fd = -1;
	return fd;
}

int ipc_end(struct ipc_in *in)
{
	if (!in->error && in->at != in->len)
		in->error = ERR_BAD_MESSAGE;
	return in->error;
}

void ipc_in_fini(struct ipc_in *in)
{
	if (in->fd != -1)
		close(in->fd);
	if (in->map)
		munmap((void *)(uintptr_t)in->map, in->map_len);
	in->fd = -1;
	in->map = NULL;
}
