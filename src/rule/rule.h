/* SPDX-License-Identifier: MIT */
/*
 * rule - which action a message with media gets.
 *
 * Rules are read from top to bottom; the first that matches decides, else default-action. A
 * rule in shadow is only counted. Evaluation has two phases: before the fetch conditions on
 * the media are unknown, and a fetch is asked for only where the outcome may be a thumbnail;
 * after it every condition is known. Touches no socket, clock or file: those come through
 * struct rule_env.
 *
 * Invariants
 *   - a rule that cannot be worked out within its limits ends in "pass"
 *   - a match is counted, and its rate used, exactly once
 */
#pragma once

#include "base/job.h"
#include "conf/read.h"
#include "rule/condition.h"
#include "xmpp/outline.h"

enum rule_outcome {
	RULE_DECIDED,
	RULE_SHADOWED, /* it would have */
	RULE_FAILED,   /* a condition does not hold */
	RULE_OPEN,     /* a condition needs the media */
	RULE_STUCK     /* a condition could not be worked out */
};

struct rule_step {
	const struct conf_rule *rule; /* NULL: default-action */
	const char *url;              /* that is being judged; NULL */
	enum rule_outcome outcome;
	int action;            /* enum conf_action */
	const char *condition; /* that failed, is open or stuck; NULL */
	const char *seen;      /* by it */
	int64_t us;
	bool after; /* the fetch */
};

/* What comes from outside; every function may be NULL. */
struct rule_env {
	void *ctx;
	int64_t (*now_us)(void *ctx); /* to measure with */
	time_t (*wall)(void *ctx);
	bool (*rate)(void *ctx, uint64_t key, uint32_t count, uint32_t per_ms, bool take);
	/* explain: one call for every rule that is looked at, and for the default action. */
	void (*trace)(void *ctx, const struct rule_step *step);
};

struct rule_input {
	enum lane_dir dir;
	const char *from;     /* NULL: unknown */
	uint64_t connection;  /* stands for from where it is unknown: for rates */
	const char *url;      /* NULL: the message has none */
	const char *declared; /* MIME type, or "" */
	const struct outline *outline;
	int root; /* the message's element */
	const struct nsctx *ns;
	bool no_fetch; /* nothing will be fetched, whatever the rules say */
};

/* One decision on its way; in the unit's arena, lives as long as its input. */
struct rule_case {
	const struct conf *conf;
	const struct conf_listen *listen;
	const struct rule_env *env; /* may be NULL */
	struct rule_input in;
	int open;         /* the first rule that needs the media; -1 */
	bool shadow_open; /* a rule in shadow before the decision does */
	bool decided;
	/* Decided; or not, and then with the profile that a fetch should begin with. */
	enum conf_action action;
	const struct conf_profile *profile; /* with CONF_ACTION_THUMBNAIL */
	int rule;                           /* that decided, or may; -1: default-action */
};

/*
 * Before the fetch. Decided: true. Else a fetch may lead to a thumbnail: false; then fetch, and
 * call rule_after(). Never fails: what cannot be worked out passes.
 */
bool rule_before(struct rule_case *c, const struct conf *conf, const struct conf_listen *listen,
		 const struct rule_env *env, const struct rule_input *in);

/* After the fetch: decides, or, where that was done, counts what shadow rules make of the media. */
void rule_after(struct rule_case *c, const struct job_result *media);

/* What became of a thumbnail that the rule asked for. */
void rule_count(const struct rule_case *c, bool thumbnail);

/* Makes conf's rules ready for use; they are freed with it. 0, or ERR_CONFIG, ERR_NOMEM and msg. */
int rule_attach(struct conf *conf, struct err_msg *msg) MUSTCHECK;

/* Says everything that is wrong with conf's rules, or surely not meant: conf_rules_fn. */
int rule_check(const struct conf *conf, conf_say_fn say, void *ctx);
