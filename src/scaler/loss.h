/* SPDX-License-Identifier: MIT */
/*
 * loss - whether a decoder's warning means that pixels are missing. Decoders warn of much that does
 * no harm.
 */
#pragma once

#include <stdbool.h>

bool loss_is_meant(const char *warning);
