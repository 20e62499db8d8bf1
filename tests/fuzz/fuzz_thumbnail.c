/* SPDX-License-Identifier: MIT */
/*
 * Messages through the filter thumbnail: whatever stands in them, what was edited passes its check
 * and is one unit, and the caps hold. The first byte chooses the forms, the second lane, options
 * and the largest size.
 */
#include "config.h"

#include <string.h>

#include "base/err.h"
#include "filter/chain.h"
#include "fuzz.h"
#include "xmpp/framer.h"

#define HEADER       "<s:s xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>"
#define SOURCE_TRIES 4 /* limits.urls, and a smaller one of each */

static struct conf *conf;
static struct conf_listen *listen_main;
static struct nsctx *ctx;
static struct chain *chain;
static bool start;

static bool fake_start_job(void *c UNUSED, struct filter_unit *u UNUSED, const struct job *job)
{
	BUG_ON(!job->url[0] || strlen(job->url) > JOB_URL_MAX || strchr(job->url, '#'));
	BUG_ON(job->max_bytes < 512 || job->max_bytes > 8192);
	return start;
}

static const struct filter_host host = { .start_job = fake_start_job };

static void setup(void)
{
	struct tag t;

	outline_setup();
	conf = conf_new();
	BUG_ON(!conf);
	listen_main = conf_add_listen(conf, "main");
	BUG_ON(!listen_main);
	listen_main->directions = 1u << LANE_C2S | 1u << LANE_S2C;
	listen_main->forwarded = true;
	conf->profiles[0].links = true;
	BUG_ON(!conf_link(conf));
	BUG_ON(tag_read(&t, (const uint8_t *)HEADER, sizeof(HEADER) - 1) != 0);
	ctx = nsctx_of_header(&t);
	chain = chain_new(conf, listen_main, &host);
	BUG_ON(!ctx || !chain);
}

static bool is_unit(const uint8_t *p, size_t len)
{
	enum framer_event event;
	struct framer f;
	size_t at = 0;
	bool good;

	framer_init(&f);
	(void)framer_feed(&f, (const uint8_t *)HEADER, sizeof(HEADER) - 1, &event);
	do
		at += framer_feed(&f, p + at, len - at, &event);
	while (event == FRAMER_START || event == FRAMER_CHILD);
	good = len && p[0] == '<' && event == FRAMER_END && at == len;
	framer_fini(&f);
	return good;
}

static struct job_result result(size_t len)
{
	static const uint8_t bytes[8192] = "\x89PNG\r\n\x1a\n";

	return (struct job_result){ .status = JOB_OK,
				    .max_age = 60,
				    .media_format = PICTURE_JPEG,
				    .media_width = 4000,
				    .media_height = 3000,
				    .media_size = 12345,
				    .media_whole = true,
				    .thumbhash = { .len = 5, .bytes = "12345" },
				    .format = PICTURE_PNG,
				    .width = 4,
				    .height = 3,
				    .bytes = bytes,
				    .len = len };
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct chain_input in = { .kind = UNIT_MESSAGE };
	struct job_result r = result(200);
	enum chain_result rc;
	struct chain_unit *u;
	const uint8_t *p;
	int jobs = 0;

	if (!conf)
		setup();
	if (len < 3 || len > 8192 || !is_unit(bytes + 2, len - 2))
		return 0;
	conf->profiles[0].formats = bytes[0] % ((1u << CONF_FORMAT_COUNT) - 1) + 1;
	conf->profiles[0].links = bytes[1] & 1;
	listen_main->forwarded = bytes[1] & 2;
	start = !(bytes[1] & 4);
	in.dir = bytes[1] & 8 ? LANE_S2C : LANE_C2S;
	in.max_final = bytes[1] & 16 ? len + 400 + 8u * bytes[0] : 60 * 1024;
	in.bytes = bytes + 2;
	in.len = len - 2;
	in.ctx = ctx;
	if (bytes[1] & 32)
		r.len = 8000;
	if (bytes[1] & 64)
		r.status = JOB_HTTP;
	rc = chain_run(chain, &in, &u);
	while (rc == CHAIN_WAIT) {
		BUG_ON(++jobs > SOURCE_TRIES);
		rc = chain_unit_result(u, &r);
		r.len = MIN_OF(r.len, (size_t)512);
	}
	if (rc == CHAIN_EDITED) {
		p = chain_unit_bytes(u, &len);
		BUG_ON(len > in.max_final || !is_unit(p, len));
	}
	if (u)
		chain_unit_free(&u);
	BUG_ON(counters_mine->value[METRIC_CHECK_FAILED]);
	return 0;
}
