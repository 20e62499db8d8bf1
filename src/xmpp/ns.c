/* SPDX-License-Identifier: MIT */
/*
 * ns - see ns.h.
 */
#include "config.h"

#include "xmpp/ns.h"

#define NS(id, uri) const char NS_##id[] = uri;
#include "xmpp/ns.def"
#undef NS
