/* SPDX-License-Identifier: MIT */
/*
 * hint - what somebody probably meant by a name that does not exist.
 */
#pragma once

#include "conf/conf.h"

/* "no such setting", with the nearest name of that section where one is near. */
void hint_unknown(char out[256], enum conf_section section, const char *name);
