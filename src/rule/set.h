/* SPDX-License-Identifier: MIT */
/*
 * set - all rules of a configuration, ready for use. Not for anything outside of rule/.
 */
#pragma once

#include "conf/read.h"
#include "rule/condition.h"

struct rule {
	const struct conf_rule *conf;
	const struct conf_profile *profile; /* NULL: the listener's */
	struct condition *v;                /* in the order of condition_rows */
	int *index;                         /* of each in conf->conditions */
	size_t n;
	bool after; /* has a condition on the media */
};

struct rule_set {
	const struct conf *conf; /* borrowed: owns this */
	struct rule *v;
	size_t n;
};

/* 0, ERR_CONFIG (after say) or ERR_NOMEM. With ERR_CONFIG *out holds what is right. */
int rule_set_new(const struct conf *conf, conf_say_fn say, void *ctx,
		 struct rule_set **out) MUSTCHECK;
void rule_set_free(void **set);

/* check.c: rules that can never match. */
void rule_set_doubt(const struct rule_set *s, conf_say_fn say, void *ctx);
