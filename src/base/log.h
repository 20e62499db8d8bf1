/* SPDX-License-Identifier: MIT */
/*
 * log - one sentence, then key=value; to standard error, syslog or the master.
 *
 * Never bodies, URLs, tokens or SASL data, at any level. errno survives every call.
 * Lines that a peer can cause pass a rate limiter of the caller's (struct log_limit).
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

/* Receives finished lines (no newline) instead of the target: a child's way to the master. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *line);

/* who: the process's name in each line ("master", "proxy/0"); copied. */
void log_open(const char *who, enum log_target target, enum log_format format);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_sink(log_sink_fn sink, void *ctx);
bool log_is_on(enum log_level level);

/* A line as another process made it, under that process's name. */
void log_relay(const char *who, enum log_level level, const char *line);

void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...)   log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_at(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                        \
	do {                                                  \
		if (UNLIKELY(log_is_on(LOG_LEVEL_DEBUG)))     \
			log_at(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/* At most burst lines a minute from this place; static storage, zero-initialised is fine. */
struct log_limit {
	int64_t since_ms;
	unsigned count;
	unsigned dropped;
};

/* True when the line may be written; *dropped_out: lines left out before this one. */
bool log_limit_ok(struct log_limit *l, unsigned burst, unsigned *dropped_out);

/* "error" ... "debug" <-> level; -1 for another word. */
int log_level_parse(const char *word);
const char *log_level_name(enum log_level level);
