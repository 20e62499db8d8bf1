/* SPDX-License-Identifier: MIT */
/*
 * encrypted - any sign of end-to-end encryption in a message.
 *
 * One hit and the message is left alone: nothing is fetched, nothing changed. Signs are
 * rows of a table, so that each has its test; not for anything else that makes a message
 * unsuitable (source.h).
 */
#pragma once

#include "xmpp/outline.h"

/* The name of the first sign found, or NULL. */
const char *encrypted_sign(const struct outline *message);
