/* SPDX-License-Identifier: MIT */
/*
 * JPEGs through scans_thin(): less comes out than went in, it is a JPEG from its first to its last
 * marker, and there is nothing more to leave out.
 */
#include "config.h"

#include <stdlib.h>

#include "fuzz.h"
#include "scaler/scans.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t thin_len = 0, more = 0;
	uint8_t *thin = scans_thin(bytes, len, &thin_len);

	if (!thin)
		return 0;
	BUG_ON(thin_len >= len || thin_len < 4);
	BUG_ON(thin[0] != 0xff || thin[1] != 0xd8);
	BUG_ON(thin[thin_len - 2] != 0xff || thin[thin_len - 1] != 0xd9);
	BUG_ON(scans_thin(thin, thin_len, &more));
	free(thin);
	return 0;
}
