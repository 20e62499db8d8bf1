/* SPDX-License-Identifier: MIT */
/*
 * clock - time as the loops see it.
 *
 * clock_now() is read once per loop turn and cached: cheap, and the same for everything
 * that happens in a turn. Monotonic, in milliseconds since an unspecified start. Tests
 * set it by hand.
 */
#pragma once

#include <stdint.h>

/* The cached time in ms; reads the clock at the first call. */
int64_t clock_now(void);

/* Reads the clock anew; called at the start of each turn. After clock_fake() time
 * stands still. */
void clock_update(void);

/* The same where many events may come in a turn: reads the clock at the turn's first call only. */
void clock_begin_turn(void);

/* How long this turn has taken since its first clock_update(), in ms; 0 where there was none. The
 * next turn begins. */
int64_t clock_end_turn(void);

/* Monotonic microseconds, always read anew: for measuring, not for deadlines. */
int64_t clock_us(void);

/* Seconds since 1970, always read anew: for what outlives a process, not for waiting. */
int64_t clock_wall(void);

/* Tests: from now on time is what the test says. */
void clock_fake(int64_t ms);
