/* SPDX-License-Identifier: MIT */
/*
 * guard - see guard.h.
 */
#include "config.h"

#include "media/guard.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define LOCAL_MAX 1024

struct guard_net {
	int family;
	uint8_t bytes[16];
	unsigned bits;
};

struct guard {
	struct guard_net *nets; /* owned: deny-network */
	size_t nets_n;
	struct guard_net *local; /* owned: addresses of this machine */
	size_t local_n;
	char (*origins)[TARGET_ORIGIN_MAX + 1]; /* owned, canonical */
	size_t origins_n;
	uint16_t ports[32];
	size_t ports_n;
};

/* IPv4 that is not the public Internet, by first address and prefix length. */
static const struct {
	uint8_t bytes[4];
	unsigned bits;
} denied4[] = {
	{ { 0, 0, 0, 0 }, 8 },        { { 10, 0, 0, 0 }, 8 },     { { 100, 64, 0, 0 }, 10 },
	{ { 127, 0, 0, 0 }, 8 },      { { 169, 254, 0, 0 }, 16 }, { { 172, 16, 0, 0 }, 12 },
	{ { 192, 0, 0, 0 }, 24 },     { { 192, 0, 2, 0 }, 24 },   { { 192, 31, 196, 0 }, 24 },
	{ { 192, 52, 193, 0 }, 24 },  { { 192, 88, 99, 0 }, 24 }, { { 192, 168, 0, 0 }, 16 },
	{ { 192, 175, 48, 0 }, 24 },  { { 198, 18, 0, 0 }, 15 },  { { 198, 51, 100, 0 }, 24 },
	{ { 203, 0, 113, 0 }, 24 },   { { 224, 0, 0, 0 }, 4 },    { { 240, 0, 0, 0 }, 4 },
	{ { 168, 63, 129, 16 }, 32 }, /* Azure's wire server: a public address that is not public */
};

/* Inside 2000::/3, the only IPv6 that is allowed at all. */
static const struct {
	uint8_t bytes[16];
	unsigned bits;
} denied6[] = {
	{ { 0x20, 0x01, 0x00 }, 23 },             /* Teredo, benchmarking, ORCHID, DRIP */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },       /* documentation */
	{ { 0x20, 0x02 }, 16 },                   /* 6to4: an IPv4 address inside */
	{ { 0x3f, 0xff, 0x00 }, 20 },             /* documentation */
	{ { 0x26, 0x20, 0x00, 0x4f, 0x80 }, 48 }, /* AS112 */
};

static bool prefix_is(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

static bool nets_have(const struct guard_net *nets, size_t n, int family, const uint8_t *bytes)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (nets[i].family == family && prefix_is(bytes, nets[i].bytes, nets[i].bits))
			return true;
	return false;
}

static bool allows4(const struct guard *g, const uint8_t *bytes)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(denied4); i++)
		if (prefix_is(bytes, denied4[i].bytes, denied4[i].bits))
			return false;
	return !nets_have(g->nets, g->nets_n, AF_INET, bytes) &&
	       !nets_have(g->local, g->local_n, AF_INET, bytes);
}

static bool allows6(const struct guard *g, const uint8_t *bytes)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	static const uint8_t isatap[2][4] = { { 0x00, 0x00, 0x5e, 0xfe },
					      { 0x02, 0x00, 0x5e, 0xfe } };
	size_t i;

	if (nets_have(g->nets, g->nets_n, AF_INET6, bytes) ||
	    nets_have(g->local, g->local_n, AF_INET6, bytes))
		return false;
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
		return allows4(g, bytes + 12);
	if ((bytes[0] & 0xe0) != 0x20)
		return false;
	for (i = 0; i < ARRAY_SIZE(denied6); i++)
		if (prefix_is(bytes, denied6[i].bytes, denied6[i].bits))
			return false;
	for (i = 0; i < ARRAY_SIZE(isatap); i++)
		if (memcmp(bytes + 8, isatap[i], 4) == 0 && !allows4(g, bytes + 12))
			return false;
	return true;
}

bool guard_allows_address(const struct guard *g, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, sa, sizeof(v4));
		return allows4(g, (const uint8_t *)&v4.sin_addr);
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, sa, sizeof(v6));
		return allows6(g, v6.sin6_addr.s6_addr);
	}
	return false;
}

bool guard_allows_name(const char *host)
{
	static const char *const suffixes[] = { ".local",    ".onion",     ".i2p",
						".internal", ".home.arpa", ".localhost" };
	size_t len = strlen(host), i;

	if (!strchr(host, '.') || strcmp(host, "home.arpa") == 0)
		return false;
	for (i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len >= n && strcmp(host + len - n, suffixes[i]) == 0)
			return false;
	}
	return true;
}

bool guard_allows_port(const struct guard *g, uint16_t port)
{
	size_t i;

	for (i = 0; i < g->ports_n; i++)
		if (g->ports[i] == port)
			return true;
	return false;
}

bool guard_is_exempt(const struct guard *g, const struct target *t)
{
	size_t i;

	for (i = 0; i < g->origins_n; i++)
		if (strcmp(g->origins[i], t->origin) == 0)
			return true;
	return false;
}

/* --- filling --------------------------------------------------------------------------- */

static void net_from_sockaddr(struct guard_net *net, const struct sockaddr *sa)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	net->family = sa->sa_family;
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		memcpy(net->bytes, &v4.sin_addr, 4);
		net->bits = 32;
	} else {
		memcpy(&v6, sa, sizeof(v6));
		memcpy(net->bytes, &v6.sin6_addr, 16);
		net->bits = 128;
	}
}

int guard_refresh(struct guard *g)
{
	struct ifaddrs *all, *i;
	struct guard_net *local;
	size_t n = 0;

	if (getifaddrs(&all) == -1)
		return ERR_IO;
	for (i = all; i && n < LOCAL_MAX; i = i->ifa_next)
		if (i->ifa_addr &&
		    (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			n++;
	local = calloc(MAX_OF(n, 1u), sizeof(*local));
	if (local) {
		free(g->local);
		g->local = local;
		g->local_n = 0;
		for (i = all; i && g->local_n < n; i = i->ifa_next)
			if (i->ifa_addr && (i->ifa_addr->sa_family == AF_INET ||
					    i->ifa_addr->sa_family == AF_INET6))
				net_from_sockaddr(&local[g->local_n++], i->ifa_addr);
	}
	freeifaddrs(all);
	return local ? 0 : ERR_NOMEM;
}

/* conf/value.c has checked the text; what does not parse here denies nothing it could have meant.
 */
static void net_parse(struct guard_net *net, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];

	BUG_ON(!slash || len >= sizeof(host));
	memcpy(host, text, len);
	host[len] = '\0';
	net->bits = (unsigned)strtoul(slash + 1, NULL, 10);
	net->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	BUG_ON(inet_pton(net->family, host, net->bytes) != 1);
	BUG_ON(net->bits > (net->family == AF_INET ? 32 : 128));
}

static int guard_fill(struct guard *g, const struct conf_fetch *f)
{
	struct target t;
	size_t i;
	int rc;

	for (i = 0; i < f->deny_network.n; i++)
		net_parse(&g->nets[g->nets_n++], f->deny_network.v[i]);
	for (i = 0; i < f->ports.n && g->ports_n < ARRAY_SIZE(g->ports); i++)
		g->ports[g->ports_n++] = (uint16_t)strtoul(f->ports.v[i], NULL, 10);
	for (i = 0; i < f->allow_origin.n; i++) {
		rc = target_parse(&t, f->allow_origin.v[i], NULL);
		if (rc == ERR_NOMEM)
			return rc;
		if (rc) {
			log_warning("fetch.allow-origin: no usable host in \"%s\"",
				    f->allow_origin.v[i]);
			continue;
		}
		memcpy(g->origins[g->origins_n++], t.origin, sizeof(t.origin));
		target_fini(&t);
	}
	return guard_refresh(g);
}

struct guard *guard_new(const struct conf_fetch *f)
{
	struct guard *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->nets = calloc(f->deny_network.n + 1, sizeof(*g->nets));
	g->origins = calloc(f->allow_origin.n + 1, sizeof(*g->origins));
	if (!g->nets || !g->origins || guard_fill(g, f))
		guard_free(&g);
	return g;
}

void guard_free(struct guard **g)
{
	if (!*g)
		return;
	free((*g)->nets);
	free((*g)->local);
	free((*g)->origins);
	free(*g);
	*g = NULL;
}
