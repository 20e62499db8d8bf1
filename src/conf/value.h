/* SPDX-License-Identifier: MIT */
/*
 * value - one setting's text to its C value and back, with the checks of its row.
 *
 * Messages say what is wrong with the value only; reading.c puts file, line and name before
 * them. value_set() of an UPSTREAM with a host name asks the system's resolver and may
 * take its time: for the master, at start and reload.
 */
#pragma once

#include <sys/socket.h>

#include "base/err.h"
#include "conf/conf.h"

/* Replaces the value; a list is comma-separated here. 0, ERR_SYNTAX (and msg) or ERR_NOMEM; a
 * failure leaves the old value of a scalar. */
int value_set(const struct conf_option *o, void *field, const char *text,
	      struct err_msg *msg) MUSTCHECK;

/* One more entry of a list (STORE_LIST or STORE_MASK); the same results. */
int value_add(const struct conf_option *o, void *field, const char *text,
	      struct err_msg *msg) MUSTCHECK;

/* Has a list the right number of entries? 0 or ERR_SYNTAX. Scalars pass. */
int value_check_entries(const struct conf_option *o, const void *field,
			struct err_msg *msg) MUSTCHECK;

/* Is this, in C, a value that value_set() could have made, as far as ranges go? For generations. */
bool value_is_in_range(const struct conf_option *o, const void *field);

/* The row's default into a zeroed field, without the check of its length: 0 or ERR_NOMEM. */
int value_set_default(const struct conf_option *o, void *field) MUSTCHECK;

/* Frees what the field owns and zeroes it. */
void value_clear(const struct conf_option *o, void *field);

/* "address:port", "[address]:port" or "unix:/path", numeric only: 0 or ERR_SYNTAX. */
int value_address(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out) MUSTCHECK;

/* A checked upstream: the same, with "tls://" before it: *tls_out. */
int value_server(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out,
		 bool *tls_out) MUSTCHECK;

/* Does the address lie in one of these checked networks? */
bool value_in_networks(const struct conf_list *networks, const struct sockaddr *sa);

/* "256KiB", "2s": as a person would write it; out has room for 32 bytes. */
void value_print_size(uint64_t v, char out[32]);
void value_print_time(uint64_t ms, char out[32]);
