/* SPDX-License-Identifier: MIT */
/*
 * proxy-asks - what insetctl asks of a proxy: its sessions, its state.
 */
#pragma once

#include "base/ask.h"
#include "stream/pool.h"

/* Answers through the master's channel. */
void proxy_on_ask(const struct pool *pool, const struct ask *a);
