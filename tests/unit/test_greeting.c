/* SPDX-License-Identifier: MIT */
/*
 * test_greeting - what inset says before TLS, with the input cut at every byte.
 *
 * The handshake itself is test_tls's, the way of both in a session test_tls.py's.
 */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "stream/greeting.h"

#define HEADER                                                       \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams' to='a&amp;b.example' version='1.0'>"
#define STARTTLS "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define OFFER                                                                              \
	"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></" \
	"starttls></stream:features>"

/* Feeds in pieces of this size, from a heap copy; stops when it has ended. */
static enum greeting_next feed(struct greeting *g, const char *text, size_t first, size_t piece)
{
	enum greeting_next next = GREETING_MORE;
	size_t len = strlen(text), at = 0, n = first;

	while (at < len && next == GREETING_MORE) {
		uint8_t *copy;

		n = MIN_OF(n, len - at);
		copy = malloc(n + !n);
		assert_non_null(copy);
		memcpy(copy, text + at, n);
		next = greeting_feed(g, copy, n);
		free(copy);
		at += n;
		n = piece;
	}
	return next;
}

static bool says(const struct greeting *g, const char *text)
{
	return g->out.p && memmem(g->out.p, g->out.len, text, strlen(text)) != NULL;
}

/* The same end and the same answer, wherever the input is cut. */
static void check(const char *text, enum greeting_next wanted, const char *said,
		  const char *not_said)
{
	size_t i, len = strlen(text);

	for (i = 0; i <= len + 1; i++) {
		struct greeting *g = greeting_new(4096);
		enum greeting_next next;

		assert_non_null(g);
		next = i <= len ? feed(g, text, i, len) : feed(g, text, 1, 1);
		if (next != wanted)
			fail_msg("cut at %zu: %d: %s", i, (int)next, text);
		if (said && !says(g, said))
			fail_msg("cut at %zu: not said: %s", i, said);
		if (not_said && says(g, not_said))
			fail_msg("cut at %zu: said: %s", i, not_said);
		greeting_free(&g);
	}
}

static void test_the_usual_way(void **state UNUSED)
{
	struct greeting *g = greeting_new(4096);

	check(HEADER, GREETING_MORE, OFFER, "error");
	check(HEADER STARTTLS, GREETING_SECURE, OFFER, "<proceed");
	check(HEADER "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>",
	      GREETING_SECURE, OFFER, "error");
	check(HEADER " \n <starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\" />", GREETING_SECURE,
	      OFFER, "error");
	check("<s:stream xmlns:s='http://etherx.jabber.org/streams' "
	      "xmlns:t='urn:ietf:params:xml:ns:xmpp-tls'><t:starttls/>",
	      GREETING_SECURE, OFFER, "from=");
	assert_int_equal(feed(g, HEADER STARTTLS, 7, 7), GREETING_SECURE);
	assert_string_equal(g->to, "a&b.example");
	assert_true(says(g, " from='a&amp;b.example'>" OFFER));
	greeting_free(&g);
	assert_string_equal(greeting_proceed, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
}

/* Where it comes in one piece behind <starttls/> it is refused; else it never gets here. */
/* A server that is the peer checks the namespace of the answer. */
static void test_namespace_of_the_peer(void **state UNUSED)
{
	static const char *const spaces[][2] = {
		{ "jabber:server", "jabber:server" },
		{ "jabber:component:accept", "jabber:component:accept" },
		{ "jabber&#58;server", "jabber:server" },
		{ "urn:x'y", "jabber:client" },
	};
	char text[512], answer[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spaces); i++) {
		snprintf(text, sizeof(text),
			 "<stream:stream xmlns=\"%s\" "
			 "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
			 spaces[i][0]);
		snprintf(answer, sizeof(answer), "<stream:stream xmlns='%s' ", spaces[i][1]);
		check(text, GREETING_MORE, answer, "error");
	}
}

static void test_injection(void **state UNUSED)
{
	static const char *const behind[] = { " ", "<presence/>", HEADER, "x" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(behind); i++) {
		struct greeting *g = greeting_new(4096);
		char text[1024];

		snprintf(text, sizeof(text), HEADER STARTTLS "%s", behind[i]);
		assert_int_equal(feed(g, text, sizeof(text), 1), GREETING_END);
		assert_true(says(g, "<policy-violation "));
		greeting_free(&g);
	}
}

static void test_refused(void **state UNUSED)
{
	check(HEADER "<presence/>", GREETING_END, "<policy-violation ", NULL);
	check(HEADER "<starttls/>", GREETING_END, "<policy-violation ", NULL);
	check(HEADER "<starttls xmlns='urn:x'/>", GREETING_END, "<policy-violation ", NULL);
	check(HEADER "<!--x-->", GREETING_END, "<restricted-xml ", NULL);
	check("<a>", GREETING_END, "<invalid-namespace ", OFFER);
	check("<stream:stream xmlns:stream='urn:x'>", GREETING_END, "<invalid-namespace ", OFFER);
	check("\x16\x03\x01", GREETING_END, "<not-well-formed ", OFFER);
	check(HEADER "</stream:stream>", GREETING_END, OFFER "</stream:stream>", "error");
}

static void test_too_much(void **state UNUSED)
{
	struct greeting *g = greeting_new(600);
	char text[1000];

	memset(text, ' ', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(feed(g, HEADER, 1, 1), GREETING_MORE);
	assert_int_equal(feed(g, text, 1, 1), GREETING_END);
	assert_true(says(g, "<policy-violation "));
	greeting_free(&g);
	/* A `to` that would end our own quotes is not repeated. */
	g = greeting_new(600);
	assert_int_equal(
		feed(g,
		     "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' to=\"a'b\">",
		     600, 1),
		GREETING_MORE);
	assert_false(says(g, "a'b"));
	greeting_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_usual_way), cmocka_unit_test(test_namespace_of_the_peer),
		cmocka_unit_test(test_injection),     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
