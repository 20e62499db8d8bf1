/* SPDX-License-Identifier: MIT */
/*
 * proxy - the process that carries sessions.
 *
 * Speaks the master's protocol (base/child.h), owns the listeners and the pool of sessions.
 */
#pragma once

/* The role's entry: runs until the master says stop and its sessions have ended; an exit code. */
int proxy_main(unsigned index);
