/* SPDX-License-Identifier: MIT */
/*
 * ns - the namespaces that inset knows by name. Never spell one elsewhere.
 */
#pragma once

#define NS(id, uri) extern const char NS_##id[];
#include "xmpp/ns.def"
#undef NS
