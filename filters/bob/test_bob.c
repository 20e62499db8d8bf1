/* SPDX-License-Identifier: MIT */
/*
 * Covers the filter bob with the real chain, outline and edits and a faked host: which requests
 * are remembered, which replies belong to them, what is looked up, what is written, what is kept
 * in transit. Over the wire: tests/integration/test_bob.py.
 */
#include "config.h"

#include "unit.h"

#include "base/base64.h"
#include "base/err.h"
#include "bob/request.h"
#include "filter/chain.h"
#include "filter/owner.h"
#include "xmpp/ns.h"

#define HEX "4a5eb7171b58e08a6881721e3b43d5a44419a2be"
#define CID "sha1+" HEX "@bob.xmpp.org"
#define PIXEL                                                                                  \
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ" \
	"RU5ErkJggg=="
#define DATA "<data xmlns='urn:xmpp:bob' cid='" CID "'/>"
#define NOT_FOUND                               \
	"<error type='cancel'><item-not-found " \
	"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
#define ASK       "<iq type='get' id='q' to='a@h/r'>" DATA "</iq>"
#define REFUSAL   "<iq type='error' id='q' from='a@h/r' to='b@h/p'>" NOT_FOUND "</iq>"
#define KEEP_DATA "<data xmlns='urn:xmpp:bob' cid='" CID "' type='image/png'>" PIXEL "</data>"

static struct conf *conf;
static struct conf_listen *listen;
static struct nsctx *ctx;
static struct chain *chain;
static uint8_t pixel[128];
static size_t pixel_len;
static struct {
	int jobs, kept;
	bool refuse;
	struct job job;
	struct job_keep keep;
	char type[JOB_TYPE_MAX + 1];
} host_got;

static bool fake_start_job(void *c UNUSED, struct filter_unit *u UNUSED, const struct job *job)
{
	host_got.jobs++;
	host_got.job = *job;
	return !host_got.refuse;
}

static void fake_keep(void *c UNUSED, const struct job_keep *k)
{
	host_got.kept++;
	host_got.keep = *k;
	snprintf(host_got.type, sizeof(host_got.type), "%s", k->type);
	assert_int_equal(k->len, pixel_len);
	assert_memory_equal(k->bytes, pixel, pixel_len);
}

static const struct filter_host host = { .start_job = fake_start_job, .keep = fake_keep };

static struct tag tag_of(const char *xml)
{
	struct tag t;

	assert_int_equal(tag_read(&t, (const uint8_t *)xml, strcspn(xml, ">") + 1), 0);
	return t;
}

/* As the lane does: asked by the start tag, then run if it is wanted. */
static enum chain_result run(const char *xml, enum lane_dir dir, struct chain_unit **out)
{
	struct chain_input in = { .kind = UNIT_IQ,
				  .dir = dir,
				  .bytes = (const uint8_t *)xml,
				  .len = strlen(xml),
				  .ctx = ctx,
				  .from = "b@h/p",
				  .max_final = 60 * 1024 };
	struct tag_span ns = { .p = NS_BOB, .len = strlen(NS_BOB) };
	struct tag t = tag_of(xml);
	enum iq_type type = unit_iq_type(&t);

	*out = NULL;
	if (strncmp(xml, "<message", 8) == 0) {
		in.kind = UNIT_MESSAGE;
		return chain_wants(chain, dir, UNIT_MESSAGE, IQ_NONE, NULL) == CHAIN_YES &&
				       chain_has_needle(chain, dir, UNIT_MESSAGE, in.bytes, in.len)
			       ? chain_run(chain, &in, out)
			       : CHAIN_PASS;
	}
	if (chain_wants(chain, dir, UNIT_IQ, type, &ns) == CHAIN_YES ||
	    ((type == IQ_RESULT || type == IQ_ERROR) && chain_awaits(chain, dir, type, &t)))
		return chain_run(chain, &in, out);
	return CHAIN_PASS;
}

static void passes(const char *xml, enum lane_dir dir)
{
	struct chain_unit *u;
	int before = host_got.jobs;

	if (run(xml, dir, &u) != CHAIN_PASS || host_got.jobs != before)
		fail_msg("does not pass: %s", xml);
	assert_null(u);
}

static void is_looked_up(const char *xml, enum lane_dir dir)
{
	struct chain_unit *u;
	int before = host_got.jobs;

	if (run(xml, dir, &u) != CHAIN_WAIT || host_got.jobs != before + 1)
		fail_msg("not looked up: %s", xml);
	chain_unit_free(&u);
}

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag t = tag_of(header);

	memset(&host_got, 0, sizeof(host_got));
	outline_setup();
	conf = conf_new();
	listen = conf_add_listen(conf, "main");
	if (!listen || !conf_link(conf))
		return -1;
	free(listen->filters.v[0]);
	listen->filters.v[0] = strdup("bob");
	listen->keep_bob = true;
	ctx = nsctx_of_header(&t);
	chain = chain_new(conf, listen, &host);
	return chain && base64_parse(pixel, &pixel_len, PIXEL, strlen(PIXEL)) == 0 ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	chain_free(&chain);
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}

static void the_error_becomes_the_data(void **state UNUSED)
{
	static const char want[] = "<iq type='result' id='q' from='a@h/r' to='b@h/p'>"
				   "<data xmlns='urn:xmpp:bob' cid='" CID "' max-age='77' "
				   "type='image/png'>" PIXEL "</data></iq>";
	struct job_result r = { .status = JOB_OK,
				.format = PICTURE_PNG,
				.width = 1,
				.height = 1,
				.max_age = 77,
				.bytes = pixel,
				.len = pixel_len };
	uint8_t owner[JOB_OWNER_LEN], sum[HASH_SHA1_LEN];
	struct chain_unit *u;
	const uint8_t *p;
	size_t len;

	passes(ASK, LANE_C2S);
	assert_int_equal(run(REFUSAL, LANE_S2C, &u), CHAIN_WAIT);
	assert_int_equal(owner_of("a@h", owner), 0);
	assert_int_equal(hash_sha1(pixel, pixel_len, sum), 0);
	assert_true(host_got.job.find_cid);
	assert_string_equal(host_got.job.url, "");
	assert_memory_equal(host_got.job.owner, owner, sizeof(owner));
	assert_memory_equal(host_got.job.cid, sum, sizeof(sum));
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	p = chain_unit_bytes(u, &len);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(p, want, len);
	chain_unit_free(&u);
	passes(REFUSAL, LANE_S2C); /* answered */
}

static void not_found_or_media_away(void **state UNUSED)
{
	struct job_result r = { .status = JOB_CACHED_ONLY };
	struct chain_unit *u;

	passes(ASK, LANE_C2S);
	assert_int_equal(run(REFUSAL, LANE_S2C, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	chain_unit_free(&u);
	host_got.refuse = true;
	passes(ASK, LANE_C2S);
	assert_int_equal(run(REFUSAL, LANE_S2C, &u), CHAIN_PASS);
	assert_null(u);
	assert_int_equal(host_got.jobs, 2);
}

static void requests_that_are_not_remembered(void **state UNUSED)
{
	static const char *const requests[] = {
		"<iq type='get' to='a@h/r'>" DATA "</iq>",
		"<iq type='get' id='' to='a@h/r'>" DATA "</iq>",
		"<iq type='get' id='q'>" DATA "</iq>",
		"<iq type='get' id='q' to=''>" DATA "</iq>",
		"<iq type='get' id='q' to='a@h/r'><data xmlns='urn:xmpp:bob'/></iq>",
		"<iq type='get' id='q' to='a@h/r'><x xmlns='urn:xmpp:bob' cid='" CID "'/></iq>",
		"<iq type='get' id='q' to='a@h/r'><data xmlns='urn:xmpp:bob' cid='x" CID "'/></iq>",
		"<iq type='get' id='q' to='a@h/r'><data xmlns='urn:xmpp:bob' cid='" CID "x'/></iq>",
		"<iq type='get' id='q' to='a@h/r'><data xmlns='urn:xmpp:bob' "
		"cid='sha1+4A5EB7171B58E08A6881721E3B43D5A44419A2BE@bob.xmpp.org'/></iq>",
		"<iq type='get' id='q' to='a@h/r'><data xmlns='urn:xmpp:bob' cid='sha1+" HEX
		"@bob.xmpp.com'/></iq>",
	};
	char id[REQUEST_ID_MAX + 2], xml[1024];
	size_t i;

	passes(REFUSAL, LANE_S2C); /* nothing was asked at all */
	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		passes(requests[i], LANE_C2S);
		passes(REFUSAL, LANE_S2C);
	}
	memset(id, 'i', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	snprintf(xml, sizeof(xml), "<iq type='get' id='%s' to='a@h/r'>" DATA "</iq>", id);
	passes(xml, LANE_C2S);
	snprintf(xml, sizeof(xml), "<iq type='error' id='%s' from='a@h/r'>" NOT_FOUND "</iq>", id);
	passes(xml, LANE_S2C);
}

static void replies_of_others(void **state UNUSED)
{
	static const char *const replies[] = {
		"<iq type='error' id='r' from='a@h/r' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' from='a@h/r' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' from='' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' from='a@h' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' from='a@h/R' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' from='A@h/r' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='error' id='q' from='h/r' to='b@h/p'>" NOT_FOUND "</iq>",
		"<iq type='set' id='q' from='a@h/r' to='b@h/p'>" NOT_FOUND "</iq>",
	};
	size_t i;

	passes(ASK, LANE_C2S);
	for (i = 0; i < ARRAY_SIZE(replies); i++)
		passes(replies[i], LANE_S2C);
	passes(REFUSAL, LANE_C2S); /* the same lane */
	is_looked_up("<iq id='&#113;' type='error' from='a@H/&#114;' to='b@h/p'>" NOT_FOUND "</iq>",
		     LANE_S2C);
}

static void the_client_is_asked(void **state UNUSED)
{
	static const char ask[] = "<iq type='get' id='q' to='b@h/p' from='a@h/r'>" DATA "</iq>";

	passes(ask, LANE_S2C);
	passes("<iq type='error' id='q'>" NOT_FOUND "</iq>", LANE_C2S);
	passes("<iq type='error' id='q' to='a@h'>" NOT_FOUND "</iq>", LANE_C2S);
	passes("<iq type='error' id='q' to='a@h/r' from='c@h/p'>" NOT_FOUND "</iq>", LANE_C2S);
	is_looked_up("<iq type='error' id='q' to='a@h/r'>" NOT_FOUND "</iq>", LANE_C2S);
	passes(ask, LANE_S2C);
	is_looked_up("<iq type='error' id='q' to='a@h/r' from='b@h/p'>" NOT_FOUND "</iq>",
		     LANE_C2S);
	/* Without a sender there is nobody whom the reply could be for. */
	passes("<iq type='get' id='q' to='b@h/p'>" DATA "</iq>", LANE_S2C);
	passes("<iq type='error' id='q'>" NOT_FOUND "</iq>", LANE_C2S);
}

static void conditions(void **state UNUSED)
{
#define STANZAS " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
	static const struct {
		const char *inner;
		bool looked_up;
	} rows[] = {
		{ "<error type='cancel'><item-not-found" STANZAS "</error>", true },
		{ "<error type='cancel'><service-unavailable" STANZAS "</error>", true },
		{ "<error type='cancel'><feature-not-implemented" STANZAS "</error>", true },
		{ DATA "<error><x xmlns='urn:x'/><item-not-found" STANZAS "</error>", true },
		{ "<item-not-found" STANZAS, true },
		{ "<error type='auth'><forbidden" STANZAS "</error>", false },
		{ "<error type='cancel'><not-allowed" STANZAS "</error>", false },
		{ "<error type='modify'><bad-request" STANZAS "</error>", false },
		{ "<error><item-not-found xmlns='urn:x'/></error>", false },
		{ "<x xmlns='urn:x'><item-not-found" STANZAS "</x>", false },
		{ "<error><x xmlns='urn:x'><item-not-found" STANZAS "</x></error>", false },
		{ "", false },
	};
	char xml[512];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		passes(ASK, LANE_C2S);
		snprintf(xml, sizeof(xml), "<iq type='error' id='q' from='a@h/r'>%s</iq>",
			 rows[i].inner);
		if (rows[i].looked_up)
			is_looked_up(xml, LANE_S2C);
		else
			passes(xml, LANE_S2C);
		passes(REFUSAL, LANE_S2C); /* each reply ends its request */
	}
}

static void each_lane_has_its_cap(void **state UNUSED)
{
	char xml[512];
	unsigned i;

	passes(ASK, LANE_C2S); /* the client's stays, whatever strangers ask */
	conf->limits.bob_requests = 2;
	for (i = 0; i < 50; i++) {
		snprintf(xml, sizeof(xml),
			 "<iq type='get' id='s%u' to='b@h/p' from='a@h/r'>" DATA "</iq>", i);
		passes(xml, LANE_S2C);
	}
	for (i = 0; i < 50; i++) {
		snprintf(xml, sizeof(xml),
			 "<iq type='error' id='s%u' to='a@h/r'>" NOT_FOUND "</iq>", i);
		if (i < 48)
			passes(xml, LANE_C2S);
		else
			is_looked_up(xml, LANE_C2S);
	}
	is_looked_up(REFUSAL, LANE_S2C);
	for (i = 0; i < 5; i++)
		passes(ASK, LANE_C2S); /* freed with the session */
}

static void a_result_ends_the_request(void **state UNUSED)
{
	static const char result[] = "<iq type='result' id='q' from='a@h/r'/>";
	struct tag t = tag_of(result);

	passes(ASK, LANE_C2S);
	listen->keep_bob = false;
	assert_false(chain_awaits(chain, LANE_S2C, IQ_RESULT, &t)); /* flows, unkept */
	passes(REFUSAL, LANE_S2C);
}

static void kept_in_transit(void **state UNUSED)
{
	uint8_t owner[JOB_OWNER_LEN];

	passes(ASK, LANE_C2S);
	passes("<iq type='result' id='q' from='a@h/r'>" KEEP_DATA "</iq>", LANE_S2C);
	assert_int_equal(host_got.kept, 1);
	assert_int_equal(owner_of("a@H/other", owner), 0);
	assert_memory_equal(host_got.keep.owner, owner, sizeof(owner));
	assert_string_equal(host_got.type, "image/png");
	assert_int_equal(host_got.keep.max_age, UINT32_MAX);
	passes("<iq type='result' id='q' from='a@h/r'>" KEEP_DATA "</iq>", LANE_S2C);
	assert_int_equal(host_got.kept, 1); /* not asked for */
	passes("<message>" KEEP_DATA KEEP_DATA KEEP_DATA KEEP_DATA KEEP_DATA "</message>",
	       LANE_C2S);
	assert_int_equal(host_got.kept, 5); /* four of a message */
	assert_int_equal(owner_of("b@h", owner), 0);
	assert_memory_equal(host_got.keep.owner, owner, sizeof(owner));
	passes("<message><data xmlns='urn:xmpp:bob' cid='" CID "' type='a/b' max-age='5'>\n" PIXEL
	       "\n</data></message>",
	       LANE_S2C);
	assert_int_equal(host_got.kept, 6);
	assert_int_equal(host_got.keep.max_age, 5);
}

static void not_kept(void **state UNUSED)
{
#define WITH(attrs, text) "<message><data xmlns='urn:xmpp:bob'" attrs ">" text "</data></message>"
	static const char *const messages[] = {
		WITH(" cid='" CID "'", PIXEL),
		WITH(" type='image/png'", PIXEL),
		WITH(" cid='" CID "' type=''", PIXEL),
		WITH(" cid='" CID "' type='image'", PIXEL),
		WITH(" cid='" CID "' type='a/&lt;'", PIXEL),
		WITH(" cid='" CID "' type='a/b&#10;c'", PIXEL),
		WITH(" cid='" CID "' type='a/\xc3\xa4'", PIXEL),
		WITH(" cid='" CID "' type='a/b' max-age='0'", PIXEL),
		WITH(" cid='" CID "' type='a/b'", ""),
		WITH(" cid='" CID "' type='a/b'", "AAAA"),
		WITH(" cid='" CID "' type='a/b'", "!!!!"),
		WITH(" cid='sha1+" HEX "@h' type='a/b'", PIXEL),
		"<message type='error'>" KEEP_DATA "</message>",
		"<message><no-store xmlns='urn:xmpp:hints'/>" KEEP_DATA "</message>",
		"<message><no-permanent-store xmlns='urn:xmpp:hints'/>" KEEP_DATA "</message>",
		"<message><x xmlns='urn:x'>" KEEP_DATA "</x></message>",
		"<message><data xmlns='urn:x'>urn:xmpp:bob</data></message>",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		passes(messages[i], LANE_S2C);
		if (host_got.kept)
			fail_msg("kept: %s", messages[i]);
	}
	conf->limits.bob_bytes = pixel_len - 1;
	passes("<message>" KEEP_DATA "</message>", LANE_S2C);
	assert_int_equal(host_got.kept, 0);
	conf->limits.bob_bytes = pixel_len;
	passes("<message>" KEEP_DATA "</message>", LANE_S2C);
	assert_int_equal(host_got.kept, 1);
}

static void owners(void **state UNUSED)
{
	uint8_t a[JOB_OWNER_LEN], b[JOB_OWNER_LEN];
	char text[4000];

	assert_int_equal(owner_of("Romeo@Montague.NET/x", a), 0);
	assert_int_equal(owner_of("Romeo@montague.net", b), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(owner_of("romeo@montague.net", b), 0);
	assert_memory_not_equal(a, b, sizeof(a)); /* local parts are the server's to fold */
	assert_int_equal(owner_of("montague.net", b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(owner_of("", a), ERR_SYNTAX);
	assert_int_equal(owner_of("@h", a), ERR_SYNTAX);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(owner_of(text, a), ERR_SYNTAX);
	assert_string_equal(NS_BOB, "urn:xmpp:bob"); /* the needle */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_error_becomes_the_data),
		TEST(not_found_or_media_away),
		TEST(requests_that_are_not_remembered),
		TEST(replies_of_others),
		TEST(the_client_is_asked),
		TEST(conditions),
		TEST(each_lane_has_its_cap),
		TEST(a_result_ends_the_request),
		TEST(kept_in_transit),
		TEST(not_kept),
		TEST(owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
