/* SPDX-License-Identifier: MIT */
/*
 * formats - the written forms of a thumbnail. A form is one file and one row of the table.
 */
#pragma once

#include "filter/filter.h"

struct format {
	enum conf_format id;
	const char *name;
	const char *help;
	/* Bytes that the form of this result takes, at most. */
	size_t (*size)(const struct job_result *r);
	/* Queues its edits on the unit: 0, or ERR_* and the message goes on as it came. */
	int (*write)(struct filter_unit *u, const struct job_result *r);
};

extern const struct format format_ibb;

/* Writes every form of the mask that fits into unit->max_final: 0, ERR_TOO_BIG, ERR_NOMEM ... */
int formats_write(struct filter_unit *u, uint32_t mask, const struct job_result *r) MUSTCHECK;
