/* SPDX-License-Identifier: MIT */
/*
 * Speed of the framer alone over traffic in memory: chat messages of about 300 bytes, the
 * same in Cyrillic, base64, and chat in pieces as they come from many sockets. One line per
 * figure; never a test.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "xmpp/framer.h"

#define BYTES  (8U << 20)
#define ROUNDS 40

static const char header[] = "<stream:stream xmlns='jabber:client' "
			     "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

static const char chat[] =
	"<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' "
	"type='chat' id='ktx72v49' xml:lang='en'><body>Art thou not Romeo, and a Montague? "
	"Neither, fair saint, if either thee dislike.</body>"
	"<active xmlns='http://jabber.org/protocol/chatstates'/><r xmlns='urn:xmpp:receipts'/>"
	"</message>";

static const char cyrillic[] =
	"<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' "
	"type='chat' id='ktx72v49'><body>"
	"\xd0\x9d\xd0\xb5\xd1\x82 \xd0\xbf\xd0\xbe\xd0\xb2\xd0\xb5\xd1\x81\xd1\x82\xd0\xb8 "
	"\xd0\xbf\xd0\xb5\xd1\x87\xd0\xb0\xd0\xbb\xd1\x8c\xd0\xbd\xd0\xb5\xd0\xb5 "
	"\xd0\xbd\xd0\xb0 \xd1\x81\xd0\xb2\xd0\xb5\xd1\x82\xd0\xb5</body></message>";

static uint8_t *repeat(const char *unit, size_t *len_out)
{
	size_t n = strlen(unit), at = 0;
	uint8_t *p = malloc(BYTES);

	if (!p)
		exit(1);
	for (; at + n <= BYTES; at += n)
		memcpy(p + at, unit, n);
	*len_out = at;
	return p;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void feed(struct framer *f, const uint8_t *p, size_t len)
{
	enum framer_event event;

	do {
		size_t n = framer_feed(f, p, len, &event);

		if (event == FRAMER_ERROR) {
			fprintf(stderr, "bench_framer: input refused\n");
			exit(1);
		}
		p += n;
		len -= n;
	} while (event != FRAMER_MORE);
}

static void measure(const char *name, const char *unit, size_t piece)
{
	uint64_t best = UINT64_MAX;
	size_t len, at;
	uint8_t *p = repeat(unit, &len);
	struct framer f;
	int i;

	framer_init(&f);
	feed(&f, (const uint8_t *)header, sizeof(header) - 1);
	for (i = 0; i < ROUNDS; i++) {
		uint64_t from = now();

		for (at = 0; at < len; at += piece)
			feed(&f, p + at, MIN_OF(piece, len - at));
		best = MIN_OF(best, now() - from);
	}
	framer_fini(&f);
	free(p);
	printf("framer %s: %.0f MB/s\n", name, (double)len * 1000 / (double)best);
}

int main(void)
{
	static char big[65536];
	size_t n = (size_t)sprintf(big, "<message><body>");

	memset(big + n, 'A', sizeof(big) - 64);
	strcpy(big + n + sizeof(big) - 64, "</body></message>");
	measure("chat", chat, 65536);
	measure("chat, one message a read", chat, sizeof(chat) - 1);
	measure("chat, 100 bytes a read", chat, 100);
	measure("Cyrillic chat", cyrillic, 65536);
	measure("base64", big, 65536);
	return 0;
}
