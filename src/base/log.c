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

#define LOG_LINE_MAX 2048

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

/* Control characters and, for JSON, quotes and backslashes become escapes. */
static void log_escape(char *out, size_t room, const char *in, bool json)
{
	size_t n = 0;

	for (; *in && n + 7 < room; in++) {
		unsigned char c = (unsigned char)*in;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, room - n, "\\u%04x", c);
		else if (json && (c == '"' || c == '\\'))
			n += (size_t)snprintf(out + n, room - n, "\\%c", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

static void log_to_stderr(const char *who, enum log_level level, const char *line)
{
	char text[LOG_LINE_MAX + 64], escaped[LOG_LINE_MAX], stamp[32];
	bool json = log_to.format == LOG_FORMAT_JSON;
	struct timeval tv;
	struct tm tm;
	int n;

	gettimeofday(&tv, NULL);
	gmtime_r(&tv.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	log_escape(escaped, sizeof(escaped) - 64, line, json);
	n = snprintf(text, sizeof(text),
		     json ? "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"process\":\"%s\",\"text\":"
			    "\"%s\"}\n"
			  : "%s.%03dZ %s %s: %s\n",
		     stamp, (int)(tv.tv_usec / 1000), level_names[level], who, escaped);
	n = MIN_OF(n, (int)sizeof(text) - 1);
	if (write(STDERR_FILENO, text, (size_t)n) == -1)
		return; /* nowhere left to say it */
}

void log_relay(const char *who, enum log_level level, const char *line)
{
	int saved = errno;
	char escaped[LOG_LINE_MAX];

	if (log_to.target == LOG_TARGET_SYSLOG) {
		log_escape(escaped, sizeof(escaped), line, false);
		syslog(syslog_levels[level], "%s: %s", who, escaped);
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
