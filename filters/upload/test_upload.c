/* SPDX-License-Identifier: MIT */
/*
 * Covers the filter upload with the real chain, outline and edits, and a faked host: the
 * seed's exchange with the errors of real servers, every refusal, what passes, the cap on
 * requests, capabilities cut and rewritten (vectors of protocol.md 5.5 are in test_caps.c).
 */
#include "config.h"

#include "unit.h"

#include "base/token.h"
#include "filter/chain.h"
#include "upload/upload.h"

#define OLD   "http://www.kontalk.org/extensions/message#upload"
#define NEW   "http://kontalk.org/extensions/message#upload"
#define INFO  "http://jabber.org/protocol/disco#info"
#define ITEMS "http://jabber.org/protocol/disco#items"
#define KEY   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ERR(condition)                                                                        \
	"<error type='cancel'><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></" \
	"error>"
#define REPLY(type, id, inner)                           \
	"<iq from='kontalk.net' type='" type "' id='" id \
	"' to='romeo@montague.net/orchard'>" inner "</iq>"
#define FEATURES(inner) "<stream:features>" inner "</stream:features>"

static struct conf *conf;
static struct conf_listen *listen;
static struct nsctx *ctx;
static struct chain *chain;
static char result[64 * 1024]; /* of the last unit, NUL-terminated */

static int64_t fake_clock(void *c UNUSED)
{
	return 1000000;
}

static const struct filter_host host = { .wall_clock = fake_clock };

/* The unit as it leaves: result, or NULL if it leaves as it came. */
static const char *run(const char *xml, enum unit_kind kind, enum lane_dir dir)
{
	struct chain_input in = { .kind = kind,
				  .dir = dir,
				  .bytes = (const uint8_t *)xml,
				  .len = strlen(xml),
				  .ctx = ctx,
				  .max_final = 60 * 1024 };
	struct chain_unit *u;
	const uint8_t *p;
	size_t len;

	if (chain_run(chain, &in, &u) != CHAIN_EDITED)
		return NULL;
	p = chain_unit_bytes(u, &len);
	assert_true(len < sizeof(result));
	memcpy(result, p, len);
	result[len] = '\0';
	chain_unit_free(&u);
	return result;
}

static const char *ask(const char *xml)
{
	return run(xml, UNIT_IQ, LANE_C2S);
}

static const char *reply(const char *xml)
{
	return run(xml, UNIT_IQ, LANE_S2C);
}

static bool is_wanted(const char *id)
{
	char text[64];
	struct tag tag;

	snprintf(text, sizeof(text), "<iq type='error' id='%s'>", id);
	assert_int_equal(tag_read(&tag, (const uint8_t *)text, strlen(text)), 0);
	return chain_awaits(chain, LANE_S2C, IQ_ERROR, &tag);
}

static void becomes(const char *xml, const char *want)
{
	const char *got = reply(xml);

	assert_non_null(got);
	assert_string_equal(got, want);
}

static void holds(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("no %s in %s", part, text ? text : "(as it came)");
}

static void set_list(struct conf_list *l, const char *entry)
{
	l->v = realloc(l->v, (l->n + 1) * sizeof(*l->v));
	BUG_ON(!l->v);
	l->v[l->n++] = strdup(entry);
}

static void add_service(const char *node, const char *name, const char *accept, const char *uri)
{
	struct conf_service *s = conf_add_service(conf);

	BUG_ON(!s);
	free(s->node);
	free(s->name);
	free(s->uri);
	s->node = strdup(node);
	s->name = strdup(name);
	s->uri = strdup(uri);
	free(s->accept.v[0]);
	s->accept.v[0] = strdup(accept);
}

static int open_chain(void **state UNUSED)
{
	chain = chain_new(conf, listen, &host);
	return chain ? 0 : -1;
}

static int close_chain(void **state UNUSED)
{
	chain_free(&chain);
	return 0;
}

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;

	outline_setup();
	conf = conf_new();
	listen = conf ? conf_add_listen(conf, "main") : NULL;
	if (!listen || !conf_link(conf) ||
	    tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1))
		return -1;
	free(listen->filters.v[0]);
	listen->filters.v[0] = strdup("upload");
	set_list(&conf->upload.domains, "kontalk.net");
	free(conf->upload.public_url);
	conf->upload.public_url = strdup("https://m.example/box");
	conf->upload.key = strdup(KEY);
	add_service("kontalkbox", "Kontalk dropbox service", "image/*", "");
	add_service("dropbox", "Dropbox <service>", "*/*", "https://drop.example/a?b=c&d=e");
	ctx = nsctx_of_header(&tag);
	return ctx ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}

static const char ask_items[] =
	"<iq to='kontalk.net' type='get' id='H_2'><query xmlns='" ITEMS "' node='" OLD "'/></iq>";
static const char items[] =
	REPLY("result", "H_2",
	      "<query xmlns='" ITEMS "' node='" OLD
	      "'><item node='kontalkbox' jid='kontalk.net' name='Kontalk dropbox "
	      "service'/><item node='dropbox' jid='kontalk.net' name='Dropbox "
	      "&lt;service&gt;'/></query>");

static void the_seeds_discovery(void **state UNUSED)
{
	assert_null(ask("<iq to='kontalk.net' type='get' id='H_1'><query xmlns='" INFO "'/></iq>"));
	assert_true(is_wanted("H_1"));
	becomes(REPLY("result", "H_1",
		      "<query xmlns='" INFO
		      "'><identity category='server' type='im' name='kontalk'/>"
		      "<feature var='" INFO "'/></query>"),
		REPLY("result", "H_1",
		      "<query xmlns='" INFO
		      "'><identity category='server' type='im' name='kontalk'/>"
		      "<feature var='" INFO "'/><feature xmlns='" INFO "' var='" OLD
		      "'/><feature xmlns='" INFO "' var='" NEW "'/></query>"));
	assert_false(is_wanted("H_1"));
	assert_null(ask(ask_items));
	becomes(REPLY("error", "H_2",
		      "<query xmlns='" ITEMS "' node='" OLD "'/>" ERR("item-not-found")),
		items);
	assert_null(ask(ask_items));
	becomes(REPLY("result", "H_2", "<query xmlns='" ITEMS "' node='" OLD "'/>"), items);
	/* An element without content: the end tag is made. */
	assert_null(ask(ask_items));
	assert_null(reply("<iq from='kontalk.net' type='result' id='H_2' to='r@m/o'/>"));
}

static void check_token(const char *text, const char *before, const char *types)
{
	const char *at = text ? strstr(text, before) : NULL;
	char token[TOKEN_TEXT_MAX];
	struct token t;

	assert_non_null(at);
	at += strlen(before);
	snprintf(
		token, sizeof(token), "%.*s",
		(int)strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		at);
	assert_int_equal(token_parse(&t, KEY, token, 1000000), 0);
	assert_string_equal(t.types, types);
	assert_int_equal(t.expires, 1000000 + conf->upload.token_life / 1000);
	assert_int_equal(token_parse(&t, KEY, token, t.expires + 1), ERR_TIMEOUT);
}

static void the_seeds_instructions(void **state UNUSED)
{
	static const char *const to[] = { "kontalk.net", "upload@kontalk.net",
					  "Upload@Kontalk.NET" };
	static const char *const type[] = { "set", "get" };
	static const char *const ns[] = { OLD, NEW };
	char request[512], error[512], want[512];
	size_t i, k, m;

	for (i = 0; i < 3; i++)
		for (k = 0; k < 2; k++)
			for (m = 0; m < 2; m++) {
				snprintf(request, sizeof(request),
					 "<iq to='%s' type='%s' id='H_3'><upload xmlns='%s' "
					 "node='kontalkbox' odd='1'><media type='image/png'/><odd/>"
					 "</upload></iq>",
					 to[i], type[k], ns[m]);
				assert_null(ask(request));
				snprintf(error, sizeof(error),
					 "<iq type='error' id='H_3' from='%s' "
					 "to='romeo@montague.net/"
					 "orchard'>" ERR("service-unavailable") "</iq>",
					 to[i]);
				assert_non_null(reply(error));
				snprintf(want, sizeof(want),
					 "<iq type='result' id='H_3' from='%s' "
					 "to='romeo@montague.net/"
					 "orchard'><upload xmlns='%s' "
					 "node='kontalkbox'><uri>https://"
					 "m.example/box/up/",
					 to[i], ns[m]);
				assert_memory_equal(result, want, strlen(want));
				check_token(result, "<uri>https://m.example/box/up/", "image/png");
				holds(result, "</uri></upload></iq>");
			}
	/* Without <media/>, which released clients never send. */
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><upload xmlns='" NEW
			"' node='kontalkbox'/></iq>"));
	check_token(reply(REPLY("error", "1", ERR("feature-not-implemented"))), "/up/", "image/*");
	/* An external service, escaped. */
	assert_null(ask("<iq to='kontalk.net' type='get' id='2'><upload xmlns='" NEW
			"' node='dropbox'/></iq>"));
	holds(reply(REPLY("error", "2", ERR("service-unavailable"))),
	      "<uri>https://drop.example/a?b=c&amp;d=e</uri>");
}

static void refusals(void **state UNUSED)
{
	static const struct {
		const char *upload, *type, *condition;
	} cases[] = {
		{ "<upload xmlns='" NEW "' node='nobody'/>", "cancel", "item-not-found" },
		{ "<upload xmlns='" NEW "' node=''/>", "cancel", "item-not-found" },
		{ "<upload xmlns='" OLD "'/>", "modify", "bad-request" },
		{ "<upload xmlns='" OLD "' node='kontalkbox'><media type='text/plain'/></upload>",
		  "modify", "not-acceptable" },
	};
	char request[512], want[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(request, sizeof(request), "<iq to='kontalk.net' type='get' id='x'>%s</iq>",
			 cases[i].upload);
		assert_null(ask(request));
		snprintf(want, sizeof(want),
			 REPLY("error", "x",
			       "<error type='%s'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
			       "</error>"),
			 cases[i].type, cases[i].condition);
		becomes(REPLY("error", "x", ERR("service-unavailable")), want);
	}
}

static void what_passes(void **state UNUSED)
{
	static const char slot_request[] = "<iq to='kontalk.net' type='get' id='p'><request "
					   "xmlns='urn:xmpp:http:upload:0' filename='a' "
					   "size='1'/></iq>";
	static const char *const never_asked[] = {
		"<iq to='other.net' type='get' id='p'><query xmlns='" ITEMS "' node='" OLD
		"'/></iq>",
		"<iq to='romeo@kontalk.net' type='get' id='p'><query xmlns='" ITEMS "' node='" OLD
		"'/></iq>",
		"<iq to='kontalk.net' type='get' id='p'><query xmlns='" ITEMS "'/></iq>",
		"<iq to='kontalk.net' type='get' id='p'><query xmlns='" ITEMS
		"' node='other'/></iq>",
		"<iq to='kontalk.net' type='get' id='p'><query xmlns='" INFO "' node='x#y'/></iq>",
		"<iq to='romeo@kontalk.net' type='get' id='p'><upload xmlns='" NEW
		"' node='a'/></iq>",
		"<iq type='get' id='p'><upload xmlns='" NEW "' node='a'/></iq>",
		slot_request,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(never_asked); i++) {
		assert_null(ask(never_asked[i]));
		if (is_wanted("p"))
			fail_msg("tracked: %s", never_asked[i]);
	}
	/* Genuine answers, other errors, other senders. */
	assert_null(ask(ask_items));
	assert_null(reply(
		REPLY("result", "H_2", "<query xmlns='" ITEMS "'><item jid='a.b'/></query>")));
	assert_null(ask(ask_items));
	assert_null(reply(REPLY("error", "H_2", ERR("not-authorized"))));
	assert_null(ask(ask_items));
	assert_null(reply("<iq from='evil.example' type='error' id='H_2' to='r@m/o'>" ERR(
		"item-not-found") "</iq>"));
	assert_null(reply("<iq type='error' id='H_2' to='r@m/o'>" ERR("item-not-found") "</iq>"));
	assert_non_null(reply(REPLY("error", "H_2", ERR("item-not-found"))));
	assert_null(reply(REPLY("error", "H_2", ERR("item-not-found"))));
}

static void a_server_with_the_feature_is_left_alone(void **state UNUSED)
{
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO "'/></iq>"));
	assert_null(reply(
		REPLY("result", "1", "<query xmlns='" INFO "'><feature var='" NEW "'/></query>")));
	assert_null(ask(ask_items));
	assert_null(reply(REPLY("error", "H_2", ERR("item-not-found"))));
	assert_null(ask("<iq to='kontalk.net' type='get' id='3'><upload xmlns='" NEW
			"' node='kontalkbox'/></iq>"));
	assert_null(reply(REPLY("error", "3", ERR("service-unavailable"))));
}

static void ill_formed_results_stay(void **state UNUSED)
{
	static const char *const bad[] = {
		"<query xmlns='" INFO "'><feature var='a'/><feature var='a'/></query>",
		"<query xmlns='" INFO "'/>",
		"",
	};
	char text[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO
				"'/></iq>"));
		snprintf(text, sizeof(text), REPLY("result", "1", "%s"), bad[i]);
		assert_null(reply(text));
	}
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO "'/></iq>"));
	assert_null(reply(REPLY("error", "1", "<query xmlns='" INFO "'/>" ERR("item-not-found"))));
}

static void requests_are_capped(void **state UNUSED)
{
	char text[2048], node[UPLOAD_TEXT_MAX + 1];
	size_t i;

	for (i = 0; i < UPLOAD_TRACKED + 1; i++) {
		snprintf(text, sizeof(text),
			 "<iq to='kontalk.net' type='get' id='%zu'><query xmlns='" INFO "'/></iq>",
			 i);
		assert_null(ask(text));
	}
	assert_false(is_wanted("0"));
	assert_true(is_wanted("1"));
	/* Too long to be kept: not ours. */
	memset(node, 'n', UPLOAD_TEXT_MAX);
	node[UPLOAD_TEXT_MAX] = '\0';
	snprintf(text, sizeof(text),
		 "<iq to='kontalk.net' type='get' id='long'><upload xmlns='" NEW
		 "' node='%s'/></iq>",
		 node);
	assert_null(ask(text));
	assert_false(is_wanted("long"));
}

static void slots(void **state UNUSED)
{
	static const char request[] =
		"<iq to='kontalk.net' type='get' id='s'><request "
		"xmlns='urn:xmpp:http:upload:0' filename='My très/../cat.JPG' "
		"size='1234' content-type='Image/JPEG'/></iq>";
	static const char *const bad[] = { "filename='a'",           "size='5'",
					   "filename='a' size='0'",  "filename='a' size='-1'",
					   "filename='a' size='1x'", "filename='' size='1'" };
	char text[512], *at;
	size_t i;

	conf->upload.http_upload = true;
	assert_null(ask("<iq to='kontalk.net' type='get' id='i'><query xmlns='" INFO "'/></iq>"));
	holds(reply(REPLY("result", "i", "<query xmlns='" INFO "'><feature var='a'/></query>")),
	      "<identity xmlns='" INFO "' category='store' type='file' name='HTTP File Upload'/>"
	      "<feature xmlns='" INFO "' var='urn:xmpp:http:upload:0'/><x xmlns='jabber:x:data' "
	      "type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:http:upload:0"
	      "</value></field><field var='max-file-size'><value>10485760</value></field></x>");
	assert_null(ask(request));
	check_token(reply(REPLY("error", "s", ERR("service-unavailable"))),
		    "<slot xmlns='urn:xmpp:http:upload:0'><put url='https://m.example/box/up/",
		    "image/jpeg");
	holds(result, "/My-tr--s-..-cat.JPG'/><get url='https://m.example/box/f/");
	at = strstr(result, "/f/");
	assert_memory_equal(at + 3 + 32, "/My-tr--s-..-cat.JPG'/></slot></iq>", 36);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(text, sizeof(text),
			 "<iq to='kontalk.net' type='get' id='s'><request "
			 "xmlns='urn:xmpp:http:upload:0' %s/></iq>",
			 bad[i]);
		assert_null(ask(text));
		holds(reply(REPLY("error", "s", ERR("service-unavailable"))), "<bad-request");
	}
	assert_null(ask("<iq to='kontalk.net' type='get' id='s'><request "
			"xmlns='urn:xmpp:http:upload:0' filename='a' size='10485761'/></iq>"));
	holds(reply(REPLY("error", "s", ERR("service-unavailable"))),
	      "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><file-too-large "
	      "xmlns='urn:xmpp:http:upload:0'><max-file-size>10485760</max-file-size>");
	conf->upload.http_upload = false;
}

#define C115(ver)                                                                                  \
	"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://s.im' ver='" ver "'" \
	"/"                                                                                        \
	">"
#define C390(hashes)     "<c xmlns='urn:xmpp:caps'>" hashes "</c>"
#define H390(algo, text) "<hash xmlns='urn:xmpp:hashes:2' algo='" algo "'>" text "</hash>"
#define BASE                                                                        \
	"<identity category='server' type='im' name='kontalk'/><feature var='" INFO \
	"'/><feature var='" ITEMS "'/>"

static void capabilities_are_cut(void **state UNUSED)
{
	listen->caps = CONF_CAPS_STRIP;
	assert_string_equal(run(FEATURES("<a xmlns='b'/>" C115("x=")
						 C390(H390("sha-256", "y=")) "<d xmlns='e'/>"),
				UNIT_FEATURES, LANE_S2C),
			    FEATURES("<a xmlns='b'/><d xmlns='e'/>"));
	assert_null(run(FEATURES("<a xmlns='b'/>"), UNIT_FEATURES, LANE_S2C));
}

static void info_with_node(const char *id, const char *node)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "<iq to='kontalk.net' type='get' id='%s'><query xmlns='" INFO "' node='%s'/></iq>",
		 id, node);
	ask(text);
}

static void capabilities_are_rewritten(void **state UNUSED)
{
	static const char theirs[] =
		FEATURES(C115("rQKXEDR8CgNLIDBdqueouVugvDI=") C390(H390("sha3-256", "zzz=") H390(
			"sha-256", "CgAnIGinc6RKRmZdHlYZEBtGOjru+gsn0AQtWNX4D+o=")));
	static const char ours[] = FEATURES(C115("a9nQ5AktwWaYKH0kgETB1xgHD9E=") C390(
		H390("sha-256", "fqs3EqZ+/tds8vlBpr3VrK7ipbmh5imO6cexxm6kpcA=")));

	listen->caps = CONF_CAPS_REWRITE;
	known_clear();
	/* Not known yet: cut. An untrue announcement never becomes known. */
	assert_string_equal(run(theirs, UNIT_FEATURES, LANE_S2C), FEATURES());
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO "'/></iq>"));
	assert_non_null(reply(REPLY(
		"result", "1", "<query xmlns='" INFO "'>" BASE "<feature var='lie'/></query>")));
	assert_string_equal(run(theirs, UNIT_FEATURES, LANE_S2C), FEATURES());
	/* Learned from a result whose hash is the announced one. */
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO "'/></iq>"));
	assert_non_null(reply(REPLY("result", "1", "<query xmlns='" INFO "'>" BASE "</query>")));
	assert_string_equal(run(theirs, UNIT_FEATURES, LANE_S2C), ours);
	/* A query for our hash goes on as one for theirs, and the answer says ours again. */
	info_with_node("2", "http://s.im#a9nQ5AktwWaYKH0kgETB1xgHD9E=");
	holds(result, "node='http://s.im#rQKXEDR8CgNLIDBdqueouVugvDI='");
	holds(reply(REPLY("result", "2",
			  "<query xmlns='" INFO
			  "' node='http://s.im#rQKXEDR8CgNLIDBdqueouVugvDI='>" BASE "</query>")),
	      "node='http://s.im#a9nQ5AktwWaYKH0kgETB1xgHD9E='>" BASE "<feature xmlns='" INFO
	      "' var='" OLD "'/>");
	info_with_node("3", "urn:xmpp:caps#sha-256.fqs3EqZ+/tds8vlBpr3VrK7ipbmh5imO6cexxm6kpcA=");
	holds(result, "node='urn:xmpp:caps#sha-256.CgAnIGinc6RKRmZdHlYZEBtGOjru+gsn0AQtWNX4D+o='");
	/* Theirs, from a cache made without inset: unmodified. */
	info_with_node("4", "http://s.im#rQKXEDR8CgNLIDBdqueouVugvDI=");
	assert_false(is_wanted("4"));
	/* A reload that offers something else has other hashes. */
	conf->upload.http_upload = true;
	assert_string_equal(run(theirs, UNIT_FEATURES, LANE_S2C), FEATURES());
	conf->upload.http_upload = false;
	listen->caps = CONF_CAPS_STRIP;
}

/* Each announced hash of any function that XEP-0300 has is made true; unknown ones go. */
static void all_functions_are_rewritten(void **state UNUSED)
{
	static const char *const theirs[][2] = {
		{ "sha-1", "IdXtw3TjeVCaYX3oNsXpr7IG8HI=" },
		{ "sha-512", "Ed4rnE+jCldE1PkMXHlEvPZrSDVnGwcMHMmeEq7VIxtg+4sY5a/"
			     "VJkEUuSmrR54ex77O5/Q9tFbjshYNPnFffQ==" },
		{ "sha3-256", "h4pkv3XTWJs5cojA52BwKU9wpemPhJipjd+Bd9gf5dk=" },
		{ "sha3-512", "hBQbH72W87Ihsv6QXP2k1yJAZ5WS/z/p9vSKI3CSyvTFsbWDIV0+"
			      "QffNEDaszRjmofKXXe7v9zqYP9x14N7TGw==" },
		{ "blake2b-256", "NhhsuKyGW1FuhihWW1n0UOoAObYMdGMxJUKhdNdcXyQ=" },
		{ "blake2b-512", "c/BqlaL7dJO0+fBxiak04sTa1xu/c8nAVL09Xbi0dS8SnPtJFnnOqkLqOM33"
				 "DHfkBChZc568fUlh9OhlUAVsdQ==" },
	};
	static const char *const ours[] = {
		"AryWh+v032Me7D0y/R9UkqHsDpI=",
		"I4BFReMblxYXj5ER6OkZAN3NlFLTEnbworXQUJ2Ztzd9RNQhorNVg3NmcPzt9vaCbR7zpC62NV+"
		"RWCLe/KEJFw==",
		"ICbdpGgSbDcZAZ7JdfGNCeOtPv0Ql6/lAYubwCRXYSs=",
		"OeVSGd18kqO4NnRH/eO18DSnfEEZpcNjJaEp15yB5TRt4o0W1ken84AlRInYGGwoQp29UZJpHGHbYi"
		"0gMjCjbw==",
		"OW0HPqEi/NI46YpX9DqWPo9Z0tnvmy/nBXgrL5T2Ciw=",
		"ZGjfQ3cCtUXmTmHYNTWS8w14kI5Cv/r9m4GuAFeKVXuIBluD/aIDWjU0M/6BkgIbcrYt6Mz0UeCryP/"
		"z6tRyDw==",
	};
	char features[2048], node[256];
	const char *out;
	size_t i, n = 0;

	listen->caps = CONF_CAPS_REWRITE;
	known_clear();
	n += (size_t)snprintf(features, sizeof(features), "%s",
			      "<stream:features><c xmlns='urn:xmpp:caps'>" H390("md5", "zzz="));
	for (i = 0; i < ARRAY_SIZE(theirs); i++)
		n += (size_t)snprintf(features + n, sizeof(features) - n, H390("%s", "%s"),
				      theirs[i][0], theirs[i][1]);
	snprintf(features + n, sizeof(features) - n, "</c></stream:features>");
	assert_string_equal(run(features, UNIT_FEATURES, LANE_S2C), FEATURES());
	assert_null(ask("<iq to='kontalk.net' type='get' id='1'><query xmlns='" INFO "'/></iq>"));
	assert_non_null(reply(REPLY("result", "1", "<query xmlns='" INFO "'>" BASE "</query>")));
	out = run(features, UNIT_FEATURES, LANE_S2C);
	assert_null(strstr(out, "md5"));
	for (i = 0; i < ARRAY_SIZE(ours); i++)
		assert_non_null(strstr(out, ours[i]));
	for (i = 0; i < ARRAY_SIZE(ours); i++) {
		snprintf(node, sizeof(node), "urn:xmpp:caps#%s.%s", theirs[i][0], ours[i]);
		info_with_node("2", node);
		holds(result, theirs[i][1]);
	}
	listen->caps = CONF_CAPS_STRIP;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_chain, close_chain)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_seeds_discovery),
		TEST(the_seeds_instructions),
		TEST(refusals),
		TEST(what_passes),
		TEST(a_server_with_the_feature_is_left_alone),
		TEST(ill_formed_results_stay),
		TEST(requests_are_capped),
		TEST(slots),
		TEST(capabilities_are_cut),
		TEST(capabilities_are_rewritten),
		TEST(all_functions_are_rewritten),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
