/* SPDX-License-Identifier: MIT */
/*
 * insetctl - asks a running insetd, through its control socket.
 *
 * One command, one answer. Exit codes: 0 done, 1 refused, 2 usage, 69 no daemon answers.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "insetctl.h"

#define ANSWER_MAX (4 * 1024 * 1024)
#define PATIENCE_S 30

enum { OPT_FETCH = 256, OPT_FROM, OPT_HELP, OPT_JSON, OPT_VERSION };

static const struct option options[] = {
	{ "fetch", no_argument, NULL, OPT_FETCH },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "socket", required_argument, NULL, 's' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"usage: insetctl [-s SOCKET] [--json] COMMAND\n"
	"       insetctl explain [-c FILE] [-d c2s|s2c] [--from JID] [--fetch] [--json] < STANZA\n"
	"\n"
	"Commands:\n"
	"  status    what runs, since when, and the main figures\n"
	"  rules     every rule with what it has done\n"
	"  reload    read the configuration again; the old one stays if anything is wrong\n"
	"  explain   which rule decides about a stanza, why, and what would leave; asks no daemon\n"
	"\n"
	"  -s, --socket SOCKET   control socket of insetd\n"
	"      --json            print the answer as JSON\n"
	"  -c FILE               explain: the configuration\n"
	"  -d c2s|s2c            explain: the stanza comes from a client (c2s), or goes to one\n"
	"      --from JID        explain: who sends it; without, that is not known yet\n"
	"      --fetch           explain: fetch the media and make the thumbnail\n"
	"      --help            print this help\n"
	"      --version         print the version of inset\n";

static int usage(const char *what)
{
	fprintf(stderr, "insetctl: %s\nTry 'insetctl --help'.\n", what);
	return EXIT_USAGE;
}

static int away(const char *path, const char *why)
{
	fprintf(stderr, "insetctl: no answer from insetd at %s: %s\n", path, why);
	return EXIT_AWAY;
}

/* --- talking --------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == -1 ||
	    connect(fd, (struct sockaddr *)&un, sizeof(un)) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* The answer's line; NULL and errno (0: the daemon closed the connection). */
static json_t *ask(int fd, const char *command)
{
	char line[128], piece[4096];
	json_t *answer = NULL;
	struct buf b;
	ssize_t n;
	int len = snprintf(line, sizeof(line), "{\"command\":\"%s\"}\n", command);

	buf_init(&b, ANSWER_MAX);
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return NULL;
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
		if (buf_add(&b, piece, (size_t)n)) {
			errno = EMSGSIZE;
			break;
		}
		if (memchr(piece, '\n', (size_t)n)) {
			answer = json_loadb((const char *)b.p, b.len, JSON_DISABLE_EOF_CHECK, NULL);
			errno = EBADMSG;
			break;
		}
	}
	if (n == 0)
		errno = 0;
	buf_fini(&b);
	return answer;
}

/* --- showing --------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void print_age(long long s, char out[32])
{
	if (s >= 86400)
		snprintf(out, 32, "%lldd%lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, 32, "%lldh%lldm", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, 32, "%lldm%llds", s / 60, s % 60);
	else
		snprintf(out, 32, "%llds", s);
}

static void print_status(json_t *root)
{
	const char *key;
	json_t *o, *v;
	char age[32];
	size_t i, k;

	print_age(number_of(root, "uptime"), age);
	printf("inset %s  %s  up %s  generation %lld\n", text_of(root, "version"),
	       text_of(root, "state"), age, number_of(root, "generation"));
	printf("\n%-12s %8s %-9s %9s  %s\n", "process", "pid", "state", "restarts", "up");
	json_array_foreach(json_object_get(root, "children"), i, o)
	{
		char name[48];

		snprintf(name, sizeof(name), "%s/%lld", text_of(o, "role"), number_of(o, "index"));
		print_age(number_of(o, "uptime"), age);
		printf("%-12s %8lld %-9s %9lld  %s\n", name, number_of(o, "pid"),
		       text_of(o, "state"), number_of(o, "restarts"), age);
	}
	printf("\n");
	json_array_foreach(json_object_get(root, "listeners"), i, o)
	{
		printf("listener %s:", text_of(o, "name"));
		json_array_foreach(json_object_get(o, "bind"), k, v)
			printf(" %s", json_string_value(v));
		printf(" -> %s\n", text_of(o, "upstream"));
	}
	printf("\n");
	json_object_foreach(json_object_get(root, "counters"), key, v)
		printf("%-18s %lld\n", key, (long long)json_integer_value(v));
}

static void print_rules(json_t *root)
{
	json_t *o;
	size_t i;

	printf("%9s %9s %10s %9s %10s  %-16s %-9s %s\n", "matches", "shadow", "thumbnails",
	       "failures", "ms", "last match (UTC)", "action", "rule");
	json_array_foreach(json_object_get(root, "rules"), i, o)
	{
		time_t last = (time_t)number_of(o, "last");
		char when[32] = "never";
		struct tm tm;

		if (last && gmtime_r(&last, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
		printf("%9lld %9lld %10lld %9lld %10lld  %-16s %-9s %s%s\n",
		       number_of(o, "matches"), number_of(o, "shadow"), number_of(o, "thumbnails"),
		       number_of(o, "failures"), number_of(o, "microseconds") / 1000, when,
		       text_of(o, "action"), text_of(o, "name"),
		       strcmp(text_of(o, "mode"), "shadow") == 0 ? " (shadow)" : "");
	}
	printf("default-action %s\n", text_of(root, "default-action"));
}

static int show(const char *command, json_t *root, bool as_json)
{
	bool ok = json_is_true(json_object_get(root, "ok"));
	json_t *line;
	size_t i;

	if (as_json) {
		json_dumpf(root, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
		putchar('\n');
	} else if (!ok) {
		json_array_foreach(json_object_get(root, "problems"), i, line) fprintf(
			stderr, "%s\n", json_string_value(line) ? json_string_value(line) : "?");
		fprintf(stderr, "insetctl: %s refused\n", command);
	} else if (strcmp(command, "status") == 0) {
		print_status(root);
	} else if (strcmp(command, "rules") == 0) {
		print_rules(root);
	} else {
		printf("reloaded, generation %lld\n", number_of(root, "generation"));
	}
	return ok ? 0 : EXIT_REFUSED;
}

static int run(const char *path, const char *command, bool as_json)
{
	int code, fd = connect_to(path);
	json_t *answer;

	if (fd == -1)
		return away(path, strerror(errno));
	answer = ask(fd, command);
	if (answer)
		code = show(command, answer, as_json);
	else
		code = away(path, errno ? strerror(errno) : "connection closed");
	json_decref(answer);
	close(fd);
	return code;
}

/* An option of explain: false if it is none, or wrong. */
static bool explain_option(struct explain *e, int option, const char *value)
{
	switch (option) {
	case 'c':
		e->file = value;
		return true;
	case 'd':
		e->dir = strcmp(value, "s2c") == 0 ? LANE_S2C : LANE_C2S;
		return e->dir == LANE_S2C || strcmp(value, "c2s") == 0;
	case OPT_FETCH:
		e->fetch = true;
		return true;
	case OPT_FROM:
		e->from = value;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct explain explain = { .dir = LANE_C2S };
	bool explaining = false;
	const char *path = conf_option_find(CONF_GLOBAL, "control")->def;
	bool as_json = false;
	const char *command;
	int option;

	while ((option = getopt_long(argc, argv, "c:d:s:", options, NULL)) != -1) {
		switch (option) {
		case 's':
			path = optarg;
			break;
		case OPT_JSON:
			as_json = true;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		case OPT_VERSION:
			printf("insetctl (inset) %s\n", PACKAGE_VERSION);
			return 0;
		default:
			explaining = true;
			if (!explain_option(&explain, option, optarg))
				return usage("wrong option");
		}
	}
	if (optind + 1 != argc)
		return usage(optind == argc ? "no command" : "one command at a time");
	command = argv[optind];
	if (strcmp(command, "explain") == 0) {
		explain.as_json = as_json;
		return explain_run(&explain);
	}
	if (explaining)
		return usage("-c, -d, --from and --fetch are for explain");
	if (strcmp(command, "status") != 0 && strcmp(command, "rules") != 0 &&
	    strcmp(command, "reload") != 0)
		return usage("no such command");
	return run(path, command, as_json);
}
