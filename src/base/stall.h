/* SPDX-License-Identifier: MIT */
/*
 * stall - turns of an event loop that took too long, counted by role.
 *
 * A turn lasts from its first clock_update() to stall_end_of_turn(); what the loop waits is
 * no part of it. Not for what one callback takes, nor for processes of others.
 */
#pragma once

#include "base/ipc.h"

/* A turn that takes longer than this many ms is a stall. */
#define STALL_MS 50

/* Whose turns these are. child_open() does it for all children. */
void stall_open(enum role role);

/* After each turn of the loop, before it waits again. */
void stall_end_of_turn(void);

/* A turn took that long. */
void stall_observe(int64_t ms);
