/* SPDX-License-Identifier: MIT */
/*
 * insetctl-show - answers of insetd, as text for people.
 *
 * Names, JIDs and reasons come from strangers in the end: what could steer a terminal is
 * replaced. Fields that are missing read as empty or 0.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "insetctl.h"

#define TEXTS 16

/* Safe to print; valid until TEXTS more have been asked for. NULL: "". */
static const char *safe(const char *s)
{
	static char texts[TEXTS][4096];
	static unsigned next;
	char *out = texts[next++ % TEXTS];
	size_t n;

	for (n = 0; s && *s && n < sizeof(texts[0]) - 1; s++) {
		unsigned char c = (unsigned char)*s, after = (unsigned char)s[1];

		/* U+0080..U+009F are controls, too. */
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && after >= 0x80 && after < 0xa0)) {
			s += c == 0xc2;
			out[n++] = '?';
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
	return out;
}

/* A member (key NULL: the value itself) as text. */
static const char *text_of(const json_t *o, const char *key)
{
	return safe(json_string_value(key ? json_object_get(o, key) : o));
}

long long show_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static long long number_of(const json_t *o, const char *key)
{
	return show_number(o, key);
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

static void print_size(long long v, char out[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double d = (double)v;
	size_t i;

	for (i = 0; d >= 10000 && i + 1 < ARRAY_SIZE(units); i++)
		d /= 1024;
	snprintf(out, 32, "%.0f %s", d, units[i]);
}

/* --- status ---------------------------------------------------------------------------- */

static void print_listener(const json_t *o)
{
	const json_t *v;
	size_t k;

	printf("listener %s:", text_of(o, "name"));
	json_array_foreach(json_object_get(o, "bind"), k, v) printf(" %s", text_of(v, NULL));
	printf(" -> %s", text_of(o, "upstream"));
	if (json_object_get(o, "sessions"))
		printf("  %lld sessions", number_of(o, "sessions"));
	printf("\n");
}

/* What drains: this one, and those that were there before it. */
static void print_elders(const json_t *root)
{
	const json_t *drain = json_object_get(root, "drain"), *o;
	char age[32];
	size_t i;

	if (json_is_object(drain)) {
		print_age(number_of(drain, "seconds"), age);
		printf("draining: %lld sessions, at most %s\n", number_of(drain, "sessions"), age);
	}
	json_array_foreach(json_object_get(root, "elders"), i, o)
		printf("old insetd draining: pid %lld, %lld sessions, control socket %s\n",
		       number_of(o, "pid"), number_of(o, "sessions"), text_of(o, "control"));
}

static void print_status(const json_t *root)
{
	const json_t *record = json_object_get(root, "record"), *o;
	json_t *counters = json_object_get(root, "counters"), *v;
	const char *key;
	char age[32];
	size_t i;

	print_age(number_of(root, "uptime"), age);
	printf("inset %s  %s  up %s  generation %lld  log %s\n", text_of(root, "version"),
	       text_of(root, "state"), age, number_of(root, "generation"),
	       text_of(root, "log-level"));
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
	json_array_foreach(json_object_get(root, "listeners"), i, o) print_listener(o);
	printf("thumbnails %s\n", text_of(root, "thumbnails"));
	printf("shared cache %s\n", text_of(root, "shared-cache"));
	if (text_of(record, "path")[0])
		printf("recording to %s in %lld workers\n", text_of(record, "path"),
		       number_of(record, "workers"));
	print_elders(root);
	printf("\n");
	json_object_foreach(counters, key, v)
		printf("%-18s %lld\n", safe(key), (long long)json_integer_value(v));
}

/* --- rules ----------------------------------------------------------------------------- */

static void print_rules(const json_t *root)
{
	const json_t *o;
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

/* --- sessions -------------------------------------------------------------------------- */

static void print_session(const json_t *o)
{
	bool opaque = json_is_true(json_object_get(o, "opaque"));
	bool compressed = json_is_true(json_object_get(o, "compressed"));
	const char *tls = text_of(o, "tls"), *jid = text_of(o, "jid");
	char age[32], bytes[2][32], name[64], units[48], how[64];

	print_age(number_of(o, "age-ms") / 1000, age);
	print_size(number_of(o, "bytes-c2s"), bytes[LANE_C2S]);
	print_size(number_of(o, "bytes-s2c"), bytes[LANE_S2C]);
	snprintf(how, sizeof(how), "%.40s%s%s", tls[0] ? tls : "clear", compressed ? "+zlib" : "",
		 opaque ? "+opaque" : "");
	snprintf(units, sizeof(units), "%lld/%lld", number_of(o, "units-c2s"),
		 number_of(o, "units-s2c"));
	snprintf(name, sizeof(name), "%.30s:%.30s", text_of(o, "worker"), text_of(o, "id"));
	printf("%-15s %-10s %-10s %-21s %7s %-13s %10s %8s %8s %4lld  %s\n", name,
	       text_of(o, "listener"), text_of(o, "state"), text_of(o, "client"), age, how, units,
	       bytes[LANE_C2S], bytes[LANE_S2C], number_of(o, "held"), jid[0] ? jid : "-");
}

static void print_sessions(const json_t *root)
{
	const json_t *list = json_object_get(root, "list"), *o;
	size_t i, shown = json_array_size(list);

	printf("%-15s %-10s %-10s %-21s %7s %-13s %10s %8s %8s %4s  %s\n", "session", "listener",
	       "state", "client", "age", "how", "units", "c2s", "s2c", "held", "JID");
	json_array_foreach(list, i, o) print_session(o);
	printf("%zu shown of %lld; %lld sessions in all\n", shown, number_of(root, "matches"),
	       number_of(root, "sessions"));
}

/* --- the cache ------------------------------------------------------------------------- */

static void print_rate(const char *what, long long n, long long all)
{
	printf("%-16s %12lld  %5.1f %%\n", what, n, all ? 100.0 * (double)n / (double)all : 0.0);
}

static void print_cache(const json_t *root)
{
	long long hits = number_of(root, "hits"), negative = number_of(root, "negative"),
		  joined = number_of(root, "joined"), misses = number_of(root, "misses"),
		  all = hits + negative + joined + misses;
	char bytes[32], max[32], age[32];
	const json_t *o;
	size_t i;

	print_size(number_of(root, "bytes"), bytes);
	print_size(number_of(root, "max-bytes"), max);
	printf("%lld entries, %s of %s; %lld fetches under way, %lld wait\n\n",
	       number_of(root, "entries"), bytes, max, number_of(root, "fetching"),
	       number_of(root, "queued"));
	print_rate("hits", hits, all);
	print_rate("known failures", negative, all);
	print_rate("joined a fetch", joined, all);
	print_rate("misses", misses, all);
	printf("\nshared cache %s", text_of(root, "shared"));
	if (strcmp(text_of(root, "shared"), "off") != 0)
		printf(": %lld hits, %lld misses, %lld failures", number_of(root, "shared-hits"),
		       number_of(root, "shared-misses"), number_of(root, "shared-failures"));
	printf("\n");
	json_array_foreach(json_object_get(root, "hosts"), i, o)
	{
		print_age((number_of(o, "open-ms") + 999) / 1000, age);
		printf("left alone for %s: %s port %lld, failures in a row: %lld\n", age,
		       text_of(o, "host"), number_of(o, "port"), number_of(o, "failures"));
	}
}

static void print_dropped(const json_t *root)
{
	char bytes[32];

	print_size(number_of(root, "bytes"), bytes);
	printf("entries forgotten: %lld, %s; shared cache %s\n", number_of(root, "entries"), bytes,
	       text_of(root, "shared"));
}

/* --- trace ----------------------------------------------------------------------------- */

/* Members of an event that have a place of their own, or are told otherwise. */
static bool is_special(const char *key)
{
	static const char *const keys[] = { "time", "stage", "more", "process", "session",
					    "unit", "ms",    "jid",  "lost",    "direction" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static void print_value(const char *key, const char *text)
{
	const char *quote = strchr(text, ' ') || !text[0] ? "\"" : "";

	printf(" %s=%s%s%s", key, quote, text, quote);
}

static void print_event(const json_t *o)
{
	long long at = number_of(o, "time");
	time_t s = (time_t)(at / 1000);
	char when[32] = "";
	const char *key;
	json_t *v;
	struct tm tm;

	if (number_of(o, "lost"))
		printf("%lld events before this one were lost\n", number_of(o, "lost"));
	if (at && localtime_r(&s, &tm))
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	if (!at) {
		printf("%s %s\n", text_of(o, "stage"), text_of(o, "process"));
		return;
	}
	printf("%s.%03lld %s:%s#%lld %s %5lldms  %-9s", when, at % 1000, text_of(o, "process"),
	       text_of(o, "session"), number_of(o, "unit"), text_of(o, "direction"),
	       number_of(o, "ms"), text_of(o, "stage"));
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		if (is_special(key))
			continue;
		if (json_is_string(v))
			print_value(safe(key), text_of(v, NULL));
		else if (json_is_integer(v))
			printf(" %s=%lld", safe(key), (long long)json_integer_value(v));
		else if (json_is_boolean(v))
			printf(" %s=%s", safe(key), json_is_true(v) ? "yes" : "no");
	}
	if (text_of(o, "jid")[0])
		printf(" jid=%s", text_of(o, "jid"));
	printf("\n");
}

void show_part(enum command command, const json_t *part)
{
	if (command == COMMAND_TRACE)
		print_event(part);
	else if (json_object_get(part, "sessions"))
		printf("%lld sessions left\n", number_of(part, "sessions"));
}

void show_problems(const json_t *root)
{
	const json_t *line;
	size_t i;

	json_array_foreach(json_object_get(root, "problems"), i, line)
		fprintf(stderr, "%s\n", json_is_string(line) ? text_of(line, NULL) : "?");
}

void show_answer(enum command command, const json_t *root)
{
	switch (command) {
	case COMMAND_STATUS:
		print_status(root);
		return;
	case COMMAND_RULES:
		print_rules(root);
		return;
	case COMMAND_SESSIONS:
		print_sessions(root);
		return;
	case COMMAND_CACHE:
		print_cache(root);
		return;
	case COMMAND_CACHE_FLUSH:
	case COMMAND_CACHE_PURGE:
		print_dropped(root);
		return;
	case COMMAND_RELOAD:
		printf("reloaded, generation %lld\n", number_of(root, "generation"));
		return;
	case COMMAND_LOG:
		printf("log level %s until the next reload or start (configured: %s)\n",
		       text_of(root, "level"), text_of(root, "configured"));
		return;
	case COMMAND_DRAIN:
		printf("draining, %lld sessions have %.1f s\n", number_of(root, "sessions"),
		       (double)number_of(root, "timeout") / 1000);
		return;
	case COMMAND_TRACE:
	case COMMAND_EXPLAIN:
	case COMMAND_PREVIEW:
	case COMMAND_COUNT:
		return;
	}
}
