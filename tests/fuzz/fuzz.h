/* SPDX-License-Identifier: MIT */
/*
 * fuzz - the entry of every fuzz target, called by libFuzzer or by main.c.
 */
#pragma once

#include "base/util.h"

/* Aborts if the bytes show a fault; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
