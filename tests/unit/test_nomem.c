/* SPDX-License-Identifier: MIT */
/*
 * test_nomem - every allocation of a login and of some messages fails once.
 *
 * Lanes, chain, thumbnail filter, outline (libxml2 included) and edits are the real ones;
 * malloc() and its kin are wrapped by the linker, libxml2's through xmlMemSetup(). Whatever
 * fails: no crash, and what left is what came, in order, with whole thumbnails or without.
 */
#include "config.h"

#include "unit.h"

#include <libxml/xmlmemory.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "stream/lane.h"
#include "xmpp/outline.h"

#define OPEN                                                         \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
#define PICTURE(id)                                                                   \
	"<message id='" id "' to='b@example.org'><body>http://h.example/p.png</body>" \
	"<x xmlns='jabber:x:oob'><url>http://h.example/p.png</url></x></message>"

/* A request for data and the client's error, which may become the data. */
#define CID "sha1+4a5eb7171b58e08a6881721e3b43d5a44419a2be@bob.xmpp.org"
#define REQUEST                                                                              \
	"<iq type='get' id='q' to='a@h/x' from='b@h/y'><data xmlns='urn:xmpp:bob' cid='" CID \
	"'/></iq>"
#define REPLY(type, inner) "<iq type='" type "' id='q' to='b@h/y'>" inner "</iq>"
#define REFUSAL            REPLY("error", "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>")

#define LOGIN                                                  \
	OPEN "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' " \
	     "mechanism='PLAIN'>AGEAYg==</auth>" OPEN          \
	     "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"

static const char c2s[] = LOGIN PICTURE("1") "<message><body>plain</body></message>" PICTURE("2")
	REFUSAL "<r "
		"xmlns='urn:xmpp:sm:3'/>"
		"</stream:stream>";
static const char s2c[] = OPEN
	"<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes>"
	"</limits></stream:features><success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" OPEN
	"<stream:features/><iq type='result' id='b'><bind "
	"xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/x</jid></bind></iq>" REQUEST;

static long countdown = -1; /* allocations until one fails; negative: none does */
static bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static bool fails_now(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
	return fails_now() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails_now() ? NULL : __real_strndup(s, n);
}

/* --- one session ----------------------------------------------------------------------- */

static struct session_like {
	struct conf *conf;
	struct lanes lanes;
	struct filter_host host;
	char out[2][16384];
	size_t len[2];
	struct fifo_entry *waiting[8];
	size_t waiting_n;
} t;

static bool on_emit(void *ctx UNUSED, enum lane_dir dir, const struct iovec *v, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		BUG_ON(t.len[dir] + v[i].iov_len >= sizeof(t.out[dir]));
		memcpy(t.out[dir] + t.len[dir], v[i].iov_base, v[i].iov_len);
		t.len[dir] += v[i].iov_len;
	}
	return true;
}

static void on_unhold(void *ctx UNUSED, struct fifo_entry *e)
{
	size_t i;

	for (i = 0; i < t.waiting_n; i++)
		if (t.waiting[i] == e)
			t.waiting[i] = NULL;
}

static bool start_job(void *ctx UNUSED, struct filter_unit *u, const struct job *job UNUSED)
{
	BUG_ON(t.waiting_n == ARRAY_SIZE(t.waiting));
	t.waiting[t.waiting_n++] = u->host_unit;
	return true;
}

static const struct lane_ops ops = { .emit = on_emit, .unhold = on_unhold };

static void answer_all(void)
{
	static const uint8_t picture[100] = { 0xff, 0xd8 };
	struct job_result r = { .status = JOB_OK,
				.media_format = PICTURE_PNG,
				.format = PICTURE_JPEG,
				.width = 10,
				.height = 10,
				.bytes = picture,
				.len = sizeof(picture) };
	size_t i;

	for (i = 0; i < t.waiting_n; i++)
		if (t.waiting[i])
			lane_result(t.waiting[i], &r);
	t.waiting_n = 0;
}

/* Feeds both sides turn by turn, some bytes at a time; the first failure ends it. The client's
 * messages wait for the server's part, since nothing is made for who has not logged in. */
static int talk(size_t piece)
{
	size_t at[2] = { 0, 0 }, total[2] = { sizeof(LOGIN) - 1, sizeof(s2c) - 1 };
	const char *from[2] = { c2s, s2c };
	int dir, rc = 0;

	while (!rc && (at[0] < total[0] || at[1] < total[1])) {
		for (dir = 0; dir < 2 && !rc; dir++) {
			size_t n = MIN_OF(piece, total[dir] - at[dir]);

			rc = lane_feed(&t.lanes.lane[dir], (const uint8_t *)from[dir] + at[dir], n);
			at[dir] += n;
		}
		if (at[1] == total[1])
			total[0] = sizeof(c2s) - 1;
		answer_all();
	}
	return rc;
}

static int session(size_t piece)
{
	int rc = ERR_NOMEM;

	t.len[0] = t.len[1] = 0;
	t.waiting_n = 0;
	t.host = (struct filter_host){ .start_job = start_job };
	lanes_init(&t.lanes, &ops, &t);
	t.lanes.conf = t.conf;
	t.lanes.listen = conf_listen_find(t.conf, "main");
	t.lanes.chain = chain_new(t.conf, t.lanes.listen, &t.host);
	if (t.lanes.chain)
		rc = talk(piece);
	countdown = -1;
	lanes_fini(&t.lanes);
	chain_free(&t.lanes.chain);
	return rc;
}

/* Takes whole thumbnails and data out of what left; returns how many. */
static unsigned cut_thumbnails(void)
{
	static const char start[] = "<data ", end[] = "</data>";
	static const char substituted[] = REPLY("result", "");
	unsigned n = 0;
	char *from, *to;

	t.out[0][t.len[0]] = '\0';
	t.out[1][t.len[1]] = '\0';
	while ((from = strstr(t.out[0], start))) {
		to = strstr(from, end);
		assert_non_null(to);
		to += strlen(end);
		memmove(from, to, strlen(to) + 1);
		n++;
	}
	from = strstr(t.out[0], substituted);
	if (from) {
		memmove(from + strlen(REFUSAL), from + strlen(substituted),
			strlen(from + strlen(substituted)) + 1);
		memcpy(from, REFUSAL, strlen(REFUSAL));
	}
	return n;
}

static void check_output(int rc)
{
	static const char *const in[] = { c2s, s2c };
	int dir;

	for (dir = 0; dir < 2; dir++) {
		if (strncmp(t.out[dir], in[dir], strlen(t.out[dir])) != 0)
			fail_msg("lane %d is not what came: %s", dir, t.out[dir]);
		if (!rc)
			assert_int_equal(strlen(t.out[dir]), strlen(in[dir]));
	}
	assert_int_equal(counters_mine->value[METRIC_HELD_UNITS], 0);
}

static void every_allocation_fails_once(void **state UNUSED)
{
	static const size_t pieces[] = { 100000, 97, 1 };
	unsigned most, without = 0, ended = 0;
	size_t i;
	long k;
	int rc;

	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		countdown = -1;
		assert_int_equal(session(pieces[i]), 0);
		most = cut_thumbnails();
		assert_int_equal(most, 3);
		check_output(0);
		for (k = 0;; k++) {
			unsigned n;

			failed = false;
			countdown = k;
			rc = session(pieces[i]);
			n = cut_thumbnails();
			assert_in_range(n, 0, most);
			check_output(rc);
			ended += rc != 0;
			without += rc == 0 && n < most;
			if (!failed)
				break;
		}
		assert_in_range(k, 50, 100000);
	}
	/* Both answers are seen: the session ends, or its message goes on as it came. */
	assert_true(ended > 10 && without > 10);
}

static int setup(void **state UNUSED)
{
	struct conf_listen *listen;

	clock_fake(1000000);
	if (xmlMemSetup(free, __wrap_malloc, __wrap_realloc, __wrap_strdup))
		return -1;
	outline_setup();
	t.conf = conf_new();
	listen = t.conf ? conf_add_listen(t.conf, "main") : NULL;
	if (!listen || !conf_link(t.conf))
		return -1;
	free(listen->filters.v[0]);
	free(listen->filters.v);
	listen->filters.v = calloc(2, sizeof(listen->filters.v[0]));
	if (!listen->filters.v)
		return -1;
	listen->filters.v[0] = strdup("thumbnail");
	listen->filters.v[1] = strdup("bob");
	listen->filters.n = 2;
	return 0;
}

static int teardown(void **state UNUSED)
{
	conf_unref(&t.conf);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_fails_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
