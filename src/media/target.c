/* SPDX-License-Identifier: MIT */
/*
 * target - see target.h.
 */
#include "config.h"

#include "media/target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/job.h"

/* A last label that looks like a number would be an address to some reader: none of ours may guess.
 */
static bool label_is_number(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return true;
	return label[strspn(label, "0123456789")] == '\0';
}

static bool host_is_name(const char *host)
{
	const char *label = host;
	size_t len = strlen(host);

	if (len == 0 || len > TARGET_HOST_MAX ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len)
		return false;
	for (;;) {
		size_t n = strcspn(label, ".");

		if (n == 0 || n > 63)
			return false;
		if (label[n] == '\0')
			return !label_is_number(label);
		label += n + 1;
	}
}

static int target_set_host(struct target *t, const char *host)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->addr;
	size_t len = strlen(host), i;

	if (len > TARGET_HOST_MAX)
		return ERR_SYNTAX;
	if (host[0] == '[') {
		if (host[len - 1] != ']')
			return ERR_SYNTAX;
		memcpy(t->host, host + 1, len - 2);
		t->host[len - 2] = '\0';
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(t->port);
		t->is_numeric = true;
		return inet_pton(AF_INET6, t->host, &v6->sin6_addr) == 1 ? 0 : ERR_SYNTAX;
	}
	for (i = 0; i <= len; i++)
		t->host[i] =
			host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] - 'A' + 'a') : host[i];
	if (inet_pton(AF_INET, t->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(t->port);
		t->is_numeric = true;
		return 0;
	}
	if (!host_is_name(t->host))
		return ERR_SYNTAX;
	return curl_url_set(t->url, CURLUPART_HOST, t->host, 0) == CURLUE_OK ? 0 : ERR_NOMEM;
}

/* Parts that must not be there. */
static bool target_has(const struct target *t, CURLUPart part)
{
	char *text = NULL;
	CURLUcode rc = curl_url_get(t->url, part, &text, 0);

	curl_free(text);
	return rc == CURLUE_OK;
}

static int target_read(struct target *t, char *scheme, char *host, const char *port)
{
	unsigned long number = strtoul(port, NULL, 10);
	int rc;

	t->https = strcmp(scheme, "https") == 0;
	if (!t->https && strcmp(scheme, "http") != 0)
		return ERR_SYNTAX;
	if (number == 0 || number > 65535)
		return ERR_SYNTAX;
	t->port = (uint16_t)number;
	rc = target_set_host(t, host);
	if (rc)
		return rc;
	snprintf(t->origin, sizeof(t->origin),
		 t->addr.ss_family == AF_INET6 ? "%s://[%s]:%u" : "%s://%s:%u", scheme, t->host,
		 t->port);
	if (curl_url_set(t->url, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
	    curl_url_get(t->url, CURLUPART_URL, &t->text, 0) != CURLUE_OK)
		return ERR_NOMEM;
	return strlen(t->text) > JOB_URL_MAX + 64 ? ERR_TOO_BIG : 0;
}

int target_parse(struct target *t, const char *text, const struct target *from)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	int rc = ERR_SYNTAX;

	*t = (struct target){ 0 };
	if (strlen(text) > JOB_URL_MAX)
		return ERR_TOO_BIG;
	t->url = from ? curl_url_dup(from->url) : curl_url();
	if (!t->url)
		return ERR_NOMEM;
	if (curl_url_set(t->url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK &&
	    !target_has(t, CURLUPART_ZONEID) && !target_has(t, CURLUPART_USER) &&
	    !target_has(t, CURLUPART_PASSWORD) &&
	    curl_url_get(t->url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(t->url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(t->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		rc = target_read(t, scheme, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	if (rc)
		target_fini(t);
	return rc;
}

void target_fini(struct target *t)
{
	curl_url_cleanup(t->url);
	curl_free(t->text);
	t->url = NULL;
	t->text = NULL;
}
