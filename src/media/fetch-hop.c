/* SPDX-License-Identifier: MIT */
/*
 * fetch-hop - the way of a fetch from hop to hop: each is judged in full before anything is asked
 * of its host. See fetch-inside.h.
 *
 * Scheme, port and name, then all its addresses, then the proxy's name. The transfer is
 * fetch-transfer.c's; the address that it really connects to is judged once more (fetch-watch.c).
 *
 * Invariants
 *   - one address that is not allowed refuses the hop
 *   - no hop leads from https to http
 */
#include "config.h"

#include "media/fetch-inside.h"

#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "media/refusal.h"

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

void fetch_hop(struct fetch *f)
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
void fetch_redirect(struct fetch *f)
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
