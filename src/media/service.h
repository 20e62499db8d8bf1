/* SPDX-License-Identifier: MIT */
/*
 * service - the media process: its channels to master, proxies and scaler.
 */
#pragma once

/* Runs until the master says STOP or is gone; returns the exit code. */
int media_main(unsigned index);
