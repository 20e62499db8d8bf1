/* SPDX-License-Identifier: MIT */
/*
 * refusal - see refusal.h.
 */
#include "config.h"

#include "media/refusal.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"

#define TOLD_MAX 256
#define A_MINUTE 20

void refusal_log(const struct target *t, const char *why)
{
	static uint64_t told[TOLD_MAX]; /* ring of keyed hashes */
	static struct log_limit limit;
	static size_t next;
	uint64_t hash = hash_keyed(t->origin, strlen(t->origin));
	unsigned dropped;
	size_t i;

	for (i = 0; i < TOLD_MAX; i++)
		if (told[i] == hash)
			return;
	if (!log_limit_ok(&limit, A_MINUTE, &dropped))
		return;
	told[next] = hash;
	next = (next + 1) % TOLD_MAX;
	log_notice("refused %s: %s; to allow this origin: fetch.allow-origin = [\"%s\"]", t->origin,
		   why, t->origin);
}

void refusal_complain(const char *why)
{
	static struct log_limit limit;
	unsigned dropped;

	if (log_limit_ok(&limit, 1, &dropped))
		log_warning("media cannot be fetched: %s dropped=%u", why, dropped);
}
