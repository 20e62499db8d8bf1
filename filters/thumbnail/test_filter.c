/* SPDX-License-Identifier: MIT */
/*
 * test_filter - see test_filter.h.
 */
#include "config.h"

#include "unit.h"

#include "base/base64.h"
#include "thumbnail/test_filter.h"

struct conf *conf;
struct conf_profile *profile;
struct conf_listen *listen_main;
struct nsctx *ctx;
struct chain *chain;
static uint8_t thumbnail[128];
static size_t thumbnail_len;
struct filter_asked asked;

static bool fake_start_job(void *c UNUSED, struct filter_unit *u UNUSED, const struct job *job)
{
	asked.count++;
	asked.last = *job;
	snprintf(asked.url, sizeof(asked.url), "%s", job->url);
	return !asked.refuse;
}

const struct filter_host fake_host = { .start_job = fake_start_job };

struct job_result golden_result(void)
{
	struct job_result r = { .status = JOB_OK,
				.max_age = 86400,
				.media_format = PICTURE_PNG,
				.media_width = 40,
				.media_height = 30,
				.media_size = 223,
				.media_whole = true,
				.format = PICTURE_PNG,
				.width = 4,
				.height = 3,
				.bytes = thumbnail,
				.len = thumbnail_len };
	uint8_t sum[64];
	size_t len;

	assert_int_equal(
		base64_parse(sum, &len, "96fx6V4Kxy3r5cpbj8sBZr8xhWEU1nedvfu/xtUcQ94=", 44), 0);
	memcpy(r.media_sha256, sum, sizeof(r.media_sha256));
	assert_int_equal(base64_parse(sum, &len, "AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA", 32), 0);
	r.thumbhash.len = (uint8_t)len;
	memcpy(r.thumbhash.bytes, sum, len);
	return r;
}

struct chain_input input_of(const char *xml, enum lane_dir dir)
{
	return (struct chain_input){ .kind = UNIT_MESSAGE,
				     .dir = dir,
				     .bytes = (const uint8_t *)xml,
				     .len = strlen(xml),
				     .ctx = ctx,
				     .from = "romeo@montague.lit/orchard",
				     .max_final = 60 * 1024 };
}

enum chain_result run_dir(const char *xml, enum lane_dir dir, struct chain_unit **out)
{
	struct chain_input in = input_of(xml, dir);

	asked.count = 0;
	return chain_run(chain, &in, out);
}

char *written(const char *xml, enum lane_dir dir, const struct job_result *r)
{
	struct chain_unit *u;
	const uint8_t *p;
	char *text = NULL;
	size_t len;

	if (run_dir(xml, dir, &u) != CHAIN_WAIT) {
		assert_null(u);
		return NULL;
	}
	if (chain_unit_result(u, r) == CHAIN_EDITED) {
		p = chain_unit_bytes(u, &len);
		text = strndup((const char *)p, len);
		assert_non_null(text);
	}
	chain_unit_free(&u);
	return text;
}

char *written_c2s(const char *xml)
{
	struct job_result r = golden_result();

	return written(xml, LANE_C2S, &r);
}

void left_alone(const char *xml, enum lane_dir dir)
{
	struct chain_unit *u;

	if (run_dir(xml, dir, &u) != CHAIN_PASS || asked.count)
		fail_msg("not left alone: %s", xml);
}

size_t times(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

void set_formats(uint32_t formats)
{
	profile->formats = formats;
}

int filter_setup(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct tag tag;

	outline_setup();
	conf = conf_new();
	listen_main = conf ? conf_add_listen(conf, "main") : NULL;
	if (!listen_main)
		return -1;
	listen_main->directions = 1u << LANE_C2S | 1u << LANE_S2C;
	listen_main->forwarded = true;
	conf->profiles[0].links = true; /* the listener's; tests turn it off */
	if (!conf_link(conf) || tag_read(&tag, (const uint8_t *)header, sizeof(header) - 1) ||
	    base64_parse(thumbnail, &thumbnail_len, THUMBNAIL, strlen(THUMBNAIL)))
		return -1;
	profile = &conf->profiles[0];
	ctx = nsctx_of_header(&tag);
	chain = chain_new(conf, listen_main, &fake_host);
	return chain ? 0 : -1;
}

int filter_teardown(void **state UNUSED)
{
	chain_free(&chain);
	nsctx_unref(&ctx);
	conf_unref(&conf);
	return 0;
}
