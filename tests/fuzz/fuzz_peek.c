/* SPDX-License-Identifier: MIT */
/*
 * First bytes of pictures through peek: what is found does not depend on how they are cut, and
 * more bytes never take back what was known. The first byte chooses the format, the second the
 * cut.
 */
#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "media/peek.h"

static struct peek peek_all(enum picture_format f, const uint8_t *p, size_t len, size_t cut)
{
	struct peek k;
	size_t at;

	peek_init(&k, f);
	for (at = 0; at < len; at += cut) {
		struct peek before = k;

		peek_add(&k, p + at, MIN_OF(cut, len - at));
		BUG_ON(before.done && (k.width != before.width || k.height != before.height));
		BUG_ON(k.have > PEEK_ROOM || (!k.done && k.have >= k.want));
		BUG_ON(!k.done && (k.width || k.height));
	}
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct peek whole, cut;
	enum picture_format f;

	if (len < 2)
		return 0;
	f = (enum picture_format)(PICTURE_JPEG + bytes[0] % (PICTURE_FORMAT_COUNT - 1));
	whole = peek_all(f, bytes + 2, len - 2, len);
	cut = peek_all(f, bytes + 2, len - 2, bytes[1] ? bytes[1] : 1);
	BUG_ON(whole.done != cut.done || whole.width != cut.width || whole.height != cut.height);
	BUG_ON(peek_is_too_big(&whole, UINT32_MAX, UINT64_MAX, UINT64_MAX));
	return 0;
}
