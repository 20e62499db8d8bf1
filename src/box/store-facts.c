/* SPDX-License-Identifier: MIT */
/*
 * store-facts - what is known of an upload, as text: in the store's own files and in a bucket.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "box/store-inside.h"

#define ELSEWHERE "elsewhere\n" /* in the store's own files only */

int store_print_facts(const struct store_file *f, char out[STORE_FACTS_MAX])
{
	char sha[2 * HASH_SHA256_LEN + 1], user[2 * TOKEN_USER_LEN + 1];

	hash_print_hex(f->sha256, sizeof(f->sha256), sha);
	hash_print_hex(f->user, sizeof(f->user), user);
	return snprintf(out, STORE_FACTS_MAX,
			"inset-upload 1\n%s\n%s\n%" PRIu64 "\n%" PRIu64 "\n%s\n%s", sha, user,
			f->size, f->expires, f->type, f->elsewhere ? ELSEWHERE : "");
}

static bool number_parse(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && !*end && text[0] >= '0' && text[0] <= '9' && *out <= INT64_MAX;
}

/* What an upload's type may consist of: it goes into a header. */
static bool type_is_good(const char *type)
{
	size_t len = strlen(type);

	return len > 0 && len <= STORE_TYPE_MAX &&
	       strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-/") == len;
}

bool store_parse_facts(char *text, struct store_file *f)
{
	char *line[6], *rest = text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(line); i++) {
		line[i] = strsep(&rest, "\n");
		if (!line[i] || !rest)
			return false;
	}
	f->elsewhere = strcmp(rest, ELSEWHERE) == 0;
	if ((*rest && !f->elsewhere) || strcmp(line[0], "inset-upload 1") != 0 ||
	    !type_is_good(line[5]))
		return false;
	snprintf(f->type, sizeof(f->type), "%s", line[5]);
	return hash_parse_hex(line[1], f->sha256, sizeof(f->sha256)) == 0 &&
	       hash_parse_hex(line[2], f->user, sizeof(f->user)) == 0 &&
	       number_parse(line[3], &f->size) && f->size && number_parse(line[4], &f->expires);
}

int store_read_facts(const struct store *s, const char *name, struct store_file *f)
{
	char text[STORE_FACTS_MAX];
	ssize_t n;
	int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return ERR_NOT_FOUND;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return ERR_NOT_FOUND;
	text[n] = '\0';
	return store_parse_facts(text, f) ? 0 : ERR_BAD_FORMAT;
}
