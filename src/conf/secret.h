/* SPDX-License-Identifier: MIT */
/*
 * secret - the key that signs upload addresses: from a file of the operator's, or made once.
 *
 * Not for keys of TLS: those are certificate's.
 */
#pragma once

#include "base/err.h"

/*
 * Any file of 16 bytes or more becomes a key, the same bytes always the same one. *out: 64
 * hexadecimal digits, the caller's, secret. 0; ERR_CONFIG and msg, or ERR_NOMEM.
 */
int secret_read(const char *path, char **out, struct err_msg *msg) MUSTCHECK;

/* The same; a file that is not there is made, with random bytes, for its owner's eyes only. */
int secret_make(const char *path, char **out, struct err_msg *msg) MUSTCHECK;

/* A file with one line "id:secret", or with both on lines of their own: *out is "id\nsecret". The
 * same. */
int secret_read_pair(const char *path, char **out, struct err_msg *msg) MUSTCHECK;
