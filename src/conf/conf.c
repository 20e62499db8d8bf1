/* SPDX-License-Identifier: MIT */
/*
 * conf - the configuration's struct and its option table. See conf.h.
 *
 * Knows where each field is and how it is kept; what a value may look like is value.c's
 * business, where it comes from reading's and generation.c's.
 */
#include "config.h"

#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "conf/value.h"

static const char *const lane_words[] = { "c2s", "s2c", NULL };
#define ACTION(id, name, help) name,
static const char *const action_words[] = {
#include "conf/actions.def"
	NULL
};
#undef ACTION
#define ACTION(id, name, help) help,
static const char *const action_helps[] = {
#include "conf/actions.def"
};
#undef ACTION
static const char *const caps_words[] = { "strip", "rewrite", NULL };
static const char *const compress_words[] = { "strip", "relay", NULL };
static const char *const from_words[] = { "any", "listed", NULL };
static const char *const relay_words[] = { "relay", "close", NULL };
static const char *const format_words[] = { "ibb", "bob", "thumbs0", "sims",
					    "sfs", "ogp", "http",    NULL };
static const char *const log_format_words[] = { "text", "json", NULL };
static const char *const log_level_words[] = {
	"error", "warning", "notice", "info", "debug", NULL
};
static const char *const log_target_words[] = { "stderr", "syslog", NULL };
static const char *const proxy_in_words[] = { "off", "v1", "v2", "any", NULL };
static const char *const proxy_out_words[] = { "off", "v1", "v2", NULL };
static const char *const record_at_words[] = { "before", "after", "both", NULL };
static const char *const redact_words[] = { "default", "none", NULL };
static const char *const tls_words[] = { "off", "starttls", "direct", NULL };
static const char *const output_words[] = { "auto", "image/jpeg", "image/png", "image/webp", NULL };

static const struct {
	const char *name;
	enum conf_store store;
	const char *const *words;
} kinds[CONF_KIND_TYPE_COUNT] = {
	[CONF_KIND_BIND] = { "BIND", CONF_STORE_LIST, NULL },
	[CONF_KIND_BOOL] = { "BOOL", CONF_STORE_BOOL, NULL },
	[CONF_KIND_COUNT] = { "COUNT", CONF_STORE_U64, NULL },
	[CONF_KIND_ENUMS_FORMAT] = { "ENUMS_FORMAT", CONF_STORE_MASK, format_words },
	[CONF_KIND_ENUMS_LANE] = { "ENUMS_LANE", CONF_STORE_MASK, lane_words },
	[CONF_KIND_ENUM_ACTION] = { "ENUM_ACTION", CONF_STORE_WORD, action_words },
	[CONF_KIND_ENUM_CAPS] = { "ENUM_CAPS", CONF_STORE_WORD, caps_words },
	[CONF_KIND_ENUM_COMPRESS] = { "ENUM_COMPRESS", CONF_STORE_WORD, compress_words },
	[CONF_KIND_ENUM_FROM] = { "ENUM_FROM", CONF_STORE_WORD, from_words },
	[CONF_KIND_ENUM_LOG_FORMAT] = { "ENUM_LOG_FORMAT", CONF_STORE_WORD, log_format_words },
	[CONF_KIND_ENUM_LOG_LEVEL] = { "ENUM_LOG_LEVEL", CONF_STORE_WORD, log_level_words },
	[CONF_KIND_ENUM_LOG_TARGET] = { "ENUM_LOG_TARGET", CONF_STORE_WORD, log_target_words },
	[CONF_KIND_ENUM_RELAY] = { "ENUM_RELAY", CONF_STORE_WORD, relay_words },
	[CONF_KIND_ENUM_PROXY_IN] = { "ENUM_PROXY_IN", CONF_STORE_WORD, proxy_in_words },
	[CONF_KIND_ENUM_PROXY_OUT] = { "ENUM_PROXY_OUT", CONF_STORE_WORD, proxy_out_words },
	[CONF_KIND_ENUM_RECORD_AT] = { "ENUM_RECORD_AT", CONF_STORE_WORD, record_at_words },
	[CONF_KIND_ENUM_REDACT] = { "ENUM_REDACT", CONF_STORE_WORD, redact_words },
	[CONF_KIND_ENUM_TLS] = { "ENUM_TLS", CONF_STORE_WORD, tls_words },
	[CONF_KIND_ENUM_OUTPUT] = { "ENUM_OUTPUT", CONF_STORE_WORD, output_words },
	[CONF_KIND_NETWORKS] = { "NETWORKS", CONF_STORE_LIST, NULL },
	[CONF_KIND_ORIGIN] = { "ORIGIN", CONF_STORE_TEXT, NULL },
	[CONF_KIND_ORIGINS] = { "ORIGINS", CONF_STORE_LIST, NULL },
	[CONF_KIND_PORTS] = { "PORTS", CONF_STORE_LIST, NULL },
	[CONF_KIND_RATE] = { "RATE", CONF_STORE_RATE, NULL },
	[CONF_KIND_SERVERS] = { "SERVERS", CONF_STORE_LIST, NULL },
	[CONF_KIND_SIZE] = { "SIZE", CONF_STORE_U64, NULL },
	[CONF_KIND_STRING] = { "STRING", CONF_STORE_TEXT, NULL },
	[CONF_KIND_STRINGS] = { "STRINGS", CONF_STORE_LIST, NULL },
	[CONF_KIND_TIME] = { "TIME", CONF_STORE_U32, NULL },
	[CONF_KIND_UPSTREAM] = { "UPSTREAM", CONF_STORE_TEXT, NULL },
	[CONF_KIND_USER] = { "USER", CONF_STORE_TEXT, NULL },
};

static const char *const section_names[CONF_SECTION_COUNT] = {
	[CONF_GLOBAL] = "",          [CONF_LOG] = "log",       [CONF_LISTEN] = "listen",
	[CONF_PROFILE] = "profiles", [CONF_FETCH] = "fetch",   [CONF_ORIGIN] = "fetch.origins",
	[CONF_SCALE] = "scale",      [CONF_CACHE] = "cache",   [CONF_WEB] = "web",
	[CONF_RECORD] = "record",    [CONF_UPLOAD] = "upload", [CONF_SERVICE] = "upload.services",
	[CONF_LIMITS] = "limits",
};

#define ROW(sect, st, n, field, type, lo, hi, d, h) \
	{ CONF_##sect, CONF_KIND_##type, offsetof(struct st, field), lo, hi, n, d, h },
#define OPTION_GLOBAL(...)  ROW(GLOBAL, conf, __VA_ARGS__)
#define OPTION_LOG(...)     ROW(LOG, conf_log, __VA_ARGS__)
#define OPTION_LISTEN(...)  ROW(LISTEN, conf_listen, __VA_ARGS__)
#define OPTION_PROFILE(...) ROW(PROFILE, conf_profile, __VA_ARGS__)
#define OPTION_FETCH(...)   ROW(FETCH, conf_fetch, __VA_ARGS__)
#define OPTION_ORIGIN(...)  ROW(ORIGIN, conf_origin, __VA_ARGS__)
#define OPTION_SCALE(...)   ROW(SCALE, conf_scale, __VA_ARGS__)
#define OPTION_CACHE(...)   ROW(CACHE, conf_cache, __VA_ARGS__)
#define OPTION_WEB(...)     ROW(WEB, conf_web, __VA_ARGS__)
#define OPTION_RECORD(...)  ROW(RECORD, conf_record, __VA_ARGS__)
#define OPTION_UPLOAD(...)  ROW(UPLOAD, conf_upload, __VA_ARGS__)
#define OPTION_SERVICE(...) ROW(SERVICE, conf_service, __VA_ARGS__)
#define OPTION_LIMITS(...)  ROW(LIMITS, conf_limits, __VA_ARGS__)
const struct conf_option conf_options[] = {
#include "conf/options.def"
};
const size_t conf_options_n = ARRAY_SIZE(conf_options);

const char *conf_action_help(enum conf_action action)
{
	return action_helps[action];
}

const struct conf_option *conf_option_find(enum conf_section section, const char *name)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++)
		if (conf_options[i].section == section && strcmp(conf_options[i].name, name) == 0)
			return &conf_options[i];
	return NULL;
}

const char *conf_section_name(enum conf_section section)
{
	return section_names[section];
}

const char *conf_kind_name(enum conf_kind kind)
{
	return kinds[kind].name;
}

enum conf_store conf_kind_store(enum conf_kind kind)
{
	return kinds[kind].store;
}

const char *const *conf_kind_words(enum conf_kind kind)
{
	return kinds[kind].words;
}

size_t conf_section_count(const struct conf *c, enum conf_section section)
{
	return section == CONF_LISTEN    ? c->listens_n
	       : section == CONF_PROFILE ? c->profiles_n
	       : section == CONF_SERVICE ? c->services_n
	       : section == CONF_ORIGIN  ? c->origins_n
					 : 1;
}

bool conf_section_is_many(enum conf_section section)
{
	return section == CONF_LISTEN || section == CONF_PROFILE || section == CONF_SERVICE ||
	       section == CONF_ORIGIN;
}

void *conf_section_at(struct conf *c, enum conf_section section, size_t i)
{
	switch (section) {
	case CONF_GLOBAL:
		return c;
	case CONF_LOG:
		return &c->log;
	case CONF_LISTEN:
		return &c->listens[i];
	case CONF_PROFILE:
		return &c->profiles[i];
	case CONF_FETCH:
		return &c->fetch;
	case CONF_ORIGIN:
		return &c->origins[i];
	case CONF_SCALE:
		return &c->scale;
	case CONF_CACHE:
		return &c->cache;
	case CONF_WEB:
		return &c->web;
	case CONF_RECORD:
		return &c->record;
	case CONF_UPLOAD:
		return &c->upload;
	case CONF_SERVICE:
		return &c->services[i];
	case CONF_LIMITS:
		return &c->limits;
	case CONF_SECTION_COUNT:
		break;
	}
	BUG();
}

void *conf_field(void *section, const struct conf_option *o)
{
	return (char *)section + o->offset;
}

/* Every field of one zeroed section struct gets its default: 0 or ERR_NOMEM. */
static int conf_defaults(enum conf_section section, void *at)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		if (o->section == section && value_set_default(o, conf_field(at, o)))
			return ERR_NOMEM;
	}
	return 0;
}

static void conf_clear(enum conf_section section, void *at)
{
	size_t i;

	for (i = 0; i < conf_options_n; i++)
		if (conf_options[i].section == section)
			value_clear(&conf_options[i], conf_field(at, &conf_options[i]));
}

struct conf_listen *conf_add_listen(struct conf *c, const char *name)
{
	struct conf_listen *v = reallocarray(c->listens, c->listens_n + 1, sizeof(*v));
	struct conf_listen *l;

	if (!v)
		return NULL;
	c->listens = v;
	l = &v[c->listens_n];
	*l = (struct conf_listen){ .name = strdup(name) };
	c->listens_n++; /* what is half made is freed with the rest */
	return l->name && !conf_defaults(CONF_LISTEN, l) ? l : NULL;
}

struct conf_profile *conf_add_profile(struct conf *c, const char *name)
{
	struct conf_profile *v = reallocarray(c->profiles, c->profiles_n + 1, sizeof(*v));
	struct conf_profile *p;

	if (!v)
		return NULL;
	c->profiles = v;
	p = &v[c->profiles_n];
	*p = (struct conf_profile){ .name = strdup(name) };
	c->profiles_n++;
	return p->name && !conf_defaults(CONF_PROFILE, p) ? p : NULL;
}

struct conf_service *conf_add_service(struct conf *c)
{
	struct conf_service *v = reallocarray(c->services, c->services_n + 1, sizeof(*v));
	struct conf_service *s;

	if (!v)
		return NULL;
	c->services = v;
	s = &v[c->services_n++];
	*s = (struct conf_service){ 0 };
	return conf_defaults(CONF_SERVICE, s) ? NULL : s;
}

struct conf_origin *conf_add_origin(struct conf *c)
{
	struct conf_origin *v = reallocarray(c->origins, c->origins_n + 1, sizeof(*v));
	struct conf_origin *o;

	if (!v)
		return NULL;
	c->origins = v;
	o = &v[c->origins_n++];
	*o = (struct conf_origin){ 0 };
	return conf_defaults(CONF_ORIGIN, o) ? NULL : o;
}

bool conf_link(struct conf *c)
{
	bool all = true, links = false, strips = c->default_action == CONF_ACTION_STRIP;
	size_t i, k;

	for (i = 0; i < c->rules_n; i++)
		strips |= c->rules[i].action == CONF_ACTION_STRIP;
	for (k = 0; k < c->profiles_n; k++)
		links |= c->profiles[k].links;
	for (i = 0; i < c->listens_n; i++) {
		struct conf_listen *l = &c->listens[i];

		l->links = links;
		l->strips = strips;
		l->profile_ref = NULL;
		for (k = 0; k < c->profiles_n; k++)
			if (strcmp(c->profiles[k].name, l->profile) == 0)
				l->profile_ref = &c->profiles[k];
		all = all && l->profile_ref;
	}
	return all;
}

#define FORMAT_BIT(name) (1u << CONF_FORMAT_##name)

/*
 * Profiles that are there without being configured. Clients that draw a thumbnail in place
 * of the picture find 128 pixels blurred, so the box is larger where such clients read; the
 * file stays within the 8 KiB that XEP-0231 recommends and Gajim's 10,000 bytes. What costs a
 * client something is in none but classic, which must be asked for: beside sims Converse.js shows
 * the address as text, and of a message with ibb Gajim shows nothing.
 */
static const struct {
	const char *name;
	uint32_t formats; /* 0: the option's default */
	uint64_t side;    /* 0: the option's default */
} built_in[] = {
	{ "default", 0, 0 },
	{ "classic", FORMAT_BIT(IBB), 0 },
	{ "kontalk", FORMAT_BIT(BOB), 256 },
	{ "modern", FORMAT_BIT(SFS), 256 },
	{ "everyone", FORMAT_BIT(BOB) | FORMAT_BIT(THUMBS0) | FORMAT_BIT(SFS) | FORMAT_BIT(OGP),
	  256 },
};

static int conf_add_built_in(struct conf *c)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(built_in); i++) {
		struct conf_profile *p = conf_add_profile(c, built_in[i].name);

		if (!p)
			return ERR_NOMEM;
		if (built_in[i].formats)
			p->formats = built_in[i].formats;
		if (built_in[i].side) {
			p->width = built_in[i].side;
			p->height = built_in[i].side;
		}
	}
	return 0;
}

struct conf *conf_new(void)
{
	struct conf *c = calloc(1, sizeof(*c));
	enum conf_section s;

	if (!c)
		return NULL;
	c->refs = 1;
	for (s = CONF_GLOBAL; s < CONF_SECTION_COUNT; s++)
		if (!conf_section_is_many(s) && conf_defaults(s, conf_section_at(c, s, 0)))
			goto fail;
	if (conf_add_built_in(c))
		goto fail;
	return c;
fail:
	conf_unref(&c);
	return NULL;
}

struct conf *conf_ref(struct conf *c)
{
	BUG_ON(c->refs == 0);
	c->refs++;
	return c;
}

static void secret_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static void conf_free_secrets(struct conf_listen *l)
{
	size_t i;

	for (i = 0; i < l->keys.n; i++)
		secret_free(l->keys.v[i]);
	free(l->keys.v);
	free(l->upstream_cas);
}

void conf_unref(struct conf **cp)
{
	struct conf *c = *cp;
	enum conf_section s;
	size_t i;

	*cp = NULL;
	if (!c || --c->refs)
		return;
	if (c->compiled_free)
		c->compiled_free(&c->compiled);
	conf_free_rules(c);
	secret_free(c->cache.redis);
	c->cache.redis = NULL;
	for (s = CONF_GLOBAL; s < CONF_SECTION_COUNT; s++)
		for (i = 0; i < conf_section_count(c, s); i++)
			conf_clear(s, conf_section_at(c, s, i));
	for (i = 0; i < c->listens_n; i++) {
		conf_free_secrets(&c->listens[i]);
		free(c->listens[i].name);
	}
	for (i = 0; i < c->profiles_n; i++)
		free(c->profiles[i].name);
	for (i = 0; i < c->origins_n; i++)
		secret_free(c->origins[i].pem);
	free(c->fetch.cas);
	secret_free(c->upload.key);
	secret_free(c->upload.pem);
	secret_free(c->upload.s3_key);
	free(c->upload.s3_cas);
	free(c->listens);
	free(c->profiles);
	free(c->services);
	free(c->origins);
	free(c);
}

const struct conf_listen *conf_listen_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->listens_n; i++)
		if (strcmp(c->listens[i].name, name) == 0)
			return &c->listens[i];
	return NULL;
}

/* Rows behind the last one that was in use come first: those who still hold an older generation
 * may count in a row that nobody has any more. */
void conf_number_listeners(struct conf *c, const struct conf *old, void (*fresh)(unsigned row))
{
	bool used[COUNTERS_LISTENERS] = { false };
	unsigned next = 0;
	size_t i;

	for (i = 0; old && i < old->listens_n; i++) {
		used[old->listens[i].row] = true;
		next = MAX_OF(next, old->listens[i].row + 1);
	}
	for (i = 0; i < c->listens_n; i++) {
		const struct conf_listen *same =
			old ? conf_listen_find(old, c->listens[i].name) : NULL;

		if (same) {
			c->listens[i].row = same->row;
			continue;
		}
		next %= COUNTERS_LISTENERS;
		while (used[next])
			next = (next + 1) % COUNTERS_LISTENERS;
		used[next] = true;
		c->listens[i].row = next;
		fresh(next);
	}
}
