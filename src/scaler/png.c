/* SPDX-License-Identifier: MIT */
/*
 * png - see png.h.
 */
#include "config.h"

#include "scaler/png.h"

#include <lcms2.h>
#include <stdlib.h>

#include "base/err.h"

#define UNIT 100000.0 /* of gAMA and cHRM */

/* Nobody's screen; beyond, a curve has no meaning. */
#define GAMMA_MIN 1000u
#define GAMMA_MAX 10000000u

bool png_apply_key(Image *image, const uint8_t key[3])
{
	unsigned long x, y;

	for (y = 0; y < image->rows; y++) {
		PixelPacket *row = GetImagePixels(image, 0, (long)y, image->columns, 1);

		if (!row)
			return false;
		for (x = 0; x < image->columns; x++)
			row[x].opacity =
				row[x].red == ScaleCharToQuantum(key[0]) &&
						row[x].green == ScaleCharToQuantum(key[1]) &&
						row[x].blue == ScaleCharToQuantum(key[2])
					? TransparentOpacity
					: OpaqueOpacity;
		if (!SyncImagePixels(image))
			return false;
	}
	image->matte = MagickTrue;
	return true;
}

static bool is_near(uint32_t a, uint32_t b)
{
	return (a > b ? a - b : b - a) <= b / 100;
}

/* The specification has sRGB's writers say these, for readers that do not know the chunk of that
 * name; many say them alone. They are not sRGB's curve, but it is meant. */
static bool is_srgb(const struct header_png *png)
{
	static const uint32_t srgb[8] = { 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000 };
	unsigned i;

	for (i = 0; i < 8; i++)
		if (!is_near(png->points[i], srgb[i]))
			return false;
	return is_near(png->gamma, 45455);
}

/* Owned by the caller; NULL: points that make no triangle, or out of memory. */
static cmsHPROFILE make_profile(const struct header_png *png)
{
	const uint32_t *v = png->points;
	cmsCIExyY white = { v[0] / UNIT, v[1] / UNIT, 1 };
	cmsCIExyYTRIPLE points = { { v[2] / UNIT, v[3] / UNIT, 1 },
				   { v[4] / UNIT, v[5] / UNIT, 1 },
				   { v[6] / UNIT, v[7] / UNIT, 1 } };
	cmsToneCurve *curve = cmsBuildGamma(NULL, UNIT / png->gamma);
	cmsToneCurve *curves[] = { curve, curve, curve };
	cmsHPROFILE profile = curve ? cmsCreateRGBProfile(&white, &points, curves) : NULL;

	cmsFreeToneCurve(curve);
	return profile;
}

static void transform(Image *image, cmsHTRANSFORM to_srgb)
{
	unsigned long x, y;

	for (y = 0; y < image->rows; y++) {
		PixelPacket *row = GetImagePixels(image, 0, (long)y, image->columns, 1);

		if (!row)
			return;
		for (x = 0; x < image->columns; x++) {
			uint16_t rgb[3] = { ScaleQuantumToShort(row[x].red),
					    ScaleQuantumToShort(row[x].green),
					    ScaleQuantumToShort(row[x].blue) };

			cmsDoTransform(to_srgb, rgb, rgb, 1);
			row[x].red = ScaleShortToQuantum(rgb[0]);
			row[x].green = ScaleShortToQuantum(rgb[1]);
			row[x].blue = ScaleShortToQuantum(rgb[2]);
		}
		if (!SyncImagePixels(image))
			return;
	}
}

void png_to_srgb(Image *image, const struct header_png *png)
{
	cmsHPROFILE from, srgb;
	cmsHTRANSFORM to_srgb = NULL;

	if (png->gamma < GAMMA_MIN || png->gamma > GAMMA_MAX || is_srgb(png) ||
	    !IsRGBCompatibleColorspace(image->colorspace))
		return;
	from = make_profile(png);
	srgb = cmsCreate_sRGBProfile();
	if (from && srgb)
		to_srgb = cmsCreateTransform(from, TYPE_RGB_16, srgb, TYPE_RGB_16,
					     INTENT_RELATIVE_COLORIMETRIC, cmsFLAGS_NOOPTIMIZE);
	if (to_srgb) {
		/* What was known of the old colours counts no longer: palette, greyness. */
		image->storage_class = DirectClass;
		image->is_grayscale = MagickFalse;
		image->is_monochrome = MagickFalse;
		transform(image, to_srgb);
		cmsDeleteTransform(to_srgb);
	}
	if (srgb)
		cmsCloseProfile(srgb);
	if (from)
		cmsCloseProfile(from);
}
