/* SPDX-License-Identifier: MIT */
/*
 * fetcher - what all fetches have in common. See fetch.h.
 *
 * Not for a single fetch: that is fetch.c's and fetch-*.c's.
 *
 * Invariant: a configuration is taken in full or not at all; guard, egress and resolver are always
 * of the same one.
 */
#include "config.h"

#include "media/fetch-inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

int fetcher_set_conf(struct fetcher *f, struct conf *conf)
{
	struct guard *guard = guard_new(&conf->fetch);
	struct egress *egress = egress_new(conf);
	struct resolver *resolver = NULL;

	if (!guard || !egress) {
		guard_free(&guard);
		egress_unref(&egress);
		return ERR_NOMEM;
	}
	if (!f->resolver || !same_list(&f->conf->fetch.dns_servers, &conf->fetch.dns_servers)) {
		resolver = resolver_new(f->base, &conf->fetch);
		if (!resolver) {
			guard_free(&guard);
			egress_unref(&egress);
			return ERR_NOMEM;
		}
		resolver_free(&f->resolver);
		f->resolver = resolver;
	}
	guard_free(&f->guard);
	f->guard = guard;
	egress_unref(&f->egress);
	f->egress = egress;
	conf_unref(&f->conf);
	f->conf = conf_ref(conf);
	snprintf(f->agent, sizeof(f->agent), conf->fetch.contact[0] ? "inset/%s (+%s)" : "inset/%s",
		 PACKAGE_VERSION, conf->fetch.contact);
	return 0;
}

void fetcher_refresh(struct fetcher *f)
{
	if (f->guard && guard_refresh(f->guard))
		log_warning("cannot read the addresses of this machine");
}

void fetcher_list(struct fetcher *f, const char *url)
{
	struct target t;

	if (target_parse(&t, url, NULL))
		return;
	listed_add(f->listed, t.origin);
	target_fini(&t);
}

struct fetcher *fetcher_new(struct event_base *base)
{
	struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base = base;
	f->multi = multi_new(base, MULTI_CONNECTIONS_OWN, fetch_on_end);
	f->listed = listed_new();
	if (!f->multi || !f->listed)
		fetcher_free(&f);
	return f;
}

void fetcher_free(struct fetcher **f)
{
	if (!*f)
		return;
	multi_free(&(*f)->multi);
	resolver_free(&(*f)->resolver);
	guard_free(&(*f)->guard);
	egress_unref(&(*f)->egress);
	listed_free(&(*f)->listed);
	conf_unref(&(*f)->conf);
	free(*f);
	*f = NULL;
}
