/* SPDX-License-Identifier: MIT */
/*
 * selftest - which formats work here: each sample through a real sandboxed child, to every
 * output. A library that needs a system call which the filter forbids shows here, and costs
 * one format instead of a child per picture.
 */
#pragma once

#include <stdbool.h>

#include "scaler/decoder.h"

/* Formats times outputs (JPEG, PNG; WebP also to WebP). */
#define SELFTEST_TRIALS 15

/* ABSENT: this build has no decoder for it. */
enum trial_state { TRIAL_ABSENT, TRIAL_WAITS, TRIAL_RUNS, TRIAL_PASSED, TRIAL_FAILED };

struct selftest {
	enum trial_state trials[SELFTEST_TRIALS];
};

void selftest_init(struct selftest *t);

/* Gives a READY child the next trial: its number, or -1 when none waits. */
int selftest_next(struct selftest *t, struct decoder *d, const struct picture_limits *limits);

void selftest_result(struct selftest *t, unsigned trial, const struct picture_result *res);

/* Does this build have a decoder for it at all? */
bool selftest_has(enum picture_format f);

bool selftest_is_done(const struct selftest *t);

/* 1 << enum picture_format for each format that passed all its trials; 0 before the end. */
uint32_t selftest_mask(const struct selftest *t);
