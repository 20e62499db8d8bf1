/* SPDX-License-Identifier: MIT */
/*
 * Rules in the filter thumbnail, through the real chain: profiles that are chosen after the
 * fetch, and what strip takes out, byte for byte. Decisions themselves: tests/unit/test_rule.c.
 */
#include "config.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "test_filter.h"

#define IBB                                                             \
	"<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='x' " \
	"type='image/png'>AA==</data>"
#define BOB    "<data xmlns='urn:xmpp:bob' cid='sha1+0@bob.xmpp.org' type='image/png'>AA==</data>"
#define SOUND  "<data xmlns='urn:xmpp:bob' cid='sha1+1@bob.xmpp.org' type='audio/ogg'>AA==</data>"
#define THUMB0 "<thumbnail xmlns='urn:xmpp:thumbs:0' cid='sha1+0@bob.xmpp.org'/>"
#define THUMB1 "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='cid:sha1+0@bob.xmpp.org'/>"
#define HASH   "<thumbnail xmlns='urn:xmpp:thumbs:1' uri='data:image/thumbhash;base64,AA=='/>"
#define FILE_(inner)                                                                   \
	"<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>" \
	"<name>a</name>" inner "</file></file-sharing>"

/* Rules instead of the ones before; the conditions' texts are borrowed. */
static void set_rule(const char *condition, const char *entry, int action, const char *of)
{
	struct conf_rule *r = conf_add_rule(conf, "r");
	struct conf_condition *c = condition && r ? conf_add_condition(r, condition) : NULL;

	assert_non_null(r);
	r->action = action;
	if (of) {
		free(r->profile);
		r->profile = strdup(of);
	}
	if (condition)
		assert_int_equal(conf_add_entry(c, entry), 0);
}

static void use_rules(int fallback)
{
	struct err_msg msg = { 0 };

	chain_free(&chain);
	conf->default_action = fallback;
	assert_true(conf_link(conf));
	assert_int_equal(rule_attach(conf, &msg), 0);
	chain = chain_new(conf, listen_main, &fake_host);
	assert_non_null(chain);
}

static void drop_rules(void)
{
	chain_free(&chain);
	if (conf->compiled)
		conf->compiled_free(&conf->compiled);
	conf_free_rules(conf);
	conf->rules = NULL;
	conf->rules_n = 0;
	conf->files = NULL;
	conf->files_n = 0;
	conf->default_action = CONF_ACTION_THUMBNAIL;
	assert_true(conf_link(conf));
	chain = chain_new(conf, listen_main, &fake_host);
	assert_non_null(chain);
}

/* What leaves at once, to be freed; NULL: as it came. */
static char *at_once(const char *xml, enum lane_dir dir)
{
	struct chain_unit *u;
	const uint8_t *p;
	char *text;
	size_t len;

	if (!chain_has_needle(chain, dir, UNIT_MESSAGE, (const uint8_t *)xml, strlen(xml)))
		return NULL;
	if (run_dir(xml, dir, &u) != CHAIN_EDITED) {
		assert_null(u);
		return NULL;
	}
	p = chain_unit_bytes(u, &len);
	text = strndup((const char *)p, len);
	assert_non_null(text);
	chain_unit_free(&u);
	return text;
}

static void strip_takes_out_thumbnails_and_nothing_else(void **state UNUSED)
{
	static const struct {
		const char *xml;
		const char *leaves; /* NULL: as it came */
	} rows[] = {
		{ MSG(BOTH IBB), MSG(BOTH) },
		{ MSG(IBB "a &lt; b" BOB "<y xmlns='z'/>" SOUND),
		  MSG("a &lt; b<y xmlns='z'/>" SOUND) },
		{ MSG(FILE_(THUMB1) THUMB0), MSG(FILE_("")) },
		{ MSG(PIC FILE_(HASH)), MSG(PIC FILE_("")) },
		{ MSG(FILE_(THUMB1 THUMB1 " " THUMB0)), MSG(FILE_(" ")) },
		{ "<message to='b@h'\n>" IBB "</message >", "<message to='b@h'\n></message >" },
		{ MSG(PIC), NULL },
		{ MSG("<body>urn:xmpp:thumbs:1</body>"), NULL },
		{ MSG("<body>x</body>"), NULL },
		{ MSG(SOUND PIC), NULL },
		/* Inside other elements in-band data are something else. */
		{ MSG("<z xmlns='q'>" IBB BOB "</z>"), NULL },
		{ MSG("<encrypted xmlns='urn:xmpp:omemo:2'/>" IBB), NULL },
		{ "<message type='error'>" IBB PIC "</message>",
		  "<message type='error'>" PIC "</message>" },
	};
	size_t i;

	use_rules(CONF_ACTION_STRIP);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char *out = at_once(rows[i].xml, i & 1 ? LANE_S2C : LANE_C2S);

		if (!out != !rows[i].leaves || (out && strcmp(out, rows[i].leaves) != 0))
			fail_msg("%s\nbecame %s", rows[i].xml, out ? out : "nothing else");
		assert_int_equal(asked.count, 0);
		free(out);
	}
	drop_rules();
	assert_null(at_once(MSG(BOTH IBB), LANE_C2S));
	/* Without a rule that strips its needles are not looked for. */
	assert_false(chain_has_needle(chain, LANE_C2S, UNIT_MESSAGE, (const uint8_t *)THUMB1,
				      strlen(THUMB1)));
}

/* The rule names a host: messages without an address are none of its own. */
static void strip_by_the_address(void **state UNUSED)
{
	char *out;

	set_rule("host", "up.montague.lit", CONF_ACTION_STRIP, NULL);
	use_rules(CONF_ACTION_PASS);
	out = at_once(MSG(BOTH IBB), LANE_C2S);
	assert_non_null(out);
	assert_string_equal(out, MSG(BOTH));
	free(out);
	assert_null(at_once(MSG(IBB), LANE_C2S));
	drop_rules();
}

/* The fetch began with one profile, the media ask for another: a second job. */
static void another_profile_after_the_fetch(void **state UNUSED)
{
	struct conf_profile *small = conf_add_profile(conf, "small");
	struct job_result r = golden_result();
	struct chain_unit *u;

	assert_non_null(small);
	small->width = small->height = 48;
	profile = &conf->profiles[0];
	set_rule("media-bytes", "1000..", CONF_ACTION_THUMBNAIL, NULL);
	set_rule("media", "image/png", CONF_ACTION_THUMBNAIL, "small");
	conf->rules[1].name[0] = 's';
	use_rules(CONF_ACTION_PASS);
	assert_int_equal(run_dir(MSG(BOTH), LANE_C2S, &u), CHAIN_WAIT);
	assert_int_equal(asked.last.width, 128);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_WAIT);
	assert_int_equal(asked.count, 2);
	assert_int_equal(asked.last.width, 48);
	assert_string_equal(asked.url, URL);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	chain_unit_free(&u);
	/* The one that it began with: no second job. */
	r.media_size = 1000;
	assert_int_equal(run_dir(MSG(BOTH), LANE_C2S, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	assert_int_equal(asked.count, 1);
	chain_unit_free(&u);
	/* None: as it came. */
	r.media_size = 10;
	r.media_format = PICTURE_GIF;
	assert_int_equal(run_dir(MSG(BOTH), LANE_C2S, &u), CHAIN_WAIT);
	assert_int_equal(chain_unit_result(u, &r), CHAIN_PASS);
	chain_unit_free(&u);
	drop_rules();
}

/* The second address of a message gets its own decision. */
static void each_address_is_judged(void **state UNUSED)
{
	struct job_result r = golden_result();
	struct chain_unit *u;

	set_rule("url", "*/first*", CONF_ACTION_PASS, NULL);
	use_rules(CONF_ACTION_THUMBNAIL);
	assert_int_equal(run_dir(MSG(OOB("<url>https://h/first</url><url>https://h/second</url>")),
				 LANE_C2S, &u),
			 CHAIN_WAIT);
	assert_string_equal(asked.url, "https://h/second");
	assert_int_equal(chain_unit_result(u, &r), CHAIN_EDITED);
	chain_unit_free(&u);
	drop_rules();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strip_takes_out_thumbnails_and_nothing_else),
		cmocka_unit_test(strip_by_the_address),
		cmocka_unit_test(each_address_is_judged),
		cmocka_unit_test(another_profile_after_the_fetch),
	};

	return cmocka_run_group_tests(tests, filter_setup, filter_teardown);
}
