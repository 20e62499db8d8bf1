/* SPDX-License-Identifier: MIT */
/*
 * fetch - see fetch.h.
 *
 * Way of a fetch: fetch_hop() judges the target; names go through the resolver, a proxy's as well;
 * then fetch_connect() gives libcurl the vetted addresses and nothing else: to connect to them, or
 * to have a proxy CONNECT to one of them. Callbacks of libcurl
 * only note and abort; everything is decided in fetch_on_end(), outside of libcurl.
 */
#include "config.h"

#include "media/fetch.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "loop/multi.h"
#include "media/body.h"
#include "media/egress.h"
#include "media/listed.h"
#include "media/refusal.h"
#include "media/reply.h"
#include "media/turn.h"

struct fetcher {
	struct event_base *base;   /* borrowed */
	struct multi *multi;       /* owned */
	struct conf *conf;         /* owned reference */
	struct guard *guard;       /* owned */
	struct egress *egress;     /* owned reference */
	struct listed *listed;     /* owned */
	struct resolver *resolver; /* owned */
	char agent[256];
};

struct fetch {
	struct fetcher *fetcher; /* borrowed */
	struct conf *conf;       /* owned reference: of its start */
	struct egress *egress;   /* the same */
	struct fetch **slot;     /* where the owner keeps us */
	fetch_done_fn done;
	void *arg;
	struct validator known; /* "": nothing is */
	bool conditional;       /* this hop may be answered with 304 */
	bool unwanted;          /* nobody waits */
	int64_t deadline;
	struct event *timer; /* owned: the deadline */
	struct event *step;  /* owned: begins the first hop */

	struct target target; /* of this hop */
	bool exempt;          /* an exact origin of allow-origin */
	unsigned hops;
	int64_t asked;                                     /* for its name */
	struct resolve *resolve;                           /* owned while a name is asked for */
	struct sockaddr_storage addrs[RESOLVER_ADDRESSES]; /* vetted, with port */
	size_t addrs_n;
	size_t addrs_at; /* the one that a proxy is asked for */

	bool proxied; /* this hop goes through a proxy: */
	uint16_t proxy_port;
	struct sockaddr_storage proxy[RESOLVER_ADDRESSES]; /* addresses of it, not judged */
	size_t proxy_n;

	CURL *easy;                /* owned, of this hop */
	CURLSH *share;             /* owned: a name cache of its own, so that pins do not mix */
	struct curl_slist *pin;    /* owned */
	struct curl_slist *to;     /* owned: where a proxy is to connect to */
	struct curl_slist *header; /* owned */
	bool denied;               /* libcurl wanted to connect elsewhere */
	int stop;                  /* ERR_* of a callback that aborted */
	struct reply reply;
	struct body body;
};

/* --- the fetcher ----------------------------------------------------------------------- */

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

/* --- the end --------------------------------------------------------------------------- */

static void fetch_close_hop(struct fetch *f)
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

static void fetch_free(struct fetch *f)
{
	fetch_close_hop(f);
	target_fini(&f->target);
	body_fini(&f->body);
	if (f->timer)
		event_free(f->timer);
	if (f->step)
		event_free(f->step);
	egress_unref(&f->egress);
	conf_unref(&f->conf);
	free(f);
}

void fetch_stop(struct fetch **f)
{
	if (*f)
		fetch_free(*f);
	*f = NULL;
}

/* Frees f. */
static void fetch_finish(struct fetch *f, enum job_status status, bool host_failed)
{
	struct fetch_result r = { .status = status,
				  .host_failed = host_failed,
				  .fd = -1,
				  .max_age = freshness_life(&f->reply.fresh, clock_wall()),
				  .no_store = f->reply.fresh.no_store,
				  .validator = f->reply.fresh.validator };
	fetch_done_fn done = f->done;
	void *arg = f->arg;

	if (status == JOB_HTTP)
		r.gone = f->reply.status == 404 || f->reply.status == 410;
	if (f->reply.status == 429 || f->reply.status == 503)
		r.retry = freshness_retry(&f->reply.fresh, clock_wall());
	if (status == JOB_OK) {
		r.validator.where = hash_keyed(f->target.text, strlen(f->target.text));
		r.validator.life = r.max_age;
		r.not_modified = f->reply.status == 304;
	}
	if (status == JOB_OK && !r.not_modified) {
		r.format = f->body.format;
		r.size = f->body.size;
		r.whole = f->reply.delimited;
		memcpy(r.sha256, f->body.sha256, sizeof(r.sha256));
		r.fd = body_take(&f->body);
	}
	*f->slot = NULL;
	fetch_free(f);
	done(arg, &r);
}

static void fetch_refuse(struct fetch *f, const char *why)
{
	counter_inc(METRIC_FETCH_REFUSED);
	if (why)
		refusal_log(&f->target, why);
	fetch_finish(f, JOB_ADDRESS, false);
}

/* --- libcurl's callbacks: note and abort ----------------------------------------------- */

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
			      &((const struct sockaddr_in *)b)->sin_addr,
			      sizeof(struct in_addr)) == 0;
	return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool has_address(const struct sockaddr_storage *all, size_t n,
			const struct sockaddr_storage *a)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (same_address(&all[i], a))
			return true;
	return false;
}

/* Only to the addresses that were vetted, and only while the guard still thinks so; or only to the
 * proxy. */
static bool fetch_may_connect(const struct fetch *f, const struct sockaddr_storage *to,
			      uint16_t port)
{
	if (to->ss_family != AF_INET && to->ss_family != AF_INET6)
		return false;
	if (f->proxied)
		return port == f->proxy_port && has_address(f->proxy, f->proxy_n, to);
	if (port != f->target.port ||
	    (!f->exempt && !guard_allows_address(f->fetcher->guard, (const struct sockaddr *)to)))
		return false;
	return has_address(f->addrs, f->addrs_n, to);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct sockaddr_storage to = { 0 };
	struct fetch *f = arg;
	uint16_t port;

	memcpy(&to, &a->addr, MIN_OF((size_t)a->addrlen, sizeof(to)));
	port = ntohs(to.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&to)->sin6_port
					      : ((struct sockaddr_in *)&to)->sin_port);
	if (purpose != CURLSOCKTYPE_IPCXN || a->socktype != SOCK_STREAM ||
	    !fetch_may_connect(f, &to, port)) {
		f->denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->protocol);
}

static int on_prereq(void *arg, char *ip, char *local UNUSED, int port, int local_port UNUSED)
{
	struct sockaddr_storage to = { 0 };
	struct fetch *f = arg;

	if (inet_pton(AF_INET, ip, &((struct sockaddr_in *)&to)->sin_addr) == 1)
		to.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &((struct sockaddr_in6 *)&to)->sin6_addr) == 1)
		to.ss_family = AF_INET6;
	if (fetch_may_connect(f, &to, (uint16_t)port))
		return CURL_PREREQFUNC_OK;
	f->denied = true;
	return CURL_PREREQFUNC_ABORT;
}

static bool fetch_is_unchanged(const struct fetch *f)
{
	return f->conditional && f->reply.status == 304;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	bool ended = ((struct fetch *)arg)->reply.ended;
	struct fetch *f = arg;

	f->stop = reply_add(&f->reply, p, size * n);
	if (f->stop)
		return 0;
	if (f->reply.ended && !ended && !fetch_is_unchanged(f)) {
		if (f->reply.status != 200)
			f->stop =
				ERR_NOT_FOUND; /* its body is of no interest; nor is a redirect's */
		else if (!reply_may_be_picture(&f->reply))
			f->stop = ERR_UNSUPPORTED;
		else if (fetch_is_useless(f))
			f->stop = ERR_CLOSED;
	}
	return f->stop ? 0 : size * n;
}

static size_t on_write(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;

	counter_add(METRIC_FETCH_BYTES, size * n);
	f->stop = f->reply.status == 200 ? body_add(&f->body, (const uint8_t *)p, size * n)
					 : ERR_NOT_FOUND;
	return f->stop ? 0 : size * n;
}

/* --- a hop ----------------------------------------------------------------------------- */

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
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, f);
	SET(PREREQFUNCTION, on_prereq);
	SET(PREREQDATA, f);
	SET(HEADERFUNCTION, on_header);
	SET(HEADERDATA, f);
	SET(WRITEFUNCTION, on_write);
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

/* To the vetted addresses. */
static void fetch_connect(struct fetch *f)
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

static void on_proxy_addresses(void *arg, const struct sockaddr_storage *addrs, size_t n)
{
	struct fetch *f = arg;

	if (n == 0) {
		refusal_complain("the name of fetch.proxy does not resolve");
		fetch_finish(f, JOB_CONNECT, false);
		return;
	}
	memcpy(f->proxy, addrs, n * sizeof(*addrs));
	f->proxy_n = n;
	fetch_connect(f);
}

/* A proxy is where the operator put it: no guard for its own address. */
static void fetch_route(struct fetch *f)
{
	const struct target *proxy = egress_proxy(f->egress);

	f->proxied = proxy != NULL;
	if (!proxy) {
		fetch_connect(f);
		return;
	}
	f->proxy_port = proxy->port;
	if (proxy->is_numeric)
		on_proxy_addresses(f, &proxy->addr, 1);
	else if (resolver_start(f->fetcher->resolver, proxy->host, &f->resolve, on_proxy_addresses,
				f))
		fetch_finish(f, JOB_CONNECT, false);
}

static void on_addresses(void *arg, const struct sockaddr_storage *addrs, size_t n)
{
	struct fetch *f = arg;
	size_t i;

	if (!f->target.is_numeric)
		counter_observe(HISTOGRAM_DNS, (uint64_t)(clock_now() - f->asked));
	if (n == 0) {
		fetch_finish(f, JOB_CONNECT, true);
		return;
	}
	for (i = 0; i < n; i++) {
		if (!f->exempt &&
		    !guard_allows_address(f->fetcher->guard, (const struct sockaddr *)&addrs[i])) {
			fetch_refuse(f, "private address");
			return;
		}
		f->addrs[i] = addrs[i];
	}
	f->addrs_n = n;
	f->addrs_at = 0;
	fetch_route(f);
}

static void fetch_hop(struct fetch *f)
{
	const struct guard *g = f->fetcher->guard;

	f->exempt = guard_is_exempt(g, &f->target);
	f->stop = 0;
	reply_init(&f->reply);
	if (!f->exempt && f->conf->fetch.from == CONF_FROM_LISTED &&
	    !listed_has(f->fetcher->listed, f->target.origin)) {
		fetch_refuse(f, "no upload service of this server (fetch.from)");
		return;
	}
	if (!f->exempt && !guard_allows_port(g, f->target.port)) {
		fetch_refuse(f, "port not in fetch.ports");
		return;
	}
	if (f->target.is_numeric) {
		on_addresses(f, &f->target.addr, 1);
		return;
	}
	if (!f->exempt && !guard_allows_name(f->target.host)) {
		fetch_refuse(f, "private name");
		return;
	}
	f->asked = clock_now();
	if (resolver_start(f->fetcher->resolver, f->target.host, &f->resolve, on_addresses, f))
		fetch_finish(f, JOB_CONNECT, false);
}

/* Takes the place of the target, if it may. */
static void fetch_redirect(struct fetch *f)
{
	struct target next;
	int rc;

	if (f->hops++ >= f->conf->fetch.redirects) {
		fetch_finish(f, JOB_HTTP, false);
		return;
	}
	rc = target_parse(&next, f->reply.location, &f->target);
	if (rc) {
		fetch_finish(f, rc == ERR_SYNTAX ? JOB_ADDRESS : JOB_HTTP, false);
		return;
	}
	if (f->target.https && !next.https) {
		target_fini(&next);
		fetch_refuse(f, NULL);
		return;
	}
	target_fini(&f->target);
	f->target = next;
	fetch_hop(f);
}

/* A callback of ours ended the transfer. */
static void fetch_on_stop(struct fetch *f)
{
	int stop = f->stop;

	if (stop == ERR_NOT_FOUND)
		fetch_finish(f, JOB_HTTP, f->reply.status >= 500 || f->reply.status == 429);
	else if (stop == ERR_UNSUPPORTED)
		fetch_finish(f, JOB_NOT_PICTURE, false);
	else if (stop == ERR_TOO_BIG && f->reply.ended)
		fetch_finish(f, JOB_TOO_BIG, false);
	else if (stop == ERR_CLOSED) /* nobody waits, and it may not be kept */
		fetch_finish(f, JOB_DEADLINE, false);
	else if (stop == ERR_TOO_BIG) /* a flood of header lines */
		fetch_finish(f, JOB_HTTP, true);
	else
		fetch_finish(f, JOB_OVERLOAD, false);
}

/* Of connections that came about; those that are used again took no time. */
static void fetch_note_connect(const struct fetch *f)
{
	curl_off_t tcp = 0, tls = 0;
	long fresh = 0;

	if (curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &fresh) == CURLE_OK && fresh > 0 &&
	    curl_easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &tcp) == CURLE_OK &&
	    curl_easy_getinfo(f->easy, CURLINFO_APPCONNECT_TIME_T, &tls) == CURLE_OK && tcp > 0)
		counter_observe(HISTOGRAM_CONNECT, (uint64_t)MAX_OF(tcp, tls) / 1000);
}

/* No connection, or the proxy could make none: to the next address, if there is one. */
static void fetch_on_no_reply(struct fetch *f, long connect_code)
{
	if (f->proxied && connect_code && f->addrs_at + 1 < f->addrs_n) {
		f->addrs_at++;
		fetch_connect(f);
		return;
	}
	if (f->proxied && !connect_code)
		refusal_complain("fetch.proxy does not answer");
	fetch_finish(f, JOB_CONNECT, !f->proxied || connect_code);
}

static void fetch_on_end(void *private, CURLcode code)
{
	struct fetch *f = private;
	long connect_code = 0;

	fetch_note_connect(f);
	(void)curl_easy_getinfo(f->easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
	fetch_close_hop(f);
	if (f->denied) {
		fetch_refuse(f, NULL);
	} else if (f->stop == ERR_NOT_FOUND && reply_is_redirect(&f->reply)) {
		fetch_redirect(f);
	} else if (f->stop) {
		fetch_on_stop(f);
	} else if (code == CURLE_FILESIZE_EXCEEDED) {
		fetch_finish(f, JOB_TOO_BIG, false);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		fetch_finish(f, JOB_TIMEOUT, true);
	} else if (code == CURLE_OK && fetch_is_unchanged(f)) {
		fetch_finish(f, JOB_OK, false);
	} else if (code == CURLE_OK && f->reply.status == 200) {
		f->stop = body_seal(&f->body);
		if (f->stop)
			fetch_on_stop(f);
		else
			fetch_finish(f, JOB_OK, false);
	} else if (f->reply.status) {
		fetch_finish(f, JOB_HTTP, true); /* broke off */
	} else {
		fetch_on_no_reply(f, connect_code);
	}
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	fetch_finish(arg, JOB_TIMEOUT, true);
}

static void on_step(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	turn_begin();
	fetch_hop(arg);
}

/* --- life ------------------------------------------------------------------------------ */

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

void fetch_set_wanted(struct fetch *f, bool wanted)
{
	f->unwanted = !wanted;
}

bool fetch_is_useless(const struct fetch *f)
{
	return f->unwanted && f->reply.ended && f->reply.fresh.no_store;
}

int fetch_start(struct fetcher *fr, const char *url, uint64_t max, const struct validator *known,
		struct fetch **out, fetch_done_fn done, void *arg)
{
	const struct conf_scale *scale = &fr->conf->scale;
	struct body_limits limits = { .max_pixels = scale->max_pixels,
				      .max_pixels_jpeg = scale->max_pixels_jpeg,
				      .max_side = (uint32_t)scale->max_side };
	uint32_t ms = fr->conf->fetch.timeout;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return ERR_NOMEM;
	f->fetcher = fr;
	f->conf = conf_ref(fr->conf);
	f->egress = egress_ref(fr->egress);
	f->slot = out;
	f->done = done;
	f->arg = arg;
	f->deadline = clock_now() + ms;
	if (known)
		f->known = *known;
	body_init(&f->body, max, &limits);
	f->timer = evtimer_new(fr->base, on_timer, f);
	f->step = evtimer_new(fr->base, on_step, f);
	if (!f->timer || !f->step || evtimer_add(f->timer, &tv) == -1 ||
	    target_parse(&f->target, url, NULL)) {
		fetch_free(f);
		return ERR_NOMEM;
	}
	event_active(f->step, EV_TIMEOUT, 0);
	*out = f;
	return 0;
}
