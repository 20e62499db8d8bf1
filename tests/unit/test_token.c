/* SPDX-License-Identifier: MIT */
/*
 * test_token - what is printed is parsed back; any bit changed, another key, any length is
 * refused; types match as they should. Also HMAC and hexadecimal of hash.
 */
#include "config.h"

#include "unit.h"

#include "base/err.h"
#include "base/token.h"

#define KEY "a key"

static struct token sample(void)
{
	struct token t = { .slot = true, .expires = 5000000000, .max_bytes = 1ull << 40 };

	memset(t.id, 0xa5, sizeof(t.id));
	memset(t.user, 0x5a, sizeof(t.user));
	strcpy(t.types, "image/png,image/*");
	return t;
}

static void printed_and_parsed(void **state UNUSED)
{
	struct token t = sample(), back;
	char text[TOKEN_TEXT_MAX];

	assert_int_equal(token_print(&t, KEY, text), 0);
	assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789-_"),
			 strlen(text));
	assert_int_equal(token_parse(&back, KEY, text, 5000000000), 0);
	assert_memory_equal(&back, &t, sizeof(t));
	assert_int_equal(token_parse(&back, KEY, text, 5000000001), ERR_TIMEOUT);
	assert_int_equal(token_parse(&back, "another key", text, 0), ERR_SYNTAX);
	memset(t.types, 'x', TOKEN_TYPES_MAX);
	assert_int_equal(token_print(&t, KEY, text), 0);
	assert_int_equal(token_parse(&back, KEY, text, 0), 0);
	assert_string_equal(back.types, t.types);
	t.types[0] = '\0';
	assert_int_equal(token_print(&t, KEY, text), 0);
	assert_int_equal(token_parse(&back, KEY, text, 0), 0);
}

static void every_change_is_refused(void **state UNUSED)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		"-_";
	struct token t = sample(), back;
	char text[TOKEN_TEXT_MAX], changed[TOKEN_TEXT_MAX + 64];
	size_t i, k, len;

	assert_int_equal(token_print(&t, KEY, text), 0);
	len = strlen(text);
	for (i = 0; i + 1 < len; i++) /* the last one holds bits that count for nothing */
		for (k = 0; k < 64; k++) {
			strcpy(changed, text);
			if (changed[i] == alphabet[k])
				continue;
			changed[i] = alphabet[k];
			if (token_parse(&back, KEY, changed, 0) != ERR_SYNTAX)
				fail_msg("taken with another character at %zu", i);
		}
	for (i = 0; i < len; i++) {
		snprintf(changed, sizeof(changed), "%.*s", (int)i, text);
		assert_int_equal(token_parse(&back, KEY, changed, 0), ERR_SYNTAX);
		snprintf(changed, sizeof(changed), "%.*s=%s", (int)i, text, text + i);
		assert_int_equal(token_parse(&back, KEY, changed, 0), ERR_SYNTAX);
		snprintf(changed, sizeof(changed), "%.*s %s", (int)i, text, text + i);
		assert_int_equal(token_parse(&back, KEY, changed, 0), ERR_SYNTAX);
	}
	memset(changed, 'A', sizeof(changed) - 1);
	for (i = 0; i < sizeof(changed); i++) {
		changed[i] = '\0';
		assert_int_equal(token_parse(&back, KEY, changed, 0), ERR_SYNTAX);
		changed[i] = 'A';
	}
}

static void users_are_digests(void **state UNUSED)
{
	uint8_t a[TOKEN_USER_LEN], b[TOKEN_USER_LEN];

	assert_int_equal(token_user(KEY, "a@b", 3, a), 0);
	assert_int_equal(token_user(KEY, "a@b/resource", 3, b), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(token_user(KEY, "a@c", 3, b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(token_user("other", "a@b", 3, b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void types(void **state UNUSED)
{
	static const struct {
		const char *patterns, *type;
		bool matches;
	} cases[] = {
		{ "*/*", "a/b", true },
		{ "image/*", "image/png", true },
		{ "image/*", "IMAGE/PNG; q=1", true },
		{ "image/*", "image/", false },
		{ "image/*", "imagex/png", false },
		{ "image/*", "video/image/", false },
		{ "image/png", "image/png", true },
		{ "image/png", "image/pngx", false },
		{ "image/png", "image/pn", false },
		{ "text/plain,image/png", "image/png", true },
		{ "text/plain,image/png,", "image/gif", false },
		{ "image/jpeg", "image/jpg", true },
		{ "", "image/png", false },
		{ "image/png", "", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		if (token_type_matches(cases[i].patterns, cases[i].type) != cases[i].matches)
			fail_msg("%s %s", cases[i].patterns, cases[i].type);
}

/* RFC 4231, case 2. */
static void hmac_and_hex(void **state UNUSED)
{
	uint8_t mac[HASH_SHA256_LEN], back[HASH_SHA256_LEN];
	char text[2 * HASH_SHA256_LEN + 1];

	assert_int_equal(hash_hmac("Jefe", 4, "what do ya want for nothing?", 28, mac), 0);
	hash_print_hex(mac, sizeof(mac), text);
	assert_string_equal(text,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_int_equal(hash_parse_hex(text, back, sizeof(back)), 0);
	assert_true(hash_is_equal(mac, back, sizeof(back)));
	back[31] ^= 1;
	assert_false(hash_is_equal(mac, back, sizeof(back)));
	assert_int_equal(hash_parse_hex("0", back, 1), ERR_SYNTAX);
	assert_int_equal(hash_parse_hex("0g", back, 1), ERR_SYNTAX);
	assert_int_equal(hash_parse_hex("000", back, 1), ERR_SYNTAX);
	assert_int_equal(hash_parse_hex("0A", back, 1), ERR_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printed_and_parsed), cmocka_unit_test(every_change_is_refused),
		cmocka_unit_test(users_are_digests),  cmocka_unit_test(types),
		cmocka_unit_test(hmac_and_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
