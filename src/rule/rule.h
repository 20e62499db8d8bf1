/* SPDX-License-Identifier: MIT */
/*
 * rule - which action a message with media gets.
 *
 * With no rules configured the default action decides. Evaluation only: what a rule sees
 * comes in struct rule_input; it touches no socket, clock or file.
 */
#pragma once

#include "conf/conf.h"
#include "xmpp/outline.h"

struct rule_input {
	enum lane_dir dir;
	const char *from; /* NULL: unknown */
	const char *url;
	const char *declared; /* MIME type, or "" */
	const struct outline *outline;
};

struct rule_verdict {
	enum conf_action action;
	const struct conf_profile *profile; /* with CONF_ACTION_THUMBNAIL */
};

/* Decides; never fails. */
struct rule_verdict rule_decide(const struct conf *conf, const struct conf_listen *listen,
				const struct rule_input *in);
