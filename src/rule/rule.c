/* SPDX-License-Identifier: MIT */
/*
 * rule - see rule.h. No conditions yet: the default action, with the listener's profile.
 */
#include "config.h"

#include "rule/rule.h"

struct rule_verdict rule_decide(const struct conf *conf, const struct conf_listen *listen,
				const struct rule_input *in UNUSED)
{
	return (struct rule_verdict){ .action = (enum conf_action)conf->default_action,
				      .profile = listen->profile_ref };
}
