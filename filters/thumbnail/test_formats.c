/* SPDX-License-Identifier: MIT */
/*
 * Covers formats.c, pieces.c and the forms: golden files, one stanza for each trap of clients.md 3
 * and 4, what is left out for size, names, and random messages. Where pictures are found is
 * in test_sources.c; tests/integration/test_formats.py reads the golden files with other code.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "thumbnail/formats.h"
#include "thumbnail/test_filter.h"

/* Every form that needs nobody else; http has tests of its own. */
#define EVERY (((1u << CONF_FORMAT_COUNT) - 1) & ~FORMAT(HTTP))

/* What tells that a form was written. */
static const char *const marks[CONF_FORMAT_COUNT] = {
	[CONF_FORMAT_IBB] = "<data xmlns='http://jabber.org/protocol/ibb'",
	[CONF_FORMAT_BOB] = "<data xmlns='urn:xmpp:bob'",
	[CONF_FORMAT_THUMBS0] = "<thumbnail xmlns='urn:xmpp:thumbs:0'",
	[CONF_FORMAT_SIMS] = "uri='data:image/thumbhash;base64,",
	[CONF_FORMAT_SFS] = "uri='cid:sha1+",
	[CONF_FORMAT_OGP] = "<rdf:Description ",
	[CONF_FORMAT_HTTP] = "/t/",
};

static uint32_t forms_in(const char *text)
{
	uint32_t mask = 0;
	size_t i;

	for (i = 0; i < CONF_FORMAT_COUNT; i++) {
		assert_in_range(times(text, marks[i]), 0, 1);
		if (strstr(text, marks[i]))
			mask |= 1u << i;
	}
	return mask;
}

static uint32_t forms_of(const char *xml, uint32_t formats)
{
	char *text;
	uint32_t mask = 0;

	set_formats(formats);
	text = written_c2s(xml);
	if (text)
		mask = forms_in(text);
	free(text);
	return mask;
}

/* --- golden files ---------------------------------------------------------------------- */

/* The stanza of a golden file: line breaks and indents between elements are for reading. */
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
	for (from = to = text; *from;) {
		if (*from == '\n')
			from += 1 + strspn(from + 1, " ");
		else
			*to++ = *from++;
	}
	*to = '\0';
	return text;
}

/* The random sid of the in-band form becomes what the golden file has. */
static void plain_sid(char *text)
{
	char *sid = strstr(text, "sid='t");
	size_t len;

	if (!sid)
		return;
	sid += 5;
	len = strcspn(sid, "'");
	assert_int_equal(len, 25);
	memcpy(sid, "SID", 3);
	memmove(sid + 3, sid + len, strlen(sid + len) + 1);
}

static void before_and_after(void **state UNUSED)
{
	static const struct {
		const char *name;
		uint32_t formats;
	} files[] = {
		{ "ibb", FORMAT(IBB) },
		{ "bob", FORMAT(BOB) },
		{ "thumbs0", FORMAT(THUMBS0) | FORMAT(BOB) },
		{ "sims", FORMAT(SIMS) },
		{ "sfs", FORMAT(SFS) },
		{ "ogp", FORMAT(OGP) },
		{ "everyone", EVERY & ~(FORMAT(SIMS) | FORMAT(IBB)) },
	};
	char *before = golden("before");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		char *after = golden(files[i].name), *text;

		set_formats(files[i].formats);
		text = written_c2s(before);
		assert_non_null(text);
		plain_sid(text);
		assert_string_equal(text, after);
		free(text);
		free(after);
	}
	free(before);
}

/* Only a thumbnail that the box has taken is named by its address. */
static void http_when_the_box_has_it(void **state UNUSED)
{
	struct job_result r = golden_result();
	char *before = golden("before"), *after = golden("http"), *text;

	set_formats(FORMAT(HTTP));
	assert_null(written(before, LANE_C2S, &r));
	assert_true(asked.last.to_box);
	r.in_box = true;
	assert_null(written(before, LANE_C2S, &r)); /* no address */
	free(conf->upload.public_url);
	conf->upload.public_url = strdup("https://thumbs.montague.lit");
	text = written(before, LANE_C2S, &r);
	assert_non_null(text);
	assert_string_equal(text, after);
	free(text);
	/* A file's facts are there already, or the address stands elsewhere. */
	assert_null(written(MSG(PIC "<file xmlns='urn:xmpp:file:metadata:0'/>"), LANE_C2S, &r));
	assert_null(written(MSG("<body>" URL "</body>"), LANE_C2S, &r));
	/* Not into the one whose address only begins like that. */
	text = written(
		MSG(OOB("<url type='video/mp4'>" URL ".mp4</url>") OOB("<url>\n" URL " </url>")),
		LANE_C2S, &r);
	assert_non_null(text);
	assert_non_null(strstr(text, URL " </url><thumbnail xmlns='urn:xmpp:thumbs:1' uri="));
	free(text);
	set_formats(FORMAT(IBB));
	text = written(before, LANE_C2S, &r);
	assert_false(asked.last.to_box);
	free(text);
	free(conf->upload.public_url);
	conf->upload.public_url = strdup("");
	free(before);
	free(after);
}

/* --- traps ----------------------------------------------------------------------------- */

/* Nothing but insertions: the original is a subsequence that stands in whole stretches. */
static void only_inserted(const char *before, const char *after)
{
	size_t head = 0, tail = 0, len = strlen(before);

	while (head < len && before[head] == after[head])
		head++;
	while (tail < len - head && before[len - 1 - tail] == after[strlen(after) - 1 - tail])
		tail++;
	assert_int_equal(head + tail, len);
}

/* Conversations, Dino, Monal, Siskin, Kaidan and Gajim compare body and address; rooms match
 * echoes by body and id. */
static void every_byte_of_theirs_stays(void **state UNUSED)
{
	static const char xml[] = "<message  to=\"b@h\" id='&#x61;1' type='chat'><body>" URL
				  "</body>" PIC "<origin-id xmlns='urn:xmpp:sid:0' "
				  "id='o'/><stanza-id xmlns='urn:xmpp:sid:0' id='s' "
				  "by='h'/><request xmlns='urn:xmpp:receipts'/><markable "
				  "xmlns='urn:xmpp:chat-markers:0'/>\n</message >";
	char *text;

	set_formats(EVERY);
	text = written_c2s(xml);
	assert_non_null(text);
	assert_int_equal(forms_in(text), EVERY);
	only_inserted(xml, text);
	free(text);
}

/* Converse.js takes the last jabber:x:oob below a message, matrix-bifrost the first <x/>; begin
 * and end on a reference are a mention. */
static void no_second_oob_and_no_mention(void **state UNUSED)
{
	char *text;

	set_formats(EVERY);
	text = written_c2s(MSG(BOTH));
	assert_non_null(text);
	assert_int_equal(times(text, "jabber:x:oob"), 1);
	assert_int_equal(times(text, "<x "), 1);
	assert_int_equal(times(text, "begin="), 0);
	assert_int_equal(times(text, "end="), 0);
	/* Movim and xmpp.js compare literal names: no prefix but the one that RDF needs. */
	assert_int_equal(times(text, "xmlns:"), 1);
	free(text);
}

/* Movim reads the first reference only. */
static void sims_stands_before_a_mention(void **state UNUSED)
{
	static const char xml[] =
		MSG("<body>@juliet " URL "</body>" PIC
		    "<reference xmlns='urn:xmpp:reference:0' type='mention' begin='0' end='7' "
		    "uri='xmpp:juliet@capulet.lit'/><r:reference xmlns:r='urn:xmpp:reference:0' "
		    "type='data' uri='https://other.example/'/>");
	char *text;

	set_formats(FORMAT(SIMS));
	text = written_c2s(xml);
	assert_non_null(text);
	only_inserted(xml, text);
	assert_true(strstr(text, "<media-sharing") < strstr(text, "type='mention'"));
	free(text);
}

/* Movim's columns hold 255 characters (not bytes). */
static void sims_keeps_to_255_characters(void **state UNUSED)
{
	char url[600], xml[1400];
	unsigned n;

	for (n = 254; n <= 257; n++) {
		memset(url, 0, sizeof(url));
		memset(url, 'a', n);
		memcpy(url, "https://h/", 10);
		memcpy(url + 12, "/x/", 3);
		snprintf(xml, sizeof(xml), MSG("<x xmlns='jabber:x:oob'><url>%s</url></x>"), url);
		assert_int_equal(forms_of(xml, FORMAT(SIMS)), n <= 255 ? FORMAT(SIMS) : 0);
	}
	memset(url, 0, sizeof(url));
	memcpy(url, "https://h/", 10);
	for (n = 10; n + 10 < 255; n++) /* two bytes each */
		memcpy(url + strlen(url), "\xc3\xa4", 2);
	snprintf(xml, sizeof(xml), MSG("<x xmlns='jabber:x:oob'><url>%s</url></x>"), url);
	assert_int_equal(forms_of(xml, FORMAT(SIMS)), FORMAT(SIMS));
}

/* Cheogram keeps one attachment for each address: the same, byte for byte after unescaping. */
static void sims_repeats_the_address_exactly(void **state UNUSED)
{
	static const char xml[] = MSG(OOB("<url>https://h/a?x=1&amp;y=&#39;2&quot;</url>"));
	char *text;

	set_formats(FORMAT(SIMS));
	text = written_c2s(xml);
	assert_non_null(text);
	assert_int_equal(times(text, "uri='https://h/a?x=1&amp;y=&apos;2&quot;'"), 2);
	free(text);
	assert_int_equal(forms_of(MSG(OOB("<url> https://h/a</url>")), FORMAT(SIMS)), 0);
	assert_int_equal(forms_of(MSG(OOB("<url>https://h/a\n</url>")), FORMAT(SIMS)), 0);
	assert_int_equal(forms_of(MSG(OOB("<url><![CDATA[https://h/a]]></url>")), FORMAT(SIMS)),
			 FORMAT(SIMS));
}

/* Cheogram shows a picture in SIMS instead of the downloaded one, blurred; it crashes on a
 * thumbnail without uri, comma or decimal sizes. */
static void sims_has_nothing_but_a_thumbhash(void **state UNUSED)
{
	struct job_result r = golden_result();
	char *text;

	set_formats(FORMAT(SIMS));
	text = written(MSG(BOTH), LANE_C2S, &r);
	assert_non_null(text);
	assert_int_equal(times(text, "<thumbnail "), 1);
	assert_int_equal(times(text, "data:image/"), 1);
	assert_non_null(strstr(text, "uri='data:image/thumbhash;base64,AAgC"));
	assert_non_null(strstr(text, "width='40' height='30'"));
	assert_null(strstr(text, THUMBNAIL));
	/* Psi drops a reference without type, uri, file-transfer:5 or hash. */
	assert_non_null(strstr(text, "<reference xmlns='urn:xmpp:reference:0' type='data' uri='"));
	assert_non_null(strstr(text, "urn:xmpp:jingle:apps:file-transfer:5"));
	assert_non_null(strstr(text, "algo='sha-256'>96fx6V4K"));
	free(text);
	r.thumbhash.len = 0;
	assert_null(written(MSG(BOTH), LANE_C2S, &r));
}

/* Dino shows a bare link for a sharing without hash, and discards files whose hash is wrong. */
static void no_hash_unless_the_whole_file_is_known(void **state UNUSED)
{
	struct job_result r = golden_result();
	char *text;

	r.media_whole = false;
	set_formats(FORMAT(SIMS) | FORMAT(SFS) | FORMAT(OGP));
	text = written(MSG(BOTH), LANE_C2S, &r);
	assert_non_null(text);
	assert_int_equal(forms_in(text), FORMAT(OGP));
	assert_null(strstr(text, "<hash"));
	assert_null(strstr(text, "<size"));
	free(text);
	set_formats(FORMAT(SIMS) | FORMAT(SFS));
	assert_null(written(MSG(BOTH), LANE_C2S, &r));
}

/* Dino and Kaidan use the first thumbnail only, whose data must be there; Dino wants a size. */
static void sfs_has_one_thumbnail_and_its_data(void **state UNUSED)
{
	char *text;

	set_formats(EVERY & ~FORMAT(SIMS));
	text = written_c2s(MSG(BOTH));
	assert_non_null(text);
	assert_int_equal(times(text, "urn:xmpp:thumbs:1"), 1);
	assert_int_equal(times(text, "urn:xmpp:bob"), 1);
	assert_int_equal(times(text, CID), 3); /* sfs, thumbs0, data */
	assert_non_null(strstr(text, "uri='cid:" CID "'"));
	assert_non_null(strstr(text, "<size>223</size>"));
	free(text);
}

/* Dino's second message belongs to the one that announced the file. */
static void no_sfs_for_an_attached_source(void **state UNUSED)
{
	assert_int_equal(forms_of(MSG(BOTH "<attach-to xmlns='urn:xmpp:message-attaching:1' "
					   "id='1'/>"),
				  FORMAT(SFS) | FORMAT(BOB)),
			 FORMAT(BOB));
	assert_int_equal(
		forms_of(MSG(BOTH "<sources xmlns='urn:xmpp:sfs:0'><url-data "
				  "xmlns='http://jabber.org/protocol/url-data' target='" URL
				  "'/></sources>"),
			 FORMAT(SFS) | FORMAT(BOB)),
		FORMAT(BOB));
}

/* A client that reads the sharing hides the other pictures. */
static void one_of_several_is_not_shared(void **state UNUSED)
{
	static const char xml[] = MSG(OOB("<url>https://h/1</url>") OOB("<url>https://h/2</url>"));

	assert_int_equal(forms_of(xml, EVERY), EVERY & ~(FORMAT(SIMS) | FORMAT(SFS)));
	assert_int_equal(forms_of(MSG(PIC PIC), FORMAT(SFS)), FORMAT(SFS) | FORMAT(BOB));
}

static void fallback_marks_what_the_body_is(void **state UNUSED)
{
	static const struct {
		const char *xml;
		const char *mark; /* NULL: no sfs */
	} rows[] = {
		{ MSG("<body>" URL "</body>" PIC), "<body/></fallback>" },
		{ MSG(PIC), "" },
		{ MSG("<body>look: " URL "</body>" PIC), "<body start='6' end='43'/></fallback>" },
		/* Code points, not bytes: two-, three- and four-byte characters in front. */
		{ MSG("<body>\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 " URL " !</body>" PIC),
		  "<body start='4' end='41'/></fallback>" },
		{ MSG("<body>&#x1F600;&lt;" URL "</body>" PIC),
		  "<body start='2' end='39'/></fallback>" },
		{ MSG("<body>" URL " " URL "</body>" PIC),
		  "<body start='0' end='37'/></fallback>" },
		{ MSG("<body> " URL "</body>" PIC), "<body start='1' end='38'/></fallback>" },
		{ MSG("<body>a picture</body>" PIC), NULL },
		/* A longer address is another one. */
		{ MSG("<body>" URL ".bak</body>" PIC), NULL },
		{ MSG("<body>" URL ".bak (" URL ")</body>" PIC),
		  "<body start='43' end='80'/></fallback>" },
		{ MSG("<body/>" PIC), NULL },
		{ MSG("<body>" URL "</body><body xml:lang='de'>" URL "</body>" PIC),
		  "<body/></fallback>" },
		{ MSG("<body>" URL "</body><body xml:lang='de'>Bild</body>" PIC), NULL },
		{ MSG("<body>x " URL "</body><body xml:lang='de'>y " URL "</body>" PIC), NULL },
		{ MSG("<body>" URL "</body>" PIC
		      "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'/>"),
		  NULL },
		{ MSG("<body>" URL "</body>" PIC
		      "<fallback xmlns='urn:xmpp:fallback:0' for='jabber:x:oob'/>"),
		  "<body/></fallback>" },
	};
	size_t i;

	profile->captions = true;
	set_formats(FORMAT(SFS));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = written_c2s(rows[i].xml);

		if (!!text != !!rows[i].mark)
			fail_msg("row %zu: %s", i, text ? text : "nothing written");
		if (!text)
			continue;
		if (!strstr(text, rows[i].mark) ||
		    times(text, "for='urn:xmpp:sfs:0'") != (rows[i].mark[0] ? 1 : 0))
			fail_msg("row %zu: %s", i, text);
		free(text);
	}
	profile->captions = false;
}

/* Dino stores no text of a message that shares a file: whatever the fallback says, it is gone. */
static void text_beside_the_address_is_not_lost(void **state UNUSED)
{
	const uint32_t both = FORMAT(SFS) | FORMAT(BOB);

	assert_int_equal(forms_of(MSG("<body>look: " URL "</body>" PIC), both), FORMAT(BOB));
	assert_int_equal(forms_of(MSG("<body>" URL " look</body>" PIC), both), FORMAT(BOB));
	assert_int_equal(forms_of(MSG("<body> " URL "\n</body>" PIC), both), both);
	assert_int_equal(forms_of(MSG("<body>" URL "</body>" PIC), both), both);
	profile->captions = true;
	assert_int_equal(forms_of(MSG("<body>look: " URL "</body>" PIC), both), both);
	profile->captions = false;
}

/* Gajim takes 50,000 bytes and needs a title; its XEP-0231 reader asserts on max-age. */
static void what_gajim_asks_for(void **state UNUSED)
{
	static uint8_t big[40000];
	struct job_result r = golden_result();
	char *text;

	set_formats(FORMAT(OGP) | FORMAT(BOB));
	text = written(MSG(OOB("<url>https://h/</url>")), LANE_C2S, &r);
	assert_non_null(text);
	assert_non_null(strstr(text, "<title xmlns='https://ogp.me/ns#'>picture.png</title>"));
	assert_non_null(strstr(text, "max-age='86400'"));
	free(text);
	r.bytes = big;
	set_formats(FORMAT(OGP));
	r.len = 37476; /* base64 and IMAGE_HEAD are 50,000 */
	text = written(MSG(BOTH), LANE_C2S, &r);
	assert_non_null(text);
	free(text);
	r.len = 37477;
	assert_null(written(MSG(BOTH), LANE_C2S, &r));
}

static void data_of_what_is_not_to_be_stored(void **state UNUSED)
{
	char *text;

	set_formats(FORMAT(BOB));
	text = written_c2s(MSG(BOTH "<no-store xmlns='urn:xmpp:hints'/>"));
	assert_non_null(text);
	assert_non_null(strstr(text, "max-age='0'"));
	free(text);
}

/* expat-based servers and clients stall on long start tags. */
static void no_attribute_is_longer_than_1_kib(void **state UNUSED)
{
	char xml[4096], url[1200];
	size_t n;

	for (n = 1000; n < 1100; n += 1) {
		char *text, *at, quote;

		memset(url, 0, sizeof(url));
		memset(url, 'b', n);
		memcpy(url, "https://h/", 10);
		memcpy(url + 15, "&amp;/", 6); /* the same length escaped */
		snprintf(xml, sizeof(xml),
			 MSG("<body>%s</body><x xmlns='jabber:x:oob'><url>%s</url></x>"), url, url);
		set_formats(EVERY);
		text = written_c2s(xml);
		assert_non_null(text);
		assert_int_equal(forms_in(text) & FORMAT(SFS), n <= 1024 ? FORMAT(SFS) : 0);
		assert_int_equal(forms_in(text) & FORMAT(OGP), n <= 1024 ? FORMAT(OGP) : 0);
		for (at = text; (at = strpbrk(at, "'")); at += strcspn(at, "'") + 1) {
			quote = *at++;
			assert_true(strcspn(at, (char[]){ quote, '\0' }) <= FORMAT_ATTR_MAX);
		}
		free(text);
	}
}

/* --- size ------------------------------------------------------------------------------ */

static void forms_leave_in_order(void **state UNUSED)
{
	static const uint32_t steps[] = {
		EVERY,
		EVERY & ~FORMAT(OGP),
		FORMAT(BOB) | FORMAT(THUMBS0) | FORMAT(SIMS) | FORMAT(SFS),
		FORMAT(BOB) | FORMAT(THUMBS0) | FORMAT(SIMS),
		FORMAT(SIMS),
		0,
	};
	struct chain_input in = input_of(MSG(BOTH), LANE_C2S);
	struct job_result r = golden_result();
	size_t step = 0, max;

	set_formats(EVERY);
	for (max = in.len + 4000; max >= in.len; max--) {
		uint32_t found = 0;
		struct chain_unit *u;
		size_t len = 0;

		in.max_final = max;
		assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
		if (chain_unit_result(u, &r) == CHAIN_EDITED) {
			char *text = strndup((const char *)chain_unit_bytes(u, &len), len);

			assert_non_null(text);
			len = strlen(text);
			found = forms_in(text);
			free(text);
		}
		chain_unit_free(&u);
		assert_true(len <= max);
		while (step < ARRAY_SIZE(steps) && found != steps[step])
			step++;
		if (step == ARRAY_SIZE(steps))
			fail_msg("%zu bytes: forms 0x%x", max, found);
	}
	assert_int_equal(step, ARRAY_SIZE(steps) - 1);
}

/* A cid whose data nobody has is no help. */
static void thumbs0_leaves_with_its_data(void **state UNUSED)
{
	static char bob[] = "bob";
	char *filters[] = { bob };
	struct conf_list was = listen_main->filters;

	assert_int_equal(forms_of(MSG(BOTH), FORMAT(THUMBS0)), 0);
	assert_int_equal(forms_of(MSG(BOTH), FORMAT(THUMBS0) | FORMAT(BOB)),
			 FORMAT(THUMBS0) | FORMAT(BOB));
	listen_main->filters = (struct conf_list){ .v = filters, .n = 1 };
	assert_int_equal(forms_of(MSG(BOTH), FORMAT(THUMBS0)), FORMAT(THUMBS0));
	listen_main->filters = was;
}

static void then_a_smaller_thumbnail_is_asked_for(void **state UNUSED)
{
	static uint8_t big[8000];
	struct chain_input in = input_of(MSG(BOTH), LANE_C2S);
	struct job_result r = golden_result();
	struct chain_unit *u;

	set_formats(FORMAT(SFS) | FORMAT(IBB));
	in.max_final = 5000;
	asked.count = 0;
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	assert_int_equal(asked.last.max_bytes, 8192);
	r.bytes = big;
	r.len = sizeof(big);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_WAIT);
	assert_int_equal(asked.count, 2);
	assert_int_equal(asked.last.max_bytes, 2048);
	assert_string_equal(asked.url, URL);
	r.len = 2048;
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	chain_unit_free(&u);
	/* Once, and what does not keep to it ends it. */
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	r.len = sizeof(big);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	chain_unit_free(&u);
	/* Not where there is no room at all, nor where media is away. */
	in.max_final = in.len + 300;
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	chain_unit_free(&u);
	in.max_final = 5000;
	assert_int_equal(chain_run(chain, &in, &u), CHAIN_WAIT);
	asked.refuse = true;
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	asked.refuse = false;
	chain_unit_free(&u);
}

/* --- names ----------------------------------------------------------------------------- */

static void file_names(void **state UNUSED)
{
	static const struct {
		const char *url;
		const char *name;
	} rows[] = {
		{ "https://h/a/summit.png", "summit.png" },
		{ "https://h/a/b%20c.png?x=/y.jpg", "b c.png" },
		{ "https://h/%C3%A4%E2%82%AC%F0%9F%98%80.png",
		  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80.png" },
		{ "https://h/\xc3\xa4.png", "\xc3\xa4.png" },
		{ "https://h/a'b&c<d>.png", "a'b&c<d>.png" },
		{ "https://h/", "" },
		{ "https://h", "" },
		{ "https://h?/x.png", "" },
		{ "https://h/a/..", "" },
		{ "https://h/a/.", "" },
		{ "https://h/a%2Fb.png", "" },
		{ "https://h/a%5Cb.png", "" },
		{ "https://h/a%00b.png", "" },
		{ "https://h/a%0ab.png", "" },
		{ "https://h/a%7f.png", "" },
		{ "https://h/a%zz.png", "" },
		{ "https://h/a%4", "" },
		{ "https://h/a%", "" },
		{ "https://h/%ff.png", "" },
		{ "https://h/%c0%af.png", "" },
		{ "https://h/%ed%a0%80.png", "" },
		{ "https://h/%f4%90%80%80.png", "" },
		{ "https://h/%ef%bf%be.png", "" },
		{ "https://h/%e2%82", "" },
		{ "https://h/gnp%e2%80%ae.exe", "" },
	};
	struct arena *a = arena_new(1 << 20);
	char url[600];
	size_t i;

	assert_non_null(a);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(pieces_file_name(a, rows[i].url), rows[i].name);
	for (i = 255; i <= 256; i++) {
		memset(url, 0, sizeof(url));
		memset(url, 'a', 10 + i);
		memcpy(url, "https://h/", 10);
		assert_int_equal(strlen(pieces_file_name(a, url)), i <= 255 ? i : 0);
	}
	arena_free(&a);
}

/* --- any message ----------------------------------------------------------------------- */

static uint32_t seed = 7;

static uint32_t dice(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void random_message(char *out, size_t size)
{
	static const char *const parts[] = {
		"<body>" URL "</body>",
		"<body>see &amp; be seen " URL "</body>",
		"<body xml:lang='de'>&lt;&#x1F600;</body>",
		"<subject>s</subject>",
		"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:a@b'/>",
		"<p:x xmlns:p='jabber:x:oob'><p:url>" URL "</p:url></p:x>",
		OOB("<url>https://h/second.png?a&amp;b</url><desc>d</desc>"),
		"<reference xmlns='urn:xmpp:reference:0' type='data' uri='" URL
		"'><media-sharing xmlns='urn:xmpp:sims:1'><file "
		"xmlns='urn:xmpp:jingle:apps:file-transfer:4'><size>1</size></"
		"file><sources><reference "
		"xmlns='urn:xmpp:reference:0' type='data' uri='" URL
		"'/></sources></media-sharing></reference>",
		"<f:file-sharing xmlns:f='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'/>"
		"<f:sources><url-data xmlns='http://jabber.org/protocol/url-data' target='" URL
		"'/></f:sources></f:file-sharing>",
		"<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>"
		"<name>n</name></file><sources><url-data "
		"xmlns='http://jabber.org/protocol/url-data' target='" URL
		"'/></sources></file-sharing>",
		"<q:any xmlns:q='urn:any' q:a='&gt;'><![CDATA[<x>]]></q:any>",
		" \n\t",
		"<fallback xmlns='urn:xmpp:fallback:0' for='jabber:x:oob'><body/></fallback>",
	};
	size_t n = dice(9), i;

	snprintf(out, size, "<message to='b@h' id='%u'>", dice(1000));
	for (i = 0; i < n; i++)
		strcat(out, parts[dice(ARRAY_SIZE(parts))]);
	strcat(out, PIC "</message>");
}

/* The edited message passes the chain's check (or it would not be edited), holds each form at
 * most once, and a second inset finds nothing to do. */
static void any_message_keeps_the_rules(void **state UNUSED)
{
	struct job_result r = golden_result();
	char xml[16384];
	size_t i;

	for (i = 0; i < 4000; i++) {
		uint32_t formats = 1 + dice(EVERY);
		struct chain_unit *u;
		char *text;

		random_message(xml, sizeof(xml));
		set_formats(formats | FORMAT(IBB)); /* which always fits */
		r.max_age = dice(100000);
		text = written(xml, LANE_C2S, &r);
		if (!text)
			fail_msg("nothing written: %s", xml);
		(void)forms_in(text);
		assert_true(times(text, "jabber:x:oob") == times(xml, "jabber:x:oob"));
		assert_true(times(text, "urn:xmpp:sims:1") <=
			    MAX_OF(times(xml, "urn:xmpp:sims:1"), 1u));
		assert_int_equal(run_dir(text, LANE_S2C, &u), CHAIN_PASS);
		free(text);
	}
	assert_int_equal(counters_mine->value[METRIC_CHECK_FAILED], 0);
}

/* Out of memory anywhere: an error, and no half of it stays queued. */
static void no_memory(void **state UNUSED)
{
	static const struct outline_limits limits = { 64, 100, 100 };
	static const char xml[] = MSG(BOTH);
	struct job_result r = golden_result();
	struct arena *a = arena_new(1 << 20);
	struct outline o;
	size_t cap;
	int rc = -1;

	assert_non_null(a);
	assert_int_equal(outline_parse(a, ctx, (const uint8_t *)xml, strlen(xml), &limits, &o), 0);
	for (cap = 16; rc; cap += 16) {
		struct edits edits = { 0 };
		struct filter_unit u = { .outline = &o,
					 .arena = arena_new(cap),
					 .edits = &edits,
					 .max_final = 60 * 1024 };
		struct sources all = { .v = { { .url = URL, .declared = "", .exact = true } },
				       .n = 1 };
		uint32_t fit;

		assert_non_null(u.arena);
		rc = formats_write(&u, &all, &all.v[0], EVERY, false, &r, &fit);
		if (rc) {
			assert_int_equal(rc, ERR_NOMEM);
			assert_int_equal(edits.count, 0);
			assert_null(edits.first);
		}
		arena_free(&u.arena);
		assert_true(cap < 1 << 20);
	}
	assert_true(cap > 2000);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_and_after),
		cmocka_unit_test(http_when_the_box_has_it),
		cmocka_unit_test(every_byte_of_theirs_stays),
		cmocka_unit_test(no_second_oob_and_no_mention),
		cmocka_unit_test(sims_stands_before_a_mention),
		cmocka_unit_test(sims_keeps_to_255_characters),
		cmocka_unit_test(sims_repeats_the_address_exactly),
		cmocka_unit_test(sims_has_nothing_but_a_thumbhash),
		cmocka_unit_test(no_hash_unless_the_whole_file_is_known),
		cmocka_unit_test(sfs_has_one_thumbnail_and_its_data),
		cmocka_unit_test(no_sfs_for_an_attached_source),
		cmocka_unit_test(one_of_several_is_not_shared),
		cmocka_unit_test(fallback_marks_what_the_body_is),
		cmocka_unit_test(text_beside_the_address_is_not_lost),
		cmocka_unit_test(what_gajim_asks_for),
		cmocka_unit_test(data_of_what_is_not_to_be_stored),
		cmocka_unit_test(no_attribute_is_longer_than_1_kib),
		cmocka_unit_test(forms_leave_in_order),
		cmocka_unit_test(thumbs0_leaves_with_its_data),
		cmocka_unit_test(then_a_smaller_thumbnail_is_asked_for),
		cmocka_unit_test(file_names),
		cmocka_unit_test(any_message_keeps_the_rules),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, filter_setup, filter_teardown);
}
