/* SPDX-License-Identifier: MIT */
/*
 * picture - see picture.h: magic bytes, MIME types and the messages about pictures.
 */
#include "config.h"

#include "base/picture.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"

static const struct {
	const char *mime;
	const char *alias;
} formats[PICTURE_FORMAT_COUNT] = {
	[PICTURE_JPEG] = { "image/jpeg", "image/jpg" },
	[PICTURE_PNG] = { "image/png", NULL },
	[PICTURE_GIF] = { "image/gif", NULL },
	[PICTURE_WEBP] = { "image/webp", NULL },
	[PICTURE_BMP] = { "image/bmp", "image/x-ms-bmp" },
	[PICTURE_HEIC] = { "image/heic", "image/heif" },
	[PICTURE_AVIF] = { "image/avif", NULL },
};

/* ISO 23008-12: stills, not sequences. Which codec "mif1" means only the items of the file say; the
 * decoder goes by these. */
static enum picture_format sniff_brand(const uint8_t *brand)
{
	static const char heic[][5] = { "heic", "heix", "heim", "heis", "mif1", "mif2" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(heic); i++)
		if (memcmp(brand, heic[i], 4) == 0)
			return PICTURE_HEIC;
	return memcmp(brand, "avif", 4) == 0 ? PICTURE_AVIF : PICTURE_NONE;
}

enum picture_format picture_sniff(const uint8_t *p, size_t len)
{
	if (len < 16)
		return PICTURE_NONE;
	if (memcmp(p, "\xff\xd8\xff", 3) == 0)
		return PICTURE_JPEG;
	if (memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0)
		return PICTURE_PNG;
	if (memcmp(p, "GIF87a", 6) == 0 || memcmp(p, "GIF89a", 6) == 0)
		return PICTURE_GIF;
	if (memcmp(p, "RIFF", 4) == 0 && memcmp(p + 8, "WEBPVP8", 7) == 0)
		return PICTURE_WEBP;
	/* "BM", size, four reserved zero bytes: two letters alone would match any text. */
	if (memcmp(p, "BM", 2) == 0 && memcmp(p + 6, "\0\0\0\0", 4) == 0)
		return PICTURE_BMP;
	return memcmp(p + 4, "ftyp", 4) == 0 ? sniff_brand(p + 8) : PICTURE_NONE;
}

const char *picture_mime(enum picture_format f)
{
	return f < PICTURE_FORMAT_COUNT ? formats[f].mime : NULL;
}

const char *picture_extension(enum picture_format f)
{
	static const char *const extensions[PICTURE_FORMAT_COUNT] = {
		[PICTURE_NONE] = "",      [PICTURE_JPEG] = ".jpg",  [PICTURE_PNG] = ".png",
		[PICTURE_GIF] = ".gif",   [PICTURE_WEBP] = ".webp", [PICTURE_BMP] = ".bmp",
		[PICTURE_HEIC] = ".heic", [PICTURE_AVIF] = ".avif",
	};

	return extensions[f];
}

enum picture_format picture_from_mime(const char *mime)
{
	size_t len, i;

	mime += strspn(mime, " \t\r\n");
	len = strcspn(mime, "; \t\r\n");
	for (i = PICTURE_NONE + 1; i < PICTURE_FORMAT_COUNT; i++) {
		const char *names[2] = { formats[i].mime, formats[i].alias };
		size_t k;

		for (k = 0; k < 2 && names[k]; k++)
			if (strlen(names[k]) == len && strncasecmp(mime, names[k], len) == 0)
				return (enum picture_format)i;
	}
	return PICTURE_NONE;
}

static void limits_put(struct ipc_out *out, const struct picture_limits *l)
{
	ipc_put_u64(out, l->max_pixels);
	ipc_put_u64(out, l->max_pixels_jpeg);
	ipc_put_u32(out, l->max_side);
	ipc_put_u64(out, l->memory);
	ipc_put_u32(out, l->wall_ms);
	ipc_put_u32(out, l->cpu_ms);
}

static void limits_get(struct ipc_in *in, struct picture_limits *l)
{
	l->max_pixels = ipc_get_u64(in);
	l->max_pixels_jpeg = ipc_get_u64(in);
	l->max_side = ipc_get_u32(in);
	l->memory = ipc_get_u64(in);
	l->wall_ms = ipc_get_u32(in);
	l->cpu_ms = ipc_get_u32(in);
}

static bool limits_are_sane(const struct picture_limits *l)
{
	return l->max_pixels && l->max_pixels_jpeg && l->max_side && l->memory && l->wall_ms &&
	       l->cpu_ms;
}

void picture_setup_put(struct ipc_out *out, const struct picture_setup *s)
{
	ipc_put_u32(out, s->children);
	limits_put(out, &s->limits);
}

int picture_setup_get(struct ipc_in *in, struct picture_setup *s)
{
	int rc;

	s->children = ipc_get_u32(in);
	limits_get(in, &s->limits);
	rc = ipc_end(in);
	if (!rc && (s->children < 1 || s->children > 64 || !limits_are_sane(&s->limits)))
		rc = ERR_BAD_MESSAGE;
	return rc;
}

void picture_request_put(struct ipc_out *out, const struct picture_request *r)
{
	ipc_put_u64(out, r->id);
	ipc_put_u8(out, (uint8_t)r->format);
	ipc_put_u8(out, (uint8_t)r->output);
	ipc_put_u32(out, r->width);
	ipc_put_u32(out, r->height);
	ipc_put_u32(out, r->max_bytes);
	limits_put(out, &r->limits);
}

int picture_request_get(struct ipc_in *in, struct picture_request *r)
{
	uint8_t format, output;
	uint32_t width, height;
	int rc;

	r->id = ipc_get_u64(in);
	format = ipc_get_u8(in);
	output = ipc_get_u8(in);
	width = ipc_get_u32(in);
	height = ipc_get_u32(in);
	r->max_bytes = ipc_get_u32(in);
	limits_get(in, &r->limits);
	rc = ipc_end(in);
	if (rc)
		return rc;
	if (format == PICTURE_NONE || format >= PICTURE_FORMAT_COUNT || output > PICTURE_OUT_WEBP ||
	    width < 1 || width > 1024 || height < 1 || height > 1024 || r->max_bytes < 256 ||
	    r->max_bytes > 65535 || !limits_are_sane(&r->limits))
		return ERR_BAD_MESSAGE;
	r->format = (enum picture_format)format;
	r->output = (enum picture_output)output;
	r->width = (uint16_t)width;
	r->height = (uint16_t)height;
	return 0;
}

bool picture_thumbhash_is_sane(const struct picture_thumbhash *t)
{
	return t->len == 0 || (t->len >= PICTURE_THUMBHASH_MIN && t->len <= PICTURE_THUMBHASH_MAX);
}

void picture_thumbhash_put(struct ipc_out *out, const struct picture_thumbhash *t)
{
	ipc_put_u8(out, t->len);
	ipc_put_bytes(out, t->bytes, MIN_OF(t->len, (uint8_t)PICTURE_THUMBHASH_MAX));
}

int picture_thumbhash_get(struct ipc_in *in, struct picture_thumbhash *t)
{
	const uint8_t *p;

	memset(t, 0, sizeof(*t));
	t->len = ipc_get_u8(in);
	if (!picture_thumbhash_is_sane(t)) {
		t->len = 0;
		return ERR_BAD_MESSAGE;
	}
	p = ipc_get_bytes(in, t->len);
	if (p && t->len)
		memcpy(t->bytes, p, t->len);
	return 0; /* a message that was too short shows at its end */
}

void picture_result_put(struct ipc_out *out, const struct picture_result *r)
{
	ipc_put_u64(out, r->id);
	ipc_put_u8(out, (uint8_t)r->status);
	ipc_put_u8(out, (uint8_t)r->format);
	ipc_put_u32(out, r->width);
	ipc_put_u32(out, r->height);
	ipc_put_u32(out, r->original_width);
	ipc_put_u32(out, r->original_height);
	ipc_put_u8(out, r->step);
	ipc_put_u32(out, r->wall_us);
	picture_thumbhash_put(out, &r->thumbhash);
	ipc_put_u32(out, (uint32_t)r->len);
	ipc_put_bytes(out, r->bytes, r->len);
}

int picture_result_get(struct ipc_in *in, struct picture_result *r)
{
	uint8_t status, format;
	uint32_t width, height;
	int rc;

	r->id = ipc_get_u64(in);
	status = ipc_get_u8(in);
	format = ipc_get_u8(in);
	width = ipc_get_u32(in);
	height = ipc_get_u32(in);
	r->original_width = ipc_get_u32(in);
	r->original_height = ipc_get_u32(in);
	r->step = ipc_get_u8(in);
	r->wall_us = ipc_get_u32(in);
	rc = picture_thumbhash_get(in, &r->thumbhash);
	if (rc)
		return rc;
	r->len = ipc_get_u32(in);
	r->bytes = ipc_get_bytes(in, r->len);
	rc = ipc_end(in);
	if (rc)
		return rc;
	if (status > PICTURE_UNAVAILABLE || format >= PICTURE_FORMAT_COUNT || width > 65535 ||
	    height > 65535)
		return ERR_BAD_MESSAGE;
	r->status = (enum picture_status)status;
	r->format = (enum picture_format)format;
	r->width = (uint16_t)width;
	r->height = (uint16_t)height;
	if (r->status == PICTURE_OK && (r->format == PICTURE_NONE || !width || !height || !r->len))
		return ERR_BAD_MESSAGE;
	if (r->status != PICTURE_OK && r->len)
		return ERR_BAD_MESSAGE;
	return 0;
}
