/* SPDX-License-Identifier: MIT */
/*
 * gate - how many sessions there may be, in all and from one address, over all proxies.
 *
 * Counts every session while it lives, whatever the limits say, so that a limit that a
 * reload brings meets true figures. Not for rates, and not for what happens to a client
 * that is turned away: the listener closes the connection without a word.
 */
#pragma once

#include <sys/socket.h>

#include "conf/conf.h"

/* What a session holds for as long as it is counted; all zero: it is not. */
struct gate_pass {
	uint64_t address; /* keyed hash */
	bool counted;
	bool addressed; /* among those of its address, too */
};

/* Counts a session. False: a limit is reached, nothing is counted and the log may have a line. */
bool gate_enter(struct gate_pass *pass, const struct conf_limits *limits) MUSTCHECK;
/*
 * Counts it among those from this address (an IPv4 address, an IPv6 /64; other families share
 * one). False: that limit is reached, the session is still counted.
 */
bool gate_address(struct gate_pass *pass, const struct conf_limits *limits,
		  const struct sockaddr *from) MUSTCHECK;
void gate_leave(struct gate_pass *pass);
