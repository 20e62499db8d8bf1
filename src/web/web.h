/* SPDX-License-Identifier: MIT */
/*
 * web - the status page, /metrics and /health over HTTP.
 *
 * Its own process: meets clients of HTTP, never XMPP peers; reads the counter pages, and asks media
 * what inquiry.h says. No files.
 */
#pragma once

/* The role's entry: runs until the master says stop; an exit code. */
int web_main(unsigned index);
