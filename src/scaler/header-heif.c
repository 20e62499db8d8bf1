/* SPDX-License-Identifier: MIT */
/*
 * header-heif - see header-heif.h.
 *
 * Walks the outermost boxes to the last byte, and within meta only the way to ispe, the sizes.
 */
#include "config.h"

#include "scaler/header-heif.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define DEPTH_MAX 4 /* meta, iprp, ipco, ispe */

struct box {
	const uint8_t *type;
	const uint8_t *body;
	size_t len; /* of the body */
};

/* The box at p and where it ends; ERR_SYNTAX: it does not end within len. */
static int box_read(const uint8_t *p, size_t len, struct box *out, size_t *size_out)
{
	uint64_t size;
	size_t head = 8;

	if (len < 8)
		return ERR_SYNTAX;
	size = be32(p);
	if (size == 1) {
		head = 16;
		if (len < 16)
			return ERR_SYNTAX;
		size = (uint64_t)be32(p + 8) << 32 | be32(p + 12);
	} else if (size == 0) { /* to the end of the file */
		size = len;
	}
	if (size < head || size > len)
		return ERR_SYNTAX;
	*out = (struct box){ .type = p + 4, .body = p + head, .len = (size_t)size - head };
	*size_out = (size_t)size;
	return 0;
}

struct found {
	uint32_t width, height;
	bool data; /* a box for the pictures themselves */
};

/* Sizes in the boxes of one level, and below those that lead to more. */
static int sizes_read(const uint8_t *p, size_t len, unsigned depth, struct found *out)
{
	static const char way[DEPTH_MAX - 1][5] = { "meta", "iprp", "ipco" };
	struct box box;
	size_t size;
	int rc;

	while (len) {
		rc = box_read(p, len, &box, &size);
		if (rc)
			return rc;
		if (depth == 0 && memcmp(box.type, "mdat", 4) == 0)
			out->data = true;
		if (depth == DEPTH_MAX - 1) {
			if (memcmp(box.type, "ispe", 4) == 0) {
				if (box.len < 12)
					return ERR_SYNTAX;
				out->width = MAX_OF(out->width, be32(box.body + 4));
				out->height = MAX_OF(out->height, be32(box.body + 8));
			}
		} else if (memcmp(box.type, way[depth], 4) == 0) {
			size_t skip = depth == 0 ? 4 : 0; /* meta has a version */

			if (box.len < skip)
				return ERR_SYNTAX;
			rc = sizes_read(box.body + skip, box.len - skip, depth + 1, out);
			if (rc)
				return rc;
		}
		p += size;
		len -= size;
	}
	return 0;
}

int header_heif(const uint8_t *p, size_t len, struct header *out)
{
	struct found found = { 0 };
	int rc;

	if (len < 16 || memcmp(p + 4, "ftyp", 4) != 0)
		return ERR_SYNTAX;
	rc = sizes_read(p, len, 0, &found);
	if (rc || !found.data)
		return rc ? rc : ERR_SYNTAX;
	out->width = found.width;
	out->height = found.height;
	return 0;
}
