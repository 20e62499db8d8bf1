/* SPDX-License-Identifier: MIT */
/*
 * web - /metrics and /health over HTTP, on loopback addresses only.
 *
 * Its own process: meets clients of HTTP, never XMPP peers; reads the counter pages and
 * nothing else. No files.
 */
#pragma once

/* The role's entry: runs until the master says stop; an exit code. */
int web_main(unsigned index);
