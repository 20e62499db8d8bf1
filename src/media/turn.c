/* SPDX-License-Identifier: MIT */
/*
 * turn - see turn.h.
 */
#include "config.h"

#include "media/turn.h"

#include "base/clock.h"
#include "base/stall.h"

void turn_begin(void)
{
	clock_update();
}

void turn_end(void)
{
	stall_end_of_turn();
}
