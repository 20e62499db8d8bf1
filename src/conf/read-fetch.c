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

	if (rc == ERR_CONFIG)
		reading_problem_with(r, path, msg.text);
	else if (rc)
		r->nomem = true;
	else
		reading_doubt_with(r, path, msg.text);
}

static void check_origin(struct reading *r, size_t at)
{
	struct conf_origin *o = &r->conf->origins[at];
	char path[PATH_LEN];
	size_t i;

	snprintf(path, sizeof(path), "fetch.origins.[%zu].url", at);
	if (strncmp(o->url, "https://", 8) != 0)
		reading_problem_with(r, path, "an origin with https:// is needed");
	for (i = 0; i < at; i++)
		if (strcmp(r->conf->origins[i].url, o->url) == 0)
			reading_problem_with(r, path, "two groups of one origin");
	snprintf(path, sizeof(path), "fetch.origins.[%zu].client-certificate", at);
	if (!o->client_certificate[0])
		reading_problem_with(r, path, "missing: the file with certificate and key");
	else
		check_certificate(r, o, path);
}

void reading_check_fetch(struct reading *r)
{
	struct conf_fetch *f = &r->conf->fetch;
	struct err_msg msg = { 0 };
	size_t i;
	int rc = 0;

	if (f->ca_file[0])
		rc = certificate_read_authorities(f->ca_file, &f->cas, &msg);
	if (rc == ERR_CONFIG)
		reading_problem_with(r, "fetch.ca-file", msg.text);
	else if (rc)
		r->nomem = true;
	if (f->proxy[0] && strncmp(f->proxy, "http://", 7) != 0)
		reading_problem_with(r, "fetch.proxy", "an address with http:// is needed");
	if (f->connect_timeout > f->timeout)
		reading_problem_with(r, "fetch.connect-timeout",
				     "may not be more than fetch.timeout");
	for (i = 0; i < r->conf->origins_n && !r->nomem; i++)
		check_origin(r, i);
}
