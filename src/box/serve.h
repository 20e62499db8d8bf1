/* SPDX-License-Identifier: MIT */
/*
 * serve - GET and HEAD of what the box holds.
 */
#pragma once

#include "box/http.h"

/* path: behind upload.public-url; method: GET or HEAD. Queues the answer. */
enum MHD_Result serve(const struct http_site *site, struct MHD_Connection *connection,
		      const char *path, const char *method);
