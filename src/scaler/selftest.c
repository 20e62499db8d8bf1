/* SPDX-License-Identifier: MIT */
/*
 * selftest - see selftest.h.
 */
#include "config.h"

#include "scaler/selftest.h"

#include <string.h>

#include "scaler/heif.h"
#include "scaler/samples.h"

#define SELFTEST_WALL_MS 10000 /* at start the machine may be busy */
#define SELFTEST_BOX     8
#define SELFTEST_BYTES   4096

static const struct {
	enum picture_format format;
	enum picture_output output;
} plan[SELFTEST_TRIALS] = {
	{ PICTURE_JPEG, PICTURE_OUT_JPEG }, { PICTURE_JPEG, PICTURE_OUT_PNG },
	{ PICTURE_PNG, PICTURE_OUT_JPEG },  { PICTURE_PNG, PICTURE_OUT_PNG },
	{ PICTURE_GIF, PICTURE_OUT_JPEG },  { PICTURE_GIF, PICTURE_OUT_PNG },
	{ PICTURE_WEBP, PICTURE_OUT_JPEG }, { PICTURE_WEBP, PICTURE_OUT_PNG },
	{ PICTURE_WEBP, PICTURE_OUT_WEBP }, { PICTURE_BMP, PICTURE_OUT_JPEG },
	{ PICTURE_BMP, PICTURE_OUT_PNG },   { PICTURE_HEIC, PICTURE_OUT_JPEG },
	{ PICTURE_HEIC, PICTURE_OUT_PNG },  { PICTURE_AVIF, PICTURE_OUT_JPEG },
	{ PICTURE_AVIF, PICTURE_OUT_PNG },
};

void selftest_init(struct selftest *t)
{
	unsigned i;

	for (i = 0; i < SELFTEST_TRIALS; i++)
		t->trials[i] = selftest_has(plan[i].format) ? TRIAL_WAITS : TRIAL_ABSENT;
}

bool selftest_has(enum picture_format f)
{
	return (f != PICTURE_HEIC && f != PICTURE_AVIF) || heif_is_there();
}

int selftest_next(struct selftest *t, struct decoder *d, const struct picture_limits *limits)
{
	unsigned i;

	for (i = 0; i < SELFTEST_TRIALS; i++) {
		const struct sample *s = &samples[plan[i].format];
		struct picture_request req;

		if (t->trials[i] != TRIAL_WAITS)
			continue;
		memset(&req, 0, sizeof(req));
		req.format = plan[i].format;
		req.output = plan[i].output;
		req.width = SELFTEST_BOX;
		req.height = SELFTEST_BOX;
		req.max_bytes = SELFTEST_BYTES;
		req.limits = *limits;
		req.limits.wall_ms = SELFTEST_WALL_MS;
		t->trials[i] =
			decoder_give(d, &req, s->p, s->len, false) ? TRIAL_FAILED : TRIAL_RUNS;
		if (t->trials[i] == TRIAL_RUNS)
			return (int)i;
	}
	return -1;
}

void selftest_result(struct selftest *t, unsigned trial, const struct picture_result *res)
{
	bool passed = res->status == PICTURE_OK && res->original_width == 16 &&
		      res->original_height == 8 && res->width == 8 && res->height == 4;

	BUG_ON(trial >= SELFTEST_TRIALS);
	t->trials[trial] = passed ? TRIAL_PASSED : TRIAL_FAILED;
}

bool selftest_is_done(const struct selftest *t)
{
	unsigned i;

	for (i = 0; i < SELFTEST_TRIALS; i++)
		if (t->trials[i] == TRIAL_WAITS || t->trials[i] == TRIAL_RUNS)
			return false;
	return true;
}

uint32_t selftest_mask(const struct selftest *t)
{
	uint32_t mask = 0;
	unsigned i;

	if (!selftest_is_done(t))
		return 0;
	for (i = 0; i < SELFTEST_TRIALS; i++)
		mask |= 1u << plan[i].format;
	for (i = 0; i < SELFTEST_TRIALS; i++)
		if (t->trials[i] == TRIAL_FAILED || t->trials[i] == TRIAL_ABSENT)
			mask &= ~(1u << plan[i].format);
	return mask;
}
