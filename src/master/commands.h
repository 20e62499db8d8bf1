/* SPDX-License-Identifier: MIT */
/*
 * commands - the commands of insetctl that only show something, or concern caches and logs.
 *
 * Checks the arguments, asks the children where they must be asked, puts their answers together.
 * What changes the state of all processes (reload and the like) is not here.
 */
#pragma once

#include <jansson.h>

#include "master/state.h"

/* False: it is none of these. Otherwise the client is answered, now or later. */
bool commands_run(struct master *m, uint64_t client, const char *command, const json_t *request);
