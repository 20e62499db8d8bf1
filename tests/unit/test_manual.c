/* SPDX-License-Identifier: MIT */
/*
 * Covers the example of inset-filters(7): the very text is built (manual_filter.c comes from the
 * page) and run in the real chain. The registry here knows nothing else.
 */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "filter/chain.h"

extern const struct filter_ops filter_plain;
const struct filter_ops *const filter_registry[] = { &filter_plain, NULL };

const struct filter_ops *filter_find(const char *name)
{
	return strcmp(name, filter_plain.name) == 0 ? &filter_plain : NULL;
}

#define HTML                                       \
	"<html xmlns='http://jabber.org/protocol/" \
	"xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'><b>hi</b></body></html>"

static struct conf *conf;
static struct nsctx *ctx;
static struct chain *chain;

static int setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	static const struct filter_host host = { .ctx = NULL };
	struct conf_listen *listen;
	struct tag t;

	outline_setup();
	conf = conf_new();
	listen = conf_add_listen(conf, "main");
	if (!listen || !conf_link(conf) || tag_read(&t, (const uint8_t *)header, strlen(header)))
		return -1;
	free(listen->filters.v[0]);
	listen->filters.v[0] = strdup("plain");
	ctx = nsctx_of_header(&t);
	chain = chain_new(conf, listen, &host);
	return chain ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
	chain_free(&chain);
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}

/* As the lane does. NULL: it passes as it came. */
static void becomes(enum lane_dir dir, const char *xml, const char *wanted)
{
	struct chain_input in = { .kind = UNIT_MESSAGE,
				  .dir = dir,
				  .bytes = (const uint8_t *)xml,
				  .len = strlen(xml),
				  .ctx = ctx,
				  .max_final = 60 * 1024 };
	enum chain_result result = CHAIN_PASS;
	struct chain_unit *u = NULL;
	const uint8_t *bytes;
	size_t len;

	if (chain_wants(chain, dir, UNIT_MESSAGE, IQ_NONE, NULL) == CHAIN_YES &&
	    chain_has_needle(chain, dir, UNIT_MESSAGE, in.bytes, in.len))
		result = chain_run(chain, &in, &u);
	assert_int_equal(result, wanted ? CHAIN_EDITED : CHAIN_PASS);
	if (wanted) {
		bytes = chain_unit_bytes(u, &len);
		assert_int_equal(len, strlen(wanted));
		assert_memory_equal(bytes, wanted, len);
	}
	chain_unit_free(&u);
}

static void formatted_text_is_taken_out(void **state UNUSED)
{
	becomes(LANE_S2C, "<message from='a@h'><body>hi</body>" HTML "</message>",
		"<message from='a@h'><body>hi</body></message>");
	becomes(LANE_S2C, "<message>" HTML "<body>hi</body>" HTML "</message>",
		"<message><body>hi</body></message>");
}

static void everything_else_passes(void **state UNUSED)
{
	becomes(LANE_C2S, "<message><body>hi</body>" HTML "</message>", NULL);
	becomes(LANE_S2C, "<message>" HTML "</message>", NULL);
	becomes(LANE_S2C, "<message><body>http://jabber.org/protocol/xhtml-im</body></message>",
		NULL);
	becomes(LANE_S2C, "<message><body>hi</body><x>" HTML "</x></message>", NULL);
	becomes(LANE_S2C, "<message><body>hi</body></message>", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(formatted_text_is_taken_out, setup, teardown),
		cmocka_unit_test_setup_teardown(everything_else_passes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
