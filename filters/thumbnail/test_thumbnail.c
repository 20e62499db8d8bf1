/* SPDX-License-Identifier: MIT */
/*
 * Covers the filter thumbnail with the real chain, outline and edits, and a faked host: one
 * stanza for every row of the encryption and eligibility tables, the written form, failures
 * and second addresses. The chain itself is in tests/unit/test_chain.c.
 */
#include "config.h"

#include "unit.h"

#include "base/base64.h"
#include "filter/chain.h"
#include "thumbnail/encrypted.h"
#include "thumbnail/source.h"
#include "xmpp/ns.h"

#define OOB(inner) "<x xmlns='jabber:x:oob'>" inner "</x>"
#define URL        "<url>http://h.example/a.png</url>"
#define MSG(inner) "<message to='b@h'>" inner "</message>"
#define PIC        OOB(URL)

static struct conf *conf;
static struct nsctx *ctx;
static struct chain *chain;
static struct {
	int count;
	bool refuse;
	struct job last;
	char url[JOB_URL_MAX + 1];
	char declared[256];
} asked;

static bool fake_start_job(void *c UNUSED, struct filter_unit *u UNUSED, const struct job *job)
{
	asked.count++;
	asked.last = *job;
	snprintf(asked.url, sizeof(asked.url), "%s", job->url);
	snprintf(asked.declared, sizeof(asked.declared), "%s", job->declared);
	return !asked.refuse;
}

static const struct filter_host host = { .start_job = fake_start_job };

static struct chain_input input(const char *xml, enum lane_dir dir)
{
	return (struct chain_input){ .kind = UNIT_MESSAGE,
				     .dir = dir,
				     .bytes = (const uint8_t *)xml,
				     .len = strlen(xml),
				     .ctx = ctx,
				     .from = "romeo@montague.net/orchard",
				     .max_final = 60 * 1024 };
}

static enum chain_result run(const char *xml, struct chain_unit **out)
{
	struct chain_input in = input(xml, LANE_C2S);

	memset(&asked.last, 0, sizeof(asked.last));
	asked.count = 0;
	return chain_run(chain, &in, out);
}

/* No job, nothing changed. */
static void left_alone(const char *xml)
{
	struct chain_unit *u;

	if (run(xml, &u) != CHAIN_PASS || asked.count)
		fail_msg("not left alone: %s", xml);
	assert_null(u);
}

static void asks_for(const char *xml, const char *url)
{
	struct chain_unit *u;

	if (run(xml, &u) != CHAIN_WAIT || asked.count != 1)
		fail_msg("no job for: %s", xml);
	assert_string_equal(asked.url, url);
	chain_unit_free(&u);
}

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;
	struct conf_listen *listen;

	outline_setup();
	conf = conf_new();
	listen = conf_add_listen(conf, "main");
	if (!conf || !listen || !conf_link(conf))
		return -1;
	conf->profiles[0].formats = 1u << CONF_FORMAT_IBB;
	if (tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	ctx = nsctx_of_header(&tag);
	chain = chain_new(conf, conf_listen_find(conf, "main"), &host);
	return chain ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	chain_free(&chain);
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}

static void every_sign_of_encryption(void **state UNUSED)
{
	static const char *const signs[] = {
		MSG(PIC "<e2e xmlns='urn:ietf:params:xml:ns:xmpp-e2e'>x</e2e>"),
		MSG(PIC "<x xmlns='jabber:x:encrypted'>x</x>"),
		MSG("<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>" PIC),
		MSG(PIC "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"),
		MSG(PIC "<encrypted xmlns='urn:xmpp:omemo:0'/>"),
		MSG(PIC "<encrypted xmlns='urn:xmpp:omemo:1'/>"),
		MSG(PIC "<encrypted xmlns='urn:xmpp:omemo:2'/>"),
		MSG(PIC "<encrypted xmlns='urn:unheard:of'/>"),
		MSG(PIC "<p:encrypted xmlns:p='urn:unheard:of'/>"),
		MSG(PIC "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/>"),
		MSG(PIC "<file-sharing xmlns='urn:xmpp:sfs:0'><sources><encrypted "
			"xmlns='urn:xmpp:esfs:0'/></sources></file-sharing>"),
		MSG(PIC
		    "<sources xmlns='urn:xmpp:sfs:0'><e:key xmlns:e='urn:xmpp:esfs:0'/></sources>"),
		MSG("<body>?OTRv23?</body>" PIC),
		MSG(PIC "<body>\n-----BEGIN PGP MESSAGE-----\n\nhQEMA</body>"),
		MSG(PIC "<body xml:lang='en'>hi</body><body>AESGCM://h/a.jpg#00</body>"),
		MSG(PIC "<encryption xmlns='urn:xmpp:eme:1' namespace='urn:unheard:of'/>"),
		MSG(PIC "<openpgp xmlns='urn:xmpp:openpgp:1'/>"),
		MSG(PIC "<a xmlns='urn:a'><b xmlns='urn:xmpp:esfs:7'/></a>"),
		MSG(OOB("<url encrypted='true'>http://h/a.png</url>")),
		MSG(OOB("<url encrypted='TRUE'>http://h/a.png</url>")),
		MSG(OOB("<url encrypted='1'>http://h/a.png</url>")),
		MSG(OOB("<url>aesgcm://h/a.png#00</url>")),
		MSG(OOB("<url>xmpp:a@b</url>")),
		MSG(OOB("<url>cid:sha1+00@bob.xmpp.org</url>")),
		MSG(OOB("<url>data:image/png;base64,AA</url>")),
		MSG(OOB("<url>ftp://h/a.png</url>")),
		MSG(OOB("<url>h.example/a.png</url>")),
		MSG(OOB("<url></url>")),
		MSG(OOB("<url>https://h/a.jpg#0123456789abcdef01234567</url>")),
		MSG(OOB("<url>https://h/a.jpg#</url>")),
		MSG(OOB("<url>https://h/a.jpg.pgp</url>")),
		MSG(OOB("<url>https://h/a.jpg.PGP?x=1</url>")),
		MSG(OOB("<url type='application/pgp-encrypted'>http://h/a</url>")),
		/* One marked address spoils the message, wherever it stands. */
		MSG(PIC OOB("<url encrypted='true'>http://h/b.png</url>")),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(signs); i++)
		left_alone(signs[i]);
}

static void not_a_sign_of_encryption(void **state UNUSED)
{
	asks_for(MSG(PIC "<x xmlns='jabber:x:signed'>x</x>"), "http://h.example/a.png");
	asks_for(MSG("<body>(encrypted)</body>" PIC), "http://h.example/a.png");
	asks_for(MSG(PIC "<request xmlns='urn:xmpp:receipts'/>"), "http://h.example/a.png");
	asks_for(MSG(OOB("<url encrypted='false'>http://h/a.png</url>")), "http://h/a.png");
}

static void not_eligible(void **state UNUSED)
{
	static const char *const stanzas[] = {
		"<message type='error'>" PIC "</message>",
		"<message type='future'>" PIC "</message>",
		MSG("<forwarded xmlns='urn:xmpp:forward:0'><message>" PIC "</message></forwarded>"),
		MSG("<received xmlns='urn:xmpp:carbons:2'><forwarded "
		    "xmlns='urn:xmpp:forward:0'><message>" PIC "</message></forwarded></received>"),
		MSG("<result xmlns='urn:xmpp:mam:2'><forwarded "
		    "xmlns='urn:xmpp:forward:0'><message>" PIC "</message></forwarded></result>"),
		MSG("<event xmlns='http://jabber.org/protocol/pubsub#event'><items><item>" PIC
		    "</item></items></event>"),
		MSG("<body>jabber:x:oob</body>"),
		MSG("<x xmlns='jabber:x:oob'/>"),
		MSG("<x xmlns='jabber:x:oob'><desc>http://h/a.png</desc></x>"),
		MSG("<x xmlns='jabber:x:oob'><url xmlns='urn:other'>http://h/a.png</url></x>"),
		MSG("<query xmlns='jabber:iq:oob'><url>http://h/a.png</url></query><y "
		    "xmlns='jabber:x:oob'/>"),
		"<message xml:lang='jabber:x:oob'/>",
		/* hints */
		MSG(OOB("<url type='text/plain'>http://h/a.png</url>")),
		MSG(OOB("<url type='application/octet-stream'>http://h/a.png</url>")),
		MSG(OOB("<url type='video/mp4'>http://h/a.png</url>")),
		MSG(OOB("<url length='10485761'>http://h/a.png</url>")),
		MSG(OOB("<url length='99999999999999999999999'>http://h/a.png</url>")),
		MSG(OOB("<url>http://h/a b.png</url>")),
		/* a thumbnail is there */
		MSG(PIC "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='x' "
			"type='image/png'>AA==</data>"),
		MSG(PIC "<data xmlns='urn:xmpp:bob' type='image/jpeg'>AA==</data>"),
		MSG(PIC "<data xmlns='urn:xmpp:bob'>AA==</data>"),
		MSG(PIC "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='x'/>"),
		MSG(PIC "<a xmlns='urn:a'><thumbnail xmlns='urn:xmpp:thumbs:1' "
			"uri='data:image/png;base64,AA=='/></a>"),
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(stanzas); i++)
		left_alone(stanzas[i]);
}

static void too_long_an_address(void **state UNUSED)
{
	char xml[JOB_URL_MAX + 200], url[JOB_URL_MAX + 2] = "http://h/";

	memset(url + 9, 'a', JOB_URL_MAX - 9);
	snprintf(xml, sizeof(xml), MSG(OOB("<url>%s</url>")), url);
	asks_for(xml, url);
	url[JOB_URL_MAX] = 'a';
	snprintf(xml, sizeof(xml), MSG(OOB("<url>%s</url>")), url);
	left_alone(xml);
}

static void eligible(void **state UNUSED)
{
	static const char *const types[] = { "normal", "chat", "groupchat", "headline" };
	char xml[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		snprintf(xml, sizeof(xml), "<message type='%s'>" PIC "</message>", types[i]);
		asks_for(xml, "http://h.example/a.png");
	}
	asks_for(MSG("<o:x xmlns:o='jabber:x:oob'><o:url>http://h/p.png</o:url></o:x>"),
		 "http://h/p.png");
	asks_for("<message to=\"b@h\"><x xmlns=\"jabber:x:oob\"><url>\n "
		 "HTTPS://h/q.png\t</url></x></message>",
		 "HTTPS://h/q.png");
	asks_for(MSG(OOB("<url>http://h/?a=1&amp;b=2&#x26;c</url>")), "http://h/?a=1&b=2&c");
	asks_for(MSG(OOB("<url><![CDATA[http://h/c.png]]></url>")), "http://h/c.png");
	asks_for(MSG("<body>look: http://h/a.png</body>" OOB("<url>http://h/a.png</url>")),
		 "http://h/a.png");
	asks_for(MSG(OOB("<url type='image/jpeg' length='183422'>http://h/k</url>")), "http://h/k");
	assert_string_equal(asked.declared, "image/jpeg");
	asks_for(MSG(OOB("<url type='IMAGE/JPG; x=y' length='nonsense'>http://h/k</url>")),
		 "http://h/k");
	asks_for(MSG(PIC "<data xmlns='urn:xmpp:bob' type='text/plain'>AA==</data>"),
		 "http://h.example/a.png");
	asks_for("<message xmlns='jabber:server'>" PIC "</message>", "http://h.example/a.png");
	assert_int_equal(asked.last.width, 128);
	assert_int_equal(asked.last.height, 128);
	assert_int_equal(asked.last.max_bytes, 8192);
	assert_false(asked.last.cached_only);
	assert_false(asked.last.no_store);
}

static void history_and_hints(void **state UNUSED)
{
	asks_for(MSG(PIC "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"),
		 "http://h.example/a.png");
	assert_true(asked.last.cached_only);
	asks_for(MSG(PIC "<x xmlns='jabber:x:delay'/>"), "http://h.example/a.png");
	assert_true(asked.last.cached_only);
	asks_for(MSG(PIC "<no-store xmlns='urn:xmpp:hints'/>"), "http://h.example/a.png");
	assert_true(asked.last.no_store);
	asks_for(MSG(PIC "<no-permanent-store xmlns='urn:xmpp:hints'/>"), "http://h.example/a.png");
	assert_true(asked.last.no_store);
}

static const uint8_t png[70] = "\x89PNG\r\n\x1a\n";

static struct job_result result(void)
{
	return (struct job_result){ .status = JOB_OK,
				    .format = PICTURE_PNG,
				    .width = 4,
				    .height = 3,
				    .media_format = PICTURE_JPEG,
				    .bytes = png,
				    .len = sizeof(png) };
}

/*
 * Format ibb (setup), as in the seed: the original, then exactly one element in front of the
 * end tag.
 */
static void the_written_form(void **state UNUSED)
{
	static const char xml[] =
		"<message from='romeo@montague.net/orchard' id='dsw71gj3' "
		"to='juliet@capulet.com/balcony'>"
		"<x xmlns='jabber:x:oob'><url "
		"type='image/png'>http://prime.kontalk.net/media/f</url></x></message>";
	static const char head[] =
		"<data xmlns='http://jabber.org/protocol/ibb' seq='0' type='image/png' sid='";
	char base64[BASE64_LEN(sizeof(png)) + 1] = "", sids[2][64];
	const size_t cut = strlen(xml) - strlen("</message>");
	struct job_result r = result();
	struct chain_unit *u;
	const char *p;
	size_t len, n;
	int i;

	base64_print(base64, png, sizeof(png));
	for (i = 0; i < 2; i++) {
		assert_int_equal(run(xml, &u), CHAIN_WAIT);
		assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
		p = (const char *)chain_unit_bytes(u, &len);
		assert_memory_equal(p, xml, cut);
		assert_memory_equal(p + cut, head, strlen(head));
		p += cut + strlen(head);
		n = (size_t)((const char *)memchr(p, '\'', 60) - p);
		assert_in_range(n, 12, 60);
		assert_true(p[0] >= 'a' && p[0] <= 'z');
		assert_int_equal(strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789"), n);
		snprintf(sids[i], sizeof(sids[i]), "%.*s", (int)n, p);
		p += n;
		assert_memory_equal(p, "'>", 2);
		assert_memory_equal(p + 2, base64, strlen(base64));
		assert_memory_equal(p + 2 + strlen(base64), "</data></message>", 17);
		assert_int_equal(len, cut + strlen(head) + n + 2 + strlen(base64) + 17);
		chain_unit_free(&u);
	}
	assert_string_not_equal(sids[0], sids[1]);
}

static void the_first_usable_picture_wins(void **state UNUSED)
{
	static const char xml[] = MSG(OOB("<url>http://h/1</url>") OOB("<url>http://h/2</url>")
					      OOB("<url>http://h/3</url>"));
	struct job_result bad = { .status = JOB_NOT_PICTURE }, r = result();
	struct chain_unit *u;

	assert_int_equal(run(xml, &u), CHAIN_WAIT);
	assert_string_equal(asked.url, "http://h/1");
	assert_int_equal(chain_unit_result(u, &bad), CHAIN_WAIT);
	assert_string_equal(asked.url, "http://h/2");
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	chain_unit_free(&u);
	/* limits.urls is 2: the third is not tried. */
	assert_int_equal(run(xml, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &bad), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &bad), CHAIN_PASS);
	assert_int_equal(asked.count, 2);
	chain_unit_free(&u);
}

static void own_trouble_ends_it(void **state UNUSED)
{
	static const char xml[] = MSG(OOB("<url>http://h/1</url>") OOB("<url>http://h/2</url>"));
	static const enum job_status own[] = { JOB_DEADLINE, JOB_OVERLOAD, JOB_RATE,
					       JOB_UNAVAILABLE };
	struct chain_unit *u;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(own); i++) {
		struct job_result bad = { .status = own[i] };

		assert_int_equal(run(xml, &u), CHAIN_WAIT);
		assert_int_equal(chain_unit_result(u, &bad), CHAIN_PASS);
		assert_int_equal(asked.count, 1);
		chain_unit_free(&u);
	}
	asked.refuse = true; /* media away */
	assert_int_equal(run(xml, &u), CHAIN_PASS);
	assert_null(u);
	asked.refuse = false;
}

static void too_big_a_result_is_left_out(void **state UNUSED)
{
	struct chain_input in = input(MSG(PIC), LANE_C2S);
	struct job_result r = result();
	struct chain_unit *u;

	in.max_final = in.len + 150;
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	chain_unit_free(&u);
	in.max_final = in.len + 300;
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	chain_unit_free(&u);
}

static void directions_and_default_action(void **state UNUSED)
{
	struct chain_unit *u;

	assert_int_equal(chain_wants(chain, LANE_C2S, UNIT_MESSAGE, IQ_NONE, NULL), CHAIN_YES);
	assert_int_equal(chain_wants(chain, LANE_S2C, UNIT_MESSAGE, IQ_NONE, NULL), CHAIN_NO);
	assert_int_equal(chain_wants(chain, LANE_C2S, UNIT_IQ, IQ_SET, NULL), CHAIN_NO);
	assert_int_equal(chain_wants(chain, LANE_C2S, UNIT_PRESENCE, IQ_NONE, NULL), CHAIN_NO);
	assert_true(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE, (const uint8_t *)NS_OOB,
				     strlen(NS_OOB)));
	assert_false(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE, (const uint8_t *)"jabber:x:oo",
				      11));
	conf->default_action = CONF_ACTION_PASS;
	assert_int_equal(run(MSG(PIC), &u), CHAIN_PASS);
	assert_int_equal(asked.count, 0);
	conf->default_action = CONF_ACTION_THUMBNAIL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sign_of_encryption),
		cmocka_unit_test(not_a_sign_of_encryption),
		cmocka_unit_test(not_eligible),
		cmocka_unit_test(too_long_an_address),
		cmocka_unit_test(eligible),
		cmocka_unit_test(history_and_hints),
		cmocka_unit_test(the_written_form),
		cmocka_unit_test(the_first_usable_picture_wins),
		cmocka_unit_test(own_trouble_ends_it),
		cmocka_unit_test(too_big_a_result_is_left_out),
		cmocka_unit_test(directions_and_default_action),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
