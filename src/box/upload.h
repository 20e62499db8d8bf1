/* SPDX-License-Identifier: MIT */
/*
 * upload - one POST or PUT on its way into the store.
 *
 * In order: box_upload_new() with the header, box_upload_add() with bytes as they come,
 * box_upload_end() until it has queued an answer.
 */
#pragma once

#include "box/http.h"

struct box_upload;

/* NULL when out of memory. path: behind upload.public-url. */
struct box_upload *box_upload_new(const struct http_site *site, struct MHD_Connection *connection,
				  const char *path) MUSTCHECK;
void box_upload_free(struct box_upload **u);

/* Refused already, and the client waits for leave to send, or would send much: answer now. */
bool box_upload_is_refused(const struct box_upload *u);

/* False: the connection is to end, so much more comes than an answer is worth. */
bool box_upload_add(struct box_upload *u, const void *p, size_t len) MUSTCHECK;

/* Queues the answer, or suspends the connection and will be called again. */
enum MHD_Result box_upload_end(struct box_upload *u);
