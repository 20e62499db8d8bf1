/* SPDX-License-Identifier: MIT */
/*
 * zygote - the scaler's parent process: a small poll(2) loop between master, media and the
 * decoder children. Holds no picture longer than its child needs, decodes nothing itself.
 */
#pragma once

/* Runs until the master says STOP or is gone. Returns the exit code. user: to become when root. */
int zygote_run(const char *user);
