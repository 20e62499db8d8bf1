/* SPDX-License-Identifier: MIT */
/*
 * window - times of the day and days of the week, in UTC: "08:00-18:00", "mon-fri 22:00-06:00",
 * "sat,sun".
 *
 * A window that goes past midnight belongs to the day on which it begins. The end is not in it.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/err.h"

struct window {
	unsigned days; /* 1 << 0: Sunday ... 1 << 6: Saturday */
	unsigned from; /* minutes from midnight */
	unsigned to;   /* up to 1440; less than from: past midnight */
};

int window_parse(struct window *out, const char *text, struct err_msg *msg) MUSTCHECK;

bool window_has(const struct window *w, time_t at);

/* "Tue 21:59" */
void window_print(time_t at, char out[16]);
