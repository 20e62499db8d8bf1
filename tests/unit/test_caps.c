/* SPDX-License-Identifier: MIT */
/*
 * Covers caps: the vectors of XEP-0115, XEP-0390 and protocol.md 5.5, order, escaping, forms,
 * ill-formed sets.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "xmpp/caps.h"

#define INFO "http://jabber.org/protocol/disco#info"
#define OLD  "http://www.kontalk.org/extensions/message#upload"
#define NEW  "http://kontalk.org/extensions/message#upload"
#define BASE                                                     \
	"<identity category='server' type='im' name='kontalk'/>" \
	"<feature var='http://jabber.org/protocol/disco#items'/><feature var='" INFO "'/>"

static struct arena *arena;
static struct nsctx *ctx;

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;

	outline_setup();
	if (tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	ctx = nsctx_of_header(&tag);
	arena = arena_new(8 * 1024 * 1024);
	return ctx && arena ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	arena_free(&arena);
	nsctx_unref(&ctx);
	return 0;
}

static int read_query(struct caps *c, const char *content)
{
	const struct outline_limits limits = { 64, 100, 2000 };
	char *xml = arena_printf(arena, "<iq type='result'><query xmlns='" INFO "'>%s</query></iq>",
				 content);
	static struct outline o;

	assert_non_null(xml);
	assert_int_equal(outline_parse(arena, ctx, (const uint8_t *)xml, strlen(xml), &limits, &o),
			 0);
	return caps_read(c, arena, &o, 1);
}

static void is(struct caps *c, enum caps_algo algo, const char *want)
{
	char text[CAPS_HASH_MAX];

	assert_int_equal(caps_hash(c, algo, text), 0);
	assert_string_equal(text, want);
}

static void vectors_of_the_upload_filter(void **state UNUSED)
{
	struct caps c;

	assert_int_equal(read_query(&c, BASE), 0);
	is(&c, CAPS_115_SHA1, "rQKXEDR8CgNLIDBdqueouVugvDI=");
	is(&c, CAPS_390_SHA256, "CgAnIGinc6RKRmZdHlYZEBtGOjru+gsn0AQtWNX4D+o=");
	assert_int_equal(caps_add_feature(&c, OLD), 0);
	is(&c, CAPS_115_SHA1, "6EYuKfTYOcl532j8nIjszByApIg=");
	is(&c, CAPS_390_SHA256, "SLgTgSH9/WI5RYwLYZ9MtTfPfv9PU/530HCy4D73oUQ=");
	assert_int_equal(caps_add_feature(&c, NEW), 0);
	is(&c, CAPS_115_SHA1, "a9nQ5AktwWaYKH0kgETB1xgHD9E=");
	is(&c, CAPS_390_SHA256, "fqs3EqZ+/tds8vlBpr3VrK7ipbmh5imO6cexxm6kpcA=");
}

/* XEP-0115 5.2 and 5.3. */
static void vectors_of_xep_0115(void **state UNUSED)
{
	struct caps c;

	assert_int_equal(
		read_query(&c, "<identity category='client' type='pc' name='Exodus 0.9.1'/>"
			       "<feature var='http://jabber.org/protocol/caps'/><feature var='" INFO
			       "'/><feature var='http://jabber.org/protocol/disco#items'/>"
			       "<feature var='http://jabber.org/protocol/muc'/>"),
		0);
	is(&c, CAPS_115_SHA1, "QgayPKawpkPSDYmwT/WM94uAlu0=");
	assert_int_equal(
		read_query(&c,
			   "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>"
			   "<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>"
			   "<feature var='http://jabber.org/protocol/caps'/><feature var='" INFO
			   "'/><feature var='http://jabber.org/protocol/disco#items'/>"
			   "<feature var='http://jabber.org/protocol/muc'/>"
			   "<x xmlns='jabber:x:data' type='result'>"
			   "<field var='FORM_TYPE' "
			   "type='hidden'><value>urn:xmpp:dataforms:softwareinfo"
			   "</value></field><field var='ip_version' "
			   "type='text-multi'><value>ipv4</value>"
			   "<value>ipv6</value></field><field var='os'><value>Mac</value></field>"
			   "<field var='os_version'><value>10.5.1</value></field>"
			   "<field var='software'><value>Psi</value></field>"
			   "<field var='software_version'><value>0.11</value></field></x>"),
		0);
	is(&c, CAPS_115_SHA1, "q07IKJEyjvHSyhy//CH0CxmKi8w=");
}

/* XEP-0390 5.1. */
static void vector_of_xep_0390(void **state UNUSED)
{
	struct caps c;

	assert_int_equal(
		read_query(&c,
			   "<identity category='client' name='BombusMod' type='mobile'/>"
			   "<feature var='http://jabber.org/protocol/si'/>"
			   "<feature var='http://jabber.org/protocol/bytestreams'/>"
			   "<feature var='http://jabber.org/protocol/chatstates'/>"
			   "<feature var='" INFO "'/>"
			   "<feature var='http://jabber.org/protocol/disco#items'/>"
			   "<feature var='urn:xmpp:ping'/><feature var='jabber:iq:time'/>"
			   "<feature var='jabber:iq:privacy'/><feature var='jabber:iq:version'/>"
			   "<feature var='http://jabber.org/protocol/rosterx'/>"
			   "<feature var='urn:xmpp:time'/><feature var='jabber:x:oob'/>"
			   "<feature var='http://jabber.org/protocol/ibb'/>"
			   "<feature var='http://jabber.org/protocol/si/profile/file-transfer'/>"
			   "<feature var='urn:xmpp:receipts'/><feature var='jabber:iq:roster'/>"
			   "<feature var='jabber:iq:last'/>"),
		0);
	is(&c, CAPS_390_SHA256, "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=");
	is(&c, CAPS_390_SHA3_256, "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q=");
	/* Of the same set, computed with Python's hashlib. */
	is(&c, CAPS_390_SHA1, "zkwogI8zTfQzkDxVOTYYX6IA80g=");
	is(&c, CAPS_390_SHA512,
	   "Jgf678SaWHEy58b+BvQ0mLKirEmyB36OvtHZXxMN9b0ooGX6iBI+cw97ekAdV9VBzL3g/"
	   "Z3azzavKWe9oic9Fw==");
	is(&c, CAPS_390_SHA3_512,
	   "uZ86Lyuus8v3c8MQY8AqK1m/2qjj4BPaDE65vYblFe4cxQD4XeYVRC5qJZ6bpe89+/"
	   "GYNMxCLg8KIKMZ79Yzzw==");
	is(&c, CAPS_390_BLAKE2B_256, "2KmRi7KnEZXxIhhASXGRFad6XmCSjHaCYZiopMSYIoI=");
	is(&c, CAPS_390_BLAKE2B_512,
	   "0wzk7P87XmruSA/5Vgfxyd2yh4R2rR81O5mQGBL4eFsEY2eft691F8iVp+jfwRjk/"
	   "Rdx1R1GG3J1ewGC6ilJcg==");
}

static void names_of_algorithms(void **state UNUSED)
{
	static const char *const names[] = { "sha-1",    "sha-256",     "sha-512",    "sha3-256",
					     "sha3-512", "blake2b-256", "blake2b-512" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(caps_algo_name(caps_390_algo(names[i])), names[i]);
	assert_int_equal(caps_390_algo("sha-2"), CAPS_ALGO_COUNT);
	assert_int_equal(caps_390_algo("sha-1 "), CAPS_ALGO_COUNT);
	assert_int_equal(caps_390_algo(""), CAPS_ALGO_COUNT);
	assert_string_equal(caps_algo_name(CAPS_115_SHA1), "sha-1");
}

static void ill_formed_and_odd(void **state UNUSED)
{
	char text[CAPS_HASH_MAX];
	struct caps c;

	assert_int_equal(read_query(&c, "<feature var='a'/><feature var='b'/><feature var='a'/>"),
			 ERR_SYNTAX);
	assert_int_equal(read_query(&c, "<identity category='a' type='b'/><identity category='a' "
					"type='b'/>"),
			 ERR_SYNTAX);
	assert_int_equal(read_query(&c, "<feature var='a'/><odd xmlns='urn:o'/>"), 0);
	assert_int_equal(caps_hash(&c, CAPS_390_SHA256, text), ERR_UNSUPPORTED);
	assert_int_equal(caps_hash(&c, CAPS_115_SHA1, text), 0);
	assert_true(caps_has_feature(&c, "a"));
	assert_false(caps_has_feature(&c, "aa"));
}

/* ejabberd answers with xml:lang on the <iq/>: XEP-0115 counts the identity's own alone. */
static void languages(void **state UNUSED)
{
	static const char text[] =
		"<iq type='result' xml:lang='en'><query xmlns='" INFO "'>" BASE "</query></iq>";
	const struct outline_limits limits = { 64, 100, 2000 };
	char own[CAPS_HASH_MAX], scoped[CAPS_HASH_MAX];
	struct outline o;
	struct caps c;

	assert_int_equal(
		outline_parse(arena, ctx, (const uint8_t *)text, sizeof(text) - 1, &limits, &o), 0);
	assert_int_equal(caps_read(&c, arena, &o, 1), 0);
	is(&c, CAPS_115_SHA1, "rQKXEDR8CgNLIDBdqueouVugvDI=");
	assert_int_equal(caps_hash(&c, CAPS_390_SHA256, scoped), 0);
	assert_int_equal(read_query(&c,
				    "<identity xml:lang='en' category='server' type='im' "
				    "name='kontalk'/><feature var='" INFO
				    "'/><feature var='http://jabber.org/protocol/disco#items'/>"),
			 0);
	assert_int_equal(caps_hash(&c, CAPS_390_SHA256, own), 0);
	assert_string_equal(own, scoped);
}

/* What looks like the end of a value in XEP-0115 is not one. */
static void values_are_escaped(void **state UNUSED)
{
	char a[CAPS_HASH_MAX], b[CAPS_HASH_MAX];
	struct caps c;

	assert_int_equal(read_query(&c, "<feature var='x&lt;y'/>"), 0);
	assert_int_equal(caps_hash(&c, CAPS_115_SHA1, a), 0);
	assert_int_equal(read_query(&c, "<feature var='x'/><feature var='y'/>"), 0);
	assert_int_equal(caps_hash(&c, CAPS_115_SHA1, b), 0);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_upload_filter),
		cmocka_unit_test(vectors_of_xep_0115),
		cmocka_unit_test(vector_of_xep_0390),
		cmocka_unit_test(names_of_algorithms),
		cmocka_unit_test(ill_formed_and_odd),
		cmocka_unit_test(languages),
		cmocka_unit_test(values_are_escaped),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
