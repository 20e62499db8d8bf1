/* SPDX-License-Identifier: MIT */
/*
 * The redactor: planted secrets are nowhere, lengths and markup stay, the same becomes the same,
 * and nothing depends on where the input was split.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "base/util.h"
#include "xmpp/framer.h"
#include "xmpp/redact.h"

static const uint64_t key[2] = { 0x0123456789abcdefULL, 0xfedcba9876543210ULL };

/* Everything in it that is secret holds this word. */
#define SECRET "geheimnis"
#define GAPPED SECRET " "
#define JOINED "&amp;" SECRET

static const char *const streams[] = {
	"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' "
	"xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'>",
	"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" SECRET "==</auth>",
	"<message to='" SECRET "@example.org/" SECRET "' type='chat' id='" SECRET
	"1'><body>It is " SECRET "&amp;" SECRET ", &lt;" SECRET "></body></message>",
	"<message\n\tfrom=\"" SECRET "@example.org\"   type = \"chat\"><body>" SECRET
	"</body><x xmlns='jabber:x:oob'><url>"
	"https://" SECRET ".example.org:5443/" SECRET "/" SECRET ".jpg?" SECRET
	"</url></x></message>",
	"<message><body><![CDATA[" SECRET " < > ]] ]>" SECRET "]]>" SECRET "</body></message>",
	"<iq type='result' id='a'><query xmlns='jabber:iq:roster'><item jid='" SECRET
	"@example.org' name='" SECRET "' subscription='both'><group>" SECRET
	"</group></item></query></iq>",
	"<enabled xmlns='urn:xmpp:sm:3' id='" SECRET "' resume='true' location='" SECRET "'/>",
	"<presence><x xmlns='vcard-temp:x:update'><photo>" SECRET
	"</photo></x><priority>5</priority>"
	"<status>\xd0\x93" SECRET "\xe2\x82\xac" SECRET "</status></presence>",
	"<message><data xmlns='urn:xmpp:bob' cid='sha1+" SECRET "@bob.xmpp.org'>" SECRET
	"</data><reference uri='http://10.0.0.1:80/" SECRET ".png#" SECRET "'/></message>",
	"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>" SECRET
	"@example.org/" SECRET "</jid></bind></iq>",
	"</stream:stream>",
};

static struct buf all;

static void redact_split(const uint8_t *p, size_t len, size_t at, struct buf *out)
{
	struct redact r;

	redact_init(&r, key);
	buf_drop(out, out->len);
	assert_int_equal(redact_feed(&r, p, at, out), 0);
	assert_true(out->len <= at);
	assert_int_equal(redact_feed(&r, p + at, len - at, out), 0);
	assert_int_equal(redact_end(&r, out), 0);
	redact_fini(&r);
	assert_int_equal(out->len, len);
}

static bool has(const struct buf *b, const char *text)
{
	return memmem(b->p, b->len, text, strlen(text)) != NULL;
}

static bool is_framed(const struct buf *b)
{
	enum framer_event ev;
	struct framer f;
	size_t at = 0;

	framer_init(&f);
	do
		at += framer_feed(&f, b->p + at, b->len - at, &ev);
	while (ev != FRAMER_MORE && ev != FRAMER_ERROR);
	framer_fini(&f);
	return ev == FRAMER_MORE;
}

static void secrets_are_nowhere_at_any_split(void **state UNUSED)
{
	struct buf out, first;
	size_t at;

	buf_init(&out, 1 << 20);
	buf_init(&first, 1 << 20);
	redact_split(all.p, all.len, 0, &first);
	assert_false(has(&first, SECRET));
	assert_false(has(&first, "geheim"));
	assert_true(is_framed(&all));
	assert_true(is_framed(&first));
	for (at = 1; at <= all.len; at++) {
		redact_split(all.p, all.len, at, &out);
		assert_memory_equal(out.p, first.p, first.len);
	}
	buf_fini(&out);
	buf_fini(&first);
}

static void byte_by_byte_is_the_same(void **state UNUSED)
{
	struct buf whole, out;
	struct redact r;
	size_t i;

	buf_init(&whole, 1 << 20);
	buf_init(&out, 1 << 20);
	redact_split(all.p, all.len, 0, &whole);
	redact_init(&r, key);
	for (i = 0; i < all.len; i++)
		assert_int_equal(redact_feed(&r, all.p + i, 1, &out), 0);
	assert_int_equal(redact_end(&r, &out), 0);
	redact_fini(&r);
	assert_int_equal(out.len, whole.len);
	assert_memory_equal(out.p, whole.p, whole.len);
	buf_fini(&whole);
	buf_fini(&out);
}

static void what_filters_need_stays(void **state UNUSED)
{
	static const char *const kept[] = {
		"to='example.org'",
		"mechanism='PLAIN'",
		"@example.org",
		"type='chat'",
		"type = \"chat\"",
		"xmlns='jabber:x:oob'",
		"<url>https://",
		":5443/",
		".jpg?",
		"http://10.0.0.1:80",
		".png#",
		"subscription='both'",
		"<priority>5<",
		"&amp;",
		"&lt;",
		"<![CDATA[",
		"==</auth>",
	};
	struct buf out;
	size_t i;

	buf_init(&out, 1 << 20);
	redact_split(all.p, all.len, 0, &out);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		if (!has(&out, kept[i]))
			fail_msg("lost: %s", kept[i]);
	buf_fini(&out);
}

/* Body and <url/> say the same after as well as before: else no thumbnail would be due. */
static void the_same_stays_the_same(void **state UNUSED)
{
	static const char text[] =
		"<a><message to='alice@example.org'><body>http://h.example/Alice/a.png?x=1&amp;y=2"
		"</body><x "
		"xmlns='jabber:x:oob'><url>http://h.example/Alice/a.png?x=1&amp;y=2</url></x>"
		"</message><message to='bob@example.org'><body>alice</body></message></a>";
	const char *one, *two, *end;
	struct buf out;

	buf_init(&out, 4096);
	redact_split((const uint8_t *)text, sizeof(text) - 1, 0, &out);
	assert_int_equal(buf_add(&out, "", 1), 0);
	one = strstr((char *)out.p, "http://");
	end = strstr(one, "</body>");
	two = strstr(end, "http://");
	assert_memory_equal(one, two, (size_t)(end - one));
	assert_null(strstr((char *)out.p, "alice"));
	/* The local part is the word that the body says. */
	one = strstr((char *)out.p, "to='") + 4;
	two = strstr(strstr((char *)out.p, "<message to='") + 10, "<message");
	two = strstr(two, "<body>") + 6;
	assert_memory_equal(one, two, 5);
	buf_fini(&out);
}

static uint32_t word_of(unsigned n)
{
	uint8_t w[3] = { (uint8_t)('a' + n / 676), (uint8_t)('a' + n / 26 % 26),
			 (uint8_t)('a' + n % 26) };

	redact_word(key, w, 3);
	return (uint32_t)((w[0] - 'a') * 676 + (w[1] - 'a') * 26 + (w[2] - 'a'));
}

static void different_words_stay_different(void **state UNUSED)
{
	static bool seen[26 * 26 * 26];
	uint8_t low[] = "romeo7", high[] = "ROMEO7";
	unsigned n;
	size_t i;

	for (n = 0; n < ARRAY_SIZE(seen); n++) {
		uint32_t w = word_of(n);

		assert_true(w < ARRAY_SIZE(seen));
		assert_false(seen[w]);
		seen[w] = true;
	}
	redact_word(key, low, 6);
	redact_word(key, high, 6);
	for (i = 0; i < 5; i++)
		assert_int_equal(low[i] - 'a', high[i] - 'A');
	assert_int_equal(low[5], high[5]);
}

static size_t put_utf8(uint32_t c, uint8_t *p)
{
	if (c < 0x800) {
		p[0] = (uint8_t)(0xc0 | c >> 6);
		p[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (uint8_t)(0xe0 | c >> 12);
		p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		p[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | c >> 18);
	p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	p[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* Every character of XML becomes a character of XML, of the same length. */
static void characters_stay_characters(void **state UNUSED)
{
	struct buf text, out;
	uint32_t c;
	uint8_t p[4];

	buf_init(&text, 1 << 24);
	buf_init(&out, 1 << 24);
	assert_int_equal(buf_add_str(&text, "<stream:stream xmlns:stream='x'><m>"), 0);
	for (c = 0x80; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
		if ((c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff)
			continue;
		assert_int_equal(buf_add(&text, p, put_utf8(c, p)), 0);
		if (c % 50 == 0)
			assert_int_equal(buf_add_str(&text, " "), 0);
	}
	for (c = 0xf000; c < 0xfffe; c++) {
		assert_int_equal(buf_add(&text, p, put_utf8(c, p)), 0);
		assert_int_equal(buf_add_str(&text, " "), 0);
	}
	assert_true(is_framed(&text));
	redact_split(text.p, text.len, 0, &out);
	assert_true(is_framed(&out));
	buf_fini(&text);
	buf_fini(&out);
}

/* Texts longer than what is kept back, without a place to cut them. */
static void long_texts_are_cut_at_the_same_places(void **state UNUSED)
{
	static const char *const pieces[] = { GAPPED, SECRET, "&amp;", "\xe2\x82\xac", JOINED };
	size_t k, at;

	for (k = 0; k < ARRAY_SIZE(pieces); k++) {
		struct buf text, whole, out;
		struct redact r;

		buf_init(&text, 1 << 20);
		buf_init(&whole, 1 << 20);
		buf_init(&out, 1 << 20);
		assert_int_equal(buf_add_str(&text, "<stream:stream xmlns:stream='x'><m><b>"), 0);
		while (text.len < 20000)
			assert_int_equal(buf_add_str(&text, pieces[k]), 0);
		assert_int_equal(buf_add_str(&text, "</b><i jid='"), 0);
		while (text.len < 30000)
			assert_int_equal(buf_add_str(&text, pieces[k]), 0);
		assert_int_equal(buf_add_str(&text, "'/></m>"), 0);
		redact_split(text.p, text.len, 0, &whole);
		assert_true(is_framed(&whole));
		assert_false(has(&whole, SECRET));
		redact_init(&r, key);
		for (at = 0; at < text.len; at += 7)
			assert_int_equal(
				redact_feed(&r, text.p + at, MIN_OF(text.len - at, 7u), &out), 0);
		assert_int_equal(redact_end(&r, &out), 0);
		redact_fini(&r);
		assert_int_equal(out.len, whole.len);
		assert_memory_equal(out.p, whole.p, whole.len);
		buf_fini(&text);
		buf_fini(&whole);
		buf_fini(&out);
	}
}

/* What is no XML: same length, no crash, and words are masked wherever a text may be. */
static void noise_is_taken(void **state UNUSED)
{
	static const char alphabet[] = "<>/='\"!?[]-& ab:x\xc3\xa9\xff;#";
	uint8_t noise[300];
	struct buf out;
	int round;
	size_t i;

	buf_init(&out, 4096);
	srand(3);
	for (round = 0; round < 20000; round++) {
		for (i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		redact_split(noise, sizeof(noise), (size_t)rand() % sizeof(noise), &out);
	}
	buf_fini(&out);
}

static int set_up(void **state UNUSED)
{
	size_t i;

	buf_init(&all, 1 << 20);
	for (i = 0; i < ARRAY_SIZE(streams); i++)
		if (buf_add_str(&all, streams[i]))
			return -1;
	return 0;
}

static int tear_down(void **state UNUSED)
{
	buf_fini(&all);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_nowhere_at_any_split),
		cmocka_unit_test(byte_by_byte_is_the_same),
		cmocka_unit_test(what_filters_need_stays),
		cmocka_unit_test(the_same_stays_the_same),
		cmocka_unit_test(different_words_stay_different),
		cmocka_unit_test(characters_stay_characters),
		cmocka_unit_test(long_texts_are_cut_at_the_same_places),
		cmocka_unit_test(noise_is_taken),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
