/* SPDX-License-Identifier: MIT */
/*
 * test_filter - the filter thumbnail with the real chain, outline and edits and a faked host, for
 * its tests.
 *
 * The thumbnail is the 4 x 3 PNG of golden/, the media the 40 x 30 PNG that the golden files speak
 * of.
 */
#pragma once

#include "filter/chain.h"
#include "xmpp/ns.h"

#define OOB(inner) "<x xmlns='jabber:x:oob'>" inner "</x>"
#define URL        "https://up.montague.lit/a1/summit.png"
#define PIC        OOB("<url>" URL "</url>")
#define MSG(inner) "<message to='b@h'>" inner "</message>"
#define BOTH       "<body>" URL "</body>" PIC

#define THUMBNAIL                                                                          \
	"iVBORw0KGgoAAAANSUhEUgAAAAQAAAADCAIAAAA7ljmRAAAAMElEQVR42mNgqPgvUvFao+K6TcVhhoCK" \
	"9SkVsysq2nsqihkWVMRvqfA+UWF+p0IZAFVYEZXDSuJzAAAAAElFTkSuQmCC"
#define CID "sha1+2f7d4ab1c137df0b0fe181399fb84725e0212767@bob.xmpp.org"

struct filter_asked {
	int count; /* jobs since run_dir() */
	bool refuse;
	struct job last;
	char url[JOB_URL_MAX + 1];
};

extern struct conf *conf;
extern struct conf_profile *profile; /* the listener's */
extern struct conf_listen *listen_main;
extern struct nsctx *ctx;
extern struct chain *chain;
extern struct filter_asked asked;
extern const struct filter_host fake_host;

/* Everything is switched on: both lanes, links, forwarded. For cmocka_run_group_tests(). */
int filter_setup(void **state);
int filter_teardown(void **state);

/* What media answers for the golden picture. */
struct job_result golden_result(void);

struct chain_input input_of(const char *xml, enum lane_dir dir);
enum chain_result run_dir(const char *xml, enum lane_dir dir, struct chain_unit **out);

/* The whole way of one message, as a text to be freed; NULL: it went on as it came. */
char *written(const char *xml, enum lane_dir dir, const struct job_result *r);
char *written_c2s(const char *xml);

/* No job, nothing changed; else the test fails. */
void left_alone(const char *xml, enum lane_dir dir);

size_t times(const char *text, const char *what);
void set_formats(uint32_t formats);

#define FORMAT(name) (1u << CONF_FORMAT_##name)
