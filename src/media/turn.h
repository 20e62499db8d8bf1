/* SPDX-License-Identifier: MIT */
/*
 * turn - when this turn of the event loop began to work, for the figures of loop stalls
 * (base/stall.h).
 *
 * Every callback of an event begins with turn_begin().
 */
#pragma once

/* Updates the clock. */
void turn_begin(void);

/* After each turn: measures it. */
void turn_end(void);
