/* SPDX-License-Identifier: MIT */
/*
 * Covers source.c and encrypted.c where pictures are not found in jabber:x:oob: SIMS, SFS, links,
 * and messages inside others; and what real clients send (clients.md 1), which passes or is
 * enriched without a double. The rest of both is in test_thumbnail.c.
 */
#include "config.h"

#include "unit.h"

#include "thumbnail/formats.h"
#include "thumbnail/source.h"
#include "thumbnail/test_filter.h"

#define EVERY (((1u << CONF_FORMAT_COUNT) - 1) & ~FORMAT(HTTP))

#define SIMS_OF(file, url)                                                                  \
	"<reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing "               \
	"xmlns='urn:xmpp:sims:1'>" file "<sources><reference xmlns='urn:xmpp:reference:0' " \
	"type='data' uri='" url "'/></sources></media-sharing></reference>"
#define SFS_OF(file, url)                                                                       \
	"<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'>" file "<sources><url-data " \
	"xmlns='http://jabber.org/protocol/url-data' target='" url "'/></sources></file-sharing>"
#define FT(inner) "<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'>" inner "</file>"
#define FM(inner) "<file xmlns='urn:xmpp:file:metadata:0'>" inner "</file>"
#define THUMBHASH                                                      \
	"<thumbnail xmlns='urn:xmpp:thumbs:1' type='image/thumbhash' " \
	"uri='data:image/thumbhash;base64,AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA'/>"
#define ELSE "https://else.example/b.png"

static void asks(const char *xml, enum lane_dir dir, const char *url)
{
	struct chain_unit *u;

	if (run_dir(xml, dir, &u) != CHAIN_WAIT || asked.count != 1)
		fail_msg("no job for: %s", xml);
	assert_string_equal(asked.url, url);
	chain_unit_free(&u);
}

/* What leaves holds these, and all of what came. */
static char *enriched(const char *xml, uint32_t formats)
{
	char *text;

	set_formats(formats);
	text = written_c2s(xml);
	if (!text)
		fail_msg("not enriched: %s", xml);
	return text;
}

static void shared_media_without_oob(void **state UNUSED)
{
	set_formats(FORMAT(IBB));
	asks(MSG(SIMS_OF(FT(""), URL)), LANE_C2S, URL);
	asks(MSG(SFS_OF(FM(""), URL)), LANE_C2S, URL);
	asks(MSG(SFS_OF(FM("<media-type>image/png</media-type><size>99</size>"), URL)), LANE_C2S,
	     URL);
	/* Any version of file transfer, and the http source among others. */
	asks(MSG("<reference xmlns='urn:xmpp:reference:0' type='data' begin='0' end='4' "
		 "uri='" URL "'><media-sharing xmlns='urn:xmpp:sims:1'><file "
		 "xmlns='urn:xmpp:jingle:apps:file-transfer:3'/><sources><reference "
		 "xmlns='urn:xmpp:reference:0' type='data' "
		 "uri='xmpp:romeo@montague.lit/o?jingle-ft'/><reference "
		 "xmlns='urn:xmpp:reference:0' type='data' uri='" URL
		 "'/></sources></media-sharing></reference>"),
	     LANE_C2S, URL);
	/* Hints and what is none. */
	left_alone(MSG(SFS_OF(FM("<media-type>video/mp4</media-type>"), URL)), LANE_C2S);
	left_alone(MSG(SFS_OF(FM("<size>10485761</size>"), URL)), LANE_C2S);
	left_alone(MSG(SIMS_OF(FT("<media-type>text/plain</media-type>"), URL)), LANE_C2S);
	left_alone(MSG(SIMS_OF(FT(""), "xmpp:a@b?jingle-ft")), LANE_C2S);
	left_alone(MSG(SIMS_OF("", URL)), LANE_C2S); /* no file */
	left_alone(MSG("<reference xmlns='urn:xmpp:reference:0' uri='" URL
		       "'/><x xmlns='urn:xmpp:sims:1'/>"),
		   LANE_C2S);
	left_alone(MSG("<a xmlns='urn:a'>" SFS_OF(FM(""), URL) "</a>"), LANE_C2S);
	/* A host in disguise would pass rules that name it. */
	left_alone(MSG(OOB("<url>https://%75p.montague.lit/a1/summit.png</url>")), LANE_C2S);
	left_alone(MSG(SFS_OF(FM(""), "https:///up.montague.lit/a.png")), LANE_C2S);
	/* What one place says of the address counts for the others. */
	left_alone(MSG(PIC SFS_OF(FM("<media-type>video/mp4</media-type>"), URL)), LANE_C2S);
	left_alone(MSG(PIC SIMS_OF(FT("<size>10485761</size>"), URL) SFS_OF(FM(""), URL)),
		   LANE_C2S);
	left_alone(MSG("<x xmlns='jabber:x:oob'><url type='application/octet-stream'>" URL
		       "</url></x>" SFS_OF(FM("<media-type>image/png</media-type>"), URL)),
		   LANE_C2S);
	asks(MSG(PIC SFS_OF(FM("<media-type>video/mp4</media-type>"), URL) SFS_OF(FM(""), ELSE)),
	     LANE_C2S, ELSE);
	/* The same address twice is asked for once; limits.urls holds. */
	asks(MSG(PIC SIMS_OF(FT(""), URL) SFS_OF(FM(""), URL)), LANE_C2S, URL);
}

static void encrypted_sources(void **state UNUSED)
{
	left_alone(MSG(PIC SIMS_OF(FT(""), "aesgcm://h/a#00")), LANE_C2S);
	left_alone(MSG(SIMS_OF(FT(""), URL "#0123")), LANE_C2S);
	left_alone(MSG(SFS_OF(FM(""), URL ".pgp")), LANE_C2S);
	left_alone(MSG(SFS_OF(FM(""), URL) "<encrypted xmlns='urn:any'/>"), LANE_C2S);
	left_alone(MSG("<file-sharing xmlns='urn:xmpp:sfs:0'>" FM(
			   "") "<sources><encrypted xmlns='urn:xmpp:esfs:0'><sources "
			       "xmlns='urn:xmpp:sfs:0'><url-data "
			       "xmlns='http://jabber.org/protocol/url-data' target='" URL
			       "'/></sources></encrypted></sources></file-sharing>"),
		   LANE_C2S);
}

static void a_thumbnail_goes_into_the_file_that_is_there(void **state UNUSED)
{
	char *text =
		enriched(MSG(SIMS_OF(FT("<name>n</name>"), URL) SFS_OF(FM("<name>n</name>"), URL)),
			 FORMAT(SIMS) | FORMAT(SFS));

	assert_int_equal(times(text, "<media-sharing"), 1);
	assert_int_equal(times(text, "<file-sharing"), 1);
	assert_int_equal(times(text, "<fallback"), 0);
	assert_non_null(strstr(text, "<name>n</name><thumbnail xmlns='urn:xmpp:thumbs:1' "
				     "uri='data:image/thumbhash;base64,AAgC"));
	assert_non_null(strstr(text, "<name>n</name><thumbnail xmlns='urn:xmpp:thumbs:1' "
				     "uri='cid:" CID "' media-type='image/png' width='4' "
				     "height='3'/></file>"));
	assert_non_null(strstr(text, "</file-sharing><data xmlns='urn:xmpp:bob' cid='" CID "'"));
	free(text);
	/* Not into an empty tag, not a second one, and of several addresses the one that is shared.
	 */
	set_formats(FORMAT(SIMS));
	left_alone(MSG(SIMS_OF("<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'/>", URL)),
		   LANE_C2S);
	set_formats(FORMAT(SFS));
	asks(MSG(PIC SFS_OF(FM("<name/>"), ELSE)), LANE_C2S, ELSE);
	set_formats(FORMAT(SIMS));
	left_alone(MSG(PIC SIMS_OF(FT(THUMBHASH), URL)), LANE_C2S);
	left_alone(MSG(PIC "<reference xmlns='urn:xmpp:reference:0'><media-sharing "
			   "xmlns='urn:xmpp:sims:1'>" FT("") "</media-sharing></reference>"),
		   LANE_C2S);
}

static void links(void **state UNUSED)
{
	set_formats(FORMAT(IBB));
	asks(MSG("<body>" URL "</body>"), LANE_C2S, URL);
	asks(MSG("<body>http://h/?a&amp;b</body><request xmlns='urn:xmpp:receipts'/>"), LANE_C2S,
	     "http://h/?a&b");
	left_alone(MSG("<body>" URL " </body>"), LANE_C2S);
	left_alone(MSG("<body>see " URL "</body><a>http</a>"), LANE_C2S);
	left_alone(MSG("<body>" URL " " URL "</body>"), LANE_C2S);
	left_alone(MSG("<body>" URL "</body><body xml:lang='de'>" URL "</body>"), LANE_C2S);
	left_alone(MSG("<body>" URL "#key</body>"), LANE_C2S);
	left_alone(MSG("<body>" URL ".pgp</body>"), LANE_C2S);
	left_alone(MSG("<body>https-is-a-word</body>"), LANE_C2S);
	left_alone(MSG("<body>" URL "</body><encrypted xmlns='urn:xmpp:omemo:2'/>"), LANE_C2S);
	left_alone("<message type='error'><body>" URL "</body></message>", LANE_C2S);
	/* The address counts where it stands by itself, not beside shared media. */
	left_alone(MSG("<body>" URL "</body>" OOB("<url type='video/mp4'>" ELSE "</url>")),
		   LANE_C2S);
	/* A profile without links. */
	profile->links = false;
	left_alone(MSG("<body>" URL "</body>"), LANE_C2S);
	asks(MSG("<body>" URL "</body>" PIC), LANE_C2S, URL);
	profile->links = true;
}

/* --- messages inside others ------------------------------------------------------------ */

#define INNER(inner)    "<message xmlns='jabber:client' from='a@h' to='b@h'>" inner "</message>"
#define FORWARD(inner)  "<forwarded xmlns='urn:xmpp:forward:0'>" inner "</forwarded>"
#define CARBON(inner)   MSG("<received xmlns='urn:xmpp:carbons:2'>" FORWARD(inner) "</received>")
#define ARCHIVED(inner) MSG("<result xmlns='urn:xmpp:mam:2' id='1'>" FORWARD(inner) "</result>")
#define DELAY           "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>"

static void forwarded_messages(void **state UNUSED)
{
	struct job_result r = golden_result();
	char *text;

	set_formats(FORMAT(IBB) | FORMAT(SFS));
	asks(CARBON(INNER(BOTH)), LANE_S2C, URL);
	assert_false(asked.last.cached_only);
	asks(MSG("<sent xmlns='urn:xmpp:carbons:2'>" FORWARD(INNER(PIC)) "</sent>"), LANE_S2C, URL);
	asks(MSG(FORWARD(INNER(PIC))), LANE_S2C, URL);
	asks(MSG(FORWARD(INNER("<body>" URL "</body>"))), LANE_S2C, URL);
	/* An archive's message is old, wherever that stands: what the cache has. */
	asks(ARCHIVED(DELAY INNER(PIC)), LANE_S2C, URL);
	assert_true(asked.last.cached_only);
	asks(CARBON(INNER(PIC DELAY)), LANE_S2C, URL);
	assert_true(asked.last.cached_only);
	/* What is written stands in the inner message. */
	text = written(CARBON(INNER(BOTH)), LANE_S2C, &r);
	assert_non_null(text);
	assert_non_null(strstr(text, "</data></message></forwarded></received></message>"));
	assert_non_null(strstr(text, "<file-sharing"));
	free(text);
}

static void forwarded_messages_that_stay(void **state UNUSED)
{
	set_formats(FORMAT(IBB));
	left_alone(CARBON(INNER(PIC)), LANE_C2S);
	left_alone(CARBON(INNER(PIC "<encrypted xmlns='urn:xmpp:omemo:2'/>")), LANE_S2C);
	left_alone(CARBON(INNER(PIC "<data xmlns='urn:xmpp:bob' type='image/png'>AA==</data>")),
		   LANE_S2C);
	left_alone(CARBON("<message xmlns='jabber:client' type='error'>" PIC "</message>"),
		   LANE_S2C);
	left_alone(CARBON("<message xmlns='urn:other'>" PIC "</message>"), LANE_S2C);
	left_alone(MSG("<any xmlns='urn:any'>" FORWARD(INNER(PIC)) "</any>"), LANE_S2C);
	left_alone(MSG("<received xmlns='urn:any'>" FORWARD(INNER(PIC)) "</received>"), LANE_S2C);
	/* A forward in a forward is too far off. */
	left_alone(CARBON(INNER(FORWARD(INNER(PIC)))), LANE_S2C);
	listen_main->forwarded = false;
	left_alone(CARBON(INNER(PIC)), LANE_S2C);
	left_alone(ARCHIVED(INNER(PIC)), LANE_S2C);
	listen_main->forwarded = true;
}

/* forwarded without "s2c": what is in others, and only that. */
static void forwarded_alone(void **state UNUSED)
{
	uint32_t was = listen_main->directions;

	set_formats(FORMAT(IBB));
	listen_main->directions = 1u << LANE_C2S;
	left_alone(MSG(PIC), LANE_S2C);
	left_alone(MSG(PIC "<a xmlns='urn:xmpp:forward:0'/>"), LANE_S2C);
	asks(CARBON(INNER(PIC)), LANE_S2C, URL);
	asks(MSG(PIC), LANE_C2S, URL);
	listen_main->directions = was;
}

static void what_is_wanted(void **state UNUSED)
{
	static const char *const needles[] = { NS_OOB, NS_SIMS, NS_SFS, NS_FORWARD, ">http" };
	struct conf *c = conf_new();
	struct conf_listen *l = c ? conf_add_listen(c, "main") : NULL;
	struct chain *plain;
	size_t i, dir;

	assert_non_null(l);
	assert_true(conf_link(c));
	plain = chain_new(c, l, &fake_host);
	assert_non_null(plain);
	for (dir = 0; dir < 2; dir++)
		for (i = 0; i < ARRAY_SIZE(needles); i++) {
			const uint8_t *p = (const uint8_t *)needles[i];
			size_t len = strlen(needles[i]);

			/* As it comes: messages from the client, no links. */
			assert_int_equal(
				chain_has_needle(plain, (enum lane_dir)dir, UNIT_MESSAGE, p, len),
				dir == LANE_C2S && i < 3);
			/* All switched on. */
			assert_int_equal(
				chain_has_needle(chain, (enum lane_dir)dir, UNIT_MESSAGE, p, len),
				i != 3 || dir == LANE_S2C);
		}
	assert_int_equal(chain_wants(plain, LANE_S2C, UNIT_MESSAGE, IQ_NONE, NULL), CHAIN_NO);
	chain_free(&plain);
	conf_unref(&c);
}

/* --- what clients send ----------------------------------------------------------------- */

static void kontalk(void **state UNUSED)
{
	char *text = enriched(MSG(OOB("<url type='image/png' length='223'>" URL "</url>")), EVERY);

	assert_null(strstr(text, "<fallback")); /* there is no body */
	free(text);
	left_alone(MSG(OOB("<url type='image/jpeg' length='183422'>" URL
			   "</url>") "<data xmlns='urn:xmpp:bob' type='image/jpeg'>/9j/</data>"),
		   LANE_C2S);
}

/* Text and address, its own thumbhash in SIMS, and a fallback for jabber:x:oob. */
static void cheogram(void **state UNUSED)
{
	static const char xml[] =
		MSG("<body>look\n" URL "</body>" PIC
		    "<fallback xmlns='urn:xmpp:fallback:0' for='jabber:x:oob'><body start='4' "
		    "end='42'/></fallback>" SIMS_OF(
			    FT("<media-type>image/png</media-type>" THUMBHASH), URL));
	char *text = enriched(xml, EVERY);

	assert_int_equal(times(text, "<media-sharing"), 1);
	assert_int_equal(times(text, "data:image/thumbhash"), 1);
	assert_null(strstr(text, "urn:xmpp:sfs:0"));
	free(text);
	profile->captions = true;
	text = enriched(xml, EVERY);
	assert_non_null(strstr(text, "for='urn:xmpp:sfs:0'><body start='5' end='42'/>"));
	free(text);
	profile->captions = false;
	set_formats(FORMAT(SIMS));
	left_alone(xml, LANE_C2S);
}

/* The announcement has no source; the second message has the address. */
static void dino(void **state UNUSED)
{
	static const char second[] =
		MSG("<body>" URL "</body>" PIC "<attach-to xmlns='urn:xmpp:message-attaching:1' "
		    "id='f1'/><sources xmlns='urn:xmpp:sfs:0'><url-data "
		    "xmlns='http://jabber.org/protocol/url-data' target='" URL "'/></sources>");
	char *text;

	set_formats(EVERY);
	left_alone(MSG("<file-sharing xmlns='urn:xmpp:sfs:0' id='f1'>" FM(
			   "<name>a.png</name><thumbnail xmlns='urn:xmpp:thumbs:1' "
			   "uri='data:image/png;base64," THUMBNAIL
			   "' media-type='image/png' width='8' height='8'/>") "</file-sharing>"),
		   LANE_C2S);
	text = enriched(second, EVERY);
	assert_null(strstr(text, "<file-sharing"));
	free(text);
	set_formats(FORMAT(SFS));
	left_alone(second, LANE_C2S);
}

static void kaidan(void **state UNUSED)
{
	set_formats(EVERY);
	left_alone(MSG(BOTH SFS_OF(FM("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:" CID
				      "' media-type='image/png' width='4' height='3'/>"),
				   URL) "<fallback xmlns='urn:xmpp:fallback:0' "
					"for='urn:xmpp:sfs:0'><body/></fallback>"
					"<data xmlns='urn:xmpp:bob' cid='" CID
					"' type='image/png' max-age='0'>" THUMBNAIL "</data>"),
		   LANE_C2S);
}

/* The same thumbhash in both. */
static void slidge(void **state UNUSED)
{
	static const char xml[] = MSG(BOTH SIMS_OF(FT(THUMBHASH), URL) SFS_OF(FM(THUMBHASH), URL));
	char *text = enriched(xml, EVERY);

	assert_int_equal(times(text, "<media-sharing"), 1);
	assert_int_equal(times(text, "<file-sharing"), 1);
	assert_int_equal(times(text, "urn:xmpp:thumbs:1"), 2);
	assert_int_equal(times(text, "urn:xmpp:bob"), 1);
	free(text);
	set_formats(FORMAT(SIMS) | FORMAT(SFS));
	left_alone(xml, LANE_C2S);
}

static void fluux_movim_psi_and_bifrost(void **state UNUSED)
{
	char *text;

	set_formats(EVERY);
	left_alone(MSG("<body>" URL "</body><x xmlns='jabber:x:oob'><url>" URL "</url><thumbnail "
		       "xmlns='urn:xmpp:thumbs:1' uri='https://h/t.png' media-type='image/png' "
		       "width='4' height='3'/></x>"),
		   LANE_C2S);
	left_alone(
		MSG(SIMS_OF(FT("<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:" CID "'/>"), URL)),
		LANE_C2S); /* Psi */
	text = enriched(MSG(BOTH SIMS_OF("<file xmlns='urn:xmpp:jingle:apps:file-transfer:4'>"
					 "<name>n</name></file>",
					 URL)),
			EVERY); /* Movim */
	assert_int_equal(times(text, "<media-sharing"), 1);
	assert_int_equal(times(text, "data:image/thumbhash"), 1);
	free(text);
	text = enriched(MSG(PIC OOB("<url>" ELSE "</url>")), EVERY); /* bifrost */
	assert_null(strstr(text, "<media-sharing"));
	free(text);
}

/* --- -t -------------------------------------------------------------------------------- */

static void thumbs0_needs_its_data(void **state UNUSED)
{
	static const struct {
		uint32_t formats;
		const char *filter;
		bool good;
	} rows[] = {
		{ FORMAT(THUMBS0), NULL, false },
		{ FORMAT(THUMBS0) | FORMAT(IBB) | FORMAT(SIMS) | FORMAT(OGP), NULL, false },
		{ FORMAT(THUMBS0) | FORMAT(BOB), NULL, true },
		{ FORMAT(THUMBS0) | FORMAT(SFS), NULL, true },
		{ FORMAT(THUMBS0), "bob", true },
		{ FORMAT(THUMBS0), "bobby", false },
		{ EVERY & ~FORMAT(THUMBS0), NULL, true },
	};
	const struct filter_ops *ops = filter_find("thumbnail");
	struct conf_list was = listen_main->filters;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char *filters[] = { (char *)(uintptr_t)rows[i].filter };
		struct err_msg msg = { 0 };

		set_formats(rows[i].formats);
		listen_main->filters =
			(struct conf_list){ .v = filters, .n = rows[i].filter ? 1 : 0 };
		assert_int_equal(ops->check(conf, listen_main, &msg) == 0, rows[i].good);
		if (!rows[i].good)
			assert_non_null(strstr(msg.text, "thumbs0"));
	}
	listen_main->filters = was;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_media_without_oob),
		cmocka_unit_test(encrypted_sources),
		cmocka_unit_test(a_thumbnail_goes_into_the_file_that_is_there),
		cmocka_unit_test(links),
		cmocka_unit_test(forwarded_messages),
		cmocka_unit_test(forwarded_messages_that_stay),
		cmocka_unit_test(forwarded_alone),
		cmocka_unit_test(what_is_wanted),
		cmocka_unit_test(kontalk),
		cmocka_unit_test(cheogram),
		cmocka_unit_test(dino),
		cmocka_unit_test(kaidan),
		cmocka_unit_test(slidge),
		cmocka_unit_test(fluux_movim_psi_and_bifrost),
		cmocka_unit_test(thumbs0_needs_its_data),
	};

	return cmocka_run_group_tests(tests, filter_setup, filter_teardown);
}
