/* SPDX-License-Identifier: MIT */
/*
 * util - attributes and the few macros that every file may use.
 *
 * Not a place for code that has a noun of its own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MUSTCHECK                     __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)             __attribute__((format(printf, f, a)))
#define NORETURN                      __attribute__((noreturn))
#define UNUSED                        __attribute__((unused))
#define LIKELY(x)                     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)                   __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)                  ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)                  ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* A programmer's error: says where and aborts, in release builds too. */
NORETURN void bug_at(const char *file, int line, const char *what);
#define BUG() bug_at(__FILE__, __LINE__, "reached")
#define BUG_ON(cond)                                       \
	do {                                               \
		if (UNLIKELY(cond))                        \
			bug_at(__FILE__, __LINE__, #cond); \
	} while (0)
