/* SPDX-License-Identifier: MIT */
/*
 * condition - one condition of a rule, ready for use: made from its texts, asked, described.
 *
 * The rows are conditions.def. What a condition looks at is in struct rule_look, which the
 * caller fills once for a message.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "base/err.h"
#include "conf/conf.h"
#include "rule/entries.h"
#include "xmpp/xpath.h"

enum condition_id {
#define CONDITION(id, name, kind, phase, subject, help) CONDITION_##id,
#include "rule/conditions.def"
#undef CONDITION
	CONDITION_COUNT
};

enum condition_kind {
	CONDITION_WORDS,
	CONDITION_GLOBS,
	CONDITION_RANGES,
	CONDITION_XPATHS,
	CONDITION_WINDOWS,
	CONDITION_RATES
};

struct condition_row {
	const char *name;
	enum condition_kind kind;
	bool after; /* needs the media's bytes */
	const char *subject;
	const char *help;
};
extern const struct condition_row condition_rows[CONDITION_COUNT];

/* -1: no such condition. */
int condition_find(const char *name);

enum rule_truth {
	RULE_NO,
	RULE_YES,
	RULE_UNKNOWN, /* until the media are there */
	RULE_BROKEN   /* could not be worked out within its limits */
};

/* What the fetched media are. */
struct rule_media {
	const char *mime;
	uint64_t bytes;
	uint64_t pixels;
};

/* Everything that conditions may look at, folded; NULL: not known, or none. */
struct rule_look {
	enum lane_dir dir;
	const char *type;
	const char *from, *from_bare, *from_domain;
	const char *to, *to_bare;
	const char *host;
	const char *url;
	const char *declared;
	uint64_t connection; /* counts where the sender is not known */
	time_t wall;
	bool no_media; /* there will be none: conditions on them do not hold */
	const struct rule_media *media;
	struct xpath_unit *unit; /* made when first needed */
	bool unit_failed;
	const struct nsctx *ns;
	const uint8_t *bytes; /* of the message */
	size_t len;
	uint64_t xpath_steps;
	/* rates.h, with the key made by condition_rate_key(); NULL: every rate holds */
	bool (*rate)(void *ctx, uint64_t key, uint32_t count, uint32_t per_ms, bool take);
	void *rate_ctx;
};

struct range;
struct window;

struct condition {
	uint8_t id;
	uint32_t words;      /* WORDS: mask */
	struct entries list; /* GLOBS */
	struct range *ranges;
	struct xpath **xpaths;
	struct window *windows;
	bool *excluded; /* of ranges, xpaths and windows, one each */
	size_t n;       /* of the same */
	struct conf_rate rate;
	int rate_by;
	uint64_t rate_seed; /* the rule's */
};

/* What is said while a condition is made; line 0: no list file. */
struct condition_say {
	void (*say)(void *ctx, int entry, bool warning, const char *text);
	void *ctx;
};

/* From its texts; wrong entries are said and left out: 0, ERR_CONFIG or ERR_NOMEM. rule: its name.
 */
int condition_init(struct condition *c, int id, const struct conf *conf, const char *rule,
		   const struct conf_condition *from, const struct condition_say *say) MUSTCHECK;
void condition_fini(struct condition *c);

/* take: a rate that holds is used. */
enum rule_truth condition_holds(const struct condition *c, struct rule_look *look, bool take);

/* What it saw, for people. */
void condition_seen(const struct condition *c, const struct rule_look *look, char out[256]);
