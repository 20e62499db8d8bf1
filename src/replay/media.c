/* SPDX-License-Identifier: MIT */
/*
 * media - see media.h.
 */
#include "config.h"

#include "replay/media.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/list.h"

#define PICTURES     16   /* different ones that are made */
#define PICTURES_MAX 4096 /* that are read */
#define PICTURE_MAX  (64u * 1024 * 1024)
#define REQUEST_MAX  8192
#define SLOW_BYTES   512
#define SLOW_US      100000
#define HEAD_MAX     (REQUEST_MAX + 512)

static const char *const fault_names[] = {
#define MEDIA_FAULT(name, text, help) [MEDIA_##name] = text,
#include "replay/media-fault.def"
#undef MEDIA_FAULT
};

struct media {
	struct event_base *base; /* borrowed */
	struct event *accept;    /* owned */
	struct list conns;
	struct buf pictures[PICTURES_MAX];
	size_t pictures_n;
	struct media_config config;
	uint64_t counts[MEDIA_FAULT_COUNT];
	char origin[64];
	int fd;
};

struct media_conn {
	struct list link;
	struct media *media; /* borrowed */
	struct event *ev;    /* owned, as the next */
	struct event *timer;
	struct buf in;
	struct buf head;        /* of the answer */
	const struct buf *body; /* borrowed; NULL: none */
	size_t body_len;        /* of it that is sent */
	size_t at;              /* in head and body */
	enum media_fault fault;
	int fd;
};

/* --- pictures ----------------------------------------------------------------------------- */

static void png_chunk(struct buf *b, const char *type, const uint8_t *p, size_t len)
{
	uint32_t n = htonl((uint32_t)len);
	uLong crc = crc32(crc32(0, (const Bytef *)type, 4), p, (uInt)len);
	uint32_t sum = htonl((uint32_t)crc);

	if (buf_add(b, &n, 4) || buf_add(b, type, 4) || buf_add(b, p, len) || buf_add(b, &sum, 4))
		buf_clear(b);
}

/* A PNG of waves; each number another one. False: no memory. */
static bool make_picture(struct buf *b, unsigned width, unsigned height, unsigned number)
{
	size_t row = 1 + 3 * (size_t)width, len = row * height, x, y;
	uLongf packed_len = compressBound(len);
	uint8_t *raw = malloc(len), *packed = malloc(packed_len);
	uint8_t header[13] = { 0 };
	uint32_t w = htonl(width), h = htonl(height);

	buf_init(b, PICTURE_MAX);
	for (y = 0; raw && y < height; y++) {
		raw[y * row] = 0;
		for (x = 0; x < width; x++) {
			uint8_t *p = raw + y * row + 1 + 3 * x;

			p[0] = (uint8_t)(x * 255 / width + number * 40);
			p[1] = (uint8_t)(y * 255 / height + number * 90);
			p[2] = (uint8_t)((x * y) / (width + number * 17) + number);
		}
	}
	memcpy(header, &w, 4);
	memcpy(header + 4, &h, 4);
	header[8] = 8; /* bits */
	header[9] = 2; /* RGB */
	if (raw && packed && compress2(packed, &packed_len, raw, len, 3) == Z_OK &&
	    buf_add(b, "\x89PNG\r\n\x1a\n", 8) == 0) {
		png_chunk(b, "IHDR", header, sizeof(header));
		png_chunk(b, "IDAT", packed, packed_len);
		png_chunk(b, "IEND", NULL, 0);
	}
	free(raw);
	free(packed);
	return b->len > 0;
}

static bool read_picture(struct buf *b, int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool ok = false;

	buf_init(b, PICTURE_MAX);
	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= (off_t)PICTURE_MAX && buf_reserve(b, (size_t)st.st_size) == 0) {
		ok = read(fd, b->p, (size_t)st.st_size) == st.st_size;
		b->len = ok ? (size_t)st.st_size : 0;
	}
	if (fd != -1)
		close(fd);
	if (!ok)
		buf_clear(b);
	return ok;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int media_read_folder(struct media *m, struct err_msg *msg)
{
	struct dirent **names;
	int folder = open(m->config.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = folder == -1 ? -1 : scandirat(folder, ".", &names, NULL, by_name), i;

	if (n == -1) {
		err_msg_set(msg, ERR_IO, "%s: %s", m->config.folder, strerror(errno));
		if (folder != -1)
			close(folder);
		return ERR_IO;
	}
	for (i = 0; i < n; i++) {
		if (m->pictures_n < PICTURES_MAX &&
		    read_picture(&m->pictures[m->pictures_n], folder, names[i]->d_name))
			m->pictures_n++;
		free(names[i]);
	}
	free(names);
	close(folder);
	return m->pictures_n ? 0
			     : err_msg_set(msg, ERR_IO, "%s: no pictures in it", m->config.folder);
}

static int media_make(struct media *m, struct err_msg *msg)
{
	unsigned width = m->config.width ? m->config.width : 640;
	unsigned height = m->config.height ? m->config.height : 480;

	if (m->config.folder)
		return media_read_folder(m, msg);
	while (m->pictures_n < PICTURES)
		if (!make_picture(&m->pictures[m->pictures_n], width, height,
				  (unsigned)m->pictures_n))
			return err_msg_set(msg, ERR_NOMEM, "no memory for pictures");
		else
			m->pictures_n++;
	return 0;
}

/* --- which answer ------------------------------------------------------------------------- */

/* FNV-1a: the same in every run. */
static uint32_t path_hash(const char *path, size_t len)
{
	uint32_t h = 2166136261u;
	size_t i;

	for (i = 0; i < len && path[i] != '?'; i++)
		h = (h ^ (uint8_t)path[i]) * 16777619u;
	return h ^ h >> 15;
}

enum media_fault media_fault_of(const struct media *m, const char *path, size_t len)
{
	unsigned at = path_hash(path, len) % 100, sum = 0;
	int i;

	for (i = MEDIA_NONE + 1; i < MEDIA_FAULT_COUNT; i++) {
		sum += m->config.percent[i];
		if (at < sum)
			return (enum media_fault)i;
	}
	return MEDIA_NONE;
}

int media_parse_faults(struct media_config *c, const char *text, struct err_msg *msg)
{
	unsigned sum = 0;

	while (*text) {
		size_t name = strcspn(text, "=");
		char *end;
		unsigned long n;
		int i;

		for (i = MEDIA_NONE + 1; i < MEDIA_FAULT_COUNT; i++)
			if (strlen(fault_names[i]) == name &&
			    memcmp(fault_names[i], text, name) == 0)
				break;
		if (i == MEDIA_FAULT_COUNT || text[name] != '=')
			return err_msg_set(msg, ERR_SYNTAX, "no such fault: %.40s", text);
		n = strtoul(text + name + 1, &end, 10);
		if (end == text + name + 1 || n > 100 || (*end && *end != ','))
			return err_msg_set(msg, ERR_SYNTAX, "not a share of 0 to 100: %.40s", text);
		c->percent[i] = (unsigned)n;
		sum += (unsigned)n;
		text = *end ? end + 1 : end;
	}
	return sum <= 100 ? 0 : err_msg_set(msg, ERR_SYNTAX, "faults are more than 100 percent");
}

/* --- connections -------------------------------------------------------------------------- */

static void conn_close(struct media_conn *c)
{
	list_remove(&c->link);
	if (c->ev)
		event_free(c->ev);
	if (c->timer)
		event_free(c->timer);
	buf_fini(&c->in);
	buf_fini(&c->head);
	close(c->fd);
	free(c);
}

static void conn_on_write(evutil_socket_t fd, short what, void *arg);

static void conn_watch(struct media_conn *c)
{
	const struct timeval tv = { 0, SLOW_US };

	if (c->fault == MEDIA_SLOW ? event_add(c->timer, &tv) == -1 : event_add(c->ev, NULL) == -1)
		conn_close(c);
}

/* The next bytes to send. */
static const uint8_t *conn_next(const struct media_conn *c, size_t *len_out)
{
	size_t at;

	if (c->at < c->head.len) {
		*len_out = c->head.len - c->at;
		return c->head.p + c->at;
	}
	at = c->at - c->head.len;
	if (c->fault == MEDIA_ENDLESS)
		at %= c->body->len;
	*len_out = c->body ? (c->fault == MEDIA_ENDLESS ? c->body->len : c->body_len) - at : 0;
	return c->body ? c->body->p + at : NULL;
}

static void conn_on_write(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct media_conn *c = arg;
	size_t len;
	const uint8_t *p = conn_next(c, &len);
	ssize_t n;

	if (!len) {
		conn_close(c);
		return;
	}
	if (c->fault == MEDIA_SLOW)
		len = MIN_OF(len, (size_t)SLOW_BYTES);
	n = send(fd, p, len, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		conn_close(c);
		return;
	}
	c->at += n > 0 ? (size_t)n : 0;
	conn_watch(c);
}

static int conn_print_head(struct media_conn *c, const char *path, size_t len, const char *type)
{
	struct buf *b = &c->head;

	switch (c->fault) {
	case MEDIA_404:
		return buf_add_str(b, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
				      "Connection: close\r\n\r\n");
	case MEDIA_REDIRECT:
		return buf_printf(b,
				  "HTTP/1.1 302 Found\r\nLocation: %s%.*s?%llu\r\n"
				  "Content-Length: 0\r\nConnection: close\r\n\r\n",
				  c->media->origin, (int)strcspn(path, "? "), path,
				  (unsigned long long)c->media->counts[MEDIA_REDIRECT]);
	case MEDIA_TYPE:
		return buf_add_str(b, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
				      "Content-Length: 24\r\nConnection: close\r\n\r\n"
				      "<html>no picture</html>\n");
	case MEDIA_ENDLESS:
		return buf_printf(
			b, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n",
			type);
	case MEDIA_NONE:
	case MEDIA_SLOW:
	case MEDIA_TRUNCATED:
	case MEDIA_FAULT_COUNT:
		break;
	}
	(void)len;
	return buf_printf(b,
			  "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
			  "Connection: close\r\n\r\n",
			  type, c->body->len);
}

/* A whole request is there. */
static void conn_answer(struct media_conn *c)
{
	struct media *m = c->media;
	bool head = c->in.len > 5 && memcmp(c->in.p, "HEAD ", 5) == 0;
	const char *path = (const char *)c->in.p + (head ? 5 : 4);
	size_t len = strcspn(path, " \r\n");
	const struct buf *picture = &m->pictures[path_hash(path, len) % m->pictures_n];

	c->fault = media_fault_of(m, path, len);
	m->counts[c->fault]++;
	c->body = picture;
	if (conn_print_head(c, path, len, "image/png")) {
		conn_close(c);
		return;
	}
	if (head || c->fault == MEDIA_404 || c->fault == MEDIA_REDIRECT || c->fault == MEDIA_TYPE)
		c->body = NULL;
	c->body_len = c->body ? c->body->len / (c->fault == MEDIA_TRUNCATED ? 2 : 1) : 0;
	if (head && (c->fault == MEDIA_ENDLESS || c->fault == MEDIA_SLOW))
		c->fault = MEDIA_NONE;
	event_del(c->ev);
	event_assign(c->ev, m->base, c->fd, EV_WRITE, conn_on_write, c);
	conn_watch(c);
}

static void conn_on_read(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct media_conn *c = arg;
	ssize_t n;

	if (buf_reserve(&c->in, 1025)) {
		conn_close(c); /* a request of that size is none of inset's */
		return;
	}
	n = recv(fd, c->in.p + c->in.len, 1024, 0);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		conn_close(c);
		return;
	}
	c->in.len += n > 0 ? (size_t)n : 0;
	c->in.p[c->in.len] = '\0';
	if (c->in.len > 5 && memmem(c->in.p, c->in.len, "\r\n\r\n", 4))
		conn_answer(c);
}

static void media_on_accept(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct media *m = arg;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct media_conn *c = client == -1 ? NULL : calloc(1, sizeof(*c));

	if (!c) {
		if (client != -1)
			close(client);
		return;
	}
	c->media = m;
	c->fd = client;
	buf_init(&c->in, REQUEST_MAX);
	buf_init(&c->head, HEAD_MAX);
	list_init(&c->link);
	list_add_tail(&m->conns, &c->link);
	c->ev = event_new(m->base, client, EV_READ | EV_PERSIST, conn_on_read, c);
	c->timer = event_new(m->base, -1, 0, conn_on_write, c);
	if (!c->ev || !c->timer || event_add(c->ev, NULL) == -1) {
		conn_close(c);
		return;
	}
	event_assign(c->timer, m->base, client, 0, conn_on_write, c);
}

/* --- birth and end ------------------------------------------------------------------------ */

static int media_listen(struct media *m, struct err_msg *msg)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(m->config.port) };
	socklen_t len = sizeof(a);
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (m->fd == -1 || setsockopt(m->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(m->fd, (struct sockaddr *)&a, sizeof(a)) == -1 || listen(m->fd, 1024) == -1 ||
	    getsockname(m->fd, (struct sockaddr *)&a, &len) == -1)
		return err_msg_set(msg, ERR_IO, "media server: %s", strerror(errno));
	snprintf(m->origin, sizeof(m->origin), "http://127.0.0.1:%u", ntohs(a.sin_port));
	m->accept = event_new(m->base, m->fd, EV_READ | EV_PERSIST, media_on_accept, m);
	if (!m->accept || event_add(m->accept, NULL) == -1)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	return 0;
}

int media_open(struct media **out, struct event_base *base, const struct media_config *c,
	       struct err_msg *msg)
{
	struct media *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	m->base = base;
	m->config = *c;
	m->fd = -1;
	list_init(&m->conns);
	rc = media_make(m, msg);
	if (!rc)
		rc = media_listen(m, msg);
	if (rc) {
		media_close(&m);
		return rc;
	}
	*out = m;
	return 0;
}

void media_close(struct media **mp)
{
	struct media *m = *mp;
	struct list *it, *tmp;

	if (!m)
		return;
	LIST_EACH_SAFE(it, tmp, &m->conns)
		conn_close(CONTAINER_OF(it, struct media_conn, link));
	if (m->accept)
		event_free(m->accept);
	if (m->fd != -1)
		close(m->fd);
	while (m->pictures_n)
		buf_fini(&m->pictures[--m->pictures_n]);
	free(m);
	*mp = NULL;
}

const char *media_origin(const struct media *m)
{
	return m->origin;
}

uint64_t media_count(const struct media *m, enum media_fault fault)
{
	return m->counts[fault];
}

const char *media_fault_name(enum media_fault fault)
{
	return fault_names[fault];
}
