/* SPDX-License-Identifier: MIT */
/*
 * fetch-transfer - a hop's transfer as libcurl is given it: what it may do, for how long, by which
 * way, with which names pinned to which addresses. See fetch-inside.h.
 *
 * Not for whether it may be made: that is fetch-hop.c's. Not for what comes of it.
 *
 * Invariants
 *   - libcurl resolves nothing: it knows the vetted addresses and no others
 *   - it follows no redirect, sends no credentials, and uses no connection twice
 */
#include "config.h"

#include "media/fetch-inside.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"

/* An IPv6 address in brackets; "" if it cannot be printed. */
static const char *address_print(const struct sockaddr_storage *a, char out[INET6_ADDRSTRLEN + 2])
{
	bool six = a->ss_family == AF_INET6;
	const void *from = six ? (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr
			       : (const void *)&((const struct sockaddr_in *)a)->sin_addr;

	if (!inet_ntop(a->ss_family, from, out + six, INET6_ADDRSTRLEN)) {
		out[0] = '\0';
	} else if (six) {
		out[0] = '[';
		strcat(out, "]");
	}
	return out;
}

/* "host:port:address,address": what libcurl knows of a name that it is to connect to. */
static int pin_add(struct curl_slist **list, const struct target *t,
		   const struct sockaddr_storage *addrs, size_t n)
{
	char text[TARGET_HOST_MAX + 8 + RESOLVER_ADDRESSES * (INET6_ADDRSTRLEN + 3)];
	char ip[INET6_ADDRSTRLEN + 2];
	size_t i, len;

	if (t->is_numeric)
		return 0;
	len = (size_t)snprintf(text, sizeof(text), "%s:%u:", t->host, t->port);
	for (i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? "," : "",
					address_print(&addrs[i], ip));
	*list = curl_slist_append(NULL, text);
	return *list ? 0 : ERR_NOMEM;
}

/* Without a proxy libcurl tries all vetted addresses; a proxy is asked for one of them. */
static int fetch_pin(struct fetch *f)
{
	char text[TARGET_HOST_MAX + INET6_ADDRSTRLEN + 16], ip[INET6_ADDRSTRLEN + 2];

	if (!f->proxied)
		return pin_add(&f->pin, &f->target, f->addrs, f->addrs_n);
	if (!f->target.is_numeric) {
		snprintf(text, sizeof(text), "%s:%u:%s:%u", f->target.host, f->target.port,
			 address_print(&f->addrs[f->addrs_at], ip), f->target.port);
		f->to = curl_slist_append(NULL, text);
		if (!f->to)
			return ERR_NOMEM;
	}
	return pin_add(&f->pin, egress_proxy(f->egress), f->proxy, f->proxy_n);
}

#define SET(option, value)                                                       \
	do {                                                                     \
		if (!rc)                                                         \
			rc = curl_easy_setopt(f->easy, CURLOPT_##option, value); \
	} while (0)

/* What a transfer may do: nothing but one GET. */
static CURLcode fetch_set_policy(struct fetch *f)
{
	CURLcode rc = CURLE_OK;

	SET(PROTOCOLS_STR, "http,https");
	SET(REDIR_PROTOCOLS_STR, "http,https");
	SET(FOLLOWLOCATION, 0L);
	SET(HTTPGET, 1L);
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(HTTP09_ALLOWED, 0L);
	SET(HTTP_CONTENT_DECODING, 0L);
	SET(HTTPAUTH, (long)CURLAUTH_NONE);
	SET(UNRESTRICTED_AUTH, 0L);
	SET(AUTOREFERER, 0L);
	SET(NETRC, (long)CURL_NETRC_IGNORED);
	SET(DISALLOW_USERNAME_IN_URL, 1L);
	SET(NOSIGNAL, 1L);
	SET(QUICK_EXIT, 1L);
	SET(FRESH_CONNECT, 1L);
	SET(FORBID_REUSE, 1L);
	SET(SSL_VERIFYPEER, 1L);
	SET(SSL_VERIFYHOST, 2L);
	SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (f->conf->fetch.cas) {
		struct curl_blob cas = { .data = f->conf->fetch.cas,
					 .len = strlen(f->conf->fetch.cas),
					 .flags = CURL_BLOB_NOCOPY };

		SET(CAINFO_BLOB, &cas);
		SET(CAINFO, NULL);
		SET(CAPATH, NULL);
	}
	return rc;
}

static CURLcode fetch_set_limits(struct fetch *f)
{
	const struct conf_fetch *c = &f->conf->fetch;
	CURLcode rc = CURLE_OK;

	SET(CONNECTTIMEOUT_MS, (long)c->connect_timeout);
	SET(TIMEOUT_MS, (long)MAX_OF(f->deadline - clock_now(), 1));
	SET(LOW_SPEED_LIMIT, (long)c->low_speed);
	SET(LOW_SPEED_TIME, (long)c->low_speed_time / 1000);
	SET(MAXFILESIZE_LARGE, (curl_off_t)f->body.max);
	return rc;
}

/* Never what the environment says. CONNECT even for http: there is no other way to tell the proxy
 * an address and the host a name. */
static CURLcode fetch_set_proxy(struct fetch *f)
{
	CURLcode rc = CURLE_OK;

	if (!f->proxied) {
		SET(PROXY, "");
		SET(NOPROXY, "*");
		return rc;
	}
	SET(PROXY, egress_proxy(f->egress)->origin);
	SET(NOPROXY, "");
	SET(PROXYTYPE, (long)CURLPROXY_HTTP);
	SET(PROXYAUTH, (long)CURLAUTH_NONE);
	SET(HTTPPROXYTUNNEL, 1L);
	SET(SUPPRESS_CONNECT_HEADERS, 1L);
	SET(HEADEROPT, (long)CURLHEADER_SEPARATE);
	SET(CONNECT_TO, f->to);
	return rc;
}

/* For this origin alone; a redirect's next hop asks again. */
static CURLcode fetch_set_certificate(struct fetch *f)
{
	const char *pem = f->target.https ? egress_certificate(f->egress, &f->target) : NULL;
	struct curl_blob blob = { .data = (void *)(uintptr_t)pem,
				  .len = pem ? strlen(pem) : 0,
				  .flags = CURL_BLOB_NOCOPY };
	CURLcode rc = CURLE_OK;

	if (!pem)
		return rc;
	SET(SSLCERTTYPE, "PEM");
	SET(SSLCERT_BLOB, &blob);
	SET(SSLKEYTYPE, "PEM");
	SET(SSLKEY_BLOB, &blob);
	return rc;
}

static CURLcode fetch_set_rest(struct fetch *f)
{
	CURLcode rc = CURLE_OK;

	SET(CURLU, f->target.url);
	SET(SHARE, f->share);
	SET(RESOLVE, f->pin);
	SET(USERAGENT, f->fetcher->agent);
	SET(HTTPHEADER, f->header);
	SET(OPENSOCKETFUNCTION, fetch_on_open);
	SET(OPENSOCKETDATA, f);
	SET(PREREQFUNCTION, fetch_on_prereq);
	SET(PREREQDATA, f);
	SET(HEADERFUNCTION, fetch_on_header);
	SET(HEADERDATA, f);
	SET(WRITEFUNCTION, fetch_on_write);
	SET(WRITEDATA, f);
	SET(PRIVATE, f);
	return rc;
}

#undef SET

/* *list grows by a line, or keeps what it has. */
static int header_add(struct curl_slist **list, const char *name, const char *value)
{
	char line[32 + FRESHNESS_ETAG_MAX];
	struct curl_slist *longer;

	snprintf(line, sizeof(line), "%s: %s", name, value);
	longer = curl_slist_append(*list, line);
	if (!longer)
		return ERR_NOMEM;
	*list = longer;
	return 0;
}

/* What is known is of one URL, and a redirect may lead to another one this time. */
static int fetch_set_header(struct fetch *f)
{
	const struct validator *v = &f->known;
	int rc = header_add(&f->header, "Accept", "image/*");

	f->conditional = validator_is_there(v) &&
			 v->where == hash_keyed(f->target.text, strlen(f->target.text));
	if (!rc && f->conditional && v->etag[0])
		rc = header_add(&f->header, "If-None-Match", v->etag);
	if (!rc && f->conditional && v->modified[0])
		rc = header_add(&f->header, "If-Modified-Since", v->modified);
	return rc;
}

void fetch_connect(struct fetch *f)
{
	f->easy = curl_easy_init();
	f->share = curl_share_init();
	if (!f->easy || !f->share || fetch_set_header(f) || fetch_pin(f) ||
	    curl_share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK ||
	    fetch_set_policy(f) || fetch_set_limits(f) || fetch_set_proxy(f) ||
	    fetch_set_certificate(f) || fetch_set_rest(f) ||
	    multi_add(f->fetcher->multi, f->easy)) {
		/* Not in the multi, or half of it: cleaning up copes with both. */
		fetch_finish(f, JOB_CONNECT, false);
		return;
	}
	counter_inc(METRIC_FETCHES);
}

void fetch_close_hop(struct fetch *f)
{
	if (f->easy) {
		multi_remove(f->fetcher->multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	if (f->share)
		curl_share_cleanup(f->share);
	curl_slist_free_all(f->pin);
	curl_slist_free_all(f->to);
	curl_slist_free_all(f->header);
	f->easy = NULL;
	f->share = NULL;
	f->pin = NULL;
	f->to = NULL;
	f->header = NULL;
	resolve_stop(&f->resolve);
}
