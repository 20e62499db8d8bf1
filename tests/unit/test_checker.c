/* SPDX-License-Identifier: MIT */
/*
 * The checker: what passes, and that each kind of corruption is found, whatever unit it hits.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "base/util.h"
#include "replay/checker.h"
#include "replay/histogram.h"

#define THUMB                                                                                  \
	"<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='0123456789abcdef' "         \
	"type='image/jpeg'>/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=</" \
	"data>"
#define PICTURE                                        \
	"<message to='b@x'><body>http://h/a</body><x " \
	"xmlns='jabber:x:oob'><url>http://h/a</url></x>"

static const struct {
	enum unit_kind kind;
	const char *text;
} units[] = {
	{ UNIT_HEADER, "<stream:stream xmlns='jabber:client'>" },
	{ UNIT_FEATURES,
	  "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
	  "<required/></starttls><compression xmlns='http://jabber.org/features/compress'>"
	  "<method>zlib</method></compression><sm xmlns='urn:xmpp:sm:3'/></stream:features>" },
	{ UNIT_ENABLED, "<enabled xmlns='urn:xmpp:sm:3' id='a' location='h:1' resume='true'/>" },
	{ UNIT_MESSAGE, "<message to='a@x'><body>one</body></message>" },
	{ UNIT_OTHER, "<r xmlns='urn:xmpp:sm:3'/>" },
	{ UNIT_MESSAGE, PICTURE "</message>" },
	{ UNIT_OTHER, "<r xmlns='urn:xmpp:sm:3'/>" },
	{ UNIT_IQ, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>" },
	{ UNIT_PRESENCE, "<presence/>" },
	{ UNIT_MESSAGE, "<message to='c@x'><body>two</body></message>" },
};

static struct checker_sums sums;

static const uint8_t *unit(void *ctx UNUSED, uint64_t number, size_t *len_out, enum unit_kind *kind)
{
	if (number >= ARRAY_SIZE(units))
		return NULL;
	*len_out = strlen(units[number].text);
	*kind = units[number].kind;
	return (const uint8_t *)units[number].text;
}

static struct checker begin(void)
{
	struct checker c = { .sums = &sums, .unit = unit, .sent = ARRAY_SIZE(units) };

	checker_sums_fini(&sums);
	sums = (struct checker_sums){ .expected = 0 };
	strcpy(c.name, "session 0 c2s");
	return c;
}

static enum checker_result arrive(struct checker *c, const char *text)
{
	enum checker_result r;

	(void)checker_arrived(c, (const uint8_t *)text, strlen(text), &r);
	return r;
}

static void what_arrives_as_it_was_is_clean(void **state UNUSED)
{
	struct checker c = begin();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(units); i++)
		assert_int_equal(arrive(&c, units[i].text), CHECKER_SAME);
	checker_end(&c);
	assert_true(checker_is_clean(&sums));
	assert_int_equal(sums.n[CHECKER_SAME], ARRAY_SIZE(units));
}

/* One unit arrives as `text`, the others as they were. */
static enum checker_result only(size_t which, const char *text)
{
	struct checker c = begin();
	enum checker_result r = CHECKER_SAME;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(units); i++) {
		enum checker_result now = arrive(&c, i == which ? text : units[i].text);

		if (i == which)
			r = now;
	}
	checker_end(&c);
	return r;
}

static void known_edits_are_named(void **state UNUSED)
{
	const char *kind;

	assert_int_equal(only(5, PICTURE THUMB "</message>"), CHECKER_EDITED);
	assert_true(checker_is_clean(&sums));
	assert_int_equal(sums.present, 1);
	assert_int_equal(sums.edits[0], 1);
	assert_string_equal(edits_name(EDITS_THUMBNAIL, &kind), "thumbnail");
	assert_string_equal(kind, "insert");
	assert_int_equal(
		only(1, "<stream:features><compression xmlns='http://jabber.org/features/compress'>"
			"<method>zlib</method></compression><sm "
			"xmlns='urn:xmpp:sm:3'/></stream:features>"),
		CHECKER_EDITED);
	assert_int_equal(
		only(1, "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
			"<required/></starttls><sm xmlns='urn:xmpp:sm:3'/></stream:features>"),
		CHECKER_EDITED);
	assert_int_equal(only(1, "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>"),
			 CHECKER_EDITED);
	assert_int_equal(only(2, "<enabled xmlns='urn:xmpp:sm:3' id='a' resume='true'/>"),
			 CHECKER_EDITED);
	assert_true(checker_is_clean(&sums));
}

static char *golden(const char *name)
{
	char path[256], *text = calloc(1, 65536), *from, *to;
	FILE *f;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/%s.xml", GOLDEN_DIR, name);
	f = fopen(path, "r");
	if (!f)
		fail_msg("%s: cannot be read", path);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	for (from = to = text; *from;)
		if (*from == '\n')
			from += 1 + strspn(from + 1, " ");
		else
			*to++ = *from++;
	*to = '\0';
	return text;
}

static uint32_t edits(enum unit_kind kind, const char *sent, const char *got, bool *thumbnail)
{
	return edits_find(kind, (const uint8_t *)sent, strlen(sent), (const uint8_t *)got,
			  strlen(got), thumbnail);
}

/* What the filter is to write, and back by a rule that strips it. */
static void every_written_form_is_known(void **state UNUSED)
{
	static const char *const names[] = { "ibb", "bob", "thumbs0",  "sims",
					     "sfs", "ogp", "everyone", "http" };
	char *before = golden("before"), *after;
	size_t i, at;
	bool thumbnail;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		after = golden(names[i]);
		if (edits(UNIT_MESSAGE, before, after, &thumbnail) != 1u << EDITS_THUMBNAIL ||
		    !thumbnail)
			fail_msg("format %s is taken for a difference", names[i]);
		/* Nothing else may differ, whatever was inserted. */
		for (at = 0; at < strlen(before); at++) {
			before[at] ^= 1;
			if (edits(UNIT_MESSAGE, before, after, &thumbnail) || thumbnail)
				fail_msg("%s: byte %zu is not missed", names[i], at);
			before[at] ^= 1;
		}
		free(after);
	}
	after = golden("bob");
	assert_int_equal(edits(UNIT_MESSAGE, after, before, &thumbnail), 1u << EDITS_STRIP);
	assert_false(thumbnail);
	free(after);
	free(before);
}

static void replies_and_features(void **state UNUSED)
{
#define IQ(type, inner) "<iq from='h' id='1' type='" type "' to='a@h/x'>" inner "</iq>"
#define ERROR_OF(inner) IQ("error", inner "<error type='cancel'/>")
	static const struct {
		enum unit_kind kind;
		const char *sent, *got;
		uint32_t rows;
	} v[] = {
		{ UNIT_IQ, ERROR_OF("<query xmlns='http://jabber.org/protocol/disco#items'/>"),
		  IQ("result",
		     "<query xmlns='http://jabber.org/protocol/disco#items'><item/></query>"),
		  1u << EDITS_UPLOAD },
		{ UNIT_IQ, ERROR_OF(""),
		  IQ("result", "<slot xmlns='urn:xmpp:http:upload:0'><put url='u'/></slot>"),
		  1u << EDITS_UPLOAD },
		{ UNIT_IQ, ERROR_OF("<data xmlns='urn:xmpp:bob' cid='sha1+a@bob.xmpp.org'/>"),
		  IQ("result",
		     "<data xmlns='urn:xmpp:bob' cid='sha1+a@bob.xmpp.org' type='image/png'>"
		     "iVBORw0KGgoAAAANSUhEUgAAAAEA</data>"),
		  1u << EDITS_BOB },
		{ UNIT_IQ,
		  IQ("result", "<query xmlns='http://jabber.org/protocol/disco#info'>"
			       "<feature var='a'/></query>"),
		  IQ("result", "<query xmlns='http://jabber.org/protocol/disco#info'>"
			       "<feature var='a'/><feature "
			       "var='http://kontalk.org/extensions/message#upload'/></query>"),
		  1u << EDITS_DISCO },
		{ UNIT_FEATURES,
		  "<stream:features><c xmlns='http://jabber.org/protocol/caps' "
		  "ver='a'/></stream:features>",
		  "<stream:features><c xmlns='http://jabber.org/protocol/caps' "
		  "ver='b'/></stream:features>",
		  1u << EDITS_CAPS },
		/* Not a reply that was none; another address; another answer; no error before. */
		{ UNIT_IQ, ERROR_OF(""), IQ("result", "<x xmlns='y'/>"), 0 },
		{ UNIT_IQ, ERROR_OF(""),
		  "<iq from='h' id='2' type='result' to='a@h/x'><slot "
		  "xmlns='urn:xmpp:http:upload:0'/></iq>",
		  0 },
		{ UNIT_IQ, IQ("result", ""), IQ("error", ""), 0 },
		{ UNIT_IQ, IQ("result", "<a/>"),
		  IQ("result", "<slot xmlns='urn:xmpp:http:upload:0'/>"), 0 },
		{ UNIT_MESSAGE, ERROR_OF(""),
		  IQ("result", "<slot xmlns='urn:xmpp:http:upload:0'/>"), 0 },
	};
	bool thumbnail;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++)
		if (edits(v[i].kind, v[i].sent, v[i].got, &thumbnail) != v[i].rows || thumbnail)
			fail_msg("row %zu: %s", i, v[i].got);
}

static void foreign_edits_are_differences(void **state UNUSED)
{
	static const struct {
		size_t which;
		const char *text;
	} bad[] = {
		/* not the last child; two; in the body; of another namespace; not base64; empty */
		{ 5, "<message to='b@x'>" THUMB "<body>http://h/a</body><x xmlns='jabber:x:oob'>"
		     "<url>http://h/a</url></x></message>" },
		{ 5, PICTURE THUMB THUMB "</message>" },
		{ 5, PICTURE "<data xmlns='http://jabber.org/protocol/other' type='image/png'>"
			     "iVBORw0KGgoAAAANSUhEUgAAAAEA</data></message>" },
		{ 5, PICTURE "<data xmlns='http://jabber.org/protocol/ibb' type='image/png'>"
			     "!!!!!!!!!!!!!!!!!!!!!!!!!!!!</data></message>" },
		{ 5, PICTURE
		  "<data xmlns='http://jabber.org/protocol/ibb' type='image/png'/></message>" },
		{ 5, PICTURE "<data xmlns='http://jabber.org/protocol/ibb' type='text/html'>"
			     "iVBORw0KGgoAAAANSUhEUgAAAAEA</data></message>" },
		{ 5, PICTURE THUMB " </message>" },
		/* another feature cut; an attribute too many cut; one added */
		{ 1,
		  "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>"
		  "</starttls><compression xmlns='http://jabber.org/features/compress'><method>zlib"
		  "</method></compression></stream:features>" },
		{ 2, "<enabled xmlns='urn:xmpp:sm:3' location='h:1' resume='true'/>" },
		{ 3, "<message to='a@x' x='y'><body>one</body></message>" },
		{ 7, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/>" THUMB "</iq>" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		enum checker_result r = only(bad[i].which, bad[i].text);

		if (r == CHECKER_SAME || r == CHECKER_EDITED || checker_is_clean(&sums))
			fail_msg("taken for an edit: %s", bad[i].text);
		assert_true(sums.first.len > 0);
	}
}

static void a_flipped_byte_is_found_wherever_it_is(void **state UNUSED)
{
	char text[512];
	size_t i, at;

	for (i = 0; i < ARRAY_SIZE(units); i++)
		for (at = 0; at < strlen(units[i].text); at++) {
			strcpy(text, units[i].text);
			text[at] ^= 1;
			only(i, text);
			assert_false(checker_is_clean(&sums));
			assert_true(sums.n[CHECKER_SAME] >= ARRAY_SIZE(units) - 4);
		}
}

static void a_lost_unit_is_found(void **state UNUSED)
{
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(units); k++) {
		struct checker c = begin();

		for (i = 0; i < ARRAY_SIZE(units); i++)
			if (i != k)
				arrive(&c, units[i].text);
		checker_end(&c);
		assert_false(checker_is_clean(&sums));
		assert_true(sums.n[CHECKER_LOST] >= 1);
	}
}

static void a_doubled_unit_is_found(void **state UNUSED)
{
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(units); k++) {
		struct checker c = begin();

		for (i = 0; i < ARRAY_SIZE(units); i++) {
			arrive(&c, units[i].text);
			if (i == k)
				assert_int_equal(arrive(&c, units[i].text), CHECKER_DOUBLED);
		}
		checker_end(&c);
		assert_int_equal(sums.n[CHECKER_DOUBLED], 1);
		assert_int_equal(sums.n[CHECKER_SAME], ARRAY_SIZE(units));
		assert_false(checker_is_clean(&sums));
	}
}

static void swapped_units_are_found(void **state UNUSED)
{
	size_t i, k;

	for (k = 0; k + 1 < ARRAY_SIZE(units); k++) {
		struct checker c = begin();

		for (i = 0; i < ARRAY_SIZE(units); i++)
			arrive(&c, units[i == k ? k + 1 : i == k + 1 ? k : i].text);
		checker_end(&c);
		assert_false(checker_is_clean(&sums));
		assert_true(sums.n[CHECKER_REORDERED] + sums.n[CHECKER_DOUBLED] >= 1);
	}
}

static void a_foreign_unit_is_found(void **state UNUSED)
{
	size_t i, k;

	for (k = 0; k <= ARRAY_SIZE(units); k++) {
		struct checker c = begin();

		for (i = 0; i <= ARRAY_SIZE(units); i++) {
			if (i == k)
				assert_int_equal(arrive(&c, "<advertisement>buy</advertisement>"),
						 CHECKER_FOREIGN);
			if (i < ARRAY_SIZE(units))
				assert_int_equal(arrive(&c, units[i].text), CHECKER_SAME);
		}
		checker_end(&c);
		assert_int_equal(sums.n[CHECKER_FOREIGN], 1);
		assert_false(checker_is_clean(&sums));
	}
}

/* What has not been sent yet cannot have arrived. */
static void units_of_the_future_are_foreign(void **state UNUSED)
{
	struct checker c = begin();

	c.sent = 0;
	assert_int_equal(arrive(&c, units[0].text), CHECKER_FOREIGN);
}

static void the_first_difference_is_shown_with_its_place(void **state UNUSED)
{
	only(9, "<message to='c@x'><body>tWo</body></message>");
	assert_int_equal(buf_add(&sums.first, "", 1), 0);
	assert_non_null(
		strstr((char *)sums.first.p, "session 0 c2s: unit 9 changed, first at byte 25"));
	assert_non_null(
		strstr((char *)sums.first.p, "- <message to='c@x'><body>two</body></message>"));
	assert_non_null(
		strstr((char *)sums.first.p, "+ <message to='c@x'><body>tWo</body></message>"));
}

static void percentiles_are_close(void **state UNUSED)
{
	static struct histogram h;
	uint64_t us;

	assert_int_equal(histogram_quantile(&h, 0.5), 0);
	for (us = 1; us <= 100000; us++)
		histogram_add(&h, us);
	assert_in_range(histogram_quantile(&h, 0.5), 50000, 52000);
	assert_in_range(histogram_quantile(&h, 0.99), 99000, 100000);
	assert_int_equal(histogram_quantile(&h, 1), 100000);
	for (us = 1; us < 1ull << 36; us *= 2) {
		h = (struct histogram){ .count = 0 };
		histogram_add(&h, us);
		assert_int_equal(histogram_quantile(&h, 0.5), us);
	}
	/* Bounds rise, and each value lies in its bucket. */
	for (us = 1; us < HISTOGRAM_BUCKETS; us++)
		assert_true(histogram_bound(us) > histogram_bound(us - 1));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_arrives_as_it_was_is_clean),
		cmocka_unit_test(known_edits_are_named),
		cmocka_unit_test(every_written_form_is_known),
		cmocka_unit_test(replies_and_features),
		cmocka_unit_test(foreign_edits_are_differences),
		cmocka_unit_test(a_flipped_byte_is_found_wherever_it_is),
		cmocka_unit_test(a_lost_unit_is_found),
		cmocka_unit_test(a_doubled_unit_is_found),
		cmocka_unit_test(swapped_units_are_found),
		cmocka_unit_test(a_foreign_unit_is_found),
		cmocka_unit_test(units_of_the_future_are_foreign),
		cmocka_unit_test(the_first_difference_is_shown_with_its_place),
		cmocka_unit_test(percentiles_are_close),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	checker_sums_fini(&sums);
	return rc;
}
