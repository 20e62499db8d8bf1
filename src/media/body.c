/* SPDX-License-Identifier: MIT */
/*
 * body - see body.h.
 */
#include "config.h"

#include "media/body.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

void body_init(struct body *b, uint64_t max, const struct body_limits *limits)
{
	*b = (struct body){ .max = max, .limits = *limits, .fd = -1 };
}

void body_fini(struct body *b)
{
	hash_free(&b->hash);
	if (b->fd != -1)
		close(b->fd);
	b->fd = -1;
}

static int body_open(struct body *b)
{
	b->hash = hash_sha256_new();
	if (!b->hash)
		return ERR_NOMEM;
	b->fd = memfd_create("inset-media", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return b->fd == -1 ? ERR_IO : 0;
}

static int body_peek(struct body *b, const uint8_t *p, size_t n)
{
	const struct body_limits *l = &b->limits;

	peek_add(&b->peek, p, n);
	return peek_is_too_big(&b->peek, l->max_side, l->max_pixels, l->max_pixels_jpeg)
		       ? ERR_TOO_BIG
		       : 0;
}

/* Whether it goes on to look like a picture that may be scaled. */
static int body_sniff(struct body *b, const uint8_t *p, size_t n)
{
	size_t take;

	if (b->size >= sizeof(b->head))
		return body_peek(b, p, n);
	take = MIN_OF(n, sizeof(b->head) - (size_t)b->size);
	memcpy(b->head + b->size, p, take);
	if (b->size + take < sizeof(b->head))
		return 0;
	b->format = picture_sniff(b->head, sizeof(b->head));
	if (b->format == PICTURE_NONE)
		return ERR_UNSUPPORTED;
	peek_init(&b->peek, b->format);
	peek_add(&b->peek, b->head, sizeof(b->head));
	return body_peek(b, p + take, n - take);
}

int body_add(struct body *b, const uint8_t *p, size_t n)
{
	size_t left = n;
	int rc = 0;

	if (n > b->max || b->size > b->max - n)
		return ERR_TOO_BIG;
	if (b->fd == -1)
		rc = body_open(b);
	if (!rc)
		rc = body_sniff(b, p, n);
	if (!rc)
		rc = hash_update(b->hash, p, n);
	while (!rc && left) {
		ssize_t done = write(b->fd, p + (n - left), left);

		if (done <= 0)
			rc = ERR_IO;
		else
			left -= (size_t)done;
	}
	b->size += n;
	return rc;
}

int body_seal(struct body *b)
{
	if (b->size < sizeof(b->head))
		return ERR_UNSUPPORTED;
	if (lseek(b->fd, 0, SEEK_SET) == -1 ||
	    fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) ==
		    -1)
		return ERR_IO;
	return hash_final(b->hash, b->sha256);
}

int body_take(struct body *b)
{
	int fd = b->fd;

	b->fd = -1;
	return fd;
}
