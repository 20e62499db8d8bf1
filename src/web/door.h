/* SPDX-License-Identifier: MIT */
/*
 * door - who may ask the web process anything.
 *
 * With web.token everybody names it. Without it only addresses of this machine are listened on,
 * and a request must be for such an address by name: else any page in a browser here could have
 * its own name lead to it (DNS rebinding) and read what it says. No I/O.
 */
#pragma once

#include <stdbool.h>

#include "conf/conf.h"

enum door {
	DOOR_OPEN,
	DOOR_TOKEN, /* the token is missing or wrong */
	DOOR_HOST   /* a name that is not this machine's */
};

/* What the headers Host and Authorization say; NULL: not there. */
enum door door_judge(const struct conf_web *w, const char *host, const char *authorization);
