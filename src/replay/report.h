/* SPDX-License-Identifier: MIT */
/*
 * report - what a run of the player found, as JSON and as one HTML page with plots.
 *
 * The page is made from the JSON, one or two of them laid over each other, and needs nothing else.
 */
#pragma once

#include <jansson.h>

#include "replay/player.h"

/* A new reference, or NULL when out of memory. */
json_t *report_json(const struct player_config *config, const struct player_result *r);
/* Writes the JSON, or reads it: 0, or ERR_IO or ERR_SYNTAX and msg. */
int report_write(const json_t *report, const char *path, struct err_msg *msg) MUSTCHECK;
int report_read(const char *path, json_t **out, struct err_msg *msg) MUSTCHECK;
/* The verdict and the main figures, for a terminal. */
void report_print(const json_t *report, FILE *f);
/* One page of n (1 or 2) reports under these names. */
int report_html(const json_t *const *reports, const char *const *names, size_t n, const char *path,
		struct err_msg *msg) MUSTCHECK;
