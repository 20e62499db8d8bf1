/* SPDX-License-Identifier: MIT */
/*
 * Covers offer: twins and stripping over whole offers, with the real outline and edits and
 * edit_check(). Every carrier and odd form over the wire: tests/integration/test_offers.py.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "thumbnail/offer.h"

#define FILE_NS "http://jabber.org/protocol/si/profile/file-transfer"
#define SI(inner)                                                                        \
	"<iq type='set'><si xmlns='http://jabber.org/protocol/si'><file xmlns='" FILE_NS \
	"'>" inner "</file></si></iq>"
#define OLD(attrs) "<thumbnail xmlns='urn:xmpp:thumbs:0' " attrs "/>"
#define NEW(attrs) "<thumbnail xmlns='urn:xmpp:thumbs:1' " attrs "/>"

static struct nsctx *ctx;
static struct arena *arena;

struct offer {
	struct outline outline;
	struct edits edits;
	struct filter_unit unit;
};

static void offer_read(struct offer *o, const char *xml)
{
	const struct outline_limits limits = { .depth = 64, .attributes = 100, .elements = 2000 };

	memset(o, 0, sizeof(*o));
	assert_int_equal(
		outline_parse(arena, ctx, (const uint8_t *)xml, strlen(xml), &limits, &o->outline),
		0);
	o->unit = (struct filter_unit){
		.kind = UNIT_IQ, .outline = &o->outline, .arena = arena, .edits = &o->edits
	};
}

/* The edits make this of it, and the check agrees. */
static void becomes(struct offer *o, const char *want)
{
	const struct outline_limits limits = { .depth = 64, .attributes = 100, .elements = 2000 };
	size_t len = edit_length(&o->edits, o->outline.len);
	uint8_t *out = arena_alloc(arena, len + 1);

	edit_apply(&o->edits, o->outline.bytes, o->outline.len, out);
	out[len] = '\0';
	assert_string_equal((char *)out, want);
	assert_int_equal(edit_check(&o->edits, arena, ctx, &o->outline, out, len, &limits), 0);
}

static void twins(const char *xml, unsigned n, const char *want)
{
	struct offer o;

	offer_read(&o, xml);
	assert_int_equal(offer_add_twins(&o.unit), n);
	becomes(&o, want);
	offer_read(&o, want);
	assert_int_equal(offer_add_twins(&o.unit), 0);
}

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag t;

	outline_setup();
	if (tag_read(&t, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	ctx = nsctx_of_header(&t);
	arena = arena_new(16u << 20);
	return ctx && arena ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	arena_free(&arena);
	nsctx_unref(&ctx);
	return 0;
}

static void values_keep_their_escaping(void **state UNUSED)
{
	twins(SI("<thumbnail xmlns='urn:xmpp:thumbs:0' cid=\"a&amp;b'@h\" mime-type='x/y; z=\"1\"' "
		 "width=\"&#49;2\"/>"),
	      1,
	      SI("<thumbnail xmlns='urn:xmpp:thumbs:0' cid=\"a&amp;b'@h\" mime-type='x/y; z=\"1\"' "
		 "width=\"&#49;2\"/>"
		 "<thumbnail xmlns='urn:xmpp:thumbs:1' uri=\"cid:a&amp;b'@h\" "
		 "media-type='x/y; z=\"1\"' width=\"&#49;2\"/>"));
	twins(SI(NEW("uri='CID:a@h' media-type='b/c'")), 1,
	      SI(NEW("uri='CID:a@h' media-type='b/c'") OLD("cid='a@h' mime-type='b/c'")));
	/* Equal once read, whatever the escaping: there is one already. */
	twins(SI(OLD("cid='a@h'") NEW("uri='c&#105;d:&#97;@h'")), 0,
	      SI(OLD("cid='a@h'") NEW("uri='c&#105;d:&#97;@h'")));
	twins(SI(NEW("uri='c&#105;d:a@h'")), 0, SI(NEW("uri='c&#105;d:a@h'")));
}

static void one_twin_each(void **state UNUSED)
{
	twins(SI(OLD("cid='a@h'") OLD("cid='a@h'") OLD("cid='b@h'")), 2,
	      SI(OLD("cid='a@h'") NEW("uri='cid:a@h'") OLD("cid='a@h'") OLD("cid='b@h'")
			 NEW("uri='cid:b@h'")));
	twins(SI(NEW("uri='http://h/'") NEW("uri='cid:a@h'") NEW("uri='cid:b@h'")), 1,
	      SI(NEW("uri='http://h/'") NEW("uri='cid:a@h'") OLD("cid='a@h'")
			 NEW("uri='cid:b@h'")));
	twins(SI(OLD("cid='a@h'") NEW("uri='cid:b@h'")), 1,
	      SI(OLD("cid='a@h'") NEW("uri='cid:a@h'") NEW("uri='cid:b@h'")));
}

static void attributes_are_capped(void **state UNUSED)
{
	static const struct {
		const char *before, *after;
		size_t fits;
	} rows[] = {
		{ "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='", "'/>", 1020 },
		{ "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:", "'/>", 1020 },
		{ "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='a@h' mime-type='", "'/>", 1024 },
	};
	char value[1100], xml[2048];
	struct offer o;
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (k = 0; k < 2; k++) {
			memset(value, 'a', sizeof(value));
			value[rows[i].fits + k] = '\0';
			snprintf(xml, sizeof(xml),
				 "<iq type='set'><si xmlns='http://jabber.org/protocol/si'>"
				 "<file xmlns='" FILE_NS "'>%s%s%s</file></si></iq>",
				 rows[i].before, value, rows[i].after);
			offer_read(&o, xml);
			assert_int_equal(offer_add_twins(&o.unit), k ? 0 : 1);
			assert_true(edit_length(&o.edits, 0) < 1200);
		}
}

static void sizes_that_are_no_unsigned_short(void **state UNUSED)
{
	static const char *const odd[] = { "-1", "65536", "123456", "", " 1", "1.5", "x" };
	char xml[512], want[600];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		snprintf(xml, sizeof(xml), SI(OLD("cid='a@h' width='%s' height='65535'")), odd[i]);
		snprintf(want, sizeof(want),
			 SI(OLD("cid='a@h' width='%s' height='65535'")
				    NEW("uri='cid:a@h' height='65535'")),
			 odd[i]);
		twins(xml, 1, want);
	}
}

static void encrypted_offers(void **state UNUSED)
{
	static const char *const signs[] = {
		"<security xmlns='urn:xmpp:jingle:security:xtls:0'/>",
		"<security xmlns='urn:xmpp:jingle:jet:0'/>",
		"<x xmlns='urn:xmpp:jingle:jet-omemo:0'/>",
		"<encrypted xmlns='urn:xmpp:omemo:2'/>",
		"<x xmlns='urn:xmpp:esfs:0'/>",
	};
	char xml[600];
	struct offer o;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signs); i++) {
		snprintf(xml, sizeof(xml), SI(OLD("cid='a@h'") "</file>%s<file>"), signs[i]);
		offer_read(&o, xml);
		assert_true(offer_is_encrypted(&o.outline));
		assert_int_equal(offer_add_twins(&o.unit), 0);
	}
	offer_read(&o, SI(OLD("cid='a@h'")));
	assert_false(offer_is_encrypted(&o.outline));
}

static void stripping(void **state UNUSED)
{
	struct offer o;

	offer_read(&o, SI("<desc>x</desc>" OLD("cid='a@h'") " " NEW("uri='cid:b@h'") "<range/>"));
	assert_int_equal(offer_strip(&o.unit), 2);
	becomes(&o, SI("<desc>x</desc> <range/>"));
	/* One inside another goes with it, once. */
	offer_read(&o, SI("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='a'>" OLD("cid='a@h'")
				  OLD("cid='b@h'") "</thumbnail>" OLD("cid='c@h'")));
	assert_int_equal(offer_strip(&o.unit), 2);
	becomes(&o, SI(""));
	offer_read(&o, SI("<thumbnail xmlns='urn:other'/>"));
	assert_int_equal(offer_strip(&o.unit), 0);
	assert_int_equal(o.edits.count, 0);
}

static void without_memory(void **state UNUSED)
{
	struct arena *whole = arena, *small;
	struct offer o;

	offer_read(&o, SI(OLD("cid='a@h'")));
	small = arena_new(1);
	o.unit.arena = small;
	assert_int_equal(offer_add_twins(&o.unit), 0);
	assert_int_equal(offer_strip(&o.unit), ERR_NOMEM);
	arena_free(&small);
	arena = whole;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_keep_their_escaping),
		cmocka_unit_test(one_twin_each),
		cmocka_unit_test(attributes_are_capped),
		cmocka_unit_test(sizes_that_are_no_unsigned_short),
		cmocka_unit_test(encrypted_offers),
		cmocka_unit_test(stripping),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
