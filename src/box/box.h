/* SPDX-License-Identifier: MIT */
/*
 * box - the process that takes uploads and serves them, for the Internet.
 *
 * HTTP by libmicrohttpd on our loop; files in the store; what arrives and is a picture is
 * offered to the media process before the upload is acknowledged, so that its thumbnail is
 * there when a message names it. Reads and writes below state-dir/box only, but for the few
 * system files that finding a bucket takes.
 */
#pragma once

/* Runs until told to stop; the process's exit code. */
int box_main(unsigned index);
