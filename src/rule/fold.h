/* SPDX-License-Identifier: MIT */
/*
 * fold - JIDs, hosts, addresses and MIME types with the case taken out where it means nothing.
 *
 * ASCII only, like DNS; the same for entries and for what they are compared with. All change
 * text in place and make it no longer.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define FOLD_HOST_MAX 255 /* bytes of a name (RFC 1035 2.3.4) */

/* Up to the resource. Servers fold local parts as well (RFC 7622 3.3). */
void fold_jid(char *text);
void fold_word(char *text);
/* Scheme and authority of an address. */
void fold_url(char *text);

/* The host of an address, folded, without port and brackets: its length in out, 0 if there is none.
 */
size_t fold_host(const char *url, char *out, size_t room);

/*
 * Is the host what fold_host() says, to whoever resolves it? False where a library makes another
 * one of it, which no rule sees: percent signs, numbers like 0x7f.1, http:///host.
 */
bool fold_is_plain(const char *url);
