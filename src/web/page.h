/* SPDX-License-Identifier: MIT */
/*
 * page - the files of src/web/page, as they were when this was built.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct page_file {
	const char *path; /* as asked for */
	const char *type;
	const uint8_t *bytes;
	size_t len;
};

/* NULL: there is none. */
const struct page_file *page_find(const char *path);
