/* SPDX-License-Identifier: MIT */
/*
 * service-asks - what insetctl asks of the media process: cache, hosts, shared cache.
 *
 * Of what was fetched only hosts are told, never an address.
 */
#pragma once

#include "base/ask.h"
#include "media/flight.h"

/* Answers through the master's channel. */
void service_on_ask(struct flights *flights, const struct ask *a);
