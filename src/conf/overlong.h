/* SPDX-License-Identifier: MIT */
/*
 * overlong - finds integers that libconfig would wrap.
 *
 * libconfig 1.5 reads an integer without the suffix L by atoi(): 5000000000 becomes
 * 705032704, silently. So the files are looked through before their values count.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

/* The first line after `after` with such an integer, or 0: none, or the file cannot be read. */
unsigned overlong_line(const char *file, unsigned after) MUSTCHECK;
