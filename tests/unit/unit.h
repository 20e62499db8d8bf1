/* SPDX-License-Identifier: MIT */
/*
 * unit - what every unit test includes: cmocka with the headers it wants before it.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
