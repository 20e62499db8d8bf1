/* SPDX-License-Identifier: MIT */
/*
 * log - see log.h. A line is made in one buffer and leaves in one write, so lines of
 * several processes never mix.
 */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jtext.h"

#define LOG_LINE_MAX 2048
#define LOG_ROOM     (2 * LOG_LINE_MAX + 256)

static struct {
	char who[32];
	enum log_target target;
	enum log_format format;
	enum log_level level;
	log_sink_fn sink;
	void *sink_ctx;
} log_to = { .who = "inset", .level = LOG_LEVEL_INFO };

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const int syslog_levels[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

void log_open(const char *who, enum log_target target, enum log_format format)
{
	snprintf(log_to.who, sizeof(log_to.who), "%s", who);
	log_to.target = target;
	log_to.format = format;
	if (target == LOG_TARGET_SYSLOG)
		openlog("inset", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_set_level(enum log_level level)
{
	log_to.level = level;
}

enum log_level log_get_level(void)
{
	return log_to.level;
}

void log_set_sink(log_sink_fn sink, void *ctx)
{
	log_to.sink = sink;
	log_to.sink_ctx = ctx;
}

bool log_is_on(enum log_level level)
{
	return level <= log_to.level;
}

/* Control characters become escapes. */
static void log_escape(char *out, size_t room, const char *in)
{
	size_t n = 0;

	for (; *in && n + 7 < room; in++) {
		unsigned char c = (unsigned char)*in;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, room - n, "\\u%04x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

/* Length of the " key=value" that at begins with; 0: it is none. Quoted values end at a quote. */
static size_t log_member(const char *at, size_t *key_out, const char **value_out, size_t *len_out)
{
	size_t key = at[0] == ' ' ? strspn(at + 1, "abcdefghijklmnopqrstuvwxyz0123456789-_") : 0;
	const char *value = at + 1 + key + 1, *end;

	if (!key || at[1 + key] != '=')
		return 0;
	if (*value == '"') {
		for (end = strchr(++value, '"'); end && end[1] != ' ' && end[1] != '\0';)
			end = strchr(end + 1, '"');
		if (!end)
			return 0;
		*len_out = (size_t)(end++ - value);
	} else {
		*len_out = strcspn(value, " ");
		end = value + *len_out;
	}
	*key_out = key;
	*value_out = value;
	return (size_t)(end - at);
}

/* Where the members begin: from there to the line's end there is nothing else. */
static const char *log_members(const char *line)
{
	const char *at, *value;
	size_t key, len, n;

	for (at = strchr(line, ' '); at; at = strchr(at + 1, ' ')) {
		const char *end = at;

		while ((n = log_member(end, &key, &value, &len)))
			end += n;
		if (*end == '\0')
			return at;
	}
	return line + strlen(line);
}

/* The sentence, and its members as an object of their own: no name of theirs can hide another. */
static void log_print_json(struct jtext *j, const char *stamp, const char *who,
			   enum log_level level, const char *line)
{
	const char *at = log_members(line), *value;
	char key[64];
	size_t key_len, len, n;

	jtext_open(j, NULL, '{');
	if (stamp)
		jtext_str(j, "time", stamp);
	jtext_str(j, "level", level_names[level]);
	jtext_str(j, "process", who);
	jtext_strn(j, "text", line, (size_t)(at - line));
	if (*at) {
		jtext_open(j, "with", '{');
		for (; (n = log_member(at, &key_len, &value, &len)); at += n) {
			snprintf(key, sizeof(key), "%.*s", (int)key_len, at + 1);
			jtext_strn(j, key, value, len);
		}
		jtext_close(j, '}');
	}
	jtext_close(j, '}');
}

/* A whole line for people or for programs; stamp NULL: somebody else says when. */
static size_t log_print(char *out, size_t room, const char *stamp, const char *who,
			enum log_level level, const char *line)
{
	char escaped[LOG_LINE_MAX];
	struct jtext j;
	int n = 0;

	if (log_to.format == LOG_FORMAT_JSON) {
		jtext_init(&j, room - 2);
		log_print_json(&j, stamp, who, level, line);
		if (!j.error) {
			memcpy(out, j.b.p, j.b.len);
			n = (int)j.b.len;
		}
		jtext_fini(&j);
		out[n] = '\0';
		if (n)
			return (size_t)n;
	}
	log_escape(escaped, sizeof(escaped), line);
	if (stamp)
		n = snprintf(out, room, "%s %s %s: %s", stamp, level_names[level], who, escaped);
	else
		n = snprintf(out, room, "%s: %s", who, escaped);
	return MIN_OF((size_t)n, room - 1);
}

static void log_to_stderr(const char *who, enum log_level level, const char *line)
{
	char text[LOG_ROOM], stamp[48];
	struct timeval tv;
	struct tm tm;
	size_t n;

	gettimeofday(&tv, NULL);
	gmtime_r(&tv.tv_sec, &tm);
	n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03dZ", (int)(tv.tv_usec / 1000));
	n = log_print(text, sizeof(text) - 1, stamp, who, level, line);
	text[n] = '\n';
	if (write(STDERR_FILENO, text, n + 1) == -1)
		return; /* nowhere left to say it */
}

void log_relay(const char *who, enum log_level level, const char *line)
{
	int saved = errno;
	char text[LOG_ROOM];

	if (log_to.target == LOG_TARGET_SYSLOG) {
		(void)log_print(text, sizeof(text), NULL, who, level, line);
		syslog(syslog_levels[level], "%s", text);
	} else {
		log_to_stderr(who, level, line);
	}
	errno = saved;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[LOG_LINE_MAX];
	va_list ap;

	if (!log_is_on(level))
		return;
	va_start(ap, fmt);
	errno = saved;
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (log_to.sink)
		log_to.sink(log_to.sink_ctx, level, line);
	else
		log_relay(log_to.who, level, line);
	errno = saved;
}

bool log_limit_ok(struct log_limit *l, unsigned burst, unsigned *dropped_out)
{
	int64_t now = clock_now();

	if (l->since_ms == 0 || now - l->since_ms >= 60000) {
		l->since_ms = now;
		l->count = 0;
	}
	if (l->count >= burst) {
		l->dropped++;
		return false;
	}
	l->count++;
	*dropped_out = l->dropped;
	l->dropped = 0;
	return true;
}

int log_level_parse(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(word, level_names[i]) == 0)
			return (int)i;
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}
