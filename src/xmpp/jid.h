/* SPDX-License-Identifier: MIT */
/*
 * jid - parts of an XMPP address (RFC 7622), split by bytes.
 *
 * No preparation of the local part: servers have done it; comparisons fold the case of
 * the domain only.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define JID_MAX 3071

struct jid {
	const char *local; /* NULL if none; not NUL-terminated */
	size_t local_len;
	const char *domain;
	size_t domain_len;
	const char *resource; /* NULL if none */
	size_t resource_len;
};

/* Splits text, which must outlive *out: 0 or ERR_SYNTAX (empty parts, too long). */
int jid_parse(struct jid *out, const char *text) MUSTCHECK;

/* Length of the bare JID at the start of text (up to the first '/'). */
size_t jid_bare_len(const char *text);

/* Same bare JID, domains compared without case. */
bool jid_same_bare(const char *a, const char *b);
