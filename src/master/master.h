/* SPDX-License-Identifier: MIT */
/*
 * master - the process that the others are children of.
 *
 * Opens sockets, starts children and brings them back, hands out generations, answers
 * insetctl. Meets no peer's bytes. Its parts share struct master (master/state.h).
 */
#pragma once

#include "conf/read.h"

/*
 * Runs until SIGTERM or SIGINT: an exit code (0 done, 1 what was given is at fault, 70 own
 * fault). conf is borrowed; source is read again at each reload, argv is executed at an upgrade.
 */
int master_run(struct conf *conf, const struct conf_source *source, char *const *argv) MUSTCHECK;

/* Instead of master_run(): the configuration cannot be read. Tells an insetd that waits for it. */
void master_refuse(const char *why);
