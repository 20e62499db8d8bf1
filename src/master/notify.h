/* SPDX-License-Identifier: MIT */
/*
 * notify - tells the service manager how insetd is: the protocol of sd_notify(3), a datagram of
 * lines to the socket that NOTIFY_SOCKET names.
 *
 * Not libsystemd: it would bring five libraries into the one process that keeps root, for what is
 * one sendto(). Without NOTIFY_SOCKET nothing happens. Never blocks; what does not arrive is lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"

/* Reads the environment; once. heir: started by another insetd, whose watchdog it takes over. */
void notify_open(bool heir);
/* From now on nothing is sent: somebody else speaks for the service. */
void notify_close(void);

/* Lines such as "READY=1\nSTATUS=up". */
void notify_send(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The service manager wants "WATCHDOG=1" at least so often, in ms; 0: it does not. */
uint64_t notify_watchdog_ms(void);
