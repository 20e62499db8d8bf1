/* SPDX-License-Identifier: MIT */
/*
 * read-upload - the group upload: what its values must be to each other, and its files: keys and
 * certificates, which box and proxies may not read themselves.
 */
#include "config.h"

#include <string.h>

#include "conf/certificate.h"
#include "conf/reading.h"
#include "conf/secret.h"

/* "https://media.example.org": what upload addresses begin with. */
static bool is_base_url(const char *url)
{
	const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
			   : strncmp(url, "http://", 7) == 0 ? url + 7
							     : NULL;
	size_t len = strlen(url);

	return host && *host && *host != '/' && url[len - 1] != '/' &&
	       !url[strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				"-._~:/[]")];
}

static bool is_type(const char *type)
{
	size_t main = strcspn(type, "/"), sub = type[main] ? strlen(type) - main - 1 : 0;

	return main && sub && !type[strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789.+-*/")] &&
	       !strchr(type + main + 1, '/');
}

static void check_services(struct reading *r, struct conf *c)
{
	static const char path[] = "upload.services";
	size_t i, k;

	if (c->services_n == 0 && !conf_add_service(c))
		reading_no_memory(r);
	for (i = 0; i < c->services_n; i++) {
		const struct conf_service *s = &c->services[i];

		for (k = 0; k < i; k++)
			if (strcmp(c->services[k].node, s->node) == 0)
				reading_problem_with(r, path, "two services of one node");
		for (k = 0; k < s->accept.n; k++)
			if (!is_type(s->accept.v[k]))
				reading_problem_with(r, path,
						     "accept: types are written as \"image/png\" "
						     "or \"image/*\", in small letters");
		if (s->uri[0] && strncmp(s->uri, "https://", 8) != 0 &&
		    strncmp(s->uri, "http://", 7) != 0)
			reading_problem_with(r, path,
					     "uri: an address with http:// or https:// is needed");
	}
}

static void check_s3(struct reading *r, struct conf_upload *u)
{
	struct err_msg msg = { 0 };
	int rc;

	if (!u->s3[0])
		return;
	if (!is_base_url(u->s3))
		reading_problem_with(r, "upload.s3",
				     "http:// or https://, a host, the bucket, no / at the end");
	if (u->s3_region[strspn(u->s3_region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		reading_problem_with(r, "upload.s3-region", "small letters, digits and - only");
	if (!u->s3_key_file[0] && !reading_is_given(r, "upload.s3-key-file")) {
		reading_problem_with(r, "upload.s3-key-file", "missing: the key to the bucket");
	} else if (u->bind.n) {
		rc = secret_read_pair(u->s3_key_file, &u->s3_key, &msg);
		(void)reading_took(r, "upload.s3-key-file", rc, &msg);
	}
	if (!u->bind.n || !u->s3_ca_file[0])
		return;
	msg = (struct err_msg){ 0 };
	rc = certificate_read_authorities(u->s3_ca_file, &u->s3_cas, &msg);
	(void)reading_took(r, "upload.s3-ca-file", rc, &msg);
}

/* As browsers write it: no path, small letters. */
static bool is_page_origin(const char *text)
{
	const char *host = strstr(text, "//");

	return is_base_url(text) && !strchr(host + 2, '/') &&
	       !text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_~")];
}

static void check_cors(struct reading *r, const struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (!is_page_origin(l->v[i]) && (l->n > 1 || strcmp(l->v[i], "*") != 0))
			reading_problem_with(
				r, "upload.cors",
				"\"*\" alone, or origins such as \"https://chat.example.org\"");
}

void reading_check_upload(struct reading *r, struct conf *c)
{
	struct conf_upload *u = &c->upload;
	struct err_msg msg = { 0 };
	int rc;

	check_services(r, c);
	check_cors(r, &u->cors);
	if (u->public_url[0] && !is_base_url(u->public_url))
		reading_problem_with(
			r, "upload.public-url",
			"http:// or https://, a host, perhaps a path, no / at the end");
	if (u->bind.n && !u->public_url[0] && !reading_is_given(r, "upload.public-url"))
		reading_problem_with(r, "upload.public-url",
				     "missing: the address of the box as clients reach it");
	if (u->secret_file[0]) {
		rc = secret_read(u->secret_file, &u->key, &msg);
		(void)reading_took(r, "upload.secret-file", rc, &msg);
	}
	if (u->bind.n && u->certificate[0]) {
		msg = (struct err_msg){ 0 };
		rc = certificate_read(u->certificate, &u->pem, &msg);
		(void)reading_took(r, "upload.certificate", rc, &msg);
	}
	check_s3(r, u);
}
