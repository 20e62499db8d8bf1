/* SPDX-License-Identifier: MIT */
/*
 * read-fetch - the group fetch: what its values must be to each other, certificates of origins.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "conf/certificate.h"
#include "conf/reading.h"

/* Read here because media may not read files. */
static void check_certificate(struct reading *r, struct conf_origin *o, const char *path)
{
	struct err_msg msg = { 0 };
	int rc = certificate_read(o->client_certificate, &o->pem, &msg);

	(void)reading_took(r, path, rc, &msg);
}

static void check_origin(struct reading *r, struct conf *c, size_t at)
{
	struct conf_origin *o = &c->origins[at];
	char path[PATH_LEN];
	size_t i;

	snprintf(path, sizeof(path), "fetch.origins.[%zu].url", at);
	if (strncmp(o->url, "https://", 8) != 0)
		reading_problem_with(r, path, "an origin with https:// is needed");
	for (i = 0; i < at; i++)
		if (strcmp(c->origins[i].url, o->url) == 0)
			reading_problem_with(r, path, "two groups of one origin");
	snprintf(path, sizeof(path), "fetch.origins.[%zu].client-certificate", at);
	if (!o->client_certificate[0])
		reading_problem_with(r, path, "missing: the file with certificate and key");
	else
		check_certificate(r, o, path);
}

void reading_check_fetch(struct reading *r, struct conf *c)
{
	struct conf_fetch *f = &c->fetch;
	struct err_msg msg = { 0 };
	size_t i;
	int rc;

	if (f->ca_file[0]) {
		rc = certificate_read_authorities(f->ca_file, &f->cas, &msg);
		(void)reading_took(r, "fetch.ca-file", rc, &msg);
	}
	if (f->proxy[0] && strncmp(f->proxy, "http://", 7) != 0)
		reading_problem_with(r, "fetch.proxy", "an address with http:// is needed");
	if (f->connect_timeout > f->timeout)
		reading_problem_with(r, "fetch.connect-timeout",
				     "may not be more than fetch.timeout");
	for (i = 0; i < c->origins_n && !reading_is_over(r); i++)
		check_origin(r, c, i);
}
