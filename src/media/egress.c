/* SPDX-License-Identifier: MIT */
/*
 * egress - see egress.h.
 */
#include "config.h"

#include "media/egress.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

struct egress_origin {
	const char *pem; /* borrowed from the configuration */
	char origin[TARGET_ORIGIN_MAX + 1];
};

struct egress {
	unsigned refs;
	struct conf *conf; /* owned reference */
	bool has_proxy;
	struct target proxy;
	struct egress_origin *origins; /* owned */
	size_t origins_n;
};

/* conf/value.c has looked at the text: what libcurl cannot read of it is only left out. */
static int parse(struct target *t, const char *text, const char *option)
{
	int rc = target_parse(t, text, NULL);

	if (rc && rc != ERR_NOMEM)
		log_warning("%s: no usable host in \"%s\"", option, text);
	return rc;
}

static int egress_fill(struct egress *e, const struct conf *c)
{
	struct target t;
	size_t i;
	int rc;

	if (c->fetch.proxy[0]) {
		rc = parse(&e->proxy, c->fetch.proxy, "fetch.proxy");
		if (rc) /* never without the proxy that was asked for */
			return rc;
		e->has_proxy = true;
	}
	for (i = 0; i < c->origins_n; i++) {
		rc = parse(&t, c->origins[i].url, "fetch.origins");
		if (rc == ERR_NOMEM)
			return rc;
		if (rc)
			continue;
		memcpy(e->origins[e->origins_n].origin, t.origin, sizeof(t.origin));
		e->origins[e->origins_n++].pem = c->origins[i].pem;
		target_fini(&t);
	}
	return 0;
}

struct egress *egress_new(struct conf *c)
{
	struct egress *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->refs = 1;
	e->conf = conf_ref(c);
	e->origins = calloc(c->origins_n + 1, sizeof(*e->origins));
	if (!e->origins || egress_fill(e, c))
		egress_unref(&e);
	return e;
}

struct egress *egress_ref(struct egress *e)
{
	e->refs++;
	return e;
}

void egress_unref(struct egress **ep)
{
	struct egress *e = *ep;

	*ep = NULL;
	if (!e || --e->refs)
		return;
	if (e->has_proxy)
		target_fini(&e->proxy);
	conf_unref(&e->conf);
	free(e->origins);
	free(e);
}

const struct target *egress_proxy(const struct egress *e)
{
	return e->has_proxy ? &e->proxy : NULL;
}

const char *egress_certificate(const struct egress *e, const struct target *t)
{
	size_t i;

	for (i = 0; i < e->origins_n; i++)
		if (strcmp(e->origins[i].origin, t->origin) == 0)
			return e->origins[i].pem;
	return NULL;
}
