/* SPDX-License-Identifier: MIT */
/*
 * scale - one picture file in, one thumbnail file out: by GraphicsMagick, plain JPEGs by libjpeg
 * (jpeg.c), HEIC and AVIF by libheif (heif.c).
 *
 * Runs in a sandboxed child on hostile bytes. Limits are checked on the file's own header
 * before the decoder sees it; the decoder is forced to the sniffed format and reads the
 * first frame only. No files, no network, no processes.
 */
#pragma once

#include "base/picture.h"

/* Once per process, before any fork: starts GraphicsMagick without signal handlers. Reads no file.
 */
void scale_init(void);

/*
 * Fills res (but id and wall_us); its status says how it went. res->bytes is on the heap,
 * scale_result_fini() frees it.
 */
void scale_picture(const struct picture_request *req, const uint8_t *p, size_t len,
		   struct picture_result *res);
void scale_result_fini(struct picture_result *res);

/* "GraphicsMagick 1.3.40 ...", for READY. */
const char *scale_version(void);
