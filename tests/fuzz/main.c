/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over its seeds, for builds without libFuzzer: fuzz_framer reads every
 * file of $srcdir/tests/fuzz/seeds.framer. Speaks TAP. A target that finds something aborts.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define SEED_MAX (1U << 20)

static int replay(const char *path)
{
	static uint8_t bytes[SEED_MAX];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t len;

	if (!file)
		return -1;
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	/* An allocation of exactly this size, so that a sanitizer sees each byte too many. */
	exact = malloc(len + !len);
	if (!exact)
		return -1;
	memcpy(exact, bytes, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 0;
}

int main(int argc UNUSED, char **argv)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(argv[0], '_');
	char folder[4096], path[8192];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/seeds.%s", srcdir ? srcdir : ".",
		 name ? name + 1 : "");
	dir = opendir(folder);
	if (!dir) {
		printf("Bail out! no folder %s\n", folder);
		return 1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		printf("%s %d - %s\n", replay(path) ? "not ok" : "ok", ++n, entry->d_name);
	}
	closedir(dir);
	printf("1..%d\n", n);
	return n ? 0 : 1;
}
