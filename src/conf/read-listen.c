/* SPDX-License-Identifier: MIT */
/*
 * read-listen - the groups listen: what their values must be to each other, the filters that they
 * name, and the files, which proxies may not read themselves.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/certificate.h"
#include "conf/reading.h"

static void check_filters(struct reading *r, const struct conf *c, const struct conf_listen *l,
			  conf_filter_fn check_filter)
{
	char path[PATH_LEN];
	size_t i;

	snprintf(path, sizeof(path), "listen.%s.filters", l->name);
	for (i = 0; i < l->filters.n && check_filter; i++) {
		struct err_msg msg = { 0 };
		char what[640];

		if (!check_filter(l->filters.v[i], c, l, &msg))
			continue;
		snprintf(what, sizeof(what), "\"%.64s\": %s", l->filters.v[i], msg.text);
		reading_problem_with(r, path, what);
	}
}

static void check_binds(struct reading *r, const struct conf *c, size_t at, const char *path)
{
	const struct conf_list *mine = &c->listens[at].bind;
	char what[640];
	size_t i, k, m;

	for (i = 0; i < at; i++)
		for (k = 0; k < c->listens[i].bind.n; k++)
			for (m = 0; m < mine->n; m++) {
				if (strcmp(c->listens[i].bind.v[k], mine->v[m]) != 0)
					continue;
				snprintf(what, sizeof(what), "\"%s\" is listener \"%s\"'s already",
					 mine->v[m], c->listens[i].name);
				reading_problem_with(r, path, what);
			}
}

static void read_key(struct reading *r, struct conf_listen *l, const char *file, const char *path)
{
	struct err_msg msg = { 0 };
	char *text = NULL;
	char **v;
	int rc = certificate_read(file, &text, &msg);

	if (!reading_took(r, path, rc, &msg))
		return;
	v = reallocarray(l->keys.v, l->keys.n + 1, sizeof(*v));
	if (!v) {
		reading_no_memory(r);
		free(text);
		return;
	}
	l->keys.v = v;
	l->keys.v[l->keys.n++] = text;
}

/* What must be there for TLS. */
static void check_tls(struct reading *r, struct conf_listen *l)
{
	bool upstream = strncmp(l->upstream, "tls://", 6) == 0;
	struct err_msg msg = { 0 };
	char path[PATH_LEN];
	size_t i;
	int rc;

	snprintf(path, sizeof(path), "listen.%s.certificates", l->name);
	if (l->tls != CONF_TLS_OFF && l->certificates.n == 0 && !reading_is_given(r, path))
		reading_problem_with(r, path, "missing: certificate and key for tls");
	for (i = 0; i < l->certificates.n && l->tls != CONF_TLS_OFF && !reading_is_over(r); i++)
		read_key(r, l, l->certificates.v[i], path);
	snprintf(path, sizeof(path), "listen.%s.upstream-name", l->name);
	if (upstream && !l->upstream_name[0])
		reading_problem_with(r, path,
				     "missing: the name that the server's certificate must have");
	if (!upstream || !l->upstream_ca[0])
		return;
	snprintf(path, sizeof(path), "listen.%s.upstream-ca", l->name);
	rc = certificate_read_authorities(l->upstream_ca, &l->upstream_cas, &msg);
	(void)reading_took(r, path, rc, &msg);
}

static void check_listen(struct reading *r, struct conf *c, size_t at)
{
	struct conf_listen *l = &c->listens[at];
	char path[PATH_LEN], what[256];

	snprintf(path, sizeof(path), "listen.%s.upstream", l->name);
	if (l->upstream[0] == '\0' && !reading_is_given(r, path))
		reading_problem_with(r, path, "missing: the address of the server");
	snprintf(path, sizeof(path), "listen.%s.bind", l->name);
	if (l->bind.n == 0 && !reading_is_given(r, path))
		reading_problem_with(r, path, "missing: the addresses to accept clients on");
	check_binds(r, c, at, path);
	snprintf(path, sizeof(path), "listen.%s.profile", l->name);
	if (!l->profile_ref) {
		reading_no_profile(c, l->profile, what, sizeof(what));
		reading_problem_with(r, path, what);
		l->profile_ref =
			&c->profiles[0]; /* only so that the filters can be judged as well */
	}
	snprintf(path, sizeof(path), "listen.%s.proxy-from", l->name);
	if (l->proxy_accept != CONF_PROXY_OFF && l->proxy_from.n == 0 && !reading_is_given(r, path))
		reading_problem_with(r, path, "missing: the networks of the balancers");
	check_tls(r, l);
}

void reading_check_listens(struct reading *r, struct conf *c, conf_filter_fn check_filter)
{
	size_t i;

	for (i = 0; i < c->listens_n; i++) {
		check_listen(r, c, i);
		check_filters(r, c, &c->listens[i], check_filter);
	}
}
