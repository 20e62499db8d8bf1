/* SPDX-License-Identifier: MIT */
/*
 * certificate - PEM files that the configuration names: read, checked, kept as text.
 *
 * Not for using them: that is stream/tls.c, in a process that may not read the files.
 */
#pragma once

#include "base/err.h"

/*
 * A certificate, its chain and its key. Checks that the key is the certificate's, that each
 * certificate of the chain was issued by the next, and the dates. *out is the text, the
 * caller's, secret. 0; ERR_CONFIG and msg, or ERR_NOMEM. Dates alone: 0, with *out and msg.
 */
int certificate_read(const char *path, char **out, struct err_msg *msg) MUSTCHECK;

/* Certificate authorities: one certificate or more, nothing else is looked at. The same. */
int certificate_read_authorities(const char *path, char **out, struct err_msg *msg) MUSTCHECK;
