/* SPDX-License-Identifier: MIT */
/*
 * insetctl - asks a running insetd, through its control socket.
 *
 * Reads the command line by the tables of insetctl.def; insetctl-ask.c talks to the daemon,
 * insetctl-show.c prints answers. Exit codes: 0 done, 1 refused, 2 usage, 69 no daemon answers,
 * 70 inset's own fault.
 */
#include "config.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "insetctl.h"

enum option_id {
#define OPTION(id, name, letter, value, commands, text) OPTION_##id,
#include "insetctl.def"
#undef OPTION
	OPTION_COUNT
};

#define LONG_BASE 256 /* getopt's value of an option without a letter */

static const struct {
	const char *name;
	char letter;
	const char *value;
	const char *commands;
	const char *text;
} option_rows[] = {
#define OPTION(id, name, letter, value, commands, text) { name, letter, value, commands, text },
#include "insetctl.def"
#undef OPTION
};

const struct command_row command_rows[] = {
#define COMMAND(id, words, min, max, arguments, text) { words, min, max, arguments, text },
#include "insetctl.def"
#undef COMMAND
};

/* what: NULL: getopt has said it. */
static int PRINTF_LIKE(1, 2) usage(const char *what, ...)
{
	va_list args;

	if (what) {
		fprintf(stderr, "insetctl: ");
		va_start(args, what);
		vfprintf(stderr, what, args);
		va_end(args);
		fprintf(stderr, "\n");
	}
	fprintf(stderr, "Try 'insetctl --help'.\n");
	return EXIT_USAGE;
}

/* The completions read these lines: what it is, two spaces at least, what it does. */
static void print_row(const char *left, const char *text)
{
	printf("  %-36s  %s\n", left, text);
}

static void print_help(void)
{
	char left[64], text[128];
	int i;

	printf("usage: insetctl [OPTION]... COMMAND [ARGUMENT]\n"
	       "       insetctl explain [OPTION]... < STANZA\n"
	       "       insetctl preview [OPTION]... FILE|URL\n"
	       "\nCommands:\n");
	for (i = 0; i < COMMAND_COUNT; i++) {
		snprintf(left, sizeof(left), "%s %s", command_rows[i].words,
			 command_rows[i].arguments);
		print_row(left, command_rows[i].text);
	}
	printf("\nOptions:\n");
	for (i = 0; i < OPTION_COUNT; i++) {
		const char *value = option_rows[i].value, *commands = option_rows[i].commands;
		char letter[8] = "    ";

		if (option_rows[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", option_rows[i].letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, option_rows[i].name,
			 value ? " " : "", value ? value : "");
		snprintf(text, sizeof(text), "%s%s%s", commands, commands[0] ? ": " : "",
			 option_rows[i].text);
		print_row(left, text);
	}
}

/* --- options --------------------------------------------------------------------------- */

static bool take_direction(struct explain *e, const char *value)
{
	e->dir = strcmp(value, "s2c") == 0 ? LANE_S2C : LANE_C2S;
	return e->dir == LANE_S2C || strcmp(value, "c2s") == 0;
}

static bool take_limit(struct ctl *c, const char *value)
{
	char *end;

	c->limit = strtol(value, &end, 10);
	return *value && *end == '\0' && c->limit >= 1 && c->limit <= 1000;
}

/* False: its value is none. */
static bool take_option(struct ctl *c, enum option_id id, const char *value)
{
	switch (id) {
	case OPTION_SOCKET:
		c->socket = value;
		return true;
	case OPTION_JSON:
		c->as_json = true;
		return true;
	case OPTION_LIMIT:
		return take_limit(c, value);
	case OPTION_ORDER:
		c->order = value;
		return strcmp(value, "age") == 0 || strcmp(value, "bytes") == 0 ||
		       strcmp(value, "held") == 0;
	case OPTION_CONF:
		c->explain.file = c->preview.file = value;
		return true;
	case OPTION_DIRECTION:
		return take_direction(&c->explain, value);
	case OPTION_FROM:
		c->explain.from = value;
		return true;
	case OPTION_FETCH:
		c->explain.fetch = true;
		return true;
	case OPTION_OUT:
		c->preview.out = value;
		return true;
	case OPTION_PROFILE:
		c->preview.profile = value;
		return true;
	case OPTION_HELP:
	case OPTION_VERSION:
	case OPTION_COUNT:
		break;
	}
	BUG();
}

static int option_id(int code)
{
	int i;

	if (code >= LONG_BASE)
		return code - LONG_BASE;
	for (i = 0; i < OPTION_COUNT; i++)
		if (option_rows[i].letter == code)
			return i;
	return -1;
}

/* For getopt_long(), from the table. */
static void option_table(struct option longs[OPTION_COUNT + 1], char letters[2 * OPTION_COUNT + 1])
{
	char *at = letters;
	int i;

	for (i = 0; i < OPTION_COUNT; i++) {
		longs[i] = (struct option){ option_rows[i].name,
					    option_rows[i].value ? required_argument : no_argument,
					    NULL, LONG_BASE + i };
		if (!option_rows[i].letter)
			continue;
		*at++ = option_rows[i].letter;
		if (option_rows[i].value)
			*at++ = ':';
	}
	longs[OPTION_COUNT] = (struct option){ 0 };
	*at = '\0';
}

/* Is the word in the list, which has one command or several, separated by commas? */
static bool is_for(const char *commands, const char *word)
{
	size_t n = strcspn(word, " ");

	for (; *commands; commands += strcspn(commands, ","), commands += *commands == ',')
		if (strcspn(commands, ",") == n && strncmp(commands, word, n) == 0)
			return true;
	return false;
}

/* --- the command ------------------------------------------------------------------------ */

/* How many of these words the command's own name is; 0: it is another one. */
static int match(const char *words, int n, char **v)
{
	size_t first = strcspn(words, " ");
	const char *second = words[first] ? words + first + 1 : NULL;

	if (strlen(v[0]) != first || strncmp(v[0], words, first) != 0)
		return 0;
	if (!second)
		return 1;
	return n > 1 && strcmp(v[1], second) == 0 ? 2 : 0;
}

/* The command with the most words that match; *used_out: how many. -1: none. */
static int find_command(int n, char **v, int *used_out)
{
	int i, found = -1, used;

	*used_out = 0;
	for (i = 0; i < COMMAND_COUNT; i++) {
		used = match(command_rows[i].words, n, v);
		if (used > *used_out) {
			*used_out = used;
			found = i;
		}
	}
	return found;
}

static int check_options(const bool given[OPTION_COUNT], const char *words)
{
	int i;

	for (i = 0; i < OPTION_COUNT; i++) {
		if (!given[i] || !option_rows[i].commands[0] ||
		    is_for(option_rows[i].commands, words))
			continue;
		return usage("--%s is for %s", option_rows[i].name, option_rows[i].commands);
	}
	return 0;
}

static int run(struct ctl *c, int n, char **v, const bool given[OPTION_COUNT])
{
	int used, code, command;

	if (n == 0)
		return usage("no command");
	command = find_command(n, v, &used);
	if (command == -1)
		return usage("no such command as \"%.64s\"", v[0]);
	n -= used;
	if (n < command_rows[command].min || n > command_rows[command].max)
		return usage("%s: %s%s%s",
			     n < command_rows[command].min ? "an argument is missing"
							   : "too many arguments",
			     command_rows[command].words,
			     command_rows[command].arguments[0] ? " " : "",
			     command_rows[command].arguments);
	code = check_options(given, command_rows[command].words);
	if (code)
		return code;
	c->command = (enum command)command;
	c->argument = n ? v[used] : NULL;
	c->explain.as_json = c->preview.as_json = c->as_json;
	c->preview.source = c->argument;
	return c->command == COMMAND_EXPLAIN   ? explain_run(&c->explain)
	       : c->command == COMMAND_PREVIEW ? preview_run(&c->preview)
					       : ask_run(c);
}

int main(int argc, char **argv)
{
	struct ctl c = { .socket = conf_option_find(CONF_GLOBAL, "control")->def,
			 .explain = { .dir = LANE_C2S } };
	struct option longs[OPTION_COUNT + 1];
	char letters[2 * OPTION_COUNT + 1];
	bool given[OPTION_COUNT] = { false };
	int code, id;

	option_table(longs, letters);
	while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		id = option_id(code);
		if (id == OPTION_HELP) {
			print_help();
			return 0;
		}
		if (id == OPTION_VERSION) {
			printf("insetctl (inset) %s\n", PACKAGE_VERSION);
			return 0;
		}
		if (id == -1)
			return usage(NULL);
		if (!take_option(&c, (enum option_id)id, optarg))
			return usage("\"%.64s\" is wrong for --%s %s: %s", optarg,
				     option_rows[id].name, option_rows[id].value,
				     option_rows[id].text);
		given[id] = true;
	}
	return run(&c, argc - optind, argv + optind, given);
}
