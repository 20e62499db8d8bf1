/* SPDX-License-Identifier: MIT */
/*
 * inset-replay - main(): captures looked at, checked, played, and the reports of it.
 *
 * Exit codes: 0 done and clean, 1 a difference or input at fault, 2 usage, 70 its own fault.
 */
#include "config.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/import.h"
#include "replay/info.h"
#include "replay/player.h"
#include "replay/report.h"

enum { EXIT_DIFFERENT = 1, EXIT_USAGE = 2, EXIT_OWN = 70 };

#define MEMORY_MAX (1024ull * 1024 * 1024)

static const char usage[] =
	"usage: inset-replay info [--json] CAPTURE...\n"
	"       inset-replay check CAPTURE...\n"
	"       inset-replay import [--port 5222] [--no-redaction] PCAP FOLDER\n"
	"       inset-replay play --connect ADDR:PORT --listen ADDR:PORT [OPTION]... CAPTURE...\n"
	"       inset-replay report [-o FILE.html] REPORT.json [REPORT.json]\n"
	"\n"
	"play:\n"
	"  --connect ADDR:PORT    what is tested: where clients connect\n"
	"  --listen ADDR:PORT     where it finds its server\n"
	"  --sessions N           clones of the captured sessions until there are N\n"
	"  --speed FACTOR|max     times as fast as captured (1)\n"
	"  --rate N               units a second behind the logins, over all sessions\n"
	"  --ramp-up SECONDS      over which sessions start (2000 a second)\n"
	"  --loop N               each session N times; 0: until interrupted (1)\n"
	"  --timeout SECONDS      without anything arriving: what is due is lost (30)\n"
	"  --expect all|none|any  thumbnails: wherever there may be one, nowhere, no matter (any)\n"
	"  --tls direct|starttls  clients speak TLS; any certificate will do\n"
	"  --ca FILE              ... that these authorities have signed for the stream's domain\n"
	"  --media PORT           web server of its own for the captured URLs; 0: any port\n"
	"  --pictures FOLDER      served by it (else it makes some)\n"
	"  --picture-size WxH     of those (640x480)\n"
	"  --faults LIST          of it, in percent of URLs: slow=5,endless=5,truncated=5,404=5,\n"
	"                         redirect=5,type=5\n"
	"  --json FILE            where the report is written\n"
	"  --html FILE            ... as a page\n"
	"  --progress, --quiet    a line a second on standard error (when it is a terminal)\n";

enum option_id {
	OPT_CONNECT = 256,
	OPT_CA,
	OPT_LISTEN,
	OPT_SESSIONS,
	OPT_SPEED,
	OPT_RATE,
	OPT_RAMP,
	OPT_LOOP,
	OPT_TIMEOUT,
	OPT_TLS,
	OPT_EXPECT,
	OPT_MEDIA,
	OPT_PICTURES,
	OPT_PICTURE_SIZE,
	OPT_FAULTS,
	OPT_JSON,
	OPT_HTML,
	OPT_PROGRESS,
	OPT_QUIET
};

static const struct option play_options[] = {
	{ "ca", required_argument, NULL, OPT_CA },
	{ "connect", required_argument, NULL, OPT_CONNECT },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "faults", required_argument, NULL, OPT_FAULTS },
	{ "html", required_argument, NULL, OPT_HTML },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "loop", required_argument, NULL, OPT_LOOP },
	{ "media", required_argument, NULL, OPT_MEDIA },
	{ "picture-size", required_argument, NULL, OPT_PICTURE_SIZE },
	{ "pictures", required_argument, NULL, OPT_PICTURES },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "ramp-up", required_argument, NULL, OPT_RAMP },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "sessions", required_argument, NULL, OPT_SESSIONS },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "tls", required_argument, NULL, OPT_TLS },
	{ NULL, 0, NULL, 0 },
};

struct play {
	struct player_config config;
	const char *json;
	const char *html;
};

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "inset-replay: %s%s%s\nTry 'inset-replay --help'.\n", what,
		value ? ": " : "", value ? value : "");
	return EXIT_USAGE;
}

static int fail(int code, const struct err_msg *msg)
{
	fprintf(stderr, "inset-replay: %s\n", msg->text[0] ? msg->text : err_str(code));
	return code == ERR_NOMEM ? EXIT_OWN : EXIT_DIFFERENT;
}

/* --- values ------------------------------------------------------------------------------- */

static bool parse_number(const char *s, double min, double max, double *out)
{
	char *end;

	*out = strtod(s, &end);
	return end != s && !*end && *out >= min && *out <= max;
}

static bool parse_count(const char *s, unsigned max, unsigned *out)
{
	double d;

	if (!parse_number(s, 0, max, &d) || (double)(unsigned)d < d)
		return false;
	*out = (unsigned)d;
	return true;
}

/* "127.0.0.1:5222" or "[::1]:5222". */
static bool parse_address(const char *s, struct sockaddr_storage *out, socklen_t *len_out)
{
	int len = sizeof(*out);

	if (!strchr(s, ':') || evutil_parse_sockaddr_port(s, (struct sockaddr *)out, &len) == -1)
		return false;
	*len_out = (socklen_t)len;
	return true;
}

static bool parse_expect(const char *s, enum player_expect *out)
{
	static const char *const words[] = { "any", "all", "none" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(s, words[i]) == 0) {
			*out = (enum player_expect)i;
			return true;
		}
	return false;
}

static bool parse_tls(const char *s, enum player_tls *out)
{
	*out = strcmp(s, "direct") == 0 ? PLAYER_TLS_DIRECT : PLAYER_TLS_STARTTLS;
	return *out == PLAYER_TLS_DIRECT || strcmp(s, "starttls") == 0;
}

static bool parse_seconds(const char *s, int64_t *out)
{
	double d;

	if (!parse_number(s, 0, 1e6, &d))
		return false;
	*out = (int64_t)(d * 1e6);
	return true;
}

static bool parse_size(const char *s, struct media_config *m)
{
	char end;

	return sscanf(s, "%ux%u%c", &m->width, &m->height, &end) == 2 && m->width >= 1 &&
	       m->height >= 1 && m->width <= 4096 && m->height <= 4096;
}

static bool parse_speed(const char *s, double *out)
{
	*out = 0;
	return strcmp(s, "max") == 0 || parse_number(s, 1e-3, 1e6, out);
}

/* A forgotten name must not cost a capture. */
static bool parse_report(const char *value, const char **file_out)
{
	size_t len = strlen(value);

	*file_out = value;
	return len < 3 || strcmp(value + len - 3, ".gz") != 0;
}

static bool play_option(struct play *p, int id, const char *value)
{
	struct player_config *c = &p->config;
	struct err_msg msg = { 0 };
	unsigned port;

	switch ((enum option_id)id) {
	case OPT_CA:
		c->ca_file = value;
		return true;
	case OPT_CONNECT:
		return parse_address(value, &c->connect, &c->connect_len);
	case OPT_LISTEN:
		return parse_address(value, &c->listen, &c->listen_len);
	case OPT_SESSIONS:
		return parse_count(value, 1000000, &c->sessions);
	case OPT_SPEED:
		return parse_speed(value, &c->speed);
	case OPT_RATE:
		return parse_number(value, 0, 1e9, &c->rate);
	case OPT_RAMP:
		return parse_seconds(value, &c->ramp_us);
	case OPT_LOOP:
		return parse_count(value, 1000000000, &c->loops);
	case OPT_TIMEOUT:
		return parse_seconds(value, &c->timeout_us);
	case OPT_TLS:
		return parse_tls(value, &c->tls);
	case OPT_EXPECT:
		return parse_expect(value, &c->expect);
	case OPT_MEDIA:
		if (!parse_count(value, 65535, &port))
			return false;
		c->with_media = true;
		c->media.port = (uint16_t)port;
		return true;
	case OPT_PICTURES:
		c->media.folder = value;
		return true;
	case OPT_PICTURE_SIZE:
		return parse_size(value, &c->media);
	case OPT_FAULTS:
		return media_parse_faults(&c->media, value, &msg) == 0;
	case OPT_JSON:
		return parse_report(value, &p->json);
	case OPT_HTML:
		return parse_report(value, &p->html);
	case OPT_PROGRESS:
		c->progress = true;
		return true;
	case OPT_QUIET:
		c->progress = false;
		return true;
	}
	return false;
}

/* --- commands ------------------------------------------------------------------------------ */

static int load(struct trace *t, char **files, struct err_msg *msg)
{
	int rc = 0;

	trace_init(t, MEMORY_MAX);
	for (; *files && !rc; files++)
		rc = trace_load(t, *files, msg);
	return rc ? rc : trace_prepare(t);
}

static int cmd_info(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	struct err_msg msg = { 0 };
	struct trace t;
	int rc;

	if (argc < 2 + json)
		return bad_usage("info: which capture?", NULL);
	rc = load(&t, argv + 1 + json, &msg);
	if (!rc)
		info_print(&t, json, stdout);
	trace_fini(&t);
	return rc ? fail(rc, &msg) : EXIT_SUCCESS;
}

static int cmd_check(int argc, char **argv)
{
	struct err_msg msg = { 0 };
	unsigned faults = 0;
	struct trace t;
	int rc;

	if (argc < 2)
		return bad_usage("check: which capture?", NULL);
	rc = load(&t, argv + 1, &msg);
	if (!rc)
		faults = info_check(&t, stdout);
	trace_fini(&t);
	if (rc)
		return fail(rc, &msg);
	return faults ? EXIT_DIFFERENT : EXIT_SUCCESS;
}

static int cmd_import(int argc, char **argv)
{
	static const struct option options[] = { { "no-redaction", no_argument, NULL, 'n' },
						 { "port", required_argument, NULL, 'p' },
						 { NULL, 0, NULL, 0 } };
	struct import_config c = { .name = "import", .port = 5222, .redact = true };
	struct import_result r;
	struct err_msg msg = { 0 };
	int id, rc;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == 'n')
			c.redact = false;
		else if (id != 'p' || !parse_count(optarg, 65535, &c.port))
			return bad_usage("import: not a value", NULL);
	}
	if (argc - optind != 2)
		return bad_usage("import: a packet capture and a folder", NULL);
	c.pcap = argv[optind];
	c.folder = argv[optind + 1];
	rc = import_pcap(&c, &r, &msg);
	if (rc)
		return fail(rc, &msg);
	printf("streams %u, cut off where segments are missing %u\n", r.streams, r.broken);
	return EXIT_SUCCESS;
}

/* The report of a run, wherever it is wanted. */
static int play_report(const struct play *p, const struct player_result *r, struct err_msg *msg)
{
	json_t *report = report_json(&p->config, r);
	const json_t *reports[1] = { report };
	const char *names[1] = { "run" };
	int rc = 0;

	if (!report)
		return ERR_NOMEM;
	report_print(report, stdout);
	if (p->json)
		rc = report_write(report, p->json, msg);
	if (!rc && p->html)
		rc = report_html(reports, names, 1, p->html, msg);
	json_decref(report);
	return rc;
}

static int play(struct play *p, char **files)
{
	struct err_msg msg = { 0 };
	struct player_result r;
	struct trace t;
	bool clean = false;
	int rc = load(&t, files, &msg);

	if (!rc) {
		rc = player_run(&p->config, &t, &r, &msg);
		if (!rc) {
			clean = player_is_clean(&p->config, &r);
			rc = play_report(p, &r, &msg);
		}
		player_result_fini(&r);
	}
	trace_fini(&t);
	if (rc)
		return fail(rc, &msg);
	return clean ? EXIT_SUCCESS : EXIT_DIFFERENT;
}

static int cmd_play(int argc, char **argv)
{
	struct play p = { .config = { .loops = 1,
				      .speed = 1,
				      .ramp_us = -1,
				      .timeout_us = 30000000,
				      .progress = isatty(STDERR_FILENO) } };
	char what[64];
	int id, at = 0;

	while ((id = getopt_long(argc, argv, "", play_options, &at)) != -1) {
		if (id == '?')
			return EXIT_USAGE;
		if (play_option(&p, id, optarg))
			continue;
		snprintf(what, sizeof(what), "not a value for --%s", play_options[at].name);
		return bad_usage(what, optarg);
	}
	if (!p.config.connect_len || !p.config.listen_len)
		return bad_usage("play: --connect and --listen are needed", NULL);
	if (p.config.ca_file && !p.config.tls)
		return bad_usage("play: --ca is for --tls", NULL);
	if (optind == argc)
		return bad_usage("play: which capture?", NULL);
	return play(&p, argv + optind);
}

static int cmd_report(int argc, char **argv)
{
	const char *out = "report.html", *names[2];
	json_t *reports[2] = { NULL, NULL };
	struct err_msg msg = { 0 };
	int id, n = 0, rc = 0;

	while ((id = getopt(argc, argv, "o:")) != -1) {
		if (id != 'o')
			return EXIT_USAGE;
		out = optarg;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return bad_usage("report: one or two reports", NULL);
	for (; optind < argc && !rc; optind++, n++) {
		names[n] = argv[optind];
		rc = report_read(names[n], &reports[n], &msg);
	}
	if (!rc) {
		const json_t *const all[2] = { reports[0], reports[1] };

		rc = report_html(all, names, (size_t)n, out, &msg);
	}
	json_decref(reports[0]);
	json_decref(reports[1]);
	return rc ? fail(rc, &msg) : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(int argc, char **argv);
	} commands[] = {
		{ "check", cmd_check }, { "import", cmd_import }, { "info", cmd_info },
		{ "play", cmd_play },   { "report", cmd_report },
	};
	size_t i;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("inset-replay (inset) %s\n", PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].fn(argc - 1, argv + 1);
	fputs(usage, stderr);
	return EXIT_USAGE;
}
