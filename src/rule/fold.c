/* SPDX-License-Identifier: MIT */
/*
 * fold - see fold.h.
 */
#include "config.h"

#include "rule/fold.h"

#include <arpa/inet.h>
#include <string.h>

static void lower(char *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
}

void fold_jid(char *text)
{
	lower(text, strcspn(text, "/"));
}

void fold_word(char *text)
{
	lower(text, strlen(text));
}

/* Where the authority begins and, out, where it ends. */
static const char *authority_of(const char *url, size_t *len_out)
{
	const char *at = strstr(url, "://");

	at = at ? at + 3 : url + strlen(url);
	*len_out = strcspn(at, "/?#\\");
	return at;
}

void fold_url(char *text)
{
	size_t len;
	const char *at = authority_of(text, &len);

	lower(text, (size_t)(at - text) + len);
}

size_t fold_host(const char *url, char *out, size_t room)
{
	size_t len, n;
	const char *at = authority_of(url, &len), *user = memrchr(at, '@', len), *end;

	if (user) {
		len -= (size_t)(user + 1 - at);
		at = user + 1;
	}
	end = at + len;
	if (len && *at == '[') {
		at++;
		n = strcspn(at, "]");
	} else {
		n = strcspn(at, ":");
	}
	n = MIN_OF(n, (size_t)(end - at));
	while (n && at[n - 1] == '.') /* example.org. is example.org */
		n--;
	if (!n || n >= room)
		return 0;
	memcpy(out, at, n);
	out[n] = '\0';
	lower(out, n);
	return n;
}

/* In the one form that addresses are shown in. */
static bool is_plain_number(const char *host, int family)
{
	unsigned char address[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	return inet_pton(family, host, address) == 1 &&
	       inet_ntop(family, address, text, sizeof(text)) && strcmp(host, text) == 0;
}

bool fold_is_plain(const char *url)
{
	size_t len;
	const char *at = authority_of(url, &len), *last;
	char host[FOLD_HOST_MAX + 1];

	if (!fold_host(url, host, sizeof(host)) || memchr(at, '@', len))
		return false;
	if (*at == '[')
		return is_plain_number(host, AF_INET6);
	if (host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.")])
		return false;
	last = strrchr(host, '.');
	last = last ? last + 1 : host;
	if (strncmp(last, "0x", 2) != 0 && last[strspn(last, "0123456789")])
		return true;
	return is_plain_number(host, AF_INET);
}
