/* SPDX-License-Identifier: MIT */
/*
 * address - see address.h.
 */
#include "config.h"

#include "conf/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define TLS_PREFIX "tls://"

static int bad(struct err_msg *msg, const char *text, const char *why)
{
	return err_msg_set(msg, ERR_SYNTAX, "\"%.100s\" %s", text, why);
}

/* Digits alone, at most max. */
static int digits_parse(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 9)
		return ERR_SYNTAX;
	*out = strtoul(text, &end, 10);
	return *end == '\0' && *out <= max ? 0 : ERR_SYNTAX;
}

int address_port(const char *text, uint16_t *out)
{
	unsigned long v;

	if (digits_parse(text, 65535, &v) || v == 0)
		return ERR_SYNTAX;
	*out = (uint16_t)v;
	return 0;
}

/* "host:port" or "[host]:port" into its parts; host has room for 256 bytes. */
static int host_port_split(const char *text, char host[256], const char **port_out,
			   bool *bracket_out)
{
	const char *end;
	size_t len;

	*bracket_out = text[0] == '[';
	end = *bracket_out ? strchr(text, ']') : strrchr(text, ':');
	if (!end || (*bracket_out && end[1] != ':'))
		return ERR_SYNTAX;
	text += *bracket_out;
	len = (size_t)(end - text);
	if (len == 0 || len > 255)
		return ERR_SYNTAX;
	memcpy(host, text, len);
	host[len] = '\0';
	if (!*bracket_out && strchr(host, ':'))
		return ERR_SYNTAX; /* IPv6 without brackets */
	*port_out = end + (*bracket_out ? 2 : 1);
	return 0;
}

static int unix_address(const char *path, struct sockaddr_storage *ss_out, socklen_t *len_out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ss_out;

	if (path[0] != '/' || strlen(path) >= sizeof(un->sun_path))
		return ERR_SYNTAX;
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	*len_out = sizeof(*un);
	return 0;
}

int address_parse(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss_out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss_out;
	char host[256];
	const char *port_text;
	uint16_t port;
	bool bracket;

	memset(ss_out, 0, sizeof(*ss_out));
	if (strncmp(text, "unix:", 5) == 0)
		return unix_address(text + 5, ss_out, len_out);
	if (host_port_split(text, host, &port_text, &bracket) || address_port(port_text, &port))
		return ERR_SYNTAX;
	if (bracket && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		*len_out = sizeof(*v6);
		return 0;
	}
	if (!bracket && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		*len_out = sizeof(*v4);
		return 0;
	}
	return ERR_SYNTAX;
}

/* One spelling for each address, so that two of them can be compared as text. */
static char *address_print(const struct sockaddr *sa)
{
	char host[INET6_ADDRSTRLEN] = "", *out = NULL;
	int n;

	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		n = asprintf(&out, "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		n = asprintf(&out, "%s:%u", host, ntohs(v4->sin_port));
	}
	return n == -1 ? NULL : out;
}

static bool address_is_loopback(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) >> 24 == 127;
	return ss->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)ss)->sin6_addr);
}

bool address_is_local(const char *text)
{
	struct sockaddr_storage ss;
	socklen_t len;

	return address_parse(text, &ss, &len) == 0 && address_is_loopback(&ss);
}

/* A bind address, in its one spelling. */
int address_bind(const char *text, char **out, struct err_msg *msg)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (address_parse(text, &ss, &len) || ss.ss_family == AF_UNIX)
		return bad(msg, text,
			   "is no address to bind to: \"0.0.0.0:5222\" or \"[::]:5222\"");
	*out = address_print((struct sockaddr *)&ss);
	return *out ? 0 : ERR_NOMEM;
}

/*
 * The server by name: resolved once, here. IPv4 first: most servers that are reached by
 * "localhost" listen there, not all of them on ::1.
 */
static int upstream_resolve(const char *text, char **out, struct err_msg *msg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL, *ai, *best = NULL;
	char host[256];
	const char *port_text;
	uint16_t port;
	bool bracket;
	int rc;

	if (host_port_split(text, host, &port_text, &bracket) || bracket ||
	    address_port(port_text, &port))
		return bad(msg, text,
			   "is no server: \"127.0.0.1:15222\", \"[::1]:15222\", "
			   "\"localhost:15222\" or \"unix:/path\"");
	rc = getaddrinfo(host, port_text, &hints, &found);
	if (rc)
		return err_msg_set(msg, ERR_SYNTAX, "\"%.100s\": host not found: %s", text,
				   gai_strerror(rc));
	for (ai = found; ai; ai = ai->ai_next)
		if (!best || (ai->ai_family == AF_INET && best->ai_family != AF_INET))
			best = ai;
	*out = best ? address_print(best->ai_addr) : NULL;
	freeaddrinfo(found);
	return *out ? 0 : ERR_NOMEM;
}

int address_server(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out,
		   bool *tls_out)
{
	*tls_out = strncmp(text, TLS_PREFIX, strlen(TLS_PREFIX)) == 0;
	if (!*tls_out)
		return address_parse(text, ss_out, len_out);
	if (address_parse(text + strlen(TLS_PREFIX), ss_out, len_out))
		return ERR_SYNTAX;
	return ss_out->ss_family == AF_UNIX ? ERR_SYNTAX : 0;
}

static int upstream_tls(const char *text, char **out, struct err_msg *msg)
{
	char *plain = NULL;
	int rc;

	if (strncmp(text, "unix:", 5) == 0)
		return bad(msg, text, "cannot be reached by TLS");
	rc = address_upstream(text, &plain, msg);
	if (!rc && asprintf(out, TLS_PREFIX "%s", plain) == -1)
		rc = ERR_NOMEM;
	free(plain);
	return rc;
}

int address_upstream(const char *text, char **out, struct err_msg *msg)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (strncmp(text, TLS_PREFIX, strlen(TLS_PREFIX)) == 0)
		return upstream_tls(text + strlen(TLS_PREFIX), out, msg);
	if (address_parse(text, &ss, &len))
		return strncmp(text, "unix:", 5) == 0 ? bad(msg, text,
							    "is no socket: \"unix:\" and an "
							    "absolute path of at most 107 bytes")
						      : upstream_resolve(text, out, msg);
	*out = ss.ss_family == AF_UNIX ? strdup(text) : address_print((struct sockaddr *)&ss);
	return *out ? 0 : ERR_NOMEM;
}

bool address_is_network(const char *text)
{
	const char *slash = strchr(text, '/');
	char host[INET6_ADDRSTRLEN];
	uint8_t addr[16];
	unsigned long bits;
	size_t len = slash ? (size_t)(slash - text) : 0;

	if (!slash || len >= sizeof(host) || digits_parse(slash + 1, 128, &bits))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return (inet_pton(AF_INET, host, addr) == 1 && bits <= 32) ||
	       (inet_pton(AF_INET6, host, addr) == 1 && bits <= 128);
}

bool address_in_network(const struct sockaddr *sa, const char *network)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
	const uint8_t *ip =
		(const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	const char *slash = strchr(network, '/');
	char host[INET6_ADDRSTRLEN] = "";
	int family = sa->sa_family;
	unsigned long bits;
	uint8_t net[16];

	if (!slash || (size_t)(slash - network) >= sizeof(host) ||
	    digits_parse(slash + 1, 128, &bits))
		return false;
	memcpy(host, network, (size_t)(slash - network));
	if (family == AF_INET6)
		ip = v6->sin6_addr.s6_addr;
	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		family = AF_INET;
		ip += 12;
	}
	if ((family != AF_INET && family != AF_INET6) || inet_pton(family, host, net) != 1 ||
	    bits > (family == AF_INET ? 32 : 128))
		return false;
	if (memcmp(ip, net, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((ip[bits / 8] ^ net[bits / 8]) & (0xff00 >> bits % 8 & 0xff)) == 0;
}

bool address_is_server(const char *text)
{
	struct sockaddr_storage ss;
	socklen_t len;
	uint8_t addr[16];

	return inet_pton(AF_INET, text, addr) == 1 || inet_pton(AF_INET6, text, addr) == 1 ||
	       (address_parse(text, &ss, &len) == 0 && ss.ss_family != AF_UNIX);
}

/* scheme://host or scheme://host:port, and nothing behind it. */
bool address_is_origin(const char *text)
{
	size_t skip = strncmp(text, "http://", 7) == 0    ? 7
		      : strncmp(text, "https://", 8) == 0 ? 8
							  : 0;
	const char *host = text + skip, *port = NULL;
	uint8_t addr[16];
	uint16_t n;
	size_t len;

	if (!skip)
		return false;
	if (host[0] == '[') {
		const char *end = strchr(host, ']');
		char inside[INET6_ADDRSTRLEN];

		if (!end || (size_t)(end - host) > sizeof(inside) || (end[1] && end[1] != ':'))
			return false;
		snprintf(inside, sizeof(inside), "%.*s", (int)(end - host - 1), host + 1);
		return inet_pton(AF_INET6, inside, addr) == 1 &&
		       (!end[1] || address_port(end + 2, &n) == 0);
	}
	len = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
	if (host[len] == ':')
		port = host + len + 1;
	return len && len <= 253 && (port ? address_port(port, &n) == 0 : host[len] == '\0');
}
