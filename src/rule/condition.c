/* SPDX-License-Identifier: MIT */
/*
 * condition - see condition.h.
 *
 * One function each for making, asking and freeing, with a branch per kind; what a condition
 * of a kind looks at is chosen by its id alone.
 */
#include "config.h"

#include "rule/condition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "conf/value.h"
#include "rule/fold.h"
#include "rule/range.h"
#include "rule/window.h"

#define PHASE_BEFORE false
#define PHASE_AFTER  true
#define KIND_WORDS   CONDITION_WORDS
#define KIND_GLOBS   CONDITION_GLOBS
#define KIND_RANGES  CONDITION_RANGES
#define KIND_XPATHS  CONDITION_XPATHS
#define KIND_WINDOWS CONDITION_WINDOWS
#define KIND_RATE    CONDITION_RATES

#define CONDITION(id, name, kind, phase, subject, help) \
	[CONDITION_##id] = { name, KIND_##kind, PHASE_##phase, subject, help },
const struct condition_row condition_rows[CONDITION_COUNT] = {
#include "rule/conditions.def"
};
#undef CONDITION

static const char *const direction_words[] = { "c2s", "s2c", NULL };
static const char *const type_words[] = { "normal", "chat", "groupchat", "headline", NULL };

enum rate_by { RATE_GLOBAL, RATE_FROM, RATE_TO, RATE_FROM_DOMAIN, RATE_HOST };
static const char *const rate_words[] = { "global", "from", "to", "from.domain", "host", NULL };

int condition_find(const char *name)
{
	int i;

	for (i = 0; i < CONDITION_COUNT; i++)
		if (strcmp(condition_rows[i].name, name) == 0)
			return i;
	return -1;
}

/* --- making ---------------------------------------------------------------------------- */

struct making {
	struct condition *c;
	const struct conf *conf;
	const struct condition_say *say;
	int entry;
	bool wrong;
};

static void wrong(struct making *m, const char *text)
{
	m->wrong = true;
	m->say->say(m->say->ctx, m->entry, false, text);
}

static void fold(int id, char *text)
{
	switch ((enum condition_id)id) {
	case CONDITION_FROM:
	case CONDITION_TO:
		fold_jid(text);
		break;
	case CONDITION_URL:
		fold_url(text);
		break;
	case CONDITION_DIRECTION:
	case CONDITION_TYPE:
	case CONDITION_HOST:
	case CONDITION_DECLARED:
	case CONDITION_TIME:
	case CONDITION_XPATH:
	case CONDITION_MEDIA:
	case CONDITION_MEDIA_BYTES:
	case CONDITION_MEDIA_PIXELS:
	case CONDITION_RATE:
	case CONDITION_COUNT:
		fold_word(text);
		break;
	}
}

static int find_word(const char *const *words, const char *text)
{
	int i;

	for (i = 0; words[i]; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	return -1;
}

static int make_word(struct making *m, const char *text, bool excluded)
{
	const char *const *words = m->c->id == CONDITION_DIRECTION ? direction_words : type_words;
	int i = find_word(words, text);

	if (i == -1) {
		wrong(m, m->c->id == CONDITION_DIRECTION
				 ? "direction is c2s or s2c"
				 : "type is normal, chat, groupchat or headline");
		return 0;
	}
	/* The low half is wanted, the high half excluded. */
	m->c->words |= 1u << (i + (excluded ? 16 : 0));
	return 0;
}

/* A list file: one entry a line; # begins a comment. Lines are folded in a copy of the whole. */
static int make_file(struct making *m, const char *path, bool excluded)
{
	const struct conf_file *f = conf_file_find(m->conf, path);
	char *text, *at, *line, *end;
	unsigned number = 0;
	int rc = 0;

	if (!f)
		return 0; /* it could not be read: that has been told */
	text = malloc(f->len + 1);
	if (!text)
		return ERR_NOMEM;
	memcpy(text, f->text, f->len + 1);
	if (entries_keep(&m->c->list, text))
		return ERR_NOMEM;
	for (at = text; at && *at && rc != ERR_NOMEM;) {
		const char *why;
		char what[512];
		bool not ;

		line = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
		number++;
		line += strspn(line, " \t");
		end = line + strlen(line);
		while (end > line && strchr(" \t\r", end[-1]))
			*--end = '\0';
		if (!*line || *line == '#')
			continue;
		not = *line == '!';
		fold(m->c->id, line + not );
		rc = entries_add(&m->c->list, line + not, excluded != not, &why);
		if (rc == ERR_SYNTAX) {
			snprintf(what, sizeof(what), "%.300s:%u: %s", path, number, why);
			wrong(m, what);
			return 0; /* one line of a file is enough */
		}
	}
	return rc;
}

static int make_glob(struct making *m, const char *text, bool excluded)
{
	char *copy;
	const char *why;
	int rc;

	if (strncmp(text, CONF_FILE_PREFIX, sizeof(CONF_FILE_PREFIX) - 1) == 0)
		return make_file(m, text + sizeof(CONF_FILE_PREFIX) - 1, excluded);
	copy = strdup(text);
	if (!copy || entries_keep(&m->c->list, copy))
		return ERR_NOMEM;
	fold(m->c->id, copy);
	rc = entries_add(&m->c->list, copy, excluded, &why);
	if (rc == ERR_SYNTAX) {
		wrong(m, why);
		rc = 0;
	}
	return rc;
}

static int make_range(struct making *m, const char *text)
{
	struct err_msg msg = { 0 };
	int rc = range_parse(&m->c->ranges[m->c->n], text, m->c->id == CONDITION_MEDIA_BYTES, &msg);

	if (rc && rc != ERR_NOMEM)
		wrong(m, msg.text);
	m->c->n += rc == 0;
	return rc == ERR_NOMEM ? rc : 0;
}

static int make_xpath(struct making *m, const char *text)
{
	struct err_msg msg = { 0 };
	char name[64], what[256];
	int rc = xpath_compile(text, &m->c->xpaths[m->c->n], &msg);

	if (rc == ERR_NOMEM)
		return rc;
	if (rc) {
		wrong(m, msg.text);
		return 0;
	}
	m->c->n++;
	if (xpath_has_bare_name(text, name)) {
		snprintf(what, sizeof(what),
			 "\"%s\" without a prefix matches no element: c:%s is that of the stream's "
			 "namespace",
			 name, name);
		m->say->say(m->say->ctx, m->entry, true, what);
	}
	return 0;
}

static int make_window(struct making *m, const char *text)
{
	struct err_msg msg = { 0 };

	if (window_parse(&m->c->windows[m->c->n], text, &msg))
		wrong(m, msg.text);
	else
		m->c->n++;
	return 0;
}

static int make_rate(struct making *m, const char *text, const char *rule)
{
	const struct conf_option row = { .kind = CONF_KIND_RATE };
	const char *per = strstr(text, " per ");
	struct err_msg msg = { 0 };
	char number[64];
	int rc;

	snprintf(number, sizeof(number), "%.*s", per ? (int)MIN_OF(per - text, 63) : 63, text);
	rc = value_set(&row, &m->c->rate, number, &msg);
	if (rc == ERR_NOMEM)
		return rc;
	if (rc)
		wrong(m, msg.text);
	else if (!m->c->rate.count)
		wrong(m, "a rate of 0 never holds");
	m->c->rate_by = per ? find_word(rate_words, per + 5) : RATE_GLOBAL;
	if (m->c->rate_by == -1)
		wrong(m, "per what? from, to, from.domain, host or global");
	m->c->rate_seed = counters_hash(rule, strlen(rule));
	return 0;
}

static int make_entry(struct making *m, const char *text, const char *rule)
{
	bool excluded = text[0] == '!';
	enum condition_kind kind = condition_rows[m->c->id].kind;

	if (m->c->excluded)
		m->c->excluded[m->c->n] = excluded;
	text += excluded;
	switch (kind) {
	case CONDITION_WORDS:
		return make_word(m, text, excluded);
	case CONDITION_GLOBS:
		return make_glob(m, text, excluded);
	case CONDITION_RANGES:
		return make_range(m, text);
	case CONDITION_XPATHS:
		return make_xpath(m, text);
	case CONDITION_WINDOWS:
		return make_window(m, text);
	case CONDITION_RATES:
		if (excluded || m->entry > 0) {
			wrong(m, "one rate, without !");
			return 0;
		}
		return make_rate(m, text, rule);
	}
	BUG();
}

/* Room for as many as there are texts. */
static int make_room(struct condition *c, size_t n)
{
	switch (condition_rows[c->id].kind) {
	case CONDITION_RANGES:
		c->ranges = calloc(n, sizeof(*c->ranges));
		break;
	case CONDITION_XPATHS:
		c->xpaths = calloc(n, sizeof(struct xpath *));
		break;
	case CONDITION_WINDOWS:
		c->windows = calloc(n, sizeof(*c->windows));
		break;
	case CONDITION_WORDS:
	case CONDITION_GLOBS:
	case CONDITION_RATES:
		return 0;
	}
	c->excluded = calloc(n, sizeof(*c->excluded));
	return c->excluded && (c->ranges || c->xpaths || c->windows) ? 0 : ERR_NOMEM;
}

int condition_init(struct condition *c, int id, const struct conf *conf, const char *rule,
		   const struct conf_condition *from, const struct condition_say *say)
{
	struct making m = { .c = c, .conf = conf, .say = say };
	int rc;

	*c = (struct condition){ .id = (uint8_t)id };
	c->list.question = id != CONDITION_URL;
	rc = from->n ? make_room(c, from->n) : 0;
	for (m.entry = 0; (size_t)m.entry < from->n && !rc; m.entry++)
		rc = make_entry(&m, from->v[m.entry], rule);
	return rc ? rc : m.wrong ? ERR_CONFIG : 0;
}

void condition_fini(struct condition *c)
{
	size_t i;

	for (i = 0; c->xpaths && i < c->n; i++)
		xpath_free(&c->xpaths[i]);
	free(c->xpaths);
	free(c->ranges);
	free(c->windows);
	free(c->excluded);
	entries_fini(&c->list);
	*c = (struct condition){ 0 };
}

/* --- asking ---------------------------------------------------------------------------- */

static enum rule_truth truth(bool holds)
{
	return holds ? RULE_YES : RULE_NO;
}

static enum rule_truth words_hold(const struct condition *c, const struct rule_look *look)
{
	uint32_t wanted = c->words & 0xffff, excluded = c->words >> 16;
	int i = c->id == CONDITION_DIRECTION ? (int)look->dir : find_word(type_words, look->type);

	if (i == -1 || excluded & 1u << i)
		return RULE_NO;
	return truth(wanted ? wanted & 1u << i : excluded != 0);
}

/* What a GLOBS condition compares with: how many, none if it is not known. */
static size_t subjects_of(const struct condition *c, const struct rule_look *look,
			  const char *out[2])
{
	size_t n = 0;

	out[0] = out[1] = NULL;
	if (c->id == CONDITION_FROM || c->id == CONDITION_TO) {
		bool from = c->id == CONDITION_FROM;

		out[0] = from ? look->from_bare : look->to_bare;
		out[1] = from ? look->from : look->to;
		/* A bare JID twice would be compared twice. */
		n = !out[0] ? 0 : strcmp(out[0], out[1]) == 0 ? 1 : 2;
		return n;
	}
	out[0] = c->id == CONDITION_HOST                   ? look->host
		 : c->id == CONDITION_URL                  ? look->url
		 : c->id == CONDITION_DECLARED             ? look->declared
		 : c->id == CONDITION_MEDIA && look->media ? look->media->mime
							   : NULL;
	return out[0] != NULL;
}

static enum rule_truth globs_hold(const struct condition *c, const struct rule_look *look)
{
	const char *subjects[2];
	size_t n = subjects_of(c, look, subjects);

	return truth(n && entries_holds(&c->list, subjects, n));
}

static bool one_holds(const struct condition *c, size_t i, const struct rule_look *look)
{
	if (c->windows)
		return window_has(&c->windows[i], look->wall);
	return range_has(&c->ranges[i],
			 c->id == CONDITION_MEDIA_BYTES ? look->media->bytes : look->media->pixels);
}

/* An entry holds and no excluded one does; where all are excluded, none is needed. */
static enum rule_truth ones_hold(const struct condition *c, const struct rule_look *look)
{
	bool wanted = false, held = false;
	size_t i;

	for (i = 0; i < c->n; i++) {
		bool holds = one_holds(c, i, look);

		if (c->excluded[i] && holds)
			return RULE_NO;
		wanted |= !c->excluded[i];
		held |= !c->excluded[i] && holds;
	}
	return truth(c->n && (held || !wanted));
}

static enum rule_truth xpaths_hold(const struct condition *c, struct rule_look *look)
{
	bool wanted = false, held = false, holds;
	size_t i;

	if (!look->unit && !look->unit_failed &&
	    xpath_unit_new(look->ns, look->bytes, look->len, look->xpath_steps, &look->unit))
		look->unit_failed = true;
	if (look->unit_failed)
		return RULE_BROKEN;
	for (i = 0; i < c->n; i++) {
		if (xpath_holds(look->unit, c->xpaths[i], &holds)) {
			look->unit_failed = true; /* the others have no steps left either */
			return RULE_BROKEN;
		}
		if (c->excluded[i] && holds)
			return RULE_NO;
		wanted |= !c->excluded[i];
		held |= !c->excluded[i] && holds;
	}
	return truth(c->n && (held || !wanted));
}

/* What a rate counts by, as text; NULL: it is not there. */
static const char *rate_subject(const struct condition *c, const struct rule_look *look)
{
	switch ((enum rate_by)c->rate_by) {
	case RATE_GLOBAL:
		return "";
	case RATE_FROM:
		return look->from_bare;
	case RATE_TO:
		return look->to_bare;
	case RATE_FROM_DOMAIN:
		return look->from_domain;
	case RATE_HOST:
		return look->host;
	}
	BUG();
}

static enum rule_truth rate_holds(const struct condition *c, const struct rule_look *look,
				  bool take)
{
	const char *subject = rate_subject(c, look);
	uint64_t key[3] = { c->rate_seed, (uint64_t)c->rate_by + 1, 0 };

	if (!subject && c->rate_by != RATE_FROM && c->rate_by != RATE_FROM_DOMAIN)
		return RULE_NO;
	key[2] = subject ? counters_hash(subject, strlen(subject)) : look->connection;
	key[1] |= subject ? 0 : 256;
	if (!look->rate)
		return RULE_YES;
	return truth(look->rate(look->rate_ctx, counters_hash(key, sizeof(key)), c->rate.count,
				c->rate.per_ms, take));
}

enum rule_truth condition_holds(const struct condition *c, struct rule_look *look, bool take)
{
	const struct condition_row *row = &condition_rows[c->id];

	if (row->after && !look->media)
		return look->no_media ? RULE_NO : RULE_UNKNOWN;
	switch (row->kind) {
	case CONDITION_WORDS:
		return words_hold(c, look);
	case CONDITION_GLOBS:
		return globs_hold(c, look);
	case CONDITION_RANGES:
	case CONDITION_WINDOWS:
		return ones_hold(c, look);
	case CONDITION_XPATHS:
		return xpaths_hold(c, look);
	case CONDITION_RATES:
		return rate_holds(c, look, take);
	}
	BUG();
}

void condition_seen(const struct condition *c, const struct rule_look *look, char out[256])
{
	const char *subjects[2];

	switch (condition_rows[c->id].kind) {
	case CONDITION_WORDS:
		snprintf(out, 256, "%s",
			 c->id == CONDITION_TYPE ? look->type : direction_words[look->dir]);
		return;
	case CONDITION_GLOBS:
		if (subjects_of(c, look, subjects))
			snprintf(out, 256, "%.255s", subjects[1] ? subjects[1] : subjects[0]);
		else
			snprintf(out, 256, "%s",
				 condition_rows[c->id].after ? "not fetched" : "unknown");
		return;
	case CONDITION_RANGES:
		if (look->media)
			snprintf(out, 256, "%llu",
				 (unsigned long long)(c->id == CONDITION_MEDIA_BYTES
							      ? look->media->bytes
							      : look->media->pixels));
		else
			snprintf(out, 256, "not fetched");
		return;
	case CONDITION_XPATHS:
		snprintf(out, 256, "%s",
			 look->unit_failed ? "more steps than there may be" : "false");
		return;
	case CONDITION_WINDOWS:
		window_print(look->wall, out);
		return;
	case CONDITION_RATES:
		snprintf(out, 256, "%s",
			 rate_subject(c, look) ? "the rate is used up" : "nothing to count by");
		return;
	}
	BUG();
}
