/* SPDX-License-Identifier: MIT */
/*
 * What strangers and buckets send to the box as text: an upload's token, the Range header, an
 * upload's facts, an address. The first byte chooses. What is taken must say the same again.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/token.h"
#include "box/byterange.h"
#include "box/http.h"
#include "box/store.h"
#include "fuzz.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* Nobody can forge one; one that we make of the bytes comes back as it was. */
static void try_token(const char *text)
{
	char printed[TOKEN_TEXT_MAX];
	struct token t, again;
	size_t i;

	BUG_ON(token_parse(&t, KEY, text, 0) == 0);
	memset(&t, 0, sizeof(t));
	t.slot = text[0] & 1;
	t.expires = text[0] ? (uint64_t)(uint8_t)text[0] << 32 : 1;
	t.max_bytes = strlen(text);
	for (i = 0; i < sizeof(t.types) - 1 && text[i]; i++)
		t.types[i] = text[i];
	memcpy(t.id, text, strnlen(text, sizeof(t.id)));
	BUG_ON(token_print(&t, KEY, printed) != 0);
	BUG_ON(token_parse(&again, KEY, printed, 0) != 0);
	BUG_ON(again.slot != t.slot || again.expires != t.expires ||
	       again.max_bytes != t.max_bytes || strcmp(again.types, t.types) != 0 ||
	       memcmp(again.id, t.id, sizeof(t.id)) != 0);
	BUG_ON(token_parse(&again, KEY, printed, t.expires + 1) != ERR_TIMEOUT);
	/* A change anywhere is seen, but in the bits that base64 has too many. */
	i = strlen(text) % strlen(printed);
	printed[i] = printed[i] == 'A' ? 'B' : 'A';
	BUG_ON(i + 1 < strlen(printed) && token_parse(&again, KEY, printed, 0) == 0);
	(void)token_type_matches(text, "image/png");
	(void)token_type_matches("image/*,*/*", text);
}

static void try_range(const char *text, uint64_t size)
{
	struct byterange r;

	if (!byterange_parse(text, size, &r)) {
		BUG_ON(strncmp(text, "bytes=", 6) != 0);
		return;
	}
	BUG_ON(r.len == 0 || r.len > size || r.from > size - r.len);
	BUG_ON(!r.partial && (r.from || r.len != size));
}

static void try_facts(const char *text)
{
	char copy[STORE_FACTS_MAX], printed[STORE_FACTS_MAX];
	struct store_file f = { 0 }, again = { 0 };
	int len;

	if (strlen(text) >= sizeof(copy))
		return;
	strcpy(copy, text);
	if (!store_parse_facts(copy, &f))
		return;
	len = store_print_facts(&f, printed);
	BUG_ON(len <= 0 || (size_t)len >= sizeof(printed));
	BUG_ON(!store_parse_facts(printed, &again));
	BUG_ON(memcmp(&f, &again, sizeof(f)) != 0);
}

static void try_address(const char *text)
{
	uint8_t id[TOKEN_ID_LEN];
	char hex[2 * TOKEN_ID_LEN + 1];

	if (!http_parse_id(text, id))
		return;
	hash_print_hex(id, sizeof(id), hex);
	BUG_ON(strncmp(hex, text, sizeof(hex) - 1) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text;

	if (len < 2 || len > 4096)
		return 0;
	text = malloc(len);
	BUG_ON(!text);
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = '\0';
	switch (bytes[0] % 4) {
	case 0:
		try_token(text);
		break;
	case 1:
		try_range(text, 1 + (uint64_t)(bytes[0] >> 2) * (bytes[0] >> 2));
		break;
	case 2:
		try_facts(text);
		break;
	default:
		try_address(text);
	}
	free(text);
	return 0;
}
