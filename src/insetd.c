/* SPDX-License-Identifier: MIT */
/*
 * insetd - the daemon's main(): options, then the master; or, re-executed by the master
 * with --role, one of its children.
 */
#include "config.h"

#include <ares.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <jansson.h>
#include <libconfig.h>
#include <libxml/xmlversion.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/ipc.h"
#include "box/box.h"
#include "conf/read.h"
#include "filter/filter.h"
#include "master/master.h"
#include "media/service.h"
#include "rule/rule.h"
#include "stream/proxy.h"
#include "web/web.h"
#include "xmpp/outline.h"

#define OVERRIDES_MAX 256
#define DEFAULT_FILE  SYSCONFDIR "/inset/inset.conf"

enum { EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_FAULT = 70 };

enum {
	OPT_HELP = 256,
	OPT_INDEX,
	OPT_LISTEN,
	OPT_LIST_METRICS,
	OPT_LIST_OPTIONS,
	OPT_ROLE,
	OPT_UPSTREAM,
	OPT_VERSION
};

static const struct option options[] = {
	{ "help", no_argument, NULL, OPT_HELP },
	{ "index", required_argument, NULL, OPT_INDEX },
	{ "list-metrics", no_argument, NULL, OPT_LIST_METRICS },
	{ "list-options", no_argument, NULL, OPT_LIST_OPTIONS },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "upstream", required_argument, NULL, OPT_UPSTREAM },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"usage: insetd [-c FILE] [-o PATH=VALUE]... [-t]\n"
	"       insetd --listen ADDR:PORT --upstream ADDR:PORT [-o PATH=VALUE]...\n"
	"\n"
	"XMPP stream proxy that adds thumbnails to messages with media.\n"
	"Stays in the foreground.\n"
	"\n"
	"  -c FILE               configuration (default " DEFAULT_FILE ")\n"
	"  -o PATH=VALUE         a setting on top of the file: -o listen.c2s.hold=3s\n"
	"  -t                    check the configuration and exit\n"
	"  -V                    print the versions of inset and its libraries\n"
	"      --listen ADDR:PORT    accept clients here; with --upstream, no file is needed\n"
	"      --upstream ADDR:PORT  the XMPP server\n"
	"      --help            print this help\n"
	"      --version         print the version of inset\n";

/* Everything that the command line said. */
struct command {
	struct conf_source source;
	const char *overrides[OVERRIDES_MAX];
	int role; /* -1: be the master */
	unsigned long index;
	bool test;
};

static int check_filter(const char *name, const struct conf *conf, const struct conf_listen *listen,
			struct err_msg *msg)
{
	const struct filter_ops *ops = filter_find(name);
	int i;

	if (ops)
		return ops->check ? ops->check(conf, listen, msg) : 0;
	err_msg_set(msg, ERR_NOT_FOUND, "no such filter; there are:");
	for (i = 0; filter_registry[i]; i++) {
		size_t len = strlen(msg->text);

		snprintf(msg->text + len, sizeof(msg->text) - len, " %s", filter_registry[i]->name);
	}
	return ERR_NOT_FOUND;
}

static void print_versions(void)
{
	printf("inset %s\n", PACKAGE_VERSION);
	printf("c-ares %s\n", ares_version(NULL));
	printf("curl %s\n", curl_version_info(CURLVERSION_NOW)->version);
	printf("jansson %s\n", jansson_version_str());
	printf("libconfig %d.%d.%d\n", LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR,
	       LIBCONFIG_VER_REVISION);
	printf("libevent %s\n", event_get_version());
	printf("libmicrohttpd %s\n", MHD_get_version());
	printf("libxml2 %s\n", LIBXML_DOTTED_VERSION);
	printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
}

/* One a line, tab-separated: path, type, default, help. For the manual and its checks. */
static void print_options(void)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];
		const char *section = conf_section_name(o->section);
		const char *name =
			o->section == CONF_LISTEN || o->section == CONF_PROFILE ? ".NAME" : "";

		printf("%s%s%s%s\t%s\t%s\t%s\n", section, name, section[0] ? "." : "", o->name,
		       conf_kind_name(o->kind), o->def, o->help);
	}
}

/* The same: name, type, labels, help. */
static void print_metrics(void)
{
	int i;

	for (i = 0; i < METRIC_COUNT; i++)
		printf("inset_%s\t%s\t%s\t%s\n", metric_rows[i].name,
		       metric_rows[i].type == METRIC_TYPE_COUNTER ? "counter" : "gauge",
		       metric_rows[i].labels, metric_rows[i].help);
	for (i = 0; i < RULE_FIGURE_COUNT; i++)
		printf("inset_%s\t%s\trule\t%s\n", rule_figure_rows[i].name,
		       rule_figure_rows[i].type == RULE_FIGURE_TYPE_LATEST ? "gauge" : "counter",
		       rule_figure_rows[i].help);
	for (i = 0; i < HISTOGRAM_COUNT; i++)
		printf("inset_%s\thistogram\t\t%s\n", histogram_rows[i].name,
		       histogram_rows[i].help);
}

static int usage(const char *what)
{
	fprintf(stderr, "insetd: %s\nTry 'insetd --help'.\n", what);
	return EXIT_USAGE;
}

/* What prints and ends at once: true, and *exit_out. */
static bool command_prints(int option, int *exit_out)
{
	switch (option) {
	case OPT_HELP:
		fputs(help, stdout);
		break;
	case OPT_LIST_METRICS:
		print_metrics();
		break;
	case OPT_LIST_OPTIONS:
		print_options();
		break;
	case 'V':
		print_versions();
		break;
	case OPT_VERSION:
		printf("insetd (inset) %s\n", PACKAGE_VERSION);
		break;
	default:
		return false;
	}
	*exit_out = fflush(stdout) == 0 ? 0 : EXIT_INPUT;
	return true;
}

/* -1: go on; else exit with that. */
static int command_parse(struct command *c, int argc, char **argv)
{
	struct conf_source *s = &c->source;
	int option, code;
	char *end;

	while ((option = getopt_long(argc, argv, "c:o:tV", options, NULL)) != -1) {
		if (command_prints(option, &code))
			return code;
		switch (option) {
		case 'c':
			s->file = optarg;
			break;
		case 'o':
			if (s->overrides_n == OVERRIDES_MAX)
				return usage("too many -o");
			c->overrides[s->overrides_n++] = optarg;
			break;
		case 't':
			c->test = true;
			s->strict = true;
			break;
		case OPT_LISTEN:
			s->listen = optarg;
			break;
		case OPT_UPSTREAM:
			s->upstream = optarg;
			break;
		case OPT_ROLE:
			c->role = role_parse(optarg);
			if (c->role == -1)
				return usage("no such role");
			break;
		case OPT_INDEX:
			c->index = strtoul(optarg, &end, 10);
			if (*end || end == optarg || c->index >= COUNTERS_SLOTS)
				return usage("no such index");
			break;
		default:
			return usage("wrong option");
		}
	}
	if (optind < argc)
		return usage("unexpected argument");
	if (!s->listen != !s->upstream)
		return usage("--listen and --upstream go together");
	return -1;
}

static int run_role(enum role role, unsigned index)
{
	char name[16];

	/* What ps and top show; without it every child would be called "exe". */
	snprintf(name, sizeof(name), "inset-%s/%u", role_name(role), index);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	switch (role) {
	case ROLE_PROXY:
		return proxy_main(index);
	case ROLE_MEDIA:
		return media_main(index);
	case ROLE_WEB:
		return web_main(index);
	case ROLE_BOX:
		return box_main(index);
	case ROLE_MASTER:
	case ROLE_SCALER:
	case ROLE_COUNT:
		return usage("no such role");
	}
	BUG();
}

static void print_problems(const struct conf_problems *p)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		fprintf(stderr, "%s\n", p->v[i]);
	if (p->more)
		fprintf(stderr, "and %zu more\n", p->more);
}

int main(int argc, char **argv)
{
	struct command command = { .role = -1 };
	struct conf_problems problems = { 0 }, warnings = { 0 };
	struct conf *conf = NULL;
	int code = command_parse(&command, argc, argv);

	if (code != -1)
		return code;
	signal(SIGPIPE, SIG_IGN);
	if (command.role != -1)
		return run_role((enum role)command.role, (unsigned)command.index);

	command.source.overrides = command.overrides;
	command.source.check_filter = check_filter;
	command.source.check_rules = rule_check;
	if (command.test)
		command.source.warnings = &warnings;
	if (!command.source.file && !command.source.listen) {
		command.source.file = DEFAULT_FILE;
		if (access(DEFAULT_FILE, F_OK) == -1) {
			fprintf(stderr,
				"insetd: no configuration: %s: %s; give -c FILE, or --listen and "
				"--upstream\n",
				DEFAULT_FILE, strerror(errno));
			return EXIT_INPUT;
		}
	}
	outline_setup(); /* libxml2 reads the rules' XPath */
	code = conf_read(&command.source, &conf, &problems);
	print_problems(&warnings);
	conf_problems_free(&warnings);
	if (code) {
		print_problems(&problems);
		if (!command.test)
			master_refuse(problems.n ? problems.v[0] : err_str(code));
		conf_problems_free(&problems);
		if (code == ERR_CONFIG)
			return EXIT_INPUT;
		fprintf(stderr, "insetd: %s\n", err_str(code));
		return EXIT_FAULT;
	}
	if (!command.test)
		code = master_run(conf, &command.source, argv);
	conf_unref(&conf);
	return code;
}
