/* SPDX-License-Identifier: MIT */
/*
 * Speed of the framer alone over traffic in memory: chat messages of about 300 bytes, the
 * same in Cyrillic, base64, and chat in pieces as they come from many sockets; then the units
 * of the captures that are named, both directions. One line per figure; never a test.
 *
 *     bench_framer [CAPTURE]...
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "replay/trace.h"
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

static void measure_bytes(const char *name, const uint8_t *p, size_t len, size_t piece)
{
	uint64_t best = UINT64_MAX;
	struct framer f;
	size_t at;
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
	printf("framer %s: %.0f MB/s\n", name, (double)len * 1000 / (double)best);
}

static void measure(const char *name, const char *unit, size_t piece)
{
	size_t len;
	uint8_t *p = repeat(unit, &len);

	measure_bytes(name, p, len, piece);
	free(p);
}

/* All units of all sessions behind each other, but for the streams' own ends. */
static void measure_captures(char **files)
{
	struct err_msg msg = { 0 };
	struct buf all;
	struct trace t;
	size_t i, k, dir;
	int rc = 0;

	trace_init(&t, 1u << 30);
	buf_init(&all, 1u << 30);
	for (; *files && !rc; files++)
		rc = trace_load(&t, *files, &msg);
	while (!rc && t.bytes && all.len < BYTES)
		for (i = 0; i < t.n; i++)
			for (dir = 0; dir < 2; dir++)
				for (k = 0; k < t.v[i].lane[dir].n && !rc; k++) {
					const struct trace_unit *u = &t.v[i].lane[dir].v[k];

					if (u->kind != UNIT_HEADER && u->kind != UNIT_CLOSE)
						rc = buf_add(&all, u->p, u->len);
				}
	if (rc || !all.len) {
		fprintf(stderr, "bench_framer: %s\n", msg.text[0] ? msg.text : "no capture");
		exit(1);
	}
	measure_bytes("captures", all.p, all.len, 65536);
	measure_bytes("captures, 1,400 bytes a read", all.p, all.len, 1400);
	buf_fini(&all);
	trace_fini(&t);
}

int main(int argc, char **argv)
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
	if (argc > 1)
		measure_captures(argv + 1);
	return 0;
}
