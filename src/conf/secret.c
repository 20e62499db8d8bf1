/* SPDX-License-Identifier: MIT */
/*
 * secret - see secret.h.
 *
 * A file that is made appears whole under its name or not at all, and the first of two
 * makers wins: written under another name, then linked.
 */
#include "config.h"

#include "conf/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"

#define SECRET_MIN   16
#define SECRET_MAX   4096
#define RANDOM_BYTES 32

static int fail(struct err_msg *msg, const char *path, const char *why)
{
	return err_msg_set(msg, ERR_CONFIG, "\"%.200s\": %s", path, why);
}

int secret_read(const char *path, char **out, struct err_msg *msg)
{
	uint8_t bytes[SECRET_MAX], sum[HASH_SHA256_LEN];
	struct stat st;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;

	*out = NULL;
	if (fd == -1)
		return fail(msg, path, strerror(errno));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		rc = fail(msg, path, "is no file");
	else if ((n = read(fd, bytes, sizeof(bytes))) == -1)
		rc = fail(msg, path, strerror(errno));
	else if (n < SECRET_MIN)
		rc = fail(msg, path, "is too short for a secret: 16 bytes or more are needed");
	close(fd);
	if (!rc)
		rc = hash_sha256(bytes, (size_t)n, sum);
	explicit_bzero(bytes, sizeof(bytes));
	if (!rc) {
		*out = malloc(2 * sizeof(sum) + 1);
		rc = *out ? 0 : ERR_NOMEM;
		if (*out)
			hash_print_hex(sum, sizeof(sum), *out);
	}
	explicit_bzero(sum, sizeof(sum));
	return rc;
}

static int write_new(const char *path)
{
	uint8_t bytes[RANDOM_BYTES];
	int rc = ERR_IO,
	    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd == -1)
		return ERR_IO;
	hash_random(bytes, sizeof(bytes));
	if (write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && fsync(fd) == 0)
		rc = 0;
	explicit_bzero(bytes, sizeof(bytes));
	close(fd);
	return rc;
}

int secret_make(const char *path, char **out, struct err_msg *msg)
{
	char draft[512];
	int rc = 0;

	*out = NULL;
	if (access(path, F_OK) == 0 || errno != ENOENT)
		return secret_read(path, out, msg);
	snprintf(draft, sizeof(draft), "%s.%d", path, (int)getpid());
	if (write_new(draft) || (link(draft, path) == -1 && errno != EEXIST))
		rc = fail(msg, path, strerror(errno));
	(void)unlink(draft);
	return rc ? rc : secret_read(path, out, msg);
}

/* "id:secret", or both on lines of their own; *out: "id\nsecret", NULL if it is neither. */
static int pair_parse(char *text, char **out)
{
	char *id = text, *secret = strpbrk(text, "\r\n");
	size_t len;
	int rc = 0;

	*out = NULL;
	if (secret)
		*secret++ = '\0';
	if (secret)
		secret += strspn(secret, "\r\n");
	if (!secret || !*secret) {
		secret = strchr(id, ':');
		if (secret)
			*secret++ = '\0';
	}
	if (!secret)
		return 0;
	len = strcspn(secret, "\r\n");
	if (!secret[len + strspn(secret + len, "\r\n")]) /* nothing else */
		secret[len] = '\0';
	if (*id && *secret && !strpbrk(id, " \t\r\n") && !strpbrk(secret, " \t\r\n"))
		rc = asprintf(out, "%s\n%s", id, secret) == -1 ? ERR_NOMEM : 0;
	if (rc)
		*out = NULL;
	return rc;
}

int secret_read_pair(const char *path, char **out, struct err_msg *msg)
{
	char text[512];
	struct stat st;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc = 0;

	*out = NULL;
	if (fd == -1)
		return fail(msg, path, strerror(errno));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		rc = fail(msg, path, "is no file");
	else if ((n = read(fd, text, sizeof(text) - 1)) == -1)
		rc = fail(msg, path, strerror(errno));
	close(fd);
	if (rc || n < 0)
		return rc;
	text[n] = '\0';
	if ((size_t)n < sizeof(text) - 1 && !memchr(text, '\0', (size_t)n))
		rc = pair_parse(text, out);
	if (!rc && !*out)
		rc = fail(msg, path, "is not one line id:secret, nor two");
	explicit_bzero(text, sizeof(text));
	return rc;
}
