/* SPDX-License-Identifier: MIT */
/*
 * proxyproto - see proxyproto.h.
 */
#include "config.h"

#include "stream/proxyproto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define V1_MAX    107 /* "PROXY TCP6 ..." with the longest addresses, CR LF included */
#define V2_HEADER 16

static const uint8_t signature[12] = { '\r', '\n', '\r', '\n', 0,   '\r',
				       '\n', 'Q',  'U',  'I',  'T', '\n' };

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };
enum {
	TLV_ALPN = 0x01,
	TLV_AUTHORITY = 0x02,
	TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21,
	TLV_SSL_CIPHER = 0x23
};

/* --- version 1 ------------------------------------------------------------------------- */

static int v1_address(int family, const char *text, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	unsigned long n;

	if (strspn(port, "0123456789") != strlen(port) || !*port || strlen(port) > 5 ||
	    (n = strtoul(port, NULL, 10)) > 65535)
		return ERR_SYNTAX;
	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET) {
		v4->sin_port = htons((uint16_t)n);
		return inet_pton(AF_INET, text, &v4->sin_addr) == 1 ? 0 : ERR_SYNTAX;
	}
	v6->sin6_port = htons((uint16_t)n);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? 0 : ERR_SYNTAX;
}

/* "TCP4 from to port port", single spaces, nothing else. */
static int v1_read(char *line, struct proxyproto_ends *ends)
{
	char *word[5], *rest = line;
	int family;
	size_t i;

	*ends = (struct proxyproto_ends){ 0 };
	if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0)
		return 0;
	for (i = 0; i < ARRAY_SIZE(word); i++) {
		word[i] = rest ? strsep(&rest, " ") : NULL;
		if (!word[i] || !*word[i])
			return ERR_SYNTAX;
	}
	family = strcmp(word[0], "TCP4") == 0   ? AF_INET
		 : strcmp(word[0], "TCP6") == 0 ? AF_INET6
						: AF_UNSPEC;
	if (rest || family == AF_UNSPEC)
		return ERR_SYNTAX;
	ends->known = true;
	if (v1_address(family, word[1], word[3], &ends->from))
		return ERR_SYNTAX;
	return v1_address(family, word[2], word[4], &ends->to);
}

/* The whole header so far, which begins like version 1. */
static int v1_parse(struct proxyproto *pp, struct proxyproto_ends *ends)
{
	char line[V1_MAX + 1];

	if (pp->len < 2 || pp->bytes[pp->len - 1] != '\n')
		return pp->len < V1_MAX ? ERR_AGAIN : ERR_SYNTAX;
	if (pp->bytes[pp->len - 2] != '\r' || memchr(pp->bytes, '\0', pp->len))
		return ERR_SYNTAX;
	memcpy(line, pp->bytes, pp->len - 2);
	line[pp->len - 2] = '\0';
	return v1_read(line + strlen("PROXY "), ends);
}

/* --- version 2 ------------------------------------------------------------------------- */

static size_t v2_length(const struct proxyproto *pp)
{
	return V2_HEADER + ((size_t)pp->bytes[14] << 8 | pp->bytes[15]);
}

static void v2_address(int family, const uint8_t *ip, const uint8_t *port,
		       struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;

	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET) {
		memcpy(&v4->sin_addr, ip, 4);
		memcpy(&v4->sin_port, port, 2);
	} else {
		memcpy(&v6->sin6_addr, ip, 16);
		memcpy(&v6->sin6_port, port, 2);
	}
}

/* TLVs are of no use here, but they must fit: a header that lies about one lies. */
static bool v2_tlvs_fit(const uint8_t *p, size_t len)
{
	while (len) {
		size_t n;

		if (len < 3)
			return false;
		n = 3 + ((size_t)p[1] << 8 | p[2]);
		if (n > len)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static int v2_parse(const struct proxyproto *pp, struct proxyproto_ends *ends)
{
	const uint8_t *p = pp->bytes + V2_HEADER;
	size_t left = pp->len - V2_HEADER, ip;
	int family;

	*ends = (struct proxyproto_ends){ 0 };
	if (pp->bytes[12] == COMMAND_LOCAL)
		return 0;
	if (pp->bytes[12] != COMMAND_PROXY)
		return ERR_SYNTAX;
	if (pp->bytes[13] == FAMILY_UNSPEC)
		return 0;
	if (pp->bytes[13] != FAMILY_TCP4 && pp->bytes[13] != FAMILY_TCP6)
		return ERR_SYNTAX; /* datagrams, unix sockets: not what a client of XMPP has */
	family = pp->bytes[13] == FAMILY_TCP4 ? AF_INET : AF_INET6;
	ip = family == AF_INET ? 4 : 16;
	if (left < 2 * ip + 4 || !v2_tlvs_fit(p + 2 * ip + 4, left - 2 * ip - 4))
		return ERR_SYNTAX;
	ends->known = true;
	v2_address(family, p, p + 2 * ip, &ends->from);
	v2_address(family, p + ip, p + 2 * ip + 2, &ends->to);
	return 0;
}

/* --- reading --------------------------------------------------------------------------- */

/* One more byte: 0, ERR_AGAIN or ERR_SYNTAX. */
static int proxyproto_step(struct proxyproto *pp, unsigned versions, struct proxyproto_ends *ends)
{
	static const char v1[] = "PROXY ";
	bool may_be_1 = (versions & PROXYPROTO_V1) &&
			memcmp(pp->bytes, v1, MIN_OF(pp->len, sizeof(v1) - 1)) == 0;
	bool may_be_2 = (versions & PROXYPROTO_V2) &&
			memcmp(pp->bytes, signature, MIN_OF(pp->len, sizeof(signature))) == 0;

	if (!may_be_1 && !may_be_2)
		return ERR_SYNTAX;
	if (may_be_1)
		return v1_parse(pp, ends);
	if (pp->len < V2_HEADER)
		return ERR_AGAIN;
	if (v2_length(pp) > PROXYPROTO_MAX)
		return ERR_SYNTAX;
	return pp->len < v2_length(pp) ? ERR_AGAIN : v2_parse(pp, ends);
}

int proxyproto_feed(struct proxyproto *pp, unsigned versions, const uint8_t *p, size_t len,
		    size_t *used, struct proxyproto_ends *ends)
{
	int rc = ERR_AGAIN;

	*used = 0;
	while (rc == ERR_AGAIN && *used < len) {
		if (pp->len == PROXYPROTO_MAX)
			return ERR_SYNTAX;
		pp->bytes[pp->len++] = p[(*used)++];
		rc = proxyproto_step(pp, versions, ends);
	}
	return rc;
}

/* --- writing --------------------------------------------------------------------------- */

static const void *ip_of(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET
		       ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
		       : (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;
}

/* In network order: at the same place in both families. */
static uint16_t port_of(const struct sockaddr_storage *ss)
{
	return ((const struct sockaddr_in *)ss)->sin_port;
}

static int print_v1(struct buf *out, const struct proxyproto_ends *ends)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int family = ends->from.ss_family;

	/* UNKNOWN resets connections of ejabberd; nobody's address is understood by all. */
	if (!ends->known)
		return buf_add_str(out, "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n");
	inet_ntop(family, ip_of(&ends->from), from, sizeof(from));
	inet_ntop(family, ip_of(&ends->to), to, sizeof(to));
	return buf_printf(out, "PROXY %s %s %s %u %u\r\n", family == AF_INET ? "TCP4" : "TCP6",
			  from, to, ntohs(port_of(&ends->from)), ntohs(port_of(&ends->to)));
}

static int add_tlv(struct buf *out, uint8_t type, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	uint8_t head[3] = { type, (uint8_t)(len >> 8), (uint8_t)len };
	int rc;

	if (!text || len > 255)
		return 0;
	rc = buf_add(out, head, sizeof(head));
	return rc ? rc : buf_add(out, text, len);
}

/* The TLS TLV: one bit for "by TLS", no client certificate, and its parts. */
static int add_tls(struct buf *out, const struct proxyproto_tls *tls)
{
	static const uint8_t client[5] = { 1, 0, 0, 0, 1 };
	uint8_t head[3] = { TLV_SSL, 0, 0 };
	struct buf parts;
	int rc;

	buf_init(&parts, PROXYPROTO_MAX);
	rc = buf_add(&parts, client, sizeof(client));
	if (!rc)
		rc = add_tlv(&parts, TLV_SSL_VERSION, tls->version);
	if (!rc)
		rc = add_tlv(&parts, TLV_SSL_CIPHER, tls->cipher);
	head[1] = (uint8_t)(parts.len >> 8);
	head[2] = (uint8_t)parts.len;
	if (!rc)
		rc = buf_add(out, head, sizeof(head));
	if (!rc)
		rc = buf_add(out, parts.p, parts.len);
	buf_fini(&parts);
	return rc;
}

static int add_addresses(struct buf *out, const struct proxyproto_ends *ends)
{
	size_t ip = ends->from.ss_family == AF_INET ? 4 : 16;
	uint16_t ports[2] = { port_of(&ends->from), port_of(&ends->to) };
	static const uint8_t nobody[12];
	int rc;

	if (!ends->known)
		return buf_add(out, nobody, sizeof(nobody));
	rc = buf_add(out, ip_of(&ends->from), ip);
	if (!rc)
		rc = buf_add(out, ip_of(&ends->to), ip);
	return rc ? rc : buf_add(out, ports, sizeof(ports));
}

static int print_v2(struct buf *out, const struct proxyproto_ends *ends,
		    const struct proxyproto_tls *tls)
{
	bool four = !ends->known || ends->from.ss_family == AF_INET;
	size_t start = out->len, len;
	/* LOCAL with an empty block, or without a family, hangs or crashes servers
	 * (testbed.md 1.11). */
	uint8_t head[4] = { ends->known ? COMMAND_PROXY : COMMAND_LOCAL,
			    four ? FAMILY_TCP4 : FAMILY_TCP6, 0, 0 };
	int rc = buf_add(out, signature, sizeof(signature));

	if (!rc)
		rc = buf_add(out, head, sizeof(head));
	if (!rc)
		rc = add_addresses(out, ends);
	if (!rc && tls && tls->alpn)
		rc = add_tlv(out, TLV_ALPN, tls->alpn);
	if (!rc && tls && tls->authority)
		rc = add_tlv(out, TLV_AUTHORITY, tls->authority);
	if (!rc && tls && tls->version)
		rc = add_tls(out, tls);
	if (rc)
		return rc;
	len = out->len - start - V2_HEADER;
	out->p[start + 14] = (uint8_t)(len >> 8);
	out->p[start + 15] = (uint8_t)len;
	return 0;
}

int proxyproto_print(struct buf *out, int version, const struct proxyproto_ends *ends,
		     const struct proxyproto_tls *tls)
{
	return version == PROXYPROTO_V1 ? print_v1(out, ends) : print_v2(out, ends, tls);
}
