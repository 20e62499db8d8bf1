/* SPDX-License-Identifier: MIT */
/*
 * known - the servers' capability hashes that inset has verified, and what they become.
 *
 * One small table for the process: a hash stands for the same set whoever announces it. Only
 * what was computed from a disco#info result and found equal to the announcement comes in.
 * Old generations stay for clients that ask for them later; the oldest leaves when it is full.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "upload/upload.h"

#define KNOWN_MAX 64

static struct known {
	enum caps_algo algo;
	unsigned extras;
	char ver[CAPS_HASH_MAX];
	char ours[CAPS_HASH_MAX];
} table[KNOWN_MAX];
static size_t known_n, known_next;

void known_clear(void)
{
	known_n = known_next = 0;
}

static const struct known *find(enum caps_algo algo, const char *text, unsigned extras, bool ours)
{
	size_t i;

	for (i = 0; i < known_n; i++)
		if (table[i].algo == algo && table[i].extras == extras &&
		    strcmp(ours ? table[i].ours : table[i].ver, text) == 0)
			return &table[i];
	return NULL;
}

const char *known_find(enum caps_algo algo, const char *ver, unsigned extras)
{
	const struct known *k = find(algo, ver, extras, false);

	return k ? k->ours : NULL;
}

const char *known_original(enum caps_algo algo, const char *ver, unsigned extras)
{
	const struct known *k = find(algo, ver, extras, true);

	return k ? k->ver : NULL;
}

void known_add(enum caps_algo algo, const char *ver, const char *ours, unsigned extras)
{
	struct known *k;

	if (find(algo, ver, extras, false))
		return;
	k = &table[known_next];
	known_next = (known_next + 1) % KNOWN_MAX;
	if (known_n < KNOWN_MAX)
		known_n++;
	k->algo = algo;
	k->extras = extras;
	snprintf(k->ver, sizeof(k->ver), "%s", ver);
	snprintf(k->ours, sizeof(k->ours), "%s", ours);
}
