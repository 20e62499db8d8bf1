/* SPDX-License-Identifier: MIT */
/*
 * import - a packet capture of XMPP in the clear becomes a capture of ours, by way of tshark.
 *
 * What tshark says of each segment is put in order by sequence number as far as it comes in
 * order: repeated bytes are left out, and a stream ends where bytes are missing.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct import_config {
	const char *pcap;
	const char *folder; /* for NAME.NUMBER.jsonl.gz */
	const char *name;
	unsigned port;
	bool redact;
};

struct import_result {
	unsigned streams;
	unsigned broken; /* of them, that end early */
};

/* 0, or ERR_NOT_FOUND (no tshark), ERR_IO, ERR_SYNTAX, ERR_NOMEM and msg. */
int import_pcap(const struct import_config *config, struct import_result *out,
		struct err_msg *msg) MUSTCHECK;
