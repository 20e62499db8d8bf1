/* SPDX-License-Identifier: MIT */
/*
 * jpeg - see jpeg.h. libjpeg ends in longjmp(); what it must release is in struct jpeg.
 */
#include "config.h"

#include "scaler/jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

/* Needs stdio.h before it. */
#include <jpeglib.h>

#include "base/err.h"
#include "scaler/loss.h"
#include "scaler/reduce.h"

#define PIXELS_MANY 16 /* the last of them, whole or not, does not matter */

#define WARNINGS_MAX 1000 /* damaged all over; GraphicsMagick gives up there, too */

struct jpeg {
	struct jpeg_decompress_struct lib;
	struct jpeg_error_mgr errors;
	jmp_buf failed;
	struct reduce reduce;
	uint8_t *row;     /* owned */
	uint8_t *profile; /* owned: ICC; NULL */
	unsigned profile_len;
	Image *image; /* the result */
	bool not_plain;
};

NORETURN static void on_error(j_common_ptr lib)
{
	longjmp(((struct jpeg *)lib->client_data)->failed, 1);
}

static void on_message(j_common_ptr lib, int level)
{
	char text[JMSG_LENGTH_MAX];

	if (level >= 0)
		return;
	lib->err->num_warnings++;
	lib->err->format_message(lib, text);
	if (lib->err->num_warnings > WARNINGS_MAX || loss_is_meant(text))
		on_error(lib);
}

static void on_output(j_common_ptr lib UNUSED)
{
}

static bool is_plain(const struct jpeg_decompress_struct *lib)
{
	if (lib->num_components == 1)
		return lib->jpeg_color_space == JCS_GRAYSCALE;
	return lib->num_components == 3 &&
	       (lib->jpeg_color_space == JCS_YCbCr || lib->jpeg_color_space == JCS_RGB);
}

bool jpeg_ends_well(uint32_t side, unsigned by)
{
	return side % by == 0 || side / by >= PIXELS_MANY;
}

/* The smallest eighths that are not below twice the size wanted. */
static void choose_scale(struct jpeg_decompress_struct *lib, uint32_t width, uint32_t height)
{
	unsigned most = MIN_OF(lib->image_width / (2 * width), lib->image_height / (2 * height));

	lib->scale_num = 1;
	for (lib->scale_denom = 1; lib->scale_denom < 8 && 2 * lib->scale_denom <= most;)
		lib->scale_denom *= 2;
	while (!jpeg_ends_well(lib->image_width, lib->scale_denom) ||
	       !jpeg_ends_well(lib->image_height, lib->scale_denom))
		lib->scale_denom /= 2;
	/* Colours are averaged anyway where the picture is made smaller. */
	lib->do_fancy_upsampling = lib->scale_denom == 1 && most < 2;
	lib->out_color_space = JCS_RGB;
	jpeg_calc_output_dimensions(lib);
}

/* Rows are averaged to that size; a file that lies about its own may have less. Where the picture
 * ends within a pixel of the smaller one, the rest of that is padding of the file's. */
static int open_reduce(struct jpeg *j, uint32_t width, uint32_t height)
{
	uint32_t w = j->lib.output_width, h = j->lib.output_height;

	j->row = malloc((size_t)w * 3);
	if (!j->row || reduce_init(&j->reduce, w, h, MIN_OF(w, width), MIN_OF(h, height), 3))
		return ERR_NOMEM;
	reduce_cut(&j->reduce, j->lib.image_width * 8 / j->lib.scale_denom,
		   j->lib.image_height * 8 / j->lib.scale_denom);
	return 0;
}

/* All that may end in on_error(). */
static void decode(struct jpeg *j, const uint8_t *p, size_t len, uint32_t width, uint32_t height)
{
	JSAMPROW rows[1];

	jpeg_create_decompress(&j->lib);
	jpeg_mem_src(&j->lib, p, len);
	jpeg_save_markers(&j->lib, JPEG_APP0 + 2, 0xffff);
	(void)jpeg_read_header(&j->lib, TRUE);
	j->not_plain = !is_plain(&j->lib);
	if (j->not_plain)
		return;
	if (!jpeg_read_icc_profile(&j->lib, &j->profile, &j->profile_len))
		j->profile = NULL;
	choose_scale(&j->lib, width, height);
	if (open_reduce(j, width, height))
		return;
	rows[0] = j->row;
	(void)jpeg_start_decompress(&j->lib);
	while (j->lib.output_scanline < j->lib.output_height) {
		if (jpeg_read_scanlines(&j->lib, rows, 1) != 1)
			return;
		reduce_add(&j->reduce, j->row);
	}
	(void)jpeg_finish_decompress(&j->lib);
	j->image = reduce_image(&j->reduce);
}

Image *jpeg_decode(const uint8_t *p, size_t len, uint32_t width, uint32_t height,
		   bool *not_plain_out)
{
	struct jpeg *j = calloc(1, sizeof(*j));
	Image *image;

	*not_plain_out = false;
	if (!j)
		return NULL;
	j->lib.err = jpeg_std_error(&j->errors);
	j->lib.client_data = j;
	j->errors.error_exit = on_error;
	j->errors.emit_message = on_message;
	j->errors.output_message = on_output;
	if (setjmp(j->failed) == 0)
		decode(j, p, len, width, height);
	image = j->image;
	*not_plain_out = j->not_plain;
	if (image && j->profile)
		(void)SetImageProfile(image, "ICM", j->profile, j->profile_len);
	jpeg_destroy_decompress(&j->lib);
	reduce_fini(&j->reduce);
	free(j->profile);
	free(j->row);
	free(j);
	return image;
}
