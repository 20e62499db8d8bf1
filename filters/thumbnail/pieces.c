/* SPDX-License-Identifier: MIT */
/*
 * pieces - what several forms of a thumbnail are made from: names, ids, escaped texts.
 *
 * The message's author chose the address, so a name from it is not believed: control
 * characters, slashes, broken UTF-8 and what XML forbids make it none.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hash.h"
#include "thumbnail/formats.h"

#define PIECE_ROOM 1024 /* for a piece beside the thumbnail */

int pieces_add(const struct form *f, struct pieces *p, size_t at, const char *fmt, ...)
{
	/* Printing only to count is slow where there is much to print: mostly this is enough. */
	size_t room = strlen(f->base64) + PIECE_ROOM;
	char *xml = arena_alloc(f->u->arena, room);
	va_list args, again;
	int len;

	BUG_ON(p->n == FORMAT_PIECES);
	if (!xml)
		return ERR_NOMEM;
	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(xml, room, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t)len >= room) {
		xml = arena_alloc(f->u->arena, (size_t)len + 1);
		if (xml)
			vsnprintf(xml, (size_t)len + 1, fmt, again);
	}
	va_end(again);
	if (len < 0 || !xml)
		return ERR_NOMEM;
	p->v[p->n++] = (struct piece){ .at = at, .xml = xml, .len = (size_t)len };
	return 0;
}

size_t pieces_end(const struct form *f)
{
	return f->u->outline->elements[f->sources->root].end;
}

/* --- names ----------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Writes at most strlen(text) bytes and a NUL; false at a % that is none. */
static bool percent_decode(char *out, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		int high = text[i] == '%' && i + 2 < len ? hex_digit(text[i + 1]) : -1;
		int low = high == -1 ? -1 : hex_digit(text[i + 2]);

		if (text[i] == '%') {
			if (low == -1 || (high == 0 && low == 0))
				return false;
			*out++ = (char)(high << 4 | low);
			i += 2;
		} else {
			*out++ = text[i];
		}
	}
	*out = '\0';
	return true;
}

/* Bytes of the character at p, 0 if it is none (RFC 3629) or a control or non-character. */
static size_t character_len(const uint8_t *p)
{
	static const uint32_t least[] = { 0, 0x20, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = len == 1 ? p[0] : p[0] & 0xffu >> (len + 1);
	size_t i;

	if (!len || p[0] > 0xf4)
		return 0;
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) ||
	    c > 0x10ffff || (c & 0xfffe) == 0xfffe || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069))
		return 0; /* the last two: what turns text around would hide what a name ends in */
	return len;
}

static bool is_good_name(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t n;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strpbrk(name, "/\\"))
		return false;
	for (; *p; p += n) {
		n = character_len(p);
		if (!n)
			return false;
	}
	return pieces_characters(name, strlen(name)) <= FORMAT_NAME_MAX;
}

const char *pieces_file_name(struct arena *a, const char *url)
{
	const char *path = strstr(url, "://"), *last, *at;
	size_t len;
	char *name;

	if (path)
		path += 3 + strcspn(path + 3, "/?#");
	if (!path || *path != '/')
		return "";
	len = strcspn(path, "?#");
	for (last = path, at = path; at < path + len; at++)
		if (*at == '/')
			last = at;
	len -= (size_t)(last + 1 - path);
	name = arena_strndup(a, last + 1, len);
	if (!name || !percent_decode(name, last + 1, len) || !is_good_name(name))
		return "";
	return name;
}

size_t pieces_characters(const char *text, size_t len)
{
	size_t n = 0, i;

	for (i = 0; i < len; i++)
		n += ((uint8_t)text[i] & 0xc0) != 0x80;
	return n;
}

/* --- texts ----------------------------------------------------------------------------- */

static const char *name_of(const struct form *f)
{
	const char *name = pieces_file_name(f->u->arena, f->source->url);
	const char *mime = picture_mime(f->r->media_format);

	if (*name)
		return name;
	return arena_printf(f->u->arena, "picture.%s", mime ? strchr(mime, '/') + 1 : "bin");
}

static const char *cid_of(const struct form *f)
{
	static const char hex[] = "0123456789abcdef";
	char text[2 * HASH_SHA1_LEN + 1] = "";
	uint8_t sum[HASH_SHA1_LEN];
	size_t i;

	if (hash_sha1(f->r->bytes, f->r->len, sum))
		return NULL;
	for (i = 0; i < sizeof(sum); i++) {
		text[2 * i] = hex[sum[i] >> 4];
		text[2 * i + 1] = hex[sum[i] & 15];
	}
	return arena_printf(f->u->arena, "sha1+%s@bob.xmpp.org", text);
}

int pieces_prepare(struct form *f)
{
	const char *name = name_of(f);
	char *base64 = arena_alloc(f->u->arena, BASE64_LEN(f->r->len) + 1);

	if (!name || !base64)
		return ERR_NOMEM;
	base64_print(base64, f->r->bytes, f->r->len);
	f->base64 = base64;
	f->url = edit_escape(f->u->arena, f->source->url);
	f->name = edit_escape(f->u->arena, name);
	f->cid = f->has_cid ? cid_of(f) : "";
	/* A message that is not to be stored leaves nothing behind in caches of data either. */
	f->max_age = f->sources->no_store ? 0 : f->r->max_age;
	return f->url && f->name && f->cid ? 0 : ERR_NOMEM;
}
