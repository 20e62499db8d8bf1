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

/* The name of the first sign found in the <message/> at index root, or NULL. */
const char *encrypted_sign(const struct outline *o, int root);

/* Could this address be one of encrypted media: a fragment, OpenPGP's file name? */
bool encrypted_address(const char *url);
